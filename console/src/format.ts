import { printable, span } from "../../clients/cli/text.ts";
import type { Duration } from "./gen/google/protobuf/duration.ts";
import type { ClientInfo } from "./gen/holdfast/v1/lock_service.ts";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** A count with its thousands apart. */
export const count = (value: number): string => whole.format(value);

/** A count in few characters: "12.3K". */
export const shortCount = (value: number): string => (value < 10_000 ? whole.format(value) : compact.format(value));

/** How long something took, with three digits: "850 µs", "3.42 ms", "1.25 s", "2 min 10 s". */
export function precise(ms: number | undefined): string {
  const { number, unit } = preciseParts(ms);
  return unit === "" ? number : `${number} ${unit}`;
}

/** The same in its parts, to be set apart. */
export function preciseParts(ms: number | undefined): { readonly number: string; readonly unit: string } {
  if (ms === undefined || !Number.isFinite(ms)) return { number: "–", unit: "" };
  if (ms < 1) return { number: digits(ms * 1_000), unit: "µs" };
  if (ms < 1_000) return { number: digits(ms), unit: "ms" };
  if (ms < 60_000) return { number: digits(ms / 1_000), unit: "s" };
  return { number: span(ms), unit: "" };
}

const digits = (value: number): string =>
  value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : whole.format(value);

/** How long it has been, in whole units: "12 s", "3 min 20 s"; below a second "now". */
export const age = (ms: number): string => (ms < 1_000 ? "now" : span(Math.floor(ms / 1_000) * 1_000));

/** A duration of the protos in milliseconds. */
export const toMs = (duration: Duration | undefined): number | undefined =>
  duration && Number(duration.seconds) * 1_000 + duration.nanos / 1e6;

/** A moment of the protos in milliseconds. */
export const momentMs = (iso: string | undefined): number | undefined =>
  iso === undefined ? undefined : Date.parse(iso);

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayAndClock = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});

/** The time of day, in the time zone of the one who looks. */
export const timeOfDay = (ms: number): string => clock.format(ms);

/** Day and time of day. */
export const dayAndTime = (ms: number): string => dayAndClock.format(ms);

/** Bytes in binary units: "1.4 GiB". */
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = value;
  let unit = 0;
  for (; size >= 1_024 && unit < units.length - 1; unit++) size /= 1_024;
  return `${unit === 0 ? whole.format(size) : digits(size)} ${units[unit]}`;
}

/** Who somebody is, as text that is shown escaped: "program@host". */
export function clientName(client: ClientInfo | undefined, sessionId: string): string {
  if (client === undefined || (client.name === "" && client.host === "")) return `session ${sessionId.slice(0, 8)}`;
  return `${client.name === "" ? "?" : client.name}${client.host === "" ? "" : `@${client.host}`}`;
}

/** The same, safe to be put into a label. */
export const plainClientName = (client: ClientInfo | undefined, sessionId: string): string =>
  printable(clientName(client, sessionId));

/** "3 locks", "1 lock". */
export const plural = (value: number, one: string, many = `${one}s`): string =>
  `${count(value)} ${value === 1 ? one : many}`;
