/** Words of a log, by how much they ask of who reads it: nothing; nothing; to keep an eye on it; to act. */
const levels = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof levels)[number];

/** What belongs to an event: no secrets, no payloads. Absent values are left out. */
export type LogFields = Readonly<Record<string, string | number | bigint | boolean | undefined>>;

export interface LogOptions {
  /** What is below it is left out. */
  readonly level: LogLevel;
  readonly format: "text" | "json";
  /** Gets each line, its line break included. */
  readonly write: (line: string) => void;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
}

/** Writes what happened, an event a line: past tense, with fields, for people (`text`) or machines (`json`). */
export class Log {
  private readonly options: LogOptions;

  constructor(options: LogOptions) {
    this.options = options;
  }

  /** Whether events of this level are written. */
  has(level: LogLevel): boolean {
    return levels.indexOf(level) >= levels.indexOf(this.options.level);
  }

  /** Writes an event such as "session.opened". 64-bit numbers are written as strings: JSON's would lose digits. */
  event(level: LogLevel, name: string, fields: LogFields = {}): void {
    if (!this.has(level)) return;
    const { format, write, wallMs } = this.options;
    const time = new Date(wallMs()).toISOString();
    const present = Object.entries(fields).filter(([, value]) => value !== undefined);
    const values = present.map(([key, value]) => [snakeCase(key), typeof value === "bigint" ? String(value) : value]);
    if (format === "json")
      write(`${escapedJson(JSON.stringify({ time, level, event: name, ...Object.fromEntries(values) }))}\n`);
    else
      write(`${[time, level.padEnd(5), name, ...values.map(([key, value]) => `${key}=${shown(value)}`)].join(" ")}\n`);
  }
}

const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** JSON may hold what a terminal or a viewer of logs acts on: written as JSON's own escapes, it means the same. */
const escapedJson = (json: string): string =>
  json.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (one) =>
    one
      .split("")
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
      .join(""),
  );

/** A value on one line: quoted if it needs to be, without anything that a terminal would act on. */
function shown(value: unknown): string {
  const text = String(value);
  const quoted = /^[\w.:/@+-]+$/.test(text) ? text : JSON.stringify(text);
  return quoted.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (one) => `\\u{${one.codePointAt(0)!.toString(16)}}`);
}
