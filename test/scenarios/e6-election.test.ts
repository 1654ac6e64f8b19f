import { describe, expect, it } from "vitest";
import { type Client, connect, Election, type Leader } from "../../clients/typescript/src/index.ts";
import { useService } from "../support/service.ts";

const service = useService({ servers: 2 });

const clientAt = (server: number, ttlMs = 15_000): Client =>
  connect(service().address(server), { ttlMs, clientName: `candidate-${server}` });

const text = (leader: Leader | undefined): string | undefined =>
  leader === undefined ? undefined : Buffer.from(leader.value).toString();

describe("election", () => {
  it("E6 candidates lead one after the other, and observers at both servers see each leader in order", async () => {
    await using a = clientAt(0);
    await using b = clientAt(1);
    await using observer = clientAt(1);
    const name = "e6/order";
    const seen: (string | undefined)[] = [];
    const watching = (async () => {
      for await (const leader of new Election(observer, name).observe()) {
        seen.push(text(leader));
        if (seen.length > 1 && leader === undefined) return;
      }
    })();
    const first = await new Election(a, name).campaign("a");
    expect(first.leads).toBe(true);
    expect(text(await new Election(b, name).leader())).toBe("a");
    const waits = Promise.withResolvers<void>();
    const second = new Election(b, name).campaign("b", { onWaiting: () => waits.resolve() });
    await waits.promise;
    await first.proclaim("a, still");
    expect(text(await new Election(b, name).leader())).toBe("a, still");
    expect(await first.resign()).toBe("released");
    const won = await second;
    expect(won.token).toBeGreaterThan(first.token);
    expect(first.leads).toBe(false);
    await won.resign();
    await watching;
    // Steps between may be missed, but never the order, and never the end.
    const steps = [undefined, "a", "a, still", "b", undefined];
    let at = 0;
    for (const value of seen) {
      at = steps.indexOf(value, at);
      expect(at).toBeGreaterThanOrEqual(0);
    }
    expect(seen).toContain("b");
    expect(await new Election(a, name).leader()).toBeUndefined();
  });

  it("E6 a leader that is lost is told so, and the next one leads", async () => {
    const a = clientAt(0);
    await using b = clientAt(1);
    const name = "e6/lost";
    const leadership = await new Election(a, name).campaign("a");
    const lost = new Promise<string>((resolve) => leadership.onLost((loss) => resolve(loss.reason)));
    const next = new Election(b, name).campaign("b");
    await a.close();
    expect(await lost).toBe("closed-by-client");
    expect(leadership.leads).toBe(false);
    expect(await leadership.resign()).toBe("lost");
    await (await next).resign();
  });

  it("E6 a candidate whose program stood still past its TTL never hears that it leads", async () => {
    await using a = clientAt(0);
    const name = "e6/late";
    const holder = await new Election(a, name).campaign("a");
    await using b = clientAt(1, 4_000);
    await b.ready();
    const oldSession = b.sessionId;
    const queued = Promise.withResolvers<void>();
    const candidacy = new Election(b, name).campaign("b", { onWaiting: () => queued.resolve() });
    await queued.promise;
    const resigned = holder.resign();
    // This program stands still, both clients in it: what the servers say meanwhile is read only afterwards.
    const untilMs = performance.now() + 5_000;
    while (performance.now() < untilMs) performance.now();
    await resigned;
    const leadership = await candidacy;
    // It leads by a claim of a fresh session, and not by the grant that came too late.
    expect(b.sessionId).not.toBe(oldSession);
    expect((await new Election(a, name).leader())?.token).toBe(leadership.token);
    await leadership.resign();
  });

  it("E6 an observer that gives up is told aborted, whether it looks or waits to look again", async () => {
    await using nobodyThere = connect("127.0.0.1:1", { closeTimeoutMs: 0 });
    for (const afterMs of [0, 20, 100, 300, 700]) {
      const abort = new AbortController();
      const observed = new Election(nobodyThere, "e6/unseen").observe({ signal: abort.signal }).next();
      setTimeout(() => abort.abort(new Error("enough")), afterMs);
      await expect(observed).rejects.toMatchObject({
        name: "HoldfastError",
        reason: "aborted",
        cause: { message: "enough" },
      });
    }
  });
});
