import { fork } from "node:child_process";
import { once } from "node:events";

/** A process of the crowd, which is told what to do by its argument, and says on its IPC channel how far it is. */
export class Child implements AsyncDisposable {
  readonly #process;
  readonly #exited: Promise<unknown>;

  constructor(file: "victims.ts" | "waiters.ts", task: object) {
    this.#process = fork(new URL(`./${file}`, import.meta.url), [JSON.stringify(task)]);
    this.#exited = once(this.#process, "exit");
  }

  tell(word: string): void {
    this.#process.send(word);
  }

  /** Resolves with the next message of this name, and rejects if the process ends before. */
  async says<Said extends { readonly what: string }>(what: Said["what"]): Promise<Said> {
    const died = this.#exited.then(() => {
      throw new Error(`the process ended before it said "${what}"`);
    });
    died.catch(() => undefined);
    for (;;) {
      const [said] = (await Promise.race([once(this.#process, "message"), died])) as [Said];
      if (said.what === what) return said;
    }
  }

  async kill9(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) await this.kill9();
  }
}
