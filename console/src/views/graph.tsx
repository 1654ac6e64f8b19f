import { useMemo, useState } from "preact/hooks";
import { count, plural } from "../format.ts";
import type { GetWaitGraphResponse, WaitNode } from "../gen/holdfast/v1/admin_service.ts";
import { Badge } from "../parts/badge.tsx";
import { Choice } from "../parts/choice.tsx";
import { useNarrow } from "../parts/grid.tsx";
import { ClientLink, LockLink } from "../parts/links.tsx";
import { Empty, Known } from "../parts/panel.tsx";
import { Text } from "../parts/text.tsx";
import { ViewHead } from "../shell.tsx";
import { useGraph } from "../topics.ts";
import {
  type Arrow,
  BOX_WIDTH,
  type Direction,
  type Picture,
  type Placed,
  pictureOf,
  QUEUE_NAMES,
} from "../wait-picture.ts";

type Form = "Picture" | "List";

/** Who waits for whom, with circles marked. */
export function GraphView() {
  const told = useGraph("");
  const [form, setForm] = useState<Form>("Picture");
  return (
    <>
      <ViewHead title="Who waits for whom" plainTitle="Who waits for whom">
        <Choice label="Form" choices={["Picture", "List"]} chosen={form} choose={setForm} />
      </ViewHead>
      <Known told={told}>{(graph) => <Graph graph={graph} form={form} />}</Known>
    </>
  );
}

function Graph({ graph, form }: { graph: GetWaitGraphResponse; form: Form }) {
  const deadlocked = graph.nodes.filter((node) => node.deadlocked).length;
  return (
    <>
      <p class="grid-summary">
        {graph.nodes.length === 0
          ? ""
          : `${plural(graph.edges.length, "wait")} among ${plural(graph.nodes.length, "thread")} of control. `}
        {/* Only this is read out. */}
        <strong class="tone-deadlock" role="status">
          {deadlocked > 0 ? `${count(deadlocked)} wait for each other in a circle.` : ""}
        </strong>
        {graph.omittedNodes > 0 && ` ${count(graph.omittedNodes)} more are not shown.`}
      </p>
      {graph.nodes.length === 0 ? (
        <Empty>Nobody waits for anybody.</Empty>
      ) : form === "Picture" ? (
        <PictureOf graph={graph} />
      ) : (
        <List graph={graph} />
      )}
    </>
  );
}

function PictureOf({ graph }: { graph: GetWaitGraphResponse }) {
  const direction = useNarrow() ? "up" : "left";
  const picture = useMemo(() => pictureOf(graph, direction), [graph, direction]);
  return (
    <div
      class="picture-scroll"
      tabIndex={0}
      role="group"
      aria-label="Picture of who waits for whom; the same is in the list"
    >
      <div class="picture" style={{ width: `${picture.width}px`, height: `${picture.height}px` }}>
        <Arrows picture={picture} direction={direction} />
        <ul>
          {picture.placed.map((placed) => (
            <BoxAt key={placed.box.id} placed={placed} />
          ))}
        </ul>
      </div>
    </div>
  );
}

interface ArrowsProps {
  readonly picture: Picture;
  readonly direction: Direction;
}

function Arrows({ picture: { placed, arrows, width, height }, direction }: ArrowsProps) {
  const places = new Map(placed.map((one) => [one.box.id, one]));
  return (
    <svg class="arrows" width={width} height={height} aria-hidden="true" focusable="false">
      <defs>
        {["plain", "deadlock"].map((kind) => (
          <marker
            key={kind}
            id={`head-${kind}`}
            viewBox="0 0 8 8"
            refX="7"
            refY="4"
            markerWidth="7"
            markerHeight="7"
            orient="auto"
          >
            <path class={`head head-${kind}`} d="M0 0 8 4 0 8z" />
          </marker>
        ))}
      </defs>
      {arrows.map((arrow) => (
        <path
          key={`${arrow.from} ${arrow.to} ${arrow.lock}`}
          class={arrow.deadlock ? "arrow arrow-deadlock" : "arrow"}
          d={direction === "left" ? wayLeft(arrow, places) : wayUp(arrow, places)}
          marker-end={`url(#head-${arrow.deadlock ? "deadlock" : "plain"})`}
        />
      ))}
    </svg>
  );
}

/** From the left side of who waits to the right side of who is waited for; what closes a circle goes around below. */
function wayLeft({ from, to }: Arrow, places: ReadonlyMap<string, Placed>): string {
  const start = places.get(from)!;
  const end = places.get(to)!;
  const y1 = start.y + start.height / 2;
  const y2 = end.y + end.height / 2;
  if (start.x > end.x) {
    const x1 = start.x;
    const x2 = end.x + BOX_WIDTH + 2;
    const bend = Math.max(30, (x1 - x2) / 2);
    return `M${x1} ${y1}C${x1 - bend} ${y1} ${x2 + bend} ${y2} ${x2} ${y2}`;
  }
  const x1 = start.x + BOX_WIDTH / 2;
  const x2 = end.x + BOX_WIDTH / 2;
  const low = Math.max(start.y + start.height, end.y + end.height) + 22;
  return `M${x1} ${start.y + start.height}C${x1} ${low + 8} ${x2} ${low + 8} ${x2} ${end.y + end.height + 2}`;
}

/** From the top of who waits to the bottom of who is waited for; what closes a circle goes around on the right. */
function wayUp({ from, to }: Arrow, places: ReadonlyMap<string, Placed>): string {
  const start = places.get(from)!;
  const end = places.get(to)!;
  const x1 = start.x + BOX_WIDTH / 2;
  const x2 = end.x + BOX_WIDTH / 2;
  const below = end.y + end.height;
  if (start.y > end.y) {
    const bend = Math.max(24, (start.y - below) / 2);
    return `M${x1} ${start.y}C${x1} ${start.y - bend} ${x2} ${below + bend} ${x2} ${below + 2}`;
  }
  const right = start.x + BOX_WIDTH;
  const endRight = end.x + BOX_WIDTH;
  const far = Math.max(right, endRight) + 22;
  const [y1, y2] = [start.y + start.height / 2, end.y + end.height / 2];
  return `M${right} ${y1}C${far} ${y1} ${far} ${y2} ${endRight + 2} ${y2}`;
}

function BoxAt({ placed: { box, x, y, height } }: { placed: Placed }) {
  const style = { transform: `translate(${x}px, ${y}px)`, width: `${BOX_WIDTH}px`, height: `${height}px` };
  if (box.kind === "thread")
    return (
      <li
        class={`box ${box.node.deadlocked ? "box-deadlock" : box.node.wantedLocks.length > 0 ? "box-waiting" : "box-held"}`}
        style={style}
      >
        <Thread node={box.node} />
      </li>
    );
  const hidden = box.nodes.length - QUEUE_NAMES;
  return (
    <li class="box box-queue" style={style}>
      <p class="box-line">
        <span class="quiet">wait for</span> <LockLink name={box.lock} />
      </p>
      <ol>
        {box.nodes.slice(0, QUEUE_NAMES).map((node) => (
          <li key={node.nodeId}>
            <ClientLink client={node.client} sessionId={node.sessionId} />
          </li>
        ))}
      </ol>
      {hidden > 0 && <p class="quiet box-more">and {plural(hidden, "more", "more")}</p>}
    </li>
  );
}

function Thread({ node }: { node: WaitNode }) {
  return (
    <>
      <p class="box-title">
        <ClientLink client={node.client} sessionId={node.sessionId} />
      </p>
      <LocksLine word="holds" names={node.heldLocks} />
      <LocksLine word="waits for" names={node.wantedLocks} deadlocked={node.deadlocked} />
    </>
  );
}

function LocksLine({
  word,
  names,
  deadlocked = false,
}: {
  word: string;
  names: readonly string[];
  deadlocked?: boolean;
}) {
  const [first, ...others] = names;
  if (first === undefined) return null;
  return (
    <p class="box-line">
      <span class="quiet">{word}</span> <LockLink name={first} />
      {others.length > 0 && <span class="quiet"> +{count(others.length)}</span>}
      {deadlocked && <span class="box-mark">deadlock</span>}
    </p>
  );
}

function List({ graph: { nodes, edges } }: { graph: GetWaitGraphResponse }) {
  const byId = new Map(nodes.map((node) => [node.nodeId, node]));
  return (
    <div class="panel scroll" tabIndex={0} role="group" aria-label="List of waits">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Who waits</th>
            <th scope="col">For whom</th>
            <th scope="col">Lock</th>
            <th scope="col" class="optional">
              Which
            </th>
          </tr>
        </thead>
        <tbody>
          {edges.map(({ fromNodeId, toNodeId, lockName, held }) => {
            const [from, to] = [byId.get(fromNodeId)!, byId.get(toNodeId)!];
            return (
              <tr key={`${fromNodeId} ${toNodeId} ${lockName}`}>
                <td>
                  <Who node={from} />{" "}
                  {from.deadlocked && to.deadlocked && <Badge said={{ word: "circle", tone: "deadlock" }} />}
                </td>
                <td>
                  <Who node={to} />
                </td>
                <td>
                  <LockLink name={lockName} />
                </td>
                <td class="optional">{held ? "holds it" : "is ahead"}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function Who({ node: { client, sessionId, reentryId } }: { node: WaitNode }) {
  return (
    <span>
      <ClientLink client={client} sessionId={sessionId} />
      {reentryId !== "" && <Text class="quiet reentry">{reentryId}</Text>}
    </span>
  );
}
