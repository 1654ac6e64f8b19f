/**
 * The sets of nodes of which each can reach every other (Tarjan 1972), those of one node left out. Linear in
 * nodes and edges, and without recursion, so that a queue of any length fits the stack.
 */
export function strongComponents<Node>(roots: Iterable<Node>, successors: (node: Node) => Iterable<Node>): Set<Node>[] {
  const found: Set<Node>[] = [];
  /** The order in which a node was met, and the earliest met one that is known to be on a circle with it. */
  const visits = new Map<Node, { readonly order: number; earliest: number; open: boolean }>();
  const open: Node[] = [];

  const enter = (node: Node) => {
    const visit = { order: visits.size, earliest: visits.size, open: true };
    visits.set(node, visit);
    open.push(node);
    return { node, visit, rest: successors(node)[Symbol.iterator]() };
  };
  const leave = (node: Node, order: number, earliest: number): void => {
    if (order !== earliest) return;
    const component = new Set(open.splice(open.lastIndexOf(node)));
    for (const each of component) (visits.get(each) as { open: boolean }).open = false;
    if (component.size > 1) found.push(component);
  };

  for (const root of roots) {
    if (visits.has(root)) continue;
    const path = [enter(root)];
    for (let step = path.at(-1); step !== undefined; step = path.at(-1)) {
      const { node, visit, rest } = step;
      const next = rest.next();
      if (next.done) {
        path.pop();
        leave(node, visit.order, visit.earliest);
        const before = path.at(-1)?.visit;
        if (before !== undefined) before.earliest = Math.min(before.earliest, visit.earliest);
        continue;
      }
      const seen = visits.get(next.value);
      if (seen === undefined) path.push(enter(next.value));
      else if (seen.open) visit.earliest = Math.min(visit.earliest, seen.order);
    }
  }
  return found;
}
