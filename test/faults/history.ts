import { readFileSync } from "node:fs";
import type { ClientLine, LockSpec } from "./client-log.ts";

/** A client process that has run, and what it wrote down. */
export interface ClientRun {
  readonly name: string;
  readonly logFile: string;
  /** Whether it is the program in Go, not the one in TypeScript. */
  readonly isGo: boolean;
  /** Whether its claims outlive a broken connection: only then it knows of a loss before anybody else is granted. */
  readonly keeps: boolean;
  /** When it was about to be killed, if it was. */
  killedAtMs: number | undefined;
  /** What registers have answered it, which it need not have lived to hear. */
  readonly answers: readonly TouchAnswered[];
}

interface TouchAnswered {
  readonly op: number;
  readonly what: "read" | "write";
  readonly atMs: number;
  readonly accepted: boolean;
  readonly value: number;
}

/** One claim of a client, from asking to the end of what it believed. */
export interface ClaimStory {
  readonly run: ClientRun;
  readonly op: number;
  readonly locks: readonly LockSpec[];
  readonly waitMs: number | null;
  readonly askedAtMs: number;
  cancelledAtMs: number | undefined;
  refused: { readonly atMs: number; readonly reason: string } | undefined;
  granted: { readonly atMs: number; readonly sessionId: string; readonly token: number } | undefined;
  /** When it last looked and believed, and until when it then might. */
  believed: { readonly atMs: number; readonly untilMs: number } | undefined;
  lost: { readonly atMs: number; readonly reason: string } | undefined;
  releases: { readonly atMs: number; readonly how: "release" | "close" } | undefined;
  released: { readonly atMs: number; readonly outcome: "released" | "lost" } | undefined;
}

/** A read or write of a register. */
export interface TouchStory {
  readonly story: ClaimStory;
  readonly what: "read" | "write";
  readonly written: number;
  readonly calledAtMs: number;
  readonly answered: Omit<TouchAnswered, "op" | "what"> | undefined;
}

export interface History {
  readonly claims: readonly ClaimStory[];
  readonly touches: readonly TouchStory[];
}

/** The end of time, in milliseconds: of what may still happen when the history ends. */
export const NEVER = Math.floor(Number.MAX_SAFE_INTEGER / 1e6);

/** Reads what client processes have written down. */
export function readHistory(runs: readonly ClientRun[]): History {
  const claims: ClaimStory[] = [];
  const touches: TouchStory[] = [];
  for (const run of runs) {
    const stories = new Map<number, ClaimStory>();
    const open = new Map<number, TouchStory>();
    for (const line of linesOf(run)) {
      if (line.kind === "asks") stories.set(line.op, begin(run, line));
      const story = stories.get(line.op)!;
      if (line.kind === "touches")
        open.set(line.op, { story, what: line.what, written: line.value, calledAtMs: line.atMs, answered: undefined });
      else if (line.kind === "touched") {
        touches.push({ ...open.get(line.op)!, answered: line });
        open.delete(line.op);
      } else tell(story, line);
    }
    claims.push(...stories.values());
    for (const [op, touch] of open) {
      const answered = run.answers.find((each) => each.op === op && each.what === touch.what);
      touches.push({ ...touch, answered });
    }
  }
  return { claims, touches };
}

function linesOf({ logFile }: ClientRun): ClientLine[] {
  const lines = readFileSync(logFile, "utf8").split("\n");
  // What follows the last line break was being written when the process was killed.
  return lines.slice(0, -1).map((line) => JSON.parse(line) as ClientLine);
}

function begin(run: ClientRun, { op, atMs, locks, waitMs }: Extract<ClientLine, { kind: "asks" }>): ClaimStory {
  return {
    run,
    op,
    locks,
    waitMs,
    askedAtMs: atMs,
    cancelledAtMs: undefined,
    refused: undefined,
    granted: undefined,
    believed: undefined,
    lost: undefined,
    releases: undefined,
    released: undefined,
  };
}

function tell(story: ClaimStory, line: Exclude<ClientLine, { kind: "touches" | "touched" }>): void {
  switch (line.kind) {
    case "asks":
      return;
    case "cancels":
      story.cancelledAtMs = line.atMs;
      return;
    case "granted":
      story.granted = line;
      return;
    case "refused":
      story.refused = line;
      return;
    case "believes":
      story.believed = line;
      return;
    case "lost":
      story.lost = line;
      return;
    case "releases":
      // Of what is lost it only tidies up.
      if (story.lost === undefined) story.releases = line;
      return;
    case "released":
      story.released = line;
      return;
    default:
      line satisfies never;
  }
}

/** Between when and when a client stopped believing that it holds what it was granted. */
export function endOfBelief(story: ClaimStory): { readonly fromMs: number; readonly toMs: number } {
  const { run, granted, believed, lost, releases, released } = story;
  // Whoever lets its claims go with the connection may learn of that last.
  if (!run.keeps) return { fromMs: granted!.atMs, toMs: NEVER };
  if (releases !== undefined) return { fromMs: releases.atMs, toMs: released?.atMs ?? NEVER };
  const fromMs = believed === undefined ? granted!.atMs : Math.max(believed.atMs, believed.untilMs);
  if (lost !== undefined) return { fromMs: Math.min(lost.atMs, fromMs), toMs: lost.atMs };
  return { fromMs: Math.min(run.killedAtMs ?? fromMs, fromMs), toMs: NEVER };
}
