/** An event of a stream of server-sent events, with its data in one piece. */
export interface ServerEvent {
  readonly name: string;
  readonly text: string;
}

/**
 * Cuts text as it arrives into events. Knows of the format what our server writes: `event`, one `data`, an empty line,
 * and "\n" at the end of each.
 */
export class EventCutter {
  #rest = "";

  /** The events that are complete with this piece. */
  push(piece: string): ServerEvent[] {
    const parts = (this.#rest + piece).split("\n\n");
    this.#rest = parts.pop() ?? "";
    return parts.map(readEvent);
  }
}

function readEvent(lines: string): ServerEvent {
  const line = (name: string): string =>
    lines
      .split("\n")
      .find((one) => one.startsWith(`${name}: `))
      ?.slice(name.length + 2) ?? "";
  return { name: line("event"), text: line("data") };
}
