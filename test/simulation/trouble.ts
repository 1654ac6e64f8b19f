import type { Operation } from "../../server/core/operation.ts";
import type { ForcedAnswer } from "../../server/engine/admin-engine.ts";
import type { TrueClaim } from "./reference.ts";
import type { SimulatedEtcd } from "./simulated-etcd.ts";
import type { SimulatedServer } from "./simulated-server.ts";
import type { Truth } from "./truth.ts";
import type { World } from "./world.ts";

/** What the administrator says, who is hit, and is to be told. */
export const JUSTIFICATION = "it walks no more";

const etcdHas = (etcd: SimulatedEtcd, sessionId: string): boolean => etcd.entries.has(`session/${sessionId}`);

/** Makes trouble for servers and etcd, and plays the administrator who frees things by force, while there is chaos. */
export class Trouble {
  private readonly world: World;
  private readonly etcd: SimulatedEtcd;
  private readonly truth: Truth;
  private readonly servers: readonly SimulatedServer[];

  constructor(etcd: SimulatedEtcd, truth: Truth, servers: readonly SimulatedServer[]) {
    this.world = etcd.world;
    this.etcd = etcd;
    this.truth = truth;
    this.servers = servers;
    this.world.after(1000, () => this.strike());
    this.world.after(2000, () => this.administrate());
    this.foreignRevisions();
  }

  /** All is well again. */
  end(): void {
    this.etcd.fullUntilMs = 0;
  }

  private strike(): void {
    const { world } = this;
    if (!world.isChaotic) return;
    const server = world.pick(this.servers);
    if (server?.isUp) this.strikeAt(server);
    world.after(world.between(300, 3000), () => this.strike());
  }

  private strikeAt(server: SimulatedServer): void {
    const { world, etcd } = this;
    const { connection, process, number } = server;
    const fate = world.chance();
    const hit = (what: string): void => {
      world.count(`trouble: ${what}`);
      world.note(`trouble: ${what} (server ${number})`);
    };
    if (fate < 0.15) {
      if (!world.may("server-crashes")) return;
      hit("server crashes");
      server.crash(world.between(200, 3000));
    } else if (fate < 0.33) {
      if (!world.may("silent-watch")) return;
      hit("watch silent");
      connection.silence(world.between(500, 9000));
      if (world.happens(0.5)) this.driveAway(server);
    } else if (fate < 0.48) {
      if (!world.may("server-pauses")) return;
      hit("server pauses");
      process.pause(world.between(100, 6000));
    } else if (fate < 0.62) {
      if (!world.may("watch-gap")) return;
      hit("watch has a gap");
      connection.silence(world.between(100, world.happens(0.3) ? 6000 : 1500));
      connection.hasGap = true;
    } else if (fate < 0.7) {
      if (!world.may("leader-changes")) return;
      hit("leader changes");
      etcd.changeLeader(world.between(200, 1200));
    } else if (fate < 0.78) {
      if (!world.may("full-etcd")) return;
      hit("etcd is full");
      etcd.fullUntilMs = world.nowMs + world.between(300, 4000);
    } else if (fate < 0.82) {
      if (!world.may("drains")) return;
      hit("server drains");
      server.drain();
      world.after(world.between(2, 60), () => this.endClaimAt(server));
    } else if (fate < 0.87) {
      if (!world.may("refused-streams")) return;
      hit("stream refused");
      world.pick([...server.streams])?.refuse();
    } else if (fate < 0.95) {
      if (!world.may("cut-off-servers")) return;
      hit("server is cut off");
      const forMs = world.between(300, 6000);
      connection.cutUntilMs = world.nowMs + forMs;
      connection.silence(forMs);
    }
  }

  /** The server's clients go to others, without its noticing. */
  private driveAway(server: SimulatedServer): void {
    for (const stream of server.streams)
      if (this.world.happens(0.5))
        this.world.after(this.world.between(0, 3000), () => stream.break(0, this.world.between(0, 6000)));
  }

  /** Ends a holder's claim or a whole session, by force, as somebody saw it a while ago. */
  private administrate(): void {
    const { world, truth, etcd } = this;
    if (!world.isChaotic) return;
    world.after(world.between(300, 4000), () => this.administrate());
    if (world.happens(0.4)) return;
    if (world.happens(0.15)) return this.revokeSome();
    if (world.happens(0.5)) return world.may("force") ? this.askServer() : undefined;
    if (world.happens(0.6)) {
      const claim = world.pick([...truth.now.held]);
      if (claim !== undefined) this.forceClaim(claim);
    } else {
      const session = world.pick([...etcd.entries.values()].filter((entry) => entry.kind === "session"));
      if (session === undefined) return;
      const { key, modRevision } = session;
      this.force("session closed by force", [key.slice("session/".length)], {
        guards: [{ kind: "modified", key, revision: modRevision }],
        writes: [{ kind: "delete", key }],
      });
    }
  }

  /** Asks a server to end a claim or a session, as `AdminService` does. What becomes of it may stay unknown. */
  private askServer(): void {
    const { world, truth } = this;
    const server = world.pick(this.servers.filter((each) => each.isUp));
    const claim = world.pick([...truth.now.held]);
    if (server === undefined || claim === undefined) return;
    const why = { actor: "administrator", justification: JUSTIFICATION };
    const { administration } = server.engine;
    if (world.happens(0.6)) {
      truth.forced.add(claim.id);
      const name = world.pick(claim.locks)?.name ?? "";
      server.process.receive(() =>
        administration.releaseLock({ name, token: claim.token, ...why }, (answer) =>
          // A client that never heard of the grant asks again, by the same id, and stands anew.
          this.answered("release by force", answer, () => truth.find(claim.id)?.token === claim.token),
        ),
      );
    } else {
      const { sessionId } = claim;
      truth.forced.add(sessionId);
      for (const each of truth.now.claims) if (each.sessionId === sessionId) truth.forced.add(each.id);
      server.process.receive(() =>
        administration.closeSession({ sessionId, ...why }, (answer) =>
          this.answered("close by force", answer, () => etcdHas(this.etcd, sessionId)),
        ),
      );
    }
  }

  private answered(what: string, answer: ForcedAnswer<unknown>, isThere: () => boolean): void {
    const { world } = this;
    world.count(`${what}: ${answer.kind === "ok" ? "done" : answer.reason}`);
    if (answer.kind === "ok" && isThere()) world.violation("FORCED-LIVES", `${what} was answered, and it is there`);
  }

  /** Ends a claim by force whose client is told to leave its server. */
  private endClaimAt(server: SimulatedServer): void {
    const { world, truth } = this;
    const claim = world.pick([...truth.now.held].filter(({ sessionId }) => server.sessionOf(sessionId) !== undefined));
    if (claim !== undefined) this.forceClaim(claim);
  }

  private forceClaim(claim: TrueClaim): void {
    const keys = claim.locks.map(({ name }) => `claim/${name}//${claim.id}`);
    const guard = { kind: "created", key: keys[0] as string, revision: claim.createRevision } as const;
    this.force("claim ended by force", [claim.id], {
      guards: [guard],
      writes: keys.map((key) => ({ kind: "delete", key })),
    });
  }

  /** Somebody tidies up leases that are none of their business: of sessions, and of those that are being opened. */
  private revokeSome(): void {
    const { world, truth, etcd } = this;
    if (!world.may("revoked-leases")) return;
    const taken = new Set([...etcd.entries.values()].map((entry) => entry.lease));
    const free = [...etcd.leases.keys()].filter((id) => !taken.has(id));
    const lease = free[0] ?? world.pick([...etcd.leases.keys()]);
    if (lease === undefined) return;
    const sessionId = [...etcd.entries.values()]
      .find((each) => each.kind === "session" && each.lease === lease)
      ?.key.slice(8);
    for (const claim of truth.now.claims) if (claim.sessionId === sessionId) truth.forced.add(claim.id);
    if (sessionId !== undefined) truth.forced.add(sessionId);
    world.count("trouble: lease revoked by hand");
    etcd.revokeLease(lease);
  }

  private force(what: string, ids: readonly string[], operation: Operation): void {
    const { world, truth, etcd } = this;
    if (!world.may("force")) return;
    world.after(world.happens(0.1) ? world.between(1000, 8000) : world.between(1, 6), () => {
      const before = truth.now.claims.filter((claim) => ids.includes(claim.id) || ids.includes(claim.sessionId));
      const marks = [...before.map((claim) => claim.id), ...ids].filter((id) => !truth.forced.has(id));
      for (const id of marks) truth.forced.add(id);
      const outcome = etcd.apply([operation]);
      if (outcome.kind === "decided" && outcome.applied[0]) world.count(`trouble: ${what}`);
      else for (const id of marks) truth.forced.delete(id);
    });
  }

  private foreignRevisions(): void {
    this.etcd.passForeignRevision();
    this.world.after(this.world.between(50, 500), () => this.foreignRevisions());
  }
}
