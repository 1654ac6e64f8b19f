import { sizeOf, type WalkPlan, type WalkResult, walk } from "./walk.ts";
import { INGREDIENTS } from "./world.ts";

/** How many courses of a smaller walk are looked at before it is taken to be well. */
const SALTS = 6;
const MAX_WALKS = 400;

/** A walk that fails as another does, with less in it. */
export interface Shrunk {
  readonly plan: WalkPlan;
  readonly result: WalkResult;
  /** How many walks it took to find. */
  readonly walks: number;
}

/**
 * Looks for the smallest walk that breaks the same promise: it leaves out one thing after the other that can go wrong
 * or be asked for, then clients and servers, and ends the trouble where it has done its work. What is left out changes
 * what chance does next, so each smaller walk is tried in several courses.
 */
export function shrink(failed: WalkPlan, result: WalkResult): Shrunk {
  const what = result.violations[0]!.what;
  let best: Shrunk = { plan: failed, result, walks: 0 };
  let walks = 0;
  const isSmaller = (change: Partial<WalkPlan>): boolean => {
    for (const salt of new Set([best.plan.salt ?? 0, ...Array(SALTS).keys()])) {
      if (walks === MAX_WALKS) return false;
      walks++;
      const plan = { ...best.plan, ...change, salt };
      const smaller = walk(plan);
      if (smaller.violations[0]?.what !== what) continue;
      best = { plan, result: smaller, walks };
      return true;
    }
    return false;
  };
  const endEarly = (): void => {
    const chaosMs = Math.ceil(best.result.violations[0]!.atMs) + 1;
    if (chaosMs < (best.plan.chaosMs ?? Number.POSITIVE_INFINITY)) isSmaller({ chaosMs });
  };
  endEarly();
  for (const ingredient of INGREDIENTS) isSmaller({ without: [...(best.plan.without ?? []), ingredient] });
  for (let { clients } = sizeOf(best.plan); clients > 1 && isSmaller({ clients: clients - 1 }); clients--);
  for (let { servers } = sizeOf(best.plan); servers > 1 && isSmaller({ servers: servers - 1 }); servers--);
  endEarly();
  return { ...best, walks };
}

/** The arguments with which `main.ts` runs a plan. */
export function argumentsOf({ seed, salt = 0, servers, clients, chaosMs, without = [] }: WalkPlan): string {
  return [
    seed,
    seed,
    ...(salt > 0 ? [`salt=${salt}`] : []),
    ...(servers === undefined ? [] : [`servers=${servers}`]),
    ...(clients === undefined ? [] : [`clients=${clients}`]),
    ...(chaosMs === undefined ? [] : [`chaos=${chaosMs}`]),
    ...(without.length === 0 ? [] : [`without=${without.join()}`]),
  ].join(" ");
}
