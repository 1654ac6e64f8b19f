import type { Command } from "../core/frames.ts";
import type { Session } from "../core/session.ts";
import type { SessionStream } from "../ports/session-stream.ts";

/** A stream and how far it has come. `closed` was sent, or the client is gone: nothing more goes over it. */
export interface Link {
  readonly stream: SessionStream;
  state:
    | { readonly at: "new" }
    /** Its session is being opened or resumed: what comes meanwhile waits. */
    | { readonly at: "opening"; readonly queued: Command[] }
    /** `told`: the other servers, as its client was told last. */
    | { readonly at: "open"; readonly session: Session; told: readonly string[] }
    | { readonly at: "closed" };
}

/** How many commands may come before `opened`. */
export const MAX_QUEUED_COMMANDS = 4000;
