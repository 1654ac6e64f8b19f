import type { ClaimView, LockView } from "../typescript/src/index.ts";
import { printable, span, table } from "./text.ts";

/** Who has a claim, for people: "program@host (process)", as far as it said. */
export function clientName({ client, sessionId }: ClaimView): string {
  if (client === undefined || (client.name === "" && client.host === "")) return `session ${sessionId}`;
  const { name, host, pid } = client;
  const where = host === "" ? "" : `@${printable(host)}`;
  return `${printable(name) || "?"}${where}${pid === 0 ? "" : ` (${pid})`}`;
}

/** Locks, one a line: who holds each, since when, how many wait. */
export function locksTable(locks: readonly LockView[], wallMs: number): string {
  return table(
    ["LOCK", "STATE", "HOLDER", "SINCE", "WAITING", "TOKEN", "PURPOSE"],
    locks.map((lock) => [printable(lock.name), ...lockCells(lock, wallMs)]),
  );
}

/** A lock and all its claims: the holders, then the waiters in the order in which they will be let in. */
export function lockTable(lock: LockView, wallMs: number): string {
  const { holders, waiters, holderCount, waiterCount } = lock;
  const claims = [
    ...holders.map((claim) => ["held", ...claimCells(claim, wallMs)]),
    ...waiters.map((claim, index) => [`${index + 1}.`, ...claimCells(claim, wallMs)]),
  ];
  const hidden = holderCount - holders.length + waiterCount - waiters.length;
  return [
    `${printable(lock.name)}: ${summary(lock)}`,
    ...(claims.length === 0 ? [] : ["", table(["PLACE", "CLIENT", "SINCE", "TOKEN", "SESSION", "PURPOSE"], claims)]),
    ...(hidden > 0 ? [`and ${hidden} more`] : []),
  ].join("\n");
}

/** A change of a lock, on a line. */
export function changeLine(lock: LockView, wallMs: number): string {
  const time = new Date(wallMs).toISOString().slice(11, 23);
  const holder = lock.holders[0] === undefined ? "" : `  ${holderOf(lock)}, token ${lock.holders[0].token}`;
  return `${time}  ${printable(lock.name)}  ${summary(lock)}${holder}`;
}

function summary({ state, mode, limit, holderCount, waiterCount, permitsHeld }: LockView): string {
  if (state === "free") return "free";
  const permits = mode === "semaphore" ? `, ${permitsHeld} of ${limit} permits` : "";
  return `${mode}, ${holderCount} held${permits}, ${waiterCount} waiting`;
}

/** What a line says of a lock beside its name: state, holder, since when, how many wait, token, purpose. */
export function lockCells(lock: LockView, wallMs: number): readonly string[] {
  const first = lock.holders[0];
  if (first === undefined) return [lock.state, "", "", String(lock.waiterCount), "", ""];
  const token = String(first.token);
  return [lock.state, holderOf(lock), since(first, wallMs), String(lock.waiterCount), token, printable(first.purpose)];
}

function holderOf(lock: LockView): string {
  const others = lock.holderCount - 1;
  return `${clientName(lock.holders[0]!)}${others > 0 ? ` and ${others} more` : ""}`;
}

function claimCells(claim: ClaimView, wallMs: number): readonly string[] {
  const token = claim.held ? String(claim.token) : "";
  return [clientName(claim), since(claim, wallMs), token, claim.sessionId, printable(claim.purpose)];
}

/** For how long it has been what it is: held since its grant, if that was seen, else since it was claimed. */
function since({ held, grantedAtMs, claimedAtMs }: ClaimView, wallMs: number): string {
  return span(wallMs - ((held ? grantedAtMs : undefined) ?? claimedAtMs));
}

/** A lock on a line, for machines: 64-bit numbers as strings, times in ISO 8601, values in base64. */
export function lockJson(lock: LockView): string {
  return JSON.stringify({ ...lock, holders: lock.holders.map(claimJson), waiters: lock.waiters.map(claimJson) });
}

function claimJson({ claimId, token, value, claimedAtMs, grantedAtMs, ...rest }: ClaimView): object {
  return {
    ...rest,
    claimId: String(claimId),
    token: String(token),
    value: Buffer.from(value).toString("base64"),
    claimedAt: new Date(claimedAtMs).toISOString(),
    ...(grantedAtMs === undefined ? {} : { grantedAt: new Date(grantedAtMs).toISOString() }),
  };
}
