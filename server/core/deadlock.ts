import type { LockTable } from "./lock-table.ts";
import { Claim, Seat } from "./queue.ts";
import { strongComponents } from "./strong-components.ts";
import { type Thread, WaitReduction } from "./wait-reduction.ts";

/** The claim to be denied, and the circle in words. */
export interface Deadlock {
  readonly victim: Claim;
  readonly message: string;
}

/** How many steps of a circle are spelled out, and how many characters of each name. */
const MAX_STEPS = 8;
const MAX_NAME = 80;

/**
 * Finds threads of control that wait for each other in a circle, and of the waiting claims on such circles the
 * youngest (DESIGN 4.12). When it is gone other circles may be left: look again. A thread is a session and a
 * reentry id. Claims without one can always move, and one that was given up is not there.
 *
 * Only circles that can be reached from `suspects` are found, which are waiting claims: all of the table's by
 * default. The claim that enters last closes a circle, so a server that looks around each of its own as it
 * enters misses none. The work is linear in what is reached; threads with a single claim reach nothing.
 */
export function findDeadlock(table: LockTable, suspects: Iterable<Claim> = table.waitingThreads): Deadlock | undefined {
  const graph = new WaitGraph(new WaitReduction(table, suspects));
  let victim: Claim | undefined;
  let circles: ReadonlySet<WaitNode> = new Set();
  for (const component of strongComponents<WaitNode>(graph.claims, (node) => graph.successors(node)))
    for (const node of component)
      if (node instanceof Claim && node.reentryId !== "" && (victim === undefined || node.comesAfter(victim))) {
        victim = node;
        circles = component;
      }
  return victim && { victim, message: messageOf(victim, graph.circleOf(victim, circles)) };
}

/** The waiting claims that lie on circles, those of each knot of circles together. Likewise. */
export function findCircles(table: LockTable, suspects: Iterable<Claim> = table.waitingThreads): Claim[][] {
  const graph = new WaitGraph(new WaitReduction(table, suspects));
  const components = strongComponents<WaitNode>(graph.claims, (node) => graph.successors(node));
  const circles = components.map((component) => [...component].filter((node) => node instanceof Claim));
  return circles.filter((claims) => claims.some(({ reentryId }) => reentryId !== ""));
}

/**
 * Who waits for whom. A waiting claim waits for all that is ahead of it on its locks; the seat before its own
 * stands for that, and leads to the seat before itself, so that a queue of n has n steps and not n². A seat
 * leads to its claim, if that waits, and to the thread of its claim, which leads to all that the thread waits for.
 */
type WaitNode = Claim | Seat | Thread;

/** One step of a circle: `claim` waits on `lock` behind `blocker`, whose thread has the next step. */
interface Step {
  readonly claim: Claim;
  readonly blocker: Seat;
}

class WaitGraph {
  readonly claims: readonly Claim[];
  private readonly reduction: WaitReduction;
  private readonly before = new Map<Seat, Seat>();

  constructor(reduction: WaitReduction) {
    this.reduction = reduction;
    this.claims = [...reduction.stuck()];
    for (const seats of reduction.queues()) {
      let before: Seat | undefined;
      for (const seat of seats) {
        if (before !== undefined) this.before.set(seat, before);
        before = seat;
      }
    }
  }

  successors(node: WaitNode): WaitNode[] {
    if (node instanceof Claim) return node.seats.flatMap((seat) => this.before.get(seat) ?? []);
    if (!(node instanceof Seat)) return [...node.waiting];
    const next: WaitNode[] = [];
    const before = this.before.get(node);
    if (before !== undefined) next.push(before);
    if (this.reduction.isWaiting(node.claim)) next.push(node.claim);
    const thread = this.reduction.threadOf(node.claim);
    if (thread !== undefined) next.push(thread);
    return next;
  }

  /** The shortest way from a claim back to itself, if all of it is in `circles`. */
  circleOf(claim: Claim, circles: ReadonlySet<WaitNode>): Step[] {
    const from = new Map<WaitNode, WaitNode>();
    const queue: WaitNode[] = [claim];
    for (const node of queue)
      for (const next of this.successors(node)) {
        if (!circles.has(next) || from.has(next)) continue;
        from.set(next, node);
        if (next === claim) return stepsTo(claim, from);
        queue.push(next);
      }
    return [];
  }
}

function stepsTo(claim: Claim, from: ReadonlyMap<WaitNode, WaitNode>): Step[] {
  const steps: Step[] = [];
  let blocker: Seat | undefined;
  for (let node = from.get(claim) as WaitNode; ; node = from.get(node) as WaitNode) {
    if (node instanceof Seat) blocker ??= node;
    else if (node instanceof Claim) {
      steps.unshift({ claim: node, blocker: blocker as Seat });
      blocker = undefined;
      if (node === claim) return steps;
    }
  }
}

function messageOf(victim: Claim, steps: readonly Step[]): string {
  const words = steps.map(({ blocker }) => {
    const how = blocker.claim.held ? "held by" : "queued for before it by";
    return `"${clip(blocker.spec.name)}", ${how} ${nameOf(blocker.claim)}`;
  });
  const more = words.length - MAX_STEPS;
  if (more > 0) words.splice(MAX_STEPS / 2, more, `... ${more} more locks in between ...`);
  const circle = `${nameOf(victim)} waits for ${words.join(", which waits for ")}`;
  return `deadlock: ${circle}: this is the youngest claim of the circle; release what it waits with, then try again`;
}

function nameOf(claim: Claim): string {
  const thread = claim.reentryId === "" ? "without reentry_id" : `reentry_id "${clip(claim.reentryId)}"`;
  return `session ${claim.sessionId} ${thread}`;
}

function clip(text: string): string {
  const characters = [...text];
  return characters.length <= MAX_NAME ? text : `${characters.slice(0, MAX_NAME - 3).join("")}...`;
}
