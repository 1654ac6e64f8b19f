import { readFileSync } from "node:fs";
import { createFileRegistry, fromBinary, fromJson, type JsonValue, toBinary, toJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import {
  type LockServiceClient,
  SessionRequest,
  SessionResponse,
} from "../../clients/typescript/src/gen/holdfast/v1/lock_service.ts";
import { Admin } from "../support/admin.ts";
import { eventually } from "../support/eventually.ts";
import { Inbox } from "../support/inbox.ts";
import { type Relay, startRelay } from "../support/relay.ts";
import { type ServerProcess, startServer } from "../support/server.ts";
import { useService } from "../support/service.ts";
import { StubSession, stubOf } from "../support/stub-session.ts";

const service = useService();

/** The messages as the protos describe them, for their JSON. */
const registry = createFileRegistry(
  fromBinary(FileDescriptorSetSchema, readFileSync(new URL("../../server/gen/descriptors.binpb", import.meta.url))),
);
const requests = registry.getMessage("holdfast.v1.SessionRequest")!;
const responses = registry.getMessage("holdfast.v1.SessionResponse")!;

type EventJson = Record<string, unknown>;

interface Step {
  /** The server that it is said to or that says it. */
  readonly server: "A" | "B";
  readonly isSaidByClient: boolean;
  /** What the document adds: under which condition, or over which stream. */
  readonly remark: string;
  readonly frame: string;
}

/** The frames of the document, in order. */
function readDocument(): readonly Step[] {
  const text = readFileSync(new URL("../../docs/resume.md", import.meta.url), "utf8");
  const frames = text.matchAll(/^\*\*(?:you → ([AB])|([AB]) → you)(?:, (.+?))?\*\*\n\n```json\n(.+?)\n```/gms);
  const steps = [...frames].map(([, to, from, remark = "", frame]) => {
    return { server: (to ?? from) as "A" | "B", isSaidByClient: to !== undefined, remark, frame: frame! };
  });
  expect(text.match(/```json/g)).toHaveLength(steps.length);
  return steps;
}

/** One stream of a stub, as JSON. */
class Stream {
  readonly events = new Inbox<EventJson>();
  readonly #stub: LockServiceClient;
  readonly #call: ClientDuplexStream<SessionRequest, SessionResponse>;
  #read = 0;

  constructor(address: string) {
    this.#stub = stubOf(address);
    this.#call = this.#stub.session();
    this.#call.on("data", (response: SessionResponse) => {
      const bytes = SessionResponse.encode(response).finish();
      const { events } = toJson(responses, fromBinary(responses, bytes)) as unknown as { events: EventJson[] };
      for (const event of events) this.events.add(event);
    });
    this.#call.on("error", () => undefined);
    this.#call.once("status", () => this.#stub.close());
  }

  send(frame: JsonValue): void {
    this.#call.write(SessionRequest.decode(toBinary(requests, fromJson(requests, frame))));
  }

  /** The next event of a kind; answers that concern different claims come in any order. */
  next(kind: string, claimId: unknown): Promise<EventJson> {
    const isIt = (event: EventJson) =>
      kind in event && (claimId === undefined || (event[kind] as { claimId?: unknown }).claimId === claimId);
    const from = kind === "opened" || kind === "closed" ? 0 : this.#read;
    return this.events.first((event) => (isIt(event) ? event : undefined), from);
  }

  /** What comes from now on answers what is sent now. */
  forget(): void {
    this.#read = this.events.items.length;
  }

  cancel(): void {
    this.#call.cancel();
  }
}

/** Speaks for the client of the document, and holds what servers answer against what it says. */
class Play {
  /** What the names of the document stand for. */
  readonly names = new Map<string, string>();
  readonly #streams = new Map<string, Stream>();
  readonly #addresses: Readonly<Record<"A" | "B", string>>;

  constructor(addresses: Readonly<Record<"A" | "B", string>>) {
    this.#addresses = addresses;
  }

  async step({ server, isSaidByClient, frame }: Step): Promise<void> {
    const stream = this.#streamTo(server);
    if (isSaidByClient) {
      stream.forget();
      return stream.send(JSON.parse(frame.replaceAll(/\$[A-Z_0-9]+/g, (name) => this.names.get(name)!)));
    }
    const { events } = JSON.parse(frame) as { events: Record<string, { claimId?: unknown }>[] };
    for (const wanted of events) {
      const [kind, about] = Object.entries(wanted)[0]!;
      const event = await stream.next(kind, about.claimId);
      this.#learn(wanted, event);
      expect(event).toMatchObject(this.#filled(wanted) as object);
    }
  }

  cancel(): void {
    for (const stream of this.#streams.values()) stream.cancel();
  }

  #streamTo(server: "A" | "B"): Stream {
    let stream = this.#streams.get(server);
    if (stream === undefined) {
      stream = new Stream(this.#addresses[server]);
      this.#streams.set(server, stream);
    }
    return stream;
  }

  /** Takes for each name that is new what the server has in its place. */
  #learn(wanted: unknown, there: unknown): void {
    if (typeof wanted === "string" && wanted.startsWith("$")) {
      if (!this.names.has(wanted)) this.names.set(wanted, String(there));
    } else if (typeof wanted === "object" && wanted !== null)
      for (const [key, value] of Object.entries(wanted))
        this.#learn(value, (there as Record<string, unknown> | undefined)?.[key]);
  }

  #filled(wanted: unknown): unknown {
    const text = JSON.stringify(wanted);
    return JSON.parse(text.replaceAll(/\$[A-Z_0-9]+/g, (name) => this.names.get(name)!));
  }
}

/** A server of its own for each test, to which clients come through a relay; the server of the file is B. */
interface Scene {
  readonly a: ServerProcess;
  readonly relay: Relay;
}

interface Course {
  /** Answers that do not come this time, by their remark. */
  readonly skip: RegExp;
  readonly before?: (step: Step, scene: Scene) => void;
  readonly after?: (step: Step, scene: Scene) => Promise<void>;
}

async function play({ skip, before, after }: Course): Promise<void> {
  await using a = await startServer({ etcd: service().etcd.endpoint });
  await using relay = await startRelay(a.grpcAddress);
  await using holder = await StubSession.open(service().address(), { ttlMs: 60_000 });
  const { claimId } = await holder.take("orders/2");
  // They must know of each other before the document begins.
  const both = [a.grpcAddress, service().address()].sort();
  for (const address of both) await eventually(() => serversKnownAt(address), both, 40_000);
  const played = new Play({ A: relay.endpoint, B: service().address() });
  try {
    for (const step of readDocument()) {
      if (skip.test(step.remark)) continue;
      before?.(step, { a, relay });
      await played.step(step);
      await after?.(step, { a, relay });
    }
    expect(played.names.get("$B")).toBe(service().address());
    await holder.release(claimId);
  } finally {
    played.cancel();
  }
}

async function serversKnownAt(address: string): Promise<string[]> {
  using admin = new Admin(address);
  return (await admin.getStatus()).servers.map((server) => server.address).sort();
}

const isUnanswered = ({ remark }: Step) => remark === "and no answer comes";
const holders = async (lock: string) => (await service().getLock(lock)).holders.map(({ fencingToken }) => fencingToken);

describe("the frames of docs/resume.md", { timeout: 120_000 }, () => {
  it("C5 are what is said when A dies after it has done what it could not answer", async () => {
    await play({
      skip: /had not|earlier/,
      before: (step, { relay }) => isUnanswered(step) && relay.dropReplies(),
      async after(step, { a }) {
        if (!isUnanswered(step)) return;
        await eventually(async () => [(await holders("orders/1")).length, (await holders("orders/3")).length], [0, 1]);
        await a.kill9();
      },
    });
  });

  it("C7 are what is said when A was paused, and wakes with old frames in its buffers", async () => {
    await play({
      skip: /still done/,
      before(step, { a }) {
        if (isUnanswered(step)) a.pause();
        if (step.remark === "over the earlier stream") a.resume();
      },
      async after(step) {
        if (step.remark !== "over the earlier stream") return;
        // Of the old frames none has taken effect a second time.
        expect([await holders("orders/1"), (await holders("orders/3")).length]).toEqual([[], 1]);
      },
    });
  });

  it("C5 are what is said when A dies before it has done it", async () => {
    await play({
      skip: /still done|earlier/,
      before: (step, { a }) => isUnanswered(step) && a.pause(),
      after: async (step, { a }) => (isUnanswered(step) ? a.kill9() : undefined),
    });
  });
});
