import type { GetWaitGraphResponse, WaitEdge, WaitNode } from "./gen/holdfast/v1/admin_service.ts";

/** A box: a thread of control that matters by itself, or those who only wait for one lock, in order. */
export type Box =
  | { readonly kind: "thread"; readonly id: string; readonly node: WaitNode }
  | { readonly kind: "queue"; readonly id: string; readonly lock: string; readonly nodes: readonly WaitNode[] };

/** An arrow from who waits to whom it waits for. */
export interface Arrow {
  readonly from: string;
  readonly to: string;
  readonly lock: string;
  /** It is part of a circle. */
  readonly deadlock: boolean;
}

export interface Placed {
  readonly box: Box;
  readonly x: number;
  readonly y: number;
  readonly height: number;
}

export interface Picture {
  readonly placed: readonly Placed[];
  readonly arrows: readonly Arrow[];
  readonly width: number;
  readonly height: number;
}

export const BOX_WIDTH = 232;
/** Between who waits and whom it waits for, and between those side by side. */
const WAY_GAP = { left: 96, up: 56 };
const SIDE_GAP = 18;
const GROUP_GAP = 44;
const SWEEPS = 6;
/** Names in a queue's box. */
export const QUEUE_NAMES = 4;

const THREAD_HEIGHT = 84;
const queueHeight = (nodes: readonly WaitNode[]): number =>
  46 + 24 * Math.min(nodes.length, QUEUE_NAMES) + (nodes.length > QUEUE_NAMES ? 24 : 0);
const heightOf = (box: Box): number => (box.kind === "thread" ? THREAD_HEIGHT : queueHeight(box.nodes));

/** Where arrows lead: who waits for nobody is on the left, or at the top where there is little width. */
export type Direction = "left" | "up";

/**
 * Draws who waits for whom. Whoever only waits for one lock, and
 * keeps nobody waiting elsewhere, stands in one box with the others of that queue, so that a thousand waiters
 * are a box and not a thousand.
 */
export function pictureOf(graph: GetWaitGraphResponse, direction: Direction = "left"): Picture {
  const { boxes, arrows } = simplify(graph);
  const groups = connected(boxes, arrows).sort((a, b) => rank(b) - rank(a));
  const placed: Placed[] = [];
  let top = 0;
  let width = 0;
  for (const group of groups) {
    const part = placeGroup(group, arrows, { top, direction });
    placed.push(...part.placed);
    width = Math.max(width, part.width);
    top = part.bottom + GROUP_GAP;
  }
  return { placed, arrows, width, height: Math.max(0, top - GROUP_GAP) };
}

/** Circles first, then what keeps the most waiting. */
function rank(group: readonly Box[]): number {
  const deadlocked = group.some((box) => box.kind === "thread" && box.node.deadlocked);
  const waiting = group.reduce((sum, box) => sum + (box.kind === "queue" ? box.nodes.length : 1), 0);
  return (deadlocked ? 1e9 : 0) + waiting;
}

function simplify({ nodes, edges }: GetWaitGraphResponse): { boxes: readonly Box[]; arrows: readonly Arrow[] } {
  const byId = new Map(nodes.map((node) => [node.nodeId, node]));
  const plain = new Set(nodes.filter((node) => isPlain(node, edges)).map(({ nodeId }) => nodeId));
  const queues = Map.groupBy(
    nodes.filter(({ nodeId }) => plain.has(nodeId)),
    ({ wantedLocks }) => wantedLocks[0]!,
  );
  const boxes: Box[] = [
    ...nodes
      .filter(({ nodeId }) => !plain.has(nodeId))
      .map((node): Box => ({ kind: "thread", id: `t${node.nodeId}`, node })),
    ...[...queues].map(
      ([lock, members]): Box => ({ kind: "queue", id: `q${lock}`, lock, nodes: inOrder(members, edges) }),
    ),
  ];
  const holders = Map.groupBy(
    edges.filter(({ held }) => held),
    ({ lockName }) => lockName,
  );
  const boxOf = (id: number) => (plain.has(id) ? `q${byId.get(id)!.wantedLocks[0]}` : `t${id}`);
  const arrows = new Map<string, Arrow>();
  const draw = (from: string, to: number, lock: string, deadlock: boolean) => {
    if (!plain.has(to) && from !== boxOf(to))
      arrows.set(`${from} ${to} ${lock}`, { from, to: `t${to}`, lock, deadlock });
  };
  for (const { fromNodeId, toNodeId, lockName, held } of edges) {
    const from = boxOf(fromNodeId);
    const deadlock = byId.get(fromNodeId)?.deadlocked === true && byId.get(toNodeId)?.deadlocked === true;
    // Of a queue only that it waits for the holders: one in it may be ahead of one that stands by itself.
    if (!plain.has(fromNodeId) || held) draw(from, toNodeId, lockName, deadlock);
    // Whoever waits behind somebody in a queue waits for what that one waits for.
    if (plain.has(toNodeId) || plain.has(fromNodeId))
      for (const holder of holders.get(lockName) ?? []) draw(from, holder.toNodeId, lockName, false);
  }
  return { boxes, arrows: [...arrows.values()] };
}

/** Whether it waits for one lock, holds none, and keeps waiting only others for that same lock. */
function isPlain({ nodeId, heldLocks, wantedLocks, deadlocked }: WaitNode, edges: readonly WaitEdge[]): boolean {
  if (heldLocks.length > 0 || wantedLocks.length !== 1 || deadlocked) return false;
  return edges.every(({ toNodeId, lockName }) => toNodeId !== nodeId || lockName === wantedLocks[0]);
}

/** Those ahead first: each after all of the same queue for whom it waits. */
function inOrder(nodes: readonly WaitNode[], edges: readonly WaitEdge[]): readonly WaitNode[] {
  const members = new Map(nodes.map((node) => [node.nodeId, node]));
  const ahead = Map.groupBy(
    edges.filter(({ fromNodeId, toNodeId }) => members.has(fromNodeId) && members.has(toNodeId)),
    ({ fromNodeId }) => fromNodeId,
  );
  const ordered = new Set<WaitNode>();
  for (const node of nodes) {
    // A queue may be a chain of a thousand: no recursion.
    const path = [node];
    while (path.length > 0) {
      const current = path.at(-1)!;
      const next = (ahead.get(current.nodeId) ?? [])
        .map(({ toNodeId }) => members.get(toNodeId)!)
        .find((one) => !ordered.has(one) && !path.includes(one));
      if (next !== undefined) path.push(next);
      else ordered.add(path.pop()!);
    }
  }
  return [...ordered];
}

function connected(boxes: readonly Box[], arrows: readonly Arrow[]): Box[][] {
  const neighbours = new Map<string, string[]>(boxes.map(({ id }) => [id, []]));
  for (const { from, to } of arrows) {
    neighbours.get(from)?.push(to);
    neighbours.get(to)?.push(from);
  }
  const byId = new Map(boxes.map((box) => [box.id, box]));
  const seen = new Set<string>();
  const groups: Box[][] = [];
  for (const { id } of boxes) {
    if (seen.has(id)) continue;
    const group: Box[] = [];
    const left = [id];
    seen.add(id);
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      group.push(byId.get(next)!);
      for (const other of neighbours.get(next)!) {
        if (seen.has(other)) continue;
        seen.add(other);
        left.push(other);
      }
    }
    groups.push(group);
  }
  return groups;
}

interface Group {
  readonly placed: Placed[];
  readonly width: number;
  readonly bottom: number;
}

function placeGroup(
  group: readonly Box[],
  arrows: readonly Arrow[],
  { top, direction }: { top: number; direction: Direction },
): Group {
  const ids = new Set(group.map(({ id }) => id));
  const own = arrows.filter(({ from, to }) => ids.has(from) && ids.has(to));
  const layers = ordered(layersOf(group, own), own);
  return direction === "left" ? placeColumns(layers, top) : placeRows(layers, top);
}

function placeColumns(layers: readonly Box[][], top: number): Group {
  const heights = layers.map((layer) => layer.reduce((sum, box) => sum + heightOf(box) + SIDE_GAP, -SIDE_GAP));
  const tallest = Math.max(...heights);
  const placed = layers.flatMap((layer, index) => {
    let next = top + (tallest - heights[index]!) / 2;
    return layer.map((box) => {
      const y = next;
      next += heightOf(box) + SIDE_GAP;
      return { box, x: index * (BOX_WIDTH + WAY_GAP.left), y, height: heightOf(box) };
    });
  });
  return { placed, width: layers.length * (BOX_WIDTH + WAY_GAP.left) - WAY_GAP.left, bottom: top + tallest };
}

function placeRows(layers: readonly Box[][], top: number): Group {
  let y = top;
  const placed: Placed[] = [];
  for (const layer of layers) {
    const heights = layer.map(heightOf);
    for (const [index, box] of layer.entries())
      placed.push({ box, x: index * (BOX_WIDTH + SIDE_GAP), y, height: heights[index]! });
    y += Math.max(...heights) + WAY_GAP.up;
  }
  const widest = Math.max(...layers.map((layer) => layer.length));
  return { placed, width: widest * (BOX_WIDTH + SIDE_GAP) - SIDE_GAP, bottom: y - WAY_GAP.up };
}

/** Boxes by how long the way is from them to somebody who waits for nobody; what closes a circle is not counted. */
function layersOf(group: readonly Box[], arrows: readonly Arrow[]): Box[][] {
  const ahead = Map.groupBy(arrows, ({ from }) => from);
  const depths = new Map<string, number>();
  const onPath = new Set<string>();
  const depth = (id: string): number => {
    const known = depths.get(id);
    if (known !== undefined) return known;
    onPath.add(id);
    const behind = (ahead.get(id) ?? []).filter(({ to }) => !onPath.has(to)).map(({ to }) => depth(to) + 1);
    onPath.delete(id);
    const found = Math.max(0, ...behind);
    depths.set(id, found);
    return found;
  };
  const layers: Box[][] = [];
  for (const box of group) {
    const at = depth(box.id);
    layers[at] = [...(layers[at] ?? []), box];
  }
  return layers.filter((layer) => layer !== undefined);
}

/** Puts the boxes of each layer near those they are tied to, sweeping to and fro. */
function ordered(layers: Box[][], arrows: readonly Arrow[]): Box[][] {
  const neighbours = new Map<string, string[]>();
  for (const { from, to } of arrows) {
    neighbours.set(from, [...(neighbours.get(from) ?? []), to]);
    neighbours.set(to, [...(neighbours.get(to) ?? []), from]);
  }
  const place = new Map<string, number>();
  const note = (layer: readonly Box[]) => {
    for (const [index, { id }] of layer.entries()) place.set(id, index / layer.length);
  };
  for (const layer of layers) note(layer);
  const middle = ({ id }: Box) => {
    const near = neighbours.get(id) ?? [];
    return near.length === 0 ? place.get(id)! : near.reduce((sum, one) => sum + place.get(one)!, 0) / near.length;
  };
  for (let sweep = 0; sweep < SWEEPS; sweep++)
    for (const layer of sweep % 2 === 0 ? layers : layers.toReversed()) {
      layer.sort((a, b) => middle(a) - middle(b));
      note(layer);
    }
  return layers;
}
