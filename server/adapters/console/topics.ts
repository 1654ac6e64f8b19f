import { lockNameProblem } from "../../core/lock-name.ts";
import { type Feed, problemFrame } from "./feed.ts";
import { HottestLocks, LockFeed, LockRowsFeed } from "./lock-feeds.ts";
import { Poll } from "./poll.ts";
import { ask, EventsFeed, LatestFeed, readSessions, type SessionRows, SessionsFeed } from "./service-feeds.ts";
import type { ReadName, Services } from "./services.ts";
import { SharedThings } from "./shared.ts";
import { Statistics, StatisticsFeed } from "./statistics.ts";

const STATUS_EVERY_MS = 2_000;
const SESSIONS_EVERY_MS = 2_000;
const SESSION_EVERY_MS = 1_000;
const GRAPH_EVERY_MS = 1_000;
const QUEUE_EVERY_MS = 1_000;
const MAX_CLAIMS = 1_000;

/** What a page may follow, by name; the values are what it follows it with. */
type Wish = Readonly<Record<string, string>>;

/** Makes the parts that pages follow, and lets them share what costs. */
export class Topics {
  readonly #services: Services;
  readonly #texts = new SharedThings<Poll<string>>();
  readonly #sessions = new SharedThings<Poll<SessionRows>>();
  readonly #statistics = new SharedThings<Statistics>();
  readonly #hottest = new SharedThings<HottestLocks>();

  constructor(services: Services) {
    this.#services = services;
  }

  /** The feed for a topic; `undefined` if there is no such topic. */
  open(topic: string, wish: Wish): Feed | undefined {
    const services = this.#services;
    switch (topic) {
      case "status":
        return this.#polled("GetStatus", {}, STATUS_EVERY_MS);
      case "statistics": {
        const { value, giveBack } = this.#statistics.use("", () => new Statistics(services));
        return new StatisticsFeed(value, Number(wish.after ?? 0) || 0, giveBack);
      }
      case "hottest": {
        const { value, giveBack } = this.#hottest.use("", () => new HottestLocks(services));
        return new LatestFeed((nowMs) => value.text(nowMs), giveBack);
      }
      case "locks":
        return new LockRowsFeed(services, wish.prefix ?? "");
      case "lock":
        return this.#lock(wish.name ?? "");
      case "queue":
        return this.#polled("GetLock", { name: wish.name, maxClaims: MAX_CLAIMS }, QUEUE_EVERY_MS);
      case "sessions":
        return this.#allSessions();
      case "session":
        return this.#polled("GetSession", { sessionId: wish.id }, SESSION_EVERY_MS);
      case "graph":
        return this.#polled("GetWaitGraph", { prefix: wish.prefix ?? "" }, GRAPH_EVERY_MS);
      case "events":
        return new EventsFeed(services, eventsQuery(wish));
      default:
        return undefined;
    }
  }

  #lock(name: string): Feed {
    const problem = lockNameProblem(name);
    if (problem === undefined) return new LockFeed(this.#services, name);
    const frame = problemFrame(`lock name ${JSON.stringify(name)} ${problem}`);
    return new LatestFeed(
      () => frame,
      () => {},
    );
  }

  #polled(name: ReadName, request: object, everyMs: number): Feed {
    const make = () => new Poll(() => ask(this.#services, name, request), everyMs);
    const { value, giveBack } = this.#texts.use(`${name} ${JSON.stringify(request)}`, make);
    return new LatestFeed(() => value.latest, giveBack);
  }

  #allSessions(): Feed {
    const { value, giveBack } = this.#sessions.use("", () => {
      const poll: Poll<SessionRows> = new Poll(() => readSessions(this.#services, poll.latest), SESSIONS_EVERY_MS);
      return poll;
    });
    return new SessionsFeed(value, giveBack);
  }
}

function eventsQuery({ lock, session, kinds }: Wish): object {
  return {
    ...(lock === undefined ? {} : { lockName: lock }),
    ...(session === undefined ? {} : { sessionId: session }),
    ...(kinds === undefined ? {} : { kinds: kinds.split(",") }),
  };
}
