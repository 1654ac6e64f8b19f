import { EventKind } from "./gen/holdfast/v1/admin_service.ts";
import { LockState, Mode, type Reason } from "./gen/holdfast/v1/lock_service.ts";

/** A word for people and the tone in which it is said: the names of colours in the style sheet. */
export interface Said {
  readonly word: string;
  readonly tone: "held" | "waiting" | "trouble" | "deadlock" | "quiet";
}

export const modeWords: Readonly<Record<Mode, string>> = {
  [Mode.UNSPECIFIED]: "",
  [Mode.EXCLUSIVE]: "exclusive",
  [Mode.SHARED]: "shared",
  [Mode.SEMAPHORE]: "semaphore",
};

export const stateWords: Readonly<Record<LockState, Said>> = {
  [LockState.UNSPECIFIED]: { word: "free", tone: "quiet" },
  [LockState.HELD]: { word: "held", tone: "held" },
  [LockState.CONTENDED]: { word: "contended", tone: "waiting" },
};

export const kindWords: Readonly<Record<EventKind, Said>> = {
  [EventKind.UNSPECIFIED]: { word: "event", tone: "quiet" },
  [EventKind.WAITING]: { word: "waits", tone: "waiting" },
  [EventKind.GRANTED]: { word: "granted", tone: "held" },
  [EventKind.DENIED]: { word: "denied", tone: "waiting" },
  [EventKind.RELEASED]: { word: "released", tone: "quiet" },
  [EventKind.LOST]: { word: "lost", tone: "trouble" },
  [EventKind.FORCED]: { word: "forced", tone: "trouble" },
  [EventKind.SESSION_OPENED]: { word: "opened", tone: "quiet" },
  [EventKind.SESSION_RESUMED]: { word: "resumed", tone: "quiet" },
  [EventKind.SESSION_ENDED]: { word: "ended", tone: "quiet" },
  [EventKind.DEADLOCK]: { word: "deadlock", tone: "deadlock" },
  [EventKind.SERVER]: { word: "server", tone: "quiet" },
};

/** What an operator should hear of, wherever it happened. */
export const TROUBLE = [EventKind.LOST, EventKind.FORCED, EventKind.DEADLOCK, EventKind.SERVER].join(",");

/** A reason in words: "session expired". Empty: none. */
export const reasonWords = (reason: Reason): string =>
  reason === "REASON_UNSPECIFIED" ? "" : reason.slice("REASON_".length).toLowerCase().replaceAll("_", " ");
