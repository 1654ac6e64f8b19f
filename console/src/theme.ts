import { Value } from "./value.ts";

export type Theme = "system" | "light" | "dark";

/** Something that is remembered in this browser, as far as it lets us. */
export function remembered<T extends string>(key: string, choices: readonly T[], fallback: T): Value<T> {
  const value = new Value<T>(choices.find((choice) => choice === read(key)) ?? fallback);
  value.subscribe(() => write(key, value.get()));
  return value;
}

function read(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function write(key: string, text: string): void {
  try {
    localStorage.setItem(key, text);
  } catch {
    // Then it is forgotten with the page.
  }
}

/** The theme chosen. The page has it from its first moment by `theme.js`. */
const theme = remembered<Theme>("theme", ["system", "light", "dark"], "system");

const systemDark = matchMedia("(prefers-color-scheme: dark)");
/** Whether it is dark now. */
export const dark = new Value(isDark());

function isDark(): boolean {
  return theme.get() === "dark" || (theme.get() === "system" && systemDark.matches);
}

function apply(): void {
  if (theme.get() === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.get();
  dark.set(isDark());
}

theme.subscribe(apply);
systemDark.addEventListener("change", apply);

/** From the system's to the other one, and back. */
export function toggleTheme(): void {
  const other = dark.get() ? "light" : "dark";
  theme.set(systemDark.matches === (other === "dark") ? "system" : other);
}

/** Whether single keys do something. */
export const keysOn = remembered("keys", ["on", "off"], "on");
