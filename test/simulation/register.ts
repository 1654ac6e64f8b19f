import type { LockSpec } from "../../server/core/frames.ts";
import { isCompatible } from "./reference.ts";
import type { World } from "./world.ts";

/** A claim that its client takes for held, with good reason. */
export interface Belief {
  readonly who: string;
  readonly token: bigint;
  readonly specs: readonly LockSpec[];
}

/** Who tells what it believes. */
export interface Believer {
  beliefs(): Iterable<Belief>;
}

/** P1 as the clients believe it (P5), and the resource that a fencing token guards (P3). */
export class Register {
  private readonly world: World;
  private readonly believers: () => Iterable<Believer>;
  private readonly highest = new Map<string, bigint>();

  constructor(world: World, believers: () => Iterable<Believer>) {
    this.world = world;
    this.believers = believers;
  }

  /** To be called whenever somebody came to believe more than before. */
  check(): void {
    const byLock = new Map<string, { who: string; spec: LockSpec }[]>();
    for (const believer of this.believers())
      for (const { who, specs } of believer.beliefs())
        for (const spec of specs) {
          const holders = byLock.get(spec.name);
          if (holders === undefined) byLock.set(spec.name, [{ who, spec }]);
          else holders.push({ who, spec });
        }
    for (const [name, holders] of byLock)
      if (holders.length > 1 && !isCompatible(holders.map((each) => each.spec)))
        this.world.violation("P1-BELIEF", `${name} is held by ${holders.map((each) => each.who).join(" and ")}`);
  }

  /** A holder writes: what it guards refuses tokens older than the newest it has seen. */
  write(belief: Belief): void {
    for (const { name, mode } of belief.specs) {
      if (mode !== "exclusive") continue;
      const highest = this.highest.get(name) ?? 0n;
      if (belief.token < highest)
        this.world.violation(
          "P3-REGISTER",
          `${belief.who} holds ${name} and was refused: ${belief.token} < ${highest}`,
        );
      else this.highest.set(name, belief.token);
      this.world.count("register: written");
    }
  }
}
