import { join } from "node:path";
import type { BuyerNews, BuyersProgram, Order } from "./buyers.ts";
import { startTalker, type Talker } from "./processes.ts";
import type { Books } from "./stock.ts";
import type { StoreNews, StoreOrder } from "./store.ts";

export interface SalePlan {
  readonly stock: number;
  readonly buyers: number;
  /** How many processes the buyers are in, the languages in turn. */
  readonly processes: number;
  readonly kills: number;
  readonly pauses: number;
  readonly ttlMs: number;
}

type Buyers = Talker<BuyerNews, { readonly kind: "begin" | "go-on" }>;

/** Who tells something. */
interface Origin {
  readonly buyers: Buyers;
  readonly language: string;
  readonly trouble: Order["trouble"];
}

/** How many buyers of a process wait at a time: so few that every process has its turn while there is something to sell. */
const AT_ONCE = 30;

/** The store, the processes of the buyers, and the trouble that they are put into. Counts what they tell. */
export class Sale implements AsyncDisposable {
  /** Whether each buyer that was served has bought. */
  readonly served = new Map<number, boolean>();
  /** How many bought in each language. */
  readonly boughtIn = new Map<string, number>();
  /** How long each grant was waited for, in milliseconds. */
  readonly waitedMs: number[] = [];
  killed = 0;
  paused = 0;
  /** Locks that their holders lived to see lost. */
  lost = 0;
  refused = 0;
  /** Of those refused, how many had been told before that the lock was lost. */
  refusedAndTold = 0;
  /** Processes that wait for the others: they begin together. One that takes the place of another begins at once. */
  private readonly ready = new Set<Buyers>();
  private readonly plan: SalePlan;
  private readonly server: string;
  private readonly programs: readonly BuyersProgram[];
  private readonly running = new Set<AsyncDisposable>();
  private readonly store: Talker<StoreNews, StoreOrder>;
  private readonly books = Promise.withResolvers<Books>();
  private readonly port = Promise.withResolvers<number>();
  /** Paused processes by their token: each is continued when a larger one has entered. */
  private readonly pausedBuyers = new Map<bigint, Buyers>();

  constructor(plan: SalePlan, server: string, programs: readonly BuyersProgram[]) {
    this.plan = plan;
    this.server = server;
    this.programs = programs;
    this.store = startTalker([process.execPath, join(import.meta.dirname, "store.ts"), String(plan.stock)]);
    this.store.onNews = (news) => this.onStore(news);
    this.running.add(this.store);
  }

  /** Sells until every buyer is served, and resolves with what the store has to say of it. */
  async run(): Promise<Books> {
    const port = await this.port.promise;
    const each = Array.from({ length: this.plan.processes }, (_, index) => this.sellTo(index, port));
    await Promise.all(each);
    this.store.tell({ kind: "close-books" });
    return this.books.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.running) await process[Symbol.asyncDispose]();
  }

  private async sellTo(index: number, port: number): Promise<void> {
    const { processes, kills, pauses, ttlMs, buyers } = this.plan;
    const mine = Array.from({ length: buyers }, (_, buyer) => buyer).filter((buyer) => buyer % processes === index);
    const trouble = index < kills ? "kill" : index < kills + pauses ? "pause" : undefined;
    const program = this.programs[index % this.programs.length]!;
    const order = { server: this.server, store: `http://127.0.0.1:${port}`, ttlMs, atOnce: AT_ONCE };
    const code = await this.runBuyers(program, { ...order, buyers: mine, trouble });
    if (code === null && trouble === "kill") {
      const unserved = mine.filter((buyer) => !this.served.has(buyer));
      await this.runBuyers(program, { ...order, buyers: unserved, trouble: undefined });
    } else if (code !== 0) throw new Error(`a process of buyers in ${program.language} ended with exit code ${code}`);
  }

  private async runBuyers({ language, command }: BuyersProgram, order: Order): Promise<number | null> {
    const buyers: Buyers = startTalker([...command, JSON.stringify(order)]);
    this.running.add(buyers);
    buyers.onNews = (news) => this.onBuyers(news, { buyers, language, trouble: order.trouble });
    return buyers.ended;
  }

  private onBuyers(news: BuyerNews, { buyers: from, language, trouble }: Origin): void {
    switch (news.kind) {
      case "ready":
        this.ready.add(from);
        if (this.ready.size === this.plan.processes) for (const buyers of this.ready) buyers.tell({ kind: "begin" });
        if (this.ready.size > this.plan.processes) from.tell({ kind: "begin" });
        return;
      case "granted":
        this.waitedMs.push(news.waitedMs);
        return;
      case "served":
        this.served.set(news.buyer, news.bought);
        if (news.bought) this.boughtIn.set(language, (this.boughtIn.get(language) ?? 0) + 1);
        return;
      case "lost":
        this.lost++;
        return;
      case "refused":
        this.refused++;
        if (news.hadBeenTold) this.refusedAndTold++;
        return;
      case "in-trouble":
        this.store.tell({ kind: "abandoned", token: news.token });
        if (trouble === "pause") this.pause(from, language, BigInt(news.token));
        else this.kill(from, language);
        return;
      default:
        news satisfies never;
    }
  }

  private kill(buyers: Buyers, language: string): void {
    this.killed++;
    console.log(`  process ${buyers.pid} (${language}) is killed while it holds the lock`);
    buyers.kill("SIGKILL");
  }

  private pause(buyers: Buyers, language: string, token: bigint): void {
    this.paused++;
    this.pausedBuyers.set(token, buyers);
    console.log(`  process ${buyers.pid} (${language}) is paused while it holds the lock with token ${token}`);
    buyers.kill("SIGSTOP");
  }

  private onStore(news: StoreNews): void {
    if (news.kind === "listening") this.port.resolve(news.port);
    else if (news.kind === "books") this.books.resolve(news.books);
    else this.continueBefore(BigInt(news.token));
  }

  private continueBefore(entered: bigint): void {
    for (const [token, buyers] of this.pausedBuyers) {
      if (token >= entered) continue;
      this.pausedBuyers.delete(token);
      console.log(`  token ${entered} has entered: process ${buyers.pid} may go on, and write with its own`);
      buyers.tell({ kind: "go-on" });
      buyers.kill("SIGCONT");
    }
  }
}
