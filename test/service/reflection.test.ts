import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { credentials, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  ServerReflectionClient,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
} from "../../server/gen/grpc/reflection/v1/reflection.ts";
import { ServerReflectionClient as ServerReflectionAlphaClient } from "../../server/gen/grpc/reflection/v1alpha/reflection.ts";
import { toolPath } from "../support/etcd.ts";
import { TestServer } from "./harness.ts";

let server: TestServer;
let grpcurl: string;

beforeAll(async () => {
  server = await TestServer.start();
  grpcurl = await toolPath("grpcurl");
}, 300_000);

afterAll(() => server[Symbol.asyncDispose]());

const SERVICES = [
  "grpc.channelz.v1.Channelz",
  "grpc.health.v1.Health",
  "grpc.reflection.v1.ServerReflection",
  "grpc.reflection.v1alpha.ServerReflection",
  "holdfast.v1.AdminService",
  "holdfast.v1.LockService",
];

interface Run {
  readonly code: number;
  readonly output: string;
}

/** Runs grpcurl against the server, `flags` before its address and `rest` after. */
async function run(flags: readonly string[], ...rest: readonly string[]): Promise<Run> {
  const child = start(flags, rest);
  let output = "";
  for (const stream of [child.stdout!, child.stderr!])
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  const [code] = await once(child, "close");
  return { code, output };
}

const start = (flags: readonly string[], rest: readonly string[]): ChildProcess =>
  spawn(grpcurl, ["-plaintext", ...flags, server.address, ...rest], { stdio: ["ignore", "pipe", "pipe"] });

describe("grpcurl", () => {
  it.each([
    ["-reflect-header", "x: v1"],
    ["-reflect-header", "x: again"],
  ])("lists what is there (%s %s)", async (...flags) => {
    const { output } = await run(flags, "list");
    expect(output.trim().split("\n")).toEqual(SERVICES);
  });

  it("describes the service with its comments, and what its messages need", async () => {
    const { code, output } = await run([], "describe", "holdfast.v1.LockService");
    expect(code).toBe(0);
    expect(output).toContain("rpc Hold ( .holdfast.v1.HoldRequest ) returns ( stream .holdfast.v1.HoldResponse );");
    expect(output).toContain("Hold takes one claim and holds it");
    const request = await run(["-msg-template"], "describe", "holdfast.v1.HoldRequest");
    expect(request.output).toContain(".google.protobuf.Duration wait = 2;");
    expect(request.output).toContain('"permits": 0');
  });

  it.each(["google.rpc.ErrorInfo", "google.rpc.Status", "holdfast.v1.Denied", "holdfast.v1.AdminService"])(
    "describes %s",
    async (symbol) => {
      const { code, output } = await run([], "describe", symbol);
      expect(output).toContain(`${symbol} is a`);
      expect(code).toBe(0);
    },
  );

  it("holds a lock for as long as it runs", async () => {
    const { engine } = server;
    engine.onCommand = (stream, command) => {
      engine.react(stream, command);
      if (command.kind === "acquire")
        stream.send({ kind: "granted", claimId: 1n, locks: [{ name: "orders/42", token: 2n ** 60n }] });
    };
    const child = start(["-d", '{"locks": [{"name": "orders/42"}]}'], ["holdfast.v1.LockService/Hold"]);
    const lines = createInterface({ input: child.stdout! });
    for await (const line of lines) if (line.includes("fencingToken")) break;
    expect(engine.commands.at(-1)).toMatchObject({ kind: "acquire", locks: [{ name: "orders/42" }] });
    const before = engine.of("disconnected").length;
    const closed = once(child, "close");
    child.kill("SIGINT");
    expect((await engine.called("disconnected", before + 1)).at(-1)).toMatchObject({ how: "broken" });
    await closed;
  });

  it("shows who has the lock that it could not get", async () => {
    const { engine } = server;
    engine.onCommand = (stream, command) => {
      if (command.kind !== "acquire") return;
      const client = { name: "shop", host: "web-1", pid: 7, language: "", version: "" };
      const holder = { ...{ sessionId: "session-2", claimId: 3n, held: true, mode: "shared", permits: 0, token: 9n } };
      const rest = { lockCount: 1, reentryId: "", purpose: "restock", value: new Uint8Array(), client };
      const holders = [{ ...holder, mode: "shared" as const, ...rest, claimedAtMs: 1, grantedAtMs: 1 }];
      stream.send({
        kind: "denied",
        claimId: 1n,
        reason: "busy",
        message: "taken",
        lock: "a",
        holders,
        holderCount: 1,
      });
    };
    const { code, output } = await run(
      ["-d", '{"locks": [{"name": "a"}], "wait": "0s"}'],
      "holdfast.v1.LockService/Hold",
    );
    expect(code).toBe(64 + status.ABORTED);
    for (const part of [
      "Aborted",
      "taken",
      "REASON_BUSY",
      "holdfast.v1.Denied",
      '"purpose": "restock"',
      '"host": "web-1"',
    ])
      expect(output).toContain(part);
  });

  it("reaches health and channelz", async () => {
    expect((await run([], "grpc.health.v1.Health/Check")).output).toContain('"SERVING"');
    expect((await run([], "grpc.channelz.v1.Channelz/GetServers")).output).toContain("callsStarted");
  });
});

describe("reflection", () => {
  type Message = ServerReflectionRequest["messageRequest"];
  type Answer = ServerReflectionResponse["messageResponse"];

  /** Asks several things over one stream, of one of the two versions. */
  async function reflect(version: "v1" | "v1alpha", ...messages: readonly Message[]): Promise<readonly Answer[]> {
    const Client = version === "v1" ? ServerReflectionClient : ServerReflectionAlphaClient;
    const client = new Client(server.address, credentials.createInsecure());
    const call = client.serverReflectionInfo();
    const responses: ServerReflectionResponse[] = [];
    call.on("data", (response) => responses.push(response));
    for (const messageRequest of messages) call.write({ host: "localhost", messageRequest } as never);
    call.end();
    await once(call, "end");
    client.close();
    for (const [i, { validHost, originalRequest }] of responses.entries()) {
      expect(validHost).toBe("localhost");
      expect(originalRequest).toEqual({ host: "localhost", messageRequest: messages[i] });
    }
    return responses.map(({ messageResponse }) => messageResponse);
  }

  const symbol = (value: string): Message => ({ $case: "fileContainingSymbol", value });
  const fileCount = (answer: Answer) =>
    answer?.$case === "fileDescriptorResponse" ? answer.value.fileDescriptorProto.length : answer;

  describe.each(["v1", "v1alpha"] as const)("%s", (version) => {
    it("lists the services", async () => {
      const [answer] = await reflect(version, { $case: "listServices", value: "" });
      const service = SERVICES.map((name) => ({ name }));
      expect(answer).toEqual({ $case: "listServicesResponse", value: { service } });
    });

    it("finds the file of everything that has a name, with all that it imports", async () => {
      const symbols = [
        "holdfast.v1.LockService",
        "holdfast.v1.LockService.Hold",
        "holdfast.v1.Denied",
        "holdfast.v1.Denied.holders",
        "holdfast.v1.SessionCommand.command",
        "holdfast.v1.Reason",
        "holdfast.v1.REASON_BUSY",
      ];
      const answers = await reflect(version, ...symbols.map(symbol));
      expect(answers.map(fileCount)).toEqual(symbols.map(() => 3));
      const [admin] = await reflect(version, symbol("holdfast.v1.AdminService"));
      expect(fileCount(admin)).toBe(4);
    });

    it("finds files by their names", async () => {
      const names = ["google/protobuf/duration.proto", "google/rpc/error_details.proto"];
      const answers = await reflect(version, ...names.map((value): Message => ({ $case: "fileByFilename", value })));
      expect(answers.map(fileCount)).toEqual([1, 2]);
    });

    it("says NOT_FOUND of what is not there, and of what is not the clients' business", async () => {
      const answers = await reflect(
        version,
        symbol("holdfast.v1.Unheard"),
        symbol("holdfast.storage.v1.SessionRecord"),
        symbol("etcdserverpb.KV"),
        { $case: "fileByFilename", value: "holdfast/storage/v1/storage.proto" },
        { $case: "fileContainingExtension", value: { containingType: "holdfast.v1.Denied", extensionNumber: 1 } },
        { $case: "fileContainingExtension", value: { containingType: "holdfast.v1.Unheard", extensionNumber: 1 } },
        { $case: "allExtensionNumbersOfType", value: "holdfast.v1.Unheard" },
      );
      expect(answers.map((answer) => answer?.$case === "errorResponse" && answer.value.errorCode)).toEqual(
        answers.map(() => status.NOT_FOUND),
      );
    });

    it("knows that messages have no extensions", async () => {
      const [answer] = await reflect(version, { $case: "allExtensionNumbersOfType", value: "holdfast.v1.Denied" });
      const value = { baseTypeName: "holdfast.v1.Denied", extensionNumber: [] };
      expect(answer).toEqual({ $case: "allExtensionNumbersResponse", value });
    });

    it("refuses a question that is none", async () => {
      const [answer] = await reflect(version, undefined);
      expect(answer).toMatchObject({ $case: "errorResponse", value: { errorCode: status.INVALID_ARGUMENT } });
    });
  });
});
