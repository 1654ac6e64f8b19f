import { go, route } from "./route.ts";
import { keysOn, toggleTheme } from "./theme.ts";
import { Value } from "./value.ts";

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
  // A dialog that has just been closed has the focus until the next frame.
  return target instanceof HTMLElement && target.closest("input, textarea, select, dialog[open]") !== null;
}

/** Whether the search for locks is to be typed into as soon as it is there. */
export const wantsSearch = new Value(false);

function findLock(): void {
  wantsSearch.set(true);
  if (route.get().view !== "locks") go({ view: "locks", prefix: "" });
}
