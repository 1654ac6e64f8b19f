/**
 * The shop's stock: the resource that the lock guards.
 *
 * It is only as careful as a store that trusts a lock service may be: reading and writing are two steps, and
 * whoever writes sets what is left. What makes that safe is the lock, and, for those who have lost it and do not
 * know, the fencing token: a step with a smaller token than one seen before is refused. It also watches what should
 * be impossible: two buyers inside at once, or less than nothing left.
 */

/** A step of a buyer. `enter` and `leave` are there for the watching only. */
export interface Step {
  readonly step: "enter" | "read" | "write" | "leave";
  readonly token: string;
  readonly buyer: number;
  /** Of a write: what is left afterwards. */
  readonly left?: number;
}

/** What the store answers: what is left, and whether the buyer has bought before; or that it is too late. */
export type StepAnswer =
  | { readonly kind: "done"; readonly left: number; readonly hasBought: boolean }
  | { readonly kind: "stale" };

/** The truth about the sale. */
export interface Books {
  readonly left: number;
  readonly sold: number;
  /** How many different buyers bought. */
  readonly buyers: number;
  readonly staleRefused: number;
  readonly twoInside: number;
  readonly timesNegative: number;
}

export class Stock {
  private left: number;
  private largestToken = 0n;
  private inside: bigint | undefined;
  private readonly abandoned = new Set<bigint>();
  private readonly sales = new Map<number, number>();
  private staleRefused = 0;
  private twoInside = 0;
  private timesNegative = 0;

  constructor(left: number) {
    this.left = left;
  }

  take(step: Step): StepAnswer {
    const token = BigInt(step.token);
    if (token < this.largestToken) {
      if (step.step === "write") this.staleRefused++;
      return { kind: "stale" };
    }
    this.largestToken = token;
    if (step.step === "enter") this.enter(token);
    if (step.step === "write") this.write(step.buyer, step.left!);
    if (step.step === "leave" && this.inside === token) this.inside = undefined;
    return { kind: "done", left: this.left, hasBought: this.sales.has(step.buyer) };
  }

  abandon(token: bigint): void {
    this.abandoned.add(token);
  }

  closeBooks(): Books {
    const sold = [...this.sales.values()].reduce((sum, pieces) => sum + pieces, 0);
    const { left, staleRefused, twoInside, timesNegative } = this;
    return { left, sold, buyers: this.sales.size, staleRefused, twoInside, timesNegative };
  }

  private enter(token: bigint): void {
    if (this.inside !== undefined && !this.abandoned.has(this.inside)) this.twoInside++;
    this.inside = token;
  }

  private write(buyer: number, left: number): void {
    this.sales.set(buyer, (this.sales.get(buyer) ?? 0) + 1);
    this.left = left;
    if (left < 0) this.timesNegative++;
  }
}
