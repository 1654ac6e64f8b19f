import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type { ConnectOptions, LockTarget } from "../../clients/typescript/src/index.ts";
import { Inbox } from "./inbox.ts";

/** What a client process is to do: hold a lock for as long as it lives. */
export interface HolderTask {
  readonly addresses: readonly string[];
  readonly lock: LockTarget;
  readonly options: ConnectOptions;
}

/** What a client process tells; times are of the clock that all processes share. */
export type HolderNews =
  | { readonly kind: "granted"; readonly token: string; readonly atMs: number }
  /** Every 20 ms, and after a block: whether it believes that it holds the lock, and until when it may. */
  | { readonly kind: "looked"; readonly held: boolean; readonly deadlineMs: number; readonly atMs: number }
  /** `lock.onLost` has called. */
  | { readonly kind: "lost"; readonly reason: string; readonly atMs: number }
  /** It writes to what the lock protects, without looking whether it still holds it. */
  | { readonly kind: "writes"; readonly token: string }
  /** Its event loop turns again. `lastHeldMs`: when, while it was blocked, it last believed that it held the lock. */
  | { readonly kind: "unblocked"; readonly lastHeldMs: number; readonly atMs: number };

/** What a client process can be told. */
export type HolderOrder =
  /** Block the event loop, as a long computation does, looking at the lock all the time. */
  | { readonly kind: "block"; readonly forMs: number }
  /** Write to what the lock protects. */
  | { readonly kind: "write" };

/** A program that uses the TypeScript client, as a process of its own. Disposing of it kills it. */
export class ClientProcess implements AsyncDisposable {
  readonly news = new Inbox<HolderNews>();
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;

  constructor(task: HolderTask) {
    this.#child = fork(new URL("./holder.ts", import.meta.url), [JSON.stringify(task)]);
    this.#exited = once(this.#child, "close");
    this.#child.on("message", (news: HolderNews) => this.news.add(news));
    this.#child.once("exit", (code, signal) => this.news.end(`the client process ended: ${code ?? signal}`));
  }

  order(order: HolderOrder): void {
    this.#child.send(order);
  }

  /** Resolves when it tells something of a kind, from the `from`th news on. */
  told<Kind extends HolderNews["kind"]>(kind: Kind, from = 0): Promise<Extract<HolderNews, { kind: Kind }>> {
    return this.news.first(
      (news) => (news.kind === kind ? (news as Extract<HolderNews, { kind: Kind }>) : undefined),
      from,
    );
  }

  /** Resolves with its token when it holds the lock. */
  async holds(): Promise<bigint> {
    return BigInt((await this.told("granted")).token);
  }

  /** Until when it last said that it may believe. */
  get deadlineMs(): number {
    const looked = this.news.items.findLast((news) => news.kind === "looked" && news.held);
    return looked?.kind === "looked" ? looked.deadlineMs : Number.NEGATIVE_INFINITY;
  }

  async kill9(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  pause(): void {
    process.kill(this.#child.pid!, "SIGSTOP");
  }

  resume(): void {
    process.kill(this.#child.pid!, "SIGCONT");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.kill9();
  }
}
