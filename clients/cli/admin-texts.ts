import {
  type Event,
  EventKind,
  type GetSessionResponse,
  type GetStatusResponse,
  type GetWaitGraphResponse,
  type Session,
  type StoreMember,
  type WaitNode,
} from "../typescript/src/admin.ts";
import { counted, printable, span, table } from "./text.ts";

/** A duration as the wire has it. */
interface WireDuration {
  readonly seconds: bigint;
  readonly nanos: number;
}

/** Milliseconds, possibly a fraction; `undefined` if there is none. */
export const msOf = (duration: WireDuration | undefined): number | undefined =>
  duration && Number(duration.seconds) * 1_000 + duration.nanos / 1e6;

/** A time that was measured: "0.42 ms", "12.3 ms", "4 s". */
export function measured(ms: number): string {
  if (ms >= 1_000) return span(ms);
  return `${ms < 1 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

/** A size in units that people read: "20.5 MiB". */
export function size(bytes: bigint): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = Number(bytes);
  let unit = 0;
  for (; value >= 1_024 && unit < units.length - 1; unit++) value /= 1_024;
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

interface Who {
  readonly sessionId: string;
  readonly client?: { readonly name: string; readonly host: string; readonly pid: number } | undefined;
}

/** Who it is, for people: "program@host (process)", as far as it said. */
function who({ client, sessionId }: Who): string {
  if (client === undefined || (client.name === "" && client.host === "")) return `session ${printable(sessionId)}`;
  const where = client.host === "" ? "" : `@${printable(client.host)}`;
  return `${printable(client.name) || "?"}${where}${client.pid === 0 ? "" : ` (${client.pid})`}`;
}

/** Sessions, one a line. */
export function sessionsTable(sessions: readonly Session[], wallMs: number): string {
  return table(
    ["SESSION", "CLIENT", "LANGUAGE", "FROM", "AGE", "TTL", "LEFT", "HELD", "WAITING", "SERVER"],
    sessions.map((session) => [
      printable(session.sessionId),
      who(session),
      languageOf(session),
      printable(session.peer),
      ageOf(session, wallMs),
      span(msOf(session.ttl) ?? 0),
      leftOf(session),
      String(session.heldCount),
      String(session.waitingCount),
      printable(session.serverId),
    ]),
  );
}

/** One session, and its claims. */
export function sessionText({ session, claims }: GetSessionResponse, wallMs: number): string {
  if (session === undefined) return "";
  const facts = [
    ["client", who(session)],
    ["language", languageOf(session)],
    ["from", printable(session.peer)],
    ["identity", printable(session.identity) || "nobody"],
    ["opened", `${ageOf(session, wallMs)} ago`],
    ["TTL", `${span(msOf(session.ttl) ?? 0)}, left ${leftOf(session) || "known to its server"}`],
    ["server", printable(session.serverId)],
    ...Object.entries(session.labels).map(([key, value]) => [`label ${printable(key)}`, printable(value)]),
  ];
  const rows = claims.map((claim) => [
    String(claim.claimId),
    claim.locks[0]?.fencingToken ? "held" : "waits",
    claim.locks.map(({ name }) => printable(name)).join(", "),
    claim.locks[0]?.fencingToken ? String(claim.locks[0].fencingToken) : "",
  ]);
  const width = Math.max(...facts.map(([name]) => name!.length));
  return [
    `session ${printable(session.sessionId)}`,
    ...facts.map(([name, value]) => `  ${name!.padEnd(width)}  ${value}`),
    ...(rows.length === 0 ? [] : ["", table(["CLAIM", "STATE", "LOCKS", "TOKEN"], rows)]),
  ].join("\n");
}

const languageOf = ({ client }: Session) =>
  client === undefined ? "" : printable(`${client.language} ${client.version}`.trim());
const ageOf = ({ openedAt }: Session, wallMs: number) =>
  openedAt === undefined ? "" : span(wallMs - openedAt.getTime());
const leftOf = ({ validFor }: Session) => (validFor === undefined ? "" : span(msOf(validFor) ?? 0));

/** What a server that drains has been told. */
export function drainingText(sessionCount: number, leaveWithinMs: number): string {
  return `draining: ${counted(sessionCount, "session")} ${sessionCount === 1 ? "has" : "have"} ${span(leaveWithinMs)} to leave`;
}

/** The state of the service, as one server sees it. */
export function statusText(status: GetStatusResponse, wallMs: number): string {
  const { servers, store, table: lockTable } = status;
  const serverRows = servers.map((server) => [
    `${printable(server.serverId)}${server.serverId === status.serverId ? " *" : ""}`,
    printable(server.address) || "not told",
    printable(server.version),
    server.startedAt === undefined ? "" : span(wallMs - server.startedAt.getTime()),
    server.draining ? "draining" : "",
    String(server.sessionCount),
  ]);
  return [
    status.problem === "" ? "serving" : `not serving: ${printable(status.problem)}`,
    "",
    table(["SERVER", "ADDRESS", "VERSION", "UP", "STATE", "SESSIONS"], serverRows),
    "",
    ...storeLines(store),
    "",
    `table   revision ${lockTable?.revision}, ${lagText(lockTable)}`,
    `        ${counted(lockTable?.lockCount ?? 0, "lock")}, ${lockTable?.heldCount} held, ${lockTable?.waitingCount} waiting, ` +
      counted(lockTable?.sessionCount ?? 0, "session"),
    `loop    at most ${measured(msOf(status.eventLoopDelay) ?? 0)} late in the last 10 s`,
    "",
    "* answered this; what is said of etcd and of the table is how it sees them",
  ].join("\n");
}

function lagText(lockTable: GetStatusResponse["table"]): string {
  const verified = msOf(lockTable?.verifiedAgo);
  if (verified === undefined) return "never proven to be current";
  return `lag ${measured(msOf(lockTable?.lag) ?? 0)}, proven current ${measured(verified)} ago`;
}

function storeLines(store: GetStatusResponse["store"]): string[] {
  if (store === undefined) return ["etcd    not reached yet"];
  const commit = msOf(store.commitLatency);
  return [
    `etcd    ${store.answering ? `commits in ${measured(commit ?? 0)}` : "does not commit"}`,
    table(
      ["MEMBER", "ENDPOINT", "ROLE", "VERSION", "DATABASE", "IN USE", "QUOTA", "ALARMS"],
      store.members.map((member) => memberCells(member, store.quotaBytes)),
    ),
  ];
}

function memberCells(member: StoreMember, quotaBytes: bigint): string[] {
  const quota =
    quotaBytes === 0n ? "unknown" : `${Math.round((100 * Number(member.databaseBytes)) / Number(quotaBytes))} %`;
  return [
    printable(member.name) || member.memberId.toString(16),
    printable(member.endpoint),
    member.reachable ? (member.leader ? "leader" : "follower") : "unreachable",
    printable(member.version),
    size(member.databaseBytes),
    size(member.databaseInUseBytes),
    quota,
    member.alarms.map(printable).join(" ") || "none",
  ];
}

const kindWords: Readonly<Record<EventKind, string>> = {
  [EventKind.UNSPECIFIED]: "?",
  [EventKind.WAITING]: "waits",
  [EventKind.GRANTED]: "granted",
  [EventKind.DENIED]: "denied",
  [EventKind.RELEASED]: "released",
  [EventKind.LOST]: "LOST",
  [EventKind.FORCED]: "FORCED",
  [EventKind.SESSION_OPENED]: "opened",
  [EventKind.SESSION_RESUMED]: "resumed",
  [EventKind.SESSION_ENDED]: "ended",
  [EventKind.DEADLOCK]: "DEADLOCK",
  [EventKind.SERVER]: "server",
};

/** An event on a line. */
export function eventLine(event: Event): string {
  const { at, kind, lockNames, sessionId, fencingToken, message, waited, held, actor, purpose } = event;
  const time = at === undefined ? "" : at.toISOString().slice(11, 23);
  const facts = [
    ...(fencingToken === 0n ? [] : [`token ${fencingToken}`]),
    ...(waited === undefined ? [] : [`waited ${measured(msOf(waited)!)}`]),
    ...(held === undefined ? [] : [`held ${measured(msOf(held)!)}`]),
    ...(actor === "" ? [] : [`by ${printable(actor)}`]),
    ...(purpose === "" ? [] : [`purpose: ${printable(purpose)}`]),
    ...(message === "" ? [] : [printable(message)]),
  ];
  return [
    time,
    (kindWords[kind] ?? "?").padEnd(8),
    lockNames.length === 0 ? "-" : lockNames.map(printable).join(", "),
    sessionId === "" ? "-" : who(event),
    facts.join("; "),
  ]
    .join("  ")
    .trimEnd();
}

/** Who waits for whom, a line for each, circles first. */
export function graphText({ nodes, edges, omittedNodes }: GetWaitGraphResponse): string {
  const byId = new Map(nodes.map((node) => [node.nodeId, node]));
  const lines = edges.map(({ fromNodeId, toNodeId, lockName, held }) => {
    const from = byId.get(fromNodeId);
    const to = byId.get(toNodeId);
    const isCircle = from?.deadlocked === true && to?.deadlocked === true;
    const how = held ? "held by" : "behind";
    const text = `${nameOf(from)} waits for ${printable(lockName)}, ${how} ${nameOf(to)}`;
    return { isCircle, text: `${isCircle ? "DEADLOCK  " : "          "}${text}` };
  });
  if (lines.length === 0) return "nobody waits";
  const sorted = [...lines.filter(({ isCircle }) => isCircle), ...lines.filter(({ isCircle }) => !isCircle)];
  return [
    ...sorted.map(({ text }) => text),
    ...(omittedNodes > 0 ? [`and ${omittedNodes} claims that are not shown: give a prefix, or a larger --nodes`] : []),
  ].join("\n");
}

function nameOf(node: WaitNode | undefined): string {
  if (node === undefined) return "?";
  return `${who(node)}${node.reentryId === "" ? "" : ` thread ${printable(node.reentryId)}`}`;
}
