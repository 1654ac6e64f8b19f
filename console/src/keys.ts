import { go } from "./route.ts";
import { keysOn, toggleTheme } from "./theme.ts";

/** What keys do, in the order in which help shows it. */
export const shortcuts: readonly (readonly [string, string])[] = [
  ["?", "this help"],
  ["/", "find a lock"],
  ["g o", "overview"],
  ["g l", "locks"],
  ["g s", "sessions"],
  ["g w", "who waits for whom"],
  ["g h", "servers and their health"],
  ["t", "light or dark"],
  ["↑ ↓ Page Home End", "move in a table"],
  ["Enter", "open what is chosen in a table"],
  ["Esc", "close a dialog, empty the search"],
];

/** Listens to the keys that work everywhere, until what is returned is called. */
export function listenToKeys(showHelp: () => void): () => void {
  const jumps: Record<string, () => void> = {
    o: () => go({ view: "overview" }),
    l: () => go({ view: "locks", prefix: "" }),
    s: () => go({ view: "sessions" }),
    w: () => go({ view: "graph" }),
    h: () => go({ view: "servers" }),
  };
  let afterG = false;
  const onKeyDown = (event: KeyboardEvent) => {
    if (keysOn.get() === "off" || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const jump = afterG ? jumps[event.key] : undefined;
    afterG = event.key === "g";
    if (jump !== undefined) jump();
    else if (event.key === "?") showHelp();
    else if (event.key === "/") findLock();
    else if (event.key === "t") toggleTheme();
    else return;
    event.preventDefault();
  };
  addEventListener("keydown", onKeyDown);
  return () => removeEventListener("keydown", onKeyDown);
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("input, textarea, select, dialog") !== null;
}

/** Goes to where locks are searched for, and into the field. */
function findLock(): void {
  const field = () => document.querySelector<HTMLInputElement>("input.search");
  if (field() === null) go({ view: "locks", prefix: "" });
  // The view may have to be drawn first.
  requestAnimationFrame(() => requestAnimationFrame(() => field()?.focus()));
}
