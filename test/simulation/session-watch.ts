import { Session } from "../../server/core/session.ts";
import type { Engine } from "../../server/engine/engine.ts";
import type { Link } from "../../server/engine/link.ts";
import type { SessionStream } from "../../server/ports/session-stream.ts";
import { pair } from "./pairs.ts";
import type { World } from "./world.ts";

/** Where a stream stands at its server, and the session that it carries. */
export function streamStateOf(engine: Engine, stream: SessionStream): string {
  const link = (Reflect.get(engine, "linksByStream") as Map<SessionStream, Link>).get(stream);
  if (link === undefined)
    return (Reflect.get(engine, "closed") as WeakSet<SessionStream>).has(stream) ? "closed" : "new";
  if (link.state.at !== "open") return link.state.at;
  return link.state.session.isOpen ? "open" : "session ending";
}

/** The ways in which the engine, its operations and its timers tell a session of something. */
const TOLD = [
  "saw",
  "leave",
  "sawGranted",
  "sawEnded",
  "sawEpoch",
  "settleDead",
  "entered",
  "updated",
  "updateFailed",
  "updateKnown",
  "bumped",
  "breakDeadlock",
  "movedUp",
  "giveNotice",
  "end",
  "isGone",
] as const;

type Told = (this: Session, ...args: unknown[]) => unknown;

const worlds = new WeakMap<object, World>();

/** Has the sessions of an engine count in a world what they are told in which state. */
export function watchSessions(engine: Engine, world: World): void {
  worlds.set(engine, world);
}

function stateOf(session: Session): string {
  if (session.isOver) return "over";
  return `${session.isOpen ? "open" : "ending"}, ${session.stream === undefined ? "no stream" : "stream"}`;
}

/** What it is told, and how that turned out where that matters. */
function eventOf(name: (typeof TOLD)[number], args: readonly unknown[]): string {
  const [, second] = args;
  if (name === "entered") return `entered: ${(second as { kind: string }).kind}`;
  if (name === "giveNotice") {
    const leaving = second as { by: string; reason?: string };
    return `gives notice: ${leaving.reason ?? "released"}`;
  }
  return name;
}

for (const name of TOLD) {
  const own = Reflect.get(Session.prototype, name) as Told;
  const told: Told = function (...args) {
    worlds.get(this.host)?.count(pair("session", stateOf(this), eventOf(name, args)));
    return own.apply(this, args);
  };
  Reflect.set(Session.prototype, name, told);
}
