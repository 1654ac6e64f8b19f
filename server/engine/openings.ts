import type { Opening } from "./session-openings.ts";

/** The sessions that are on their way to this server, each until it is seen or cannot come any more. */
export class Openings {
  private readonly bySession = new Map<string, Opening[]>();

  /** Whether there is one that nobody but this server knows of. */
  get hasNew(): boolean {
    for (const openings of this.bySession.values()) if (openings.some((each) => each.kind === "open")) return true;
    return false;
  }

  /** Returns the one with the same attempt whose place it takes, if there is one. */
  add(opening: Opening): Opening | undefined {
    const { sessionId, attempt } = opening;
    const before = this.find(sessionId, attempt);
    const others = this.bySession.get(sessionId)?.filter((each) => each !== before) ?? [];
    this.bySession.set(sessionId, [...others, opening]);
    return before;
  }

  delete(opening: Opening): void {
    this.keep(opening.sessionId, (each) => each !== opening);
  }

  find(sessionId: string, attempt: bigint): Opening | undefined {
    return this.bySession.get(sessionId)?.find((each) => each.attempt === attempt);
  }

  /** Forgets those that can never be seen, now that the table shows this attempt; `undefined`: the session has ended. */
  seen(sessionId: string, attempt: bigint | undefined): void {
    this.keep(sessionId, (each) => attempt !== undefined && each.attempt > attempt);
  }

  private keep(sessionId: string, which: (opening: Opening) => boolean): void {
    const kept = this.bySession.get(sessionId)?.filter(which) ?? [];
    if (kept.length > 0) this.bySession.set(sessionId, kept);
    else this.bySession.delete(sessionId);
  }
}
