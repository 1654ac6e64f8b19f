import type { Open, Resume } from "../../core/frames.ts";
import { utf8Length } from "../../core/lock-name.ts";
import type { ClientInfo, Liveness, OnDisconnect } from "../../core/records.ts";
import type { Duration } from "../../gen/google/protobuf/duration.ts";
import {
  type ClientInfo as WireClientInfo,
  Liveness as WireLiveness,
  OnDisconnect as WireOnDisconnect,
  type Open as WireOpen,
  type Resume as WireResume,
} from "../../gen/holdfast/v1/lock_service.ts";
import { readDuration } from "./duration.ts";

const DEFAULT_TTL_MS = 15_000;
const MIN_TTL_MS = 2_000;
const MAX_LABELS = 16;
const MAX_LABEL_KEY_BYTES = 63;
const MAX_LABEL_VALUE_BYTES = 255;
const MAX_CLIENT_TEXT_BYTES = 128;

/** What `Open` and `HoldRequest` have in common. */
export interface WireSession {
  readonly ttl: Duration | undefined;
  readonly client: WireClientInfo | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

/** The part of a session that its opening call describes. */
export interface SessionDescription {
  readonly ttlMs: number;
  readonly client: ClientInfo | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

/** An `Open`, or what is wrong with it, naming the field. What a resume ignores may be wrong. */
export function readOpen(open: WireOpen, maxTtlMs: number): Open | Resume | string {
  if (open.resume !== undefined) return readResume(open.resume);
  const description = readDescription(open, maxTtlMs, "open.");
  if (typeof description === "string") return description;
  const onDisconnect = onDisconnects.get(open.onDisconnect);
  if (onDisconnect === undefined) return `open.on_disconnect ${open.onDisconnect} is unknown to this server`;
  const liveness = livenesses.get(open.liveness);
  if (liveness === undefined) return `open.liveness ${open.liveness} is unknown to this server`;
  return { kind: "open", ...description, onDisconnect, liveness };
}

/** What a session is to be, or what is wrong with that: `path` is what goes before the field's name. */
export function readDescription(wire: WireSession, maxTtlMs: number, path: string): SessionDescription | string {
  const ttlMs = readTtl(wire.ttl, maxTtlMs);
  if (typeof ttlMs === "string") return path + ttlMs;
  const problem = clientProblem(wire.client) ?? labelsProblem(wire.labels);
  if (problem !== undefined) return path + problem;
  return { ttlMs, client: wire.client, labels: wire.labels };
}

function readTtl(ttl: Duration | undefined, maxTtlMs: number): number | string {
  const asked = ttl === undefined ? 0 : readDuration(ttl);
  if (asked === undefined) return "ttl is no valid duration: seconds or nanos are out of range";
  if (asked < 0) return "ttl is negative";
  if (asked === 0) return Math.min(DEFAULT_TTL_MS, maxTtlMs);
  const ttlMs = Math.max(MIN_TTL_MS, Math.ceil(asked / 1000) * 1000);
  return ttlMs <= maxTtlMs ? ttlMs : `ttl is ${ttlMs / 1000} s: at most ${maxTtlMs / 1000} s are allowed`;
}

function clientProblem(client: WireClientInfo | undefined): string | undefined {
  if (client === undefined) return undefined;
  for (const field of ["name", "host", "language", "version"] as const)
    if (utf8Length(client[field]) > MAX_CLIENT_TEXT_BYTES)
      return `client.${field} is longer than ${MAX_CLIENT_TEXT_BYTES} bytes`;
  return undefined;
}

function labelsProblem(labels: Readonly<Record<string, string>>): string | undefined {
  const entries = Object.entries(labels);
  if (entries.length > MAX_LABELS) return `labels has ${entries.length} entries: at most ${MAX_LABELS} are allowed`;
  for (const [key, value] of entries) {
    if (key === "") return "labels has an empty key";
    if (utf8Length(key) > MAX_LABEL_KEY_BYTES) return `labels has a key longer than ${MAX_LABEL_KEY_BYTES} bytes`;
    if (utf8Length(value) > MAX_LABEL_VALUE_BYTES)
      return `labels["${key}"] is longer than ${MAX_LABEL_VALUE_BYTES} bytes`;
  }
  return undefined;
}

function readResume({ sessionId, secret, attempt }: WireResume): Resume | string {
  if (sessionId === "") return "open.resume.session_id is missing";
  if (secret === "") return "open.resume.secret is missing";
  if (attempt === 0n) return "open.resume.attempt is zero: count resumes from 1";
  return { kind: "resume", sessionId, secret, attempt };
}

const onDisconnects: ReadonlyMap<number, OnDisconnect> = new Map<number, OnDisconnect>([
  [WireOnDisconnect.UNSPECIFIED, "release"],
  [WireOnDisconnect.RELEASE, "release"],
  [WireOnDisconnect.KEEP, "keep"],
]);

const livenesses: ReadonlyMap<number, Liveness> = new Map<number, Liveness>([
  [WireLiveness.UNSPECIFIED, "heartbeat"],
  [WireLiveness.HEARTBEAT, "heartbeat"],
  [WireLiveness.TRANSPORT, "transport"],
]);
