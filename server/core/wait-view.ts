import { findCircles } from "./deadlock.ts";
import { utf8Length } from "./lock-name.ts";
import type { LockTable } from "./lock-table.ts";
import type { Claim, Queue, Seat } from "./queue.ts";
import type { ClientInfo } from "./records.ts";

/** A thread of control, or a single claim that has none, and what it has to do with contended locks. */
export interface WaitNodeView {
  readonly id: number;
  readonly sessionId: string;
  /** Empty: it is the claim `claimId`. */
  readonly reentryId: string;
  /** 0n: it is a thread. */
  readonly claimId: bigint;
  readonly client: ClientInfo | undefined;
  readonly held: readonly string[];
  readonly wanted: readonly string[];
  deadlocked: boolean;
}

/** One waits for another on a lock. */
export interface WaitEdgeView {
  readonly from: number;
  readonly to: number;
  readonly lock: string;
  /** Whether the other holds the lock; if not, it waits ahead. */
  readonly held: boolean;
}

export interface WaitGraphView {
  readonly nodes: readonly WaitNodeView[];
  readonly edges: readonly WaitEdgeView[];
  /** How many claims on contended locks are not shown. */
  readonly omitted: number;
}

/** Of a circle's suspects, how many are looked at: a look must not hold up those who take locks. */
const MAX_SUSPECTS = 20_000;
/** Lock names that are listed of one node, and edges from one waiting claim. */
const MAX_NAMES = 50;
const MAX_EDGES_OF_CLAIM = 10;
/** How far ahead of a claim is looked for somebody who is shown. */
const MAX_STEPS_AHEAD = 1_000;
/** What all names shown may take together, in bytes of UTF-8. */
const MAX_BYTES = 1_000_000;

/**
 * Who waits for whom on the locks whose names begin with `prefix`: first those on circles, then of each contended lock
 * its holders and first waiters, those with the most waiters first, and then more of each, up to `maxNodes` in all.
 *
 * Looks at every lock once. What it shows is bounded in nodes and bytes, whatever the table is like.
 */
export function viewWaits(table: LockTable, prefix: string, maxNodes: number): WaitGraphView {
  const view = new WaitView(table, prefix, maxNodes);
  view.addCircles();
  const contended = mostContended(table, prefix, maxNodes);
  for (const [holders, waiters] of [
    [3, 10],
    [maxNodes, maxNodes],
  ] as const)
    for (const queue of contended.queues) view.addQueue(queue, holders, waiters);
  const edges = view.edges();
  return { nodes: view.nodes, edges, omitted: Math.max(0, contended.claims - view.shown.size) };
}

/** The contended locks with the most waiters, and how many claims there are on all of them. */
function mostContended(table: LockTable, prefix: string, limit: number): { queues: Queue[]; claims: number } {
  const queues: Queue[] = [];
  let claims = 0;
  const keepMost = (): void => {
    queues.sort((a, b) => b.waitingCount - a.waitingCount);
    if (queues.length > limit) queues.length = limit;
  };
  for (const [name, queue] of table.queues) {
    if (queue.waitingCount === 0 || !name.startsWith(prefix)) continue;
    claims += queue.size;
    queues.push(queue);
    if (queues.length > 4 * limit) keepMost();
  }
  keepMost();
  return { queues, claims };
}

class WaitView {
  readonly nodes: (WaitNodeView & { readonly held: string[]; readonly wanted: string[] })[] = [];
  /** The claims that nodes stand for. */
  readonly shown = new Set<Claim>();
  private readonly table: LockTable;
  private readonly prefix: string;
  private readonly maxNodes: number;
  /** By thread, or by claim where there is none. */
  private readonly byWho = new Map<string | Claim, (typeof this.nodes)[number]>();
  private bytes = 0;

  constructor(table: LockTable, prefix: string, maxNodes: number) {
    this.table = table;
    this.prefix = prefix;
    this.maxNodes = maxNodes;
  }

  addCircles(): void {
    const suspects = this.table.waitingThreads;
    for (const circle of findCircles(this.table, suspects.size > MAX_SUSPECTS ? first(suspects) : suspects))
      for (const claim of circle)
        if (claim.lockNames.some((name) => name.startsWith(this.prefix))) {
          this.add(claim);
          const node = this.nodeOf(claim);
          if (node !== undefined) node.deadlocked = true;
          this.addHeldAhead(claim);
        }
  }

  /** What is in the way of a claim on a circle is on it, or leads to it. */
  private addHeldAhead(claim: Claim): void {
    for (const { queue } of claim.seats) if (queue.name.startsWith(this.prefix)) this.addQueue(queue, 3, 0);
  }

  addQueue(queue: Queue, holders: number, waiters: number): void {
    let left = Math.min(holders, queue.heldCount);
    for (let seat = queue.first; seat !== undefined && left > 0; seat = seat.next, left--) this.add(seat.claim);
    left = waiters;
    for (let seat = queue.firstWaiting; seat !== undefined && left > 0 && !this.isFull; seat = seat.next, left--)
      this.add(seat.claim);
  }

  private get isFull(): boolean {
    return this.nodes.length >= this.maxNodes || this.bytes >= MAX_BYTES;
  }

  private add(claim: Claim): void {
    if (this.shown.has(claim)) return;
    let node = this.nodeOf(claim);
    if (node === undefined) {
      if (this.isFull) return;
      node = {
        id: this.nodes.length + 1,
        sessionId: claim.sessionId,
        reentryId: claim.reentryId,
        claimId: claim.reentryId === "" ? claim.id : 0n,
        client: this.table.sessions.get(claim.sessionId)?.record.client,
        held: [],
        wanted: [],
        deadlocked: false,
      };
      this.nodes.push(node);
      this.byWho.set(whoOf(claim), node);
    }
    this.shown.add(claim);
    const names = claim.held ? node.held : node.wanted;
    for (const name of claim.lockNames)
      if (names.length < MAX_NAMES && name.startsWith(this.prefix)) {
        names.push(name);
        this.bytes += utf8Length(name);
      }
  }

  private nodeOf(claim: Claim): (typeof this.nodes)[number] | undefined {
    return this.byWho.get(whoOf(claim));
  }

  edges(): WaitEdgeView[] {
    const edges: WaitEdgeView[] = [];
    for (const claim of this.shown)
      if (!claim.held) for (const seat of claim.seats) if (this.bytes < 2 * MAX_BYTES) this.addEdges(seat, edges);
    return edges;
  }

  /** The next one waits for those who hold; one behind others waits for the nearest ahead that is shown. */
  private addEdges(seat: Seat, edges: WaitEdgeView[]): void {
    const { queue } = seat;
    if (!queue.name.startsWith(this.prefix)) return;
    const from = this.nodeOf(seat.claim)?.id as number;
    let left = seat === queue.firstWaiting ? MAX_EDGES_OF_CLAIM : 1;
    let ahead = seat.previous;
    for (let steps = 0; ahead !== undefined && left > 0 && steps < MAX_STEPS_AHEAD; steps++, ahead = ahead.previous) {
      const to = this.shown.has(ahead.claim) ? this.nodeOf(ahead.claim)?.id : undefined;
      if (to === undefined || to === from) continue;
      edges.push({ from, to, lock: queue.name, held: ahead.claim.held });
      this.bytes += utf8Length(queue.name);
      left--;
    }
  }
}

const whoOf = (claim: Claim): string | Claim =>
  claim.reentryId === "" ? claim : `${claim.sessionId}/${claim.reentryId}`;

function* first(claims: Iterable<Claim>): Iterable<Claim> {
  let left = MAX_SUSPECTS;
  for (const claim of claims) {
    if (left-- === 0) return;
    yield claim;
  }
}
