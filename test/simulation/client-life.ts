import type { LockSpec } from "../../server/core/frames.ts";
import { ModelClient } from "./model-client.ts";
import type { WalkClaim, WalkClient } from "./walk-client.ts";

const NAMES = ["stock/1", "stock/1", "stock/1/price", "seats"] as const;
const THREADS = ["", "", "thread-a", "thread-b"] as const;

/** What a client wants, step by step, until it has crashed: locks of all kinds, and trouble with its connection. */
export class ClientLife {
  private readonly client: WalkClient;
  private readonly world: WalkClient["world"];

  constructor(client: WalkClient) {
    this.client = client;
    this.world = client.world;
    this.again();
  }

  private again(): void {
    const { process } = this.client;
    process.at(process.nowMs() + this.world.between(20, 60), () => this.step());
  }

  private step(): void {
    const { client, world } = this;
    client.beat();
    if (client.isUp) {
      if (world.isChaotic && client.claims.size < 3 && world.happens(0.25)) this.askForSomething();
      for (const claim of [...client.claims.values()]) {
        if (claim.state === "held") this.useOrRelease(claim);
        else if (claim.state === "wanted") this.perhapsCancel(claim);
      }
      if (world.isChaotic) this.trouble();
      else if (client.isClosing && client.claims.size === 0) client.close();
    }
    this.again();
  }

  private askForSomething(): void {
    const { world } = this;
    const several = world.happens(0.3) && world.may("several-locks");
    const names = several ? [...new Set(NAMES)].filter(() => world.happens(0.66)) : [world.pick(NAMES) ?? "seats"];
    const reentryId = (world.may("threads") && world.pick(THREADS)) || "";
    if (names.length === 0 || this.isBlocked(reentryId) || this.wouldReenter(reentryId, names)) return;
    this.ask(
      names.map((name) => this.specFor(name)),
      reentryId,
    );
  }

  private ask(locks: readonly LockSpec[], reentryId: string): void {
    const { client, world } = this;
    world.count(`client: asks for ${locks.length === 1 ? locks[0]?.mode : "several"}`);
    client.ask(locks, this.chooseWait(), reentryId);
    if (reentryId !== "" && client.onDisconnect === "release" && world.happens(0.4)) this.askAgain(locks, reentryId);
    if (world.happens(reentryId === "" ? 0.02 : 0.15) && world.may("hasty-clients")) this.leaveSoon();
  }

  /** The same thread asks for some of it once more, mostly for as much, without hearing whether it has it yet. */
  private askAgain(locks: readonly LockSpec[], reentryId: string): void {
    const { client, world } = this;
    if (!world.may("impatient-threads")) return;
    const some = world.happens(0.7) ? locks : locks.slice(0, 1);
    const wanted = world.happens(0.8) ? some : some.map(({ name }) => this.specFor(name));
    world.count("client: asks again before it was answered");
    client.ask(wanted, this.chooseWait(), reentryId);
    if (world.happens(0.3)) this.askAgain(locks, reentryId);
  }

  /** Leaves while what it has just asked for is under way. */
  private leaveSoon(): void {
    const { client, world } = this;
    const { process, stream } = client;
    process.at(process.nowMs() + world.between(0, 15), () => {
      if (client.stream !== stream || !client.isUp) return;
      if (world.happens(0.5)) client.close();
      else stream?.break(0, world.between(0, 5));
    });
  }

  private chooseWait(): number | undefined {
    const { world } = this;
    if (world.happens(0.3)) return world.may("tries") ? 0 : undefined;
    if (world.happens(0.3)) return world.may("timed-waits") ? Math.floor(world.between(300, 4000)) : undefined;
    return undefined;
  }

  private specFor(name: string): LockSpec {
    const { world } = this;
    if (name === "seats" && !world.may("semaphores")) return { name, mode: "exclusive", permits: 0, limit: 0 };
    // Once in a while somebody takes a semaphore for a lock, or has another limit in mind.
    const isWrong = world.happens(0.01) && world.may("semaphores");
    if ((name === "seats") !== isWrong)
      return { name, mode: "semaphore", permits: world.happens(0.3) ? 2 : 1, limit: isWrong ? 3 : 2 };
    return {
      name,
      mode: world.happens(0.6) || !world.may("shared-locks") ? "exclusive" : "shared",
      permits: 0,
      limit: 0,
    };
  }

  /** A thread of control that waits does nothing else, unless it is impatient. */
  private isBlocked(reentryId: string): boolean {
    return reentryId !== "" && this.claimsOf(reentryId).some((claim) => claim.state === "wanted");
  }

  private wouldReenter(reentryId: string, names: readonly string[]): boolean {
    if (reentryId === "" || this.client.onDisconnect === "release") return false;
    return this.claimsOf(reentryId).some((claim) => claim.request.locks.some(({ name }) => names.includes(name)));
  }

  private claimsOf(reentryId: string): WalkClaim[] {
    return [...this.client.claims.values()].filter((claim) => claim.request.reentryId === reentryId);
  }

  private useOrRelease(claim: WalkClaim): void {
    const { client, world } = this;
    const { reentryId, locks } = claim.request;
    client.use(claim);
    if (this.isBlocked(reentryId) || client.holdsOn) return;
    if (world.happens(world.isChaotic ? 0.2 : 0.5)) {
      client.release(claim);
      // And at once again: a try stands behind the client's own release.
      if (world.isChaotic && world.happens(0.2)) client.ask(locks, world.happens(0.7) ? 0 : undefined, "");
    } else if (world.happens(0.08)) {
      if (world.may("updates")) client.update(claim);
    } else if (world.isChaotic && reentryId !== "" && client.onDisconnect === "release" && world.happens(0.15)) {
      client.ask(locks, undefined, reentryId);
      if (world.happens(0.5)) client.release(claim);
    }
  }

  private perhapsCancel(claim: WalkClaim): void {
    const { client, world } = this;
    if (!world.isChaotic) return;
    const waitedMs = client.process.nowMs() - claim.askedAtMs;
    if (!world.happens(0.02) && !(waitedMs > 9000 && world.happens(0.2))) return;
    if (!world.may("cancels")) return;
    world.count("client: cancels");
    client.release(claim);
  }

  private trouble(): void {
    const { client, world } = this;
    const fate = world.chance();
    if (fate < 0.004) {
      if (!world.may("broken-streams")) return;
      const { stream } = client;
      const serverSeesMs = world.happens(0.5) ? world.between(0, 200) : world.between(0, 6000);
      stream?.break(world.between(0, world.happens(0.3) ? 6000 : 500), serverSeesMs);
      world.count("client: stream breaks");
    } else if (fate < 0.005 && client instanceof ModelClient) client.askInVain();
    else if (fate < 0.008) {
      if (world.may("migrations")) client.migrate();
    } else if (fate < 0.01) {
      if (!world.may("client-pauses")) return;
      client.process.pause(world.between(100, 6000));
      world.count("client: pauses");
    } else if (fate < 0.012) {
      if (!world.may("suspended-machines")) return;
      client.process.suspend(world.between(100, 6000));
      world.count("client: its machine is suspended");
    } else if (fate < 0.014) {
      if (world.may("closed-sessions")) client.close();
    } else if (fate < 0.015) {
      if (world.may("client-crashes")) client.crash();
    }
  }
}
