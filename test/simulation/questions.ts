import type { SimulatedServer } from "./simulated-server.ts";
import type { Surroundings, WalkClaim, WalkClient } from "./walk-client.ts";

/** A grant that its client has given back, and been told so. */
interface Ended {
  readonly name: string;
  readonly token: bigint;
}

/** Asks servers what they know, from the side, and finds answers that were not so at any time since the question. */
export class Questions {
  private readonly around: Surroundings;
  private readonly clients: () => readonly WalkClient[];
  private readonly ended: Ended[] = [];

  constructor(around: Surroundings, clients: () => readonly WalkClient[]) {
    this.around = around;
    this.clients = clients;
    this.again();
  }

  /** A client was told that a claim of its own, which it held, is released. */
  released(claim: WalkClaim): void {
    const [first] = claim.request.locks;
    if (claim.token !== 0n && first !== undefined) this.ended.push({ name: first.name, token: claim.token });
  }

  private again(): void {
    const { world } = this.around;
    world.after(world.between(50, 400), () => this.again());
    const server = world.pick(this.around.servers.filter((each) => each.isUp));
    if (server === undefined) return;
    const fate = world.chance();
    if (fate < 0.4) this.askAfterEnded(server);
    else if (fate < 0.8) this.askAfterHeld(server);
    else this.lookAtLock(server);
  }

  private askAfterEnded(server: SimulatedServer): void {
    const { world } = this.around;
    const { ended } = this;
    const one = ended[ended.length - 1 - world.whole(0, 2)];
    if (one === undefined) return;
    this.check(server, one.name, one.token, (state) => {
      world.count("question: whether an ended grant is live");
      if (state !== "ended") world.violation("TOKEN-LIES", `the ended grant ${one.token} of ${one.name} is ${state}`);
    });
  }

  private askAfterHeld(server: SimulatedServer): void {
    const { world } = this.around;
    const beliefs = this.clients().flatMap((client) => [...client.beliefs()].map((belief) => ({ client, belief })));
    const one = world.pick(beliefs);
    const name = one?.belief.specs[0]?.name;
    if (one === undefined || name === undefined) return;
    const { who, token } = one.belief;
    this.check(server, name, token, (state) => {
      world.count("question: whether a held grant is live");
      const stillHeld = [...one.client.beliefs()].some((belief) => belief.who === who && belief.token === token);
      if (stillHeld && state !== "live") world.violation("TOKEN-LIES", `${who} holds ${name}, and is ${state}`);
    });
  }

  private check(server: SimulatedServer, name: string, token: bigint, done: (state: string) => void): void {
    const { world } = this.around;
    world.after(world.between(0.2, 3), () =>
      server.process.receive(() =>
        server.engine.checkToken(name, token, (answer) => {
          if (answer.kind === "ok") done(answer.value.state);
          else world.count(`question: ${answer.reason}`);
        }),
      ),
    );
  }

  /** What is seen of a lock may not be older than the question. */
  private lookAtLock(server: SimulatedServer): void {
    const { world, etcd } = this.around;
    const { process, engine } = server;
    process.receive(() => {
      const askedAtRevision = etcd.revision;
      engine.getLock("stock/1", 10, (answer) => {
        world.count(`question: look at a lock, ${answer.kind}`);
        if (answer.kind === "ok" && engine.table.revision < askedAtRevision)
          world.violation(
            "STALE-READ",
            `a table at revision ${engine.table.revision} for a question at ${askedAtRevision}`,
          );
      });
    });
  }
}
