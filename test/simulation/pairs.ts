/** The name under which it is counted that an event came in a state of a machine. */
export const pair = (machine: string, state: string, event: string): string => `pair: ${machine} | ${state} | ${event}`;

/** A machine whose every state is to be met by every event, but for what cannot be. */
interface Machine {
  readonly name: string;
  readonly states: readonly string[];
  readonly events: readonly string[];
  /** Pairs that cannot be, by patterns for both, and why. */
  readonly impossible: readonly (readonly [state: RegExp, event: RegExp, why: string])[];
  /** Pairs that come about too rarely to be waited for in a few thousand walks, and why. */
  readonly rare: readonly (readonly [state: RegExp, event: RegExp, why: string])[];
}

const MACHINES: readonly Machine[] = [
  {
    name: "client",
    states: [
      "running, no session, none",
      "running, no session, opening",
      "running, session, none",
      "running, session, opening",
      "running, session, up",
      "running, session, draining",
      "closing, no session, opening",
      "closing, session, none",
      "closing, session, opening",
      "closing, session, up",
      "closed, no session, none",
    ],
    events: [
      ...["open", "acquire", "release", "update", "close", "connected", "broken", "tick", "flush"],
      ...["opened", "heartbeat-ack", "waiting", "granted", "denied", "lost", "released", "updated"].map(received),
      ...["draining", "servers", "closed"].map(received),
    ],
    impossible: [
      [/none$/, /^received (?!closed)/, "no stream carries the session"],
      [/^closed/, /^received/, "a client that is closed has no streams"],
      [/opening$/, /^received (?!opened|closed)/, "nothing is said on a stream before opened or closed"],
      [/up$|draining$/, /^received opened/, "a stream is opened once"],
      [/opening$/, /^connected/, "no other stream is dialed while one is being opened"],
      [/^closing.*up/, /^connected/, "a client that is being closed moves to no other stream"],
      [/^closed/, /^(connected|broken)/, "a client that is closed has no streams"],
    ],
    rare: [
      [
        /none$|opening$/,
        /^flush/,
        "a turn ends before a stream does or another is there, unless the process was paused",
      ],
      [/^closing, no session/, /^received/, "it must close in the milliseconds in which its first session is opened"],
      [/^closing/, /^received lost/, "an administrator must end a claim in the moment in which its client closes"],
    ],
  },
  {
    name: "stream",
    states: ["new", "opening", "open", "session ending", "closed"],
    events: [
      ...["open", "resume", "acquire", "refused", "release", "update", "heartbeat", "close"],
      ...["half-closed", "broken", "refused by the edge", "transport proven"],
    ],
    impossible: [
      [/opening|open|ending/, /^(open|resume)$/, "honest clients open a stream once"],
      [/new/, /^(?!open|resume|half|broken|refused by)/, "honest clients say first that they open or resume"],
      [/new|opening/, /^transport/, "pings begin with opened"],
      [/closed/, /^(transport|refused by)/, "the edge knows which streams are closed"],
    ],
    rare: [[/ending/, /^refused/, "what is refused must cross the end of its session"]],
  },
  {
    name: "session",
    states: ["open, stream", "open, no stream", "ending, stream", "ending, no stream", "over"],
    events: [
      ...["saw", "leave", "sawGranted", "sawEnded", "sawEpoch", "settleDead", "bumped", "movedUp", "breakDeadlock"],
      ...["applied", "refused", "unknown", "no-space", "lease-not-found"].map((how) => `entered: ${how}`),
      ...["released", "timeout", "busy", "deadlock"].map((why) => `gives notice: ${why}`),
      ...["updated", "updateFailed", "updateKnown", "end", "isGone"],
    ],
    impossible: [
      [/over/, /^(saw|leave|settleDead|movedUp|breakDeadlock|end$|isGone)/, "the engine has forgotten it"],
      [/over/, /^gives notice/, "the engine has forgotten it, and its limits of waiting were cancelled"],
      [/./, /lease-not-found/, "with the lease goes the session's key, and so the guard of every claim"],
      [/no stream|ending/, /^gives notice: released/, "commands are taken while it is open and has a stream"],
      [/ending|over/, /^updateKnown/, "what earlier epochs left is forgotten when it begins to end"],
    ],
    rare: [
      [/over/, /^entered: (applied|no-space)/, "its session must be over in the moment in which it is answered"],
      [/no stream|ending/, /^gives notice: busy/, "a try must have been refused five times, and its client leave then"],
      [/ending/, /deadlock$/i, "the victim's session must end while the circle is looked at from behind a barrier"],
    ],
  },
];

function received(kind: string): string {
  return `received ${kind}`;
}

/** How often each event came in each state, as text, and what is wrong with that. */
export interface PairTables {
  readonly lines: readonly string[];
  /** What never came about although it can, and what did although it cannot. */
  readonly problems: readonly string[];
}

/** Makes tables of all pairs from what walks have counted. */
export function pairTables(counts: ReadonlyMap<string, number>): PairTables {
  const lines: string[] = [];
  const problems: string[] = [];
  for (const machine of MACHINES) {
    const { name, states, events } = machine;
    lines.push(`${name}: ${states.map((state, i) => `(${letter(i)}) ${state}`).join("; ")}`);
    lines.push(`${"".padEnd(26)}${states.map((_, i) => letter(i).padStart(9)).join("")}`);
    for (const event of events) {
      const cells = states.map((state) => {
        const count = counts.get(pair(name, state, event)) ?? 0;
        const why = machine.impossible.find(([of, when]) => of.test(state) && when.test(event))?.[2];
        const isRare = machine.rare.some(([of, when]) => of.test(state) && when.test(event));
        if (count === 0 && why === undefined && !isRare) problems.push(`never came about: ${pair(name, state, event)}`);
        if (count > 0 && why !== undefined) problems.push(`came about: ${pair(name, state, event)}, though ${why}`);
        return String(why === undefined ? count : "-").padStart(9);
      });
      lines.push(`${event.padEnd(26)}${cells.join("")}`);
    }
  }
  const known = new Set(
    MACHINES.flatMap(({ name, states, events }) =>
      states.flatMap((state) => events.map((event) => pair(name, state, event))),
    ),
  );
  for (const each of counts.keys())
    if (each.startsWith("pair: ") && !known.has(each)) problems.push(`is in no table: ${each}`);
  return { lines, problems };
}

const letter = (i: number): string => String.fromCharCode(97 + i);
