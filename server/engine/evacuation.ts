import type { Peers } from "../ports/peers.ts";
import type { SessionStream } from "../ports/session-stream.ts";
import type { Link } from "./link.ts";

/**
 * For so long the store must have been lost here: by then a server that has lost it too, at about the same time, says
 * so when it is asked.
 */
const SURE_AFTER_MS = 2000;
/** How often the others are asked while the store is lost here. */
const ASK_EVERY_MS = 1000;
/** How long clients have to go elsewhere once they were told to, not all of them at once. */
const LEAVE_WITHIN_MS = 2000;

export interface EvacuationHost {
  nowMs(): number;
  /** Where else clients can go, as far as was known when the store was last heard of. */
  otherServers(): readonly string[];
  links(): Iterable<Link>;
}

/**
 * What a server does with its clients when it has lost the store and others have not, because only its member of etcd
 * is cut off, or its own way there (DESIGN 4.11). Their heartbeats go unanswered, so they will lose what they hold
 * unless they go elsewhere in time.
 *
 * It asks the others whether they serve. If one does, those clients that can resume are told `draining` with the
 * addresses of such servers. Their streams go on: who reaches no other server does best to stay. If none serves,
 * clients are told nothing, since a resume would fail everywhere; those of our libraries try it all the same, once a
 * heartbeat has gone unanswered for an interval. Clients that cannot resume stay in any case, and lose nothing before
 * their deadline.
 */
export class Evacuation {
  private readonly host: EvacuationHost;
  private readonly peers: Peers;
  private lostSinceMs: number | undefined;
  private askedAtMs = Number.NEGATIVE_INFINITY;
  private asking = false;
  private told = new WeakSet<SessionStream>();

  constructor(host: EvacuationHost, peers: Peers) {
    this.host = host;
    this.peers = peers;
  }

  /** To be called regularly, with whether the store is lost. */
  look(isLost: boolean): void {
    const nowMs = this.host.nowMs();
    if (!isLost) {
      this.lostSinceMs = undefined;
      this.told = new WeakSet();
      return;
    }
    this.lostSinceMs ??= nowMs;
    if (this.asking || nowMs - this.lostSinceMs < SURE_AFTER_MS || nowMs - this.askedAtMs < ASK_EVERY_MS) return;
    const others = this.host.otherServers();
    if (others.length === 0 || this.movable().length === 0) return;
    this.asking = true;
    this.askedAtMs = nowMs;
    this.peers.serving(others, (serving) => {
      this.asking = false;
      if (this.lostSinceMs !== undefined && serving.length > 0) this.tell(serving);
    });
  }

  /** The streams of clients that can resume elsewhere and have not been told to. */
  private movable(): Link[] {
    const movable = ({ state, stream }: Link) =>
      state.at === "open" && state.session.record.onDisconnect === "keep" && !this.told.has(stream);
    return [...this.host.links()].filter(movable);
  }

  private tell(servers: readonly string[]): void {
    for (const { stream, state } of this.movable()) {
      this.told.add(stream);
      // When the store is back, its client is to hear of all of them again.
      if (state.at === "open") state.told = servers;
      stream.send({ kind: "draining", leaveWithinMs: LEAVE_WITHIN_MS, servers });
    }
  }
}
