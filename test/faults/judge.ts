import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { isCompatible } from "../simulation/reference.ts";
import { claimValue } from "./client-log.ts";
import type { ClaimStory, History } from "./history.ts";
import { endOfBelief, NEVER } from "./history.ts";
import type { ClaimLife, Finding, TrueQueues } from "./true-queues.ts";

/** What Porcupine says of a history; see tools/porcupine. */
export interface Verdict {
  readonly operations: number;
  readonly objects: number;
  readonly illegal: readonly string[];
  readonly unknown: readonly string[];
}

/** Has Porcupine judge what clients believed about locks, and what the registers behind them did. */
export function judgeHistory(history: History, porcupine: string, pictures: string): Verdict {
  mkdirSync(pictures, { recursive: true });
  const lines = operationsOf(history).map((operation) => JSON.stringify(operation));
  const input = `${lines.join("\n")}${lines.length > 0 ? "\n" : ""}`;
  const { stdout, stderr, status } = spawnSync(porcupine, ["-timeout", "60s", "-pictures", pictures], {
    input,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (status !== 0 && status !== 1) throw new Error(`porcupine could not judge: ${stderr}`);
  return JSON.parse(stdout) as Verdict;
}

function operationsOf({ claims, touches }: History): object[] {
  const clients = new Map<ClaimStory, number>(claims.map((story, i) => [story, i]));
  const operations: object[] = [];
  for (const story of claims) {
    if (story.granted === undefined) continue;
    const { token, atMs } = story.granted;
    const { fromMs, toMs } = endOfBelief(story);
    for (const { name, mode, permits, limit } of story.locks) {
      const about = { object: name, client: clients.get(story), token, mode, permits, limit };
      operations.push({ ...about, ...between(story.askedAtMs, atMs), kind: "acquire" });
      operations.push({ ...about, ...between(fromMs, toMs), kind: "end" });
    }
  }
  for (const { story, what, written, calledAtMs, answered } of touches) {
    // Nobody heard of it.
    if (answered === undefined) continue;
    const { atMs, accepted, value } = answered;
    operations.push({
      object: `register ${story.locks[0]!.name}`,
      client: clients.get(story),
      ...between(calledAtMs, atMs),
      kind: what,
      token: story.granted!.token,
      value: what === "write" ? written : value,
      accepted,
    });
  }
  return operations;
}

const between = (fromMs: number, toMs: number) => ({
  call: Math.floor(fromMs * 1e6),
  return: toMs === NEVER ? Number.MAX_SAFE_INTEGER : Math.ceil(toMs * 1e6),
});

/**
 * Holds every grant that a client was told of against the queues as etcd's keys tell them. Its claim must have been
 * there, of that session and on those locks; and whoever stood before it in a way that excludes it must have been gone
 * by the time the client knew, or given up by its own client (DESIGN 4.9). `committedAfterMs` says before when a
 * revision cannot have been there.
 */
export function auditGrants(
  { claims }: History,
  queues: TrueQueues,
  committedAfterMs: (revision: number) => number,
): { readonly audited: number; readonly early: number; readonly findings: readonly Finding[] } {
  const findings: Finding[] = [];
  const storyOf = new Map(claims.map((story) => [claimValue(story.run.name, story.op), story]));
  let audited = 0;
  let early = 0;
  for (const story of claims) {
    if (story.granted === undefined) continue;
    audited++;
    const { token, sessionId, atMs } = story.granted;
    const who = `${story.run.name} op ${story.op}: token ${token} of ${story.locks.map(({ name }) => name).join()}`;
    const found = (what: string, detail: string) => void findings.push({ what, detail: `${who}: ${detail}` });
    const life = queues.lives.get(story.locks[0]!.name)?.find((each) => each.token === token);
    if (life === undefined) {
      found("GRANT-OF-NOTHING", "there never was such a claim");
      continue;
    }
    if (life.claim.sessionId !== sessionId)
      found("GRANT-OF-ANOTHER", `the claim is of session ${life.claim.sessionId}`);
    if (life.claim.value !== claimValue(story.run.name, story.op))
      found("GRANT-OF-ANOTHER", `the claim is that of ${life.claim.value}`);
    if (!sameLocks(story, life)) found("GRANT-OF-ANOTHER", "the claim is on other locks");
    if (life.heldFrom !== undefined && committedAfterMs(life.heldFrom) <= atMs) continue;
    early++;
    const isOver = (other: ClaimLife): boolean =>
      (other.endedAt !== undefined && committedAfterMs(other.endedAt) <= atMs) || wasGivenUp(other);
    const wasGivenUp = ({ claim, token: otherToken }: ClaimLife): boolean => {
      const other = storyOf.get(claim.value);
      if (other === undefined) return false;
      if (other.granted === undefined) return gaveUpAtMs(other) <= atMs;
      // Asked for again in another session, it is granted there: the one that was left behind ends with its session.
      const isIt = other.granted.sessionId === claim.sessionId && other.granted.token === otherToken;
      return isIt && other.releases?.how === "release" && other.releases.atMs <= atMs;
    };
    for (const spec of story.locks) {
      const before = queues.lives.get(spec.name)!.filter((each) => each.token < token && !isOver(each));
      const specs = before.map(({ claim }) => claim.locks.find(({ name }) => name === spec.name)!);
      if (!isCompatible([...specs, spec]))
        found("GRANT-TOO-EARLY", `${before.map(({ claim }) => claim.id).join()} stood before it on ${spec.name}`);
    }
  }
  return { audited, early, findings };
}

/** When a client stopped waiting, at the earliest; what it waits for without end it may only cancel. */
function gaveUpAtMs({ askedAtMs, waitMs, cancelledAtMs }: ClaimStory): number {
  return cancelledAtMs ?? (waitMs === null ? NEVER : askedAtMs + waitMs);
}

function sameLocks({ locks }: ClaimStory, { claim }: ClaimLife): boolean {
  return (
    locks.length === claim.locks.length &&
    locks.every((lock) =>
      claim.locks.some(
        ({ name, mode, permits, limit }) =>
          name === lock.name && mode === lock.mode && permits === lock.permits && limit === lock.limit,
      ),
    )
  );
}
