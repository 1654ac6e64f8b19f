/** What this process may be sent and is to answer itself, rather than to die of. */
const names: readonly NodeJS.Signals[] = [
  "SIGINT",
  "SIGTERM",
  "SIGHUP",
  "SIGQUIT",
  "SIGUSR1",
  "SIGUSR2",
  "SIGTSTP",
  "SIGCONT",
];

/** Takes the signals that this process is sent, until disposed of, and gives them to whoever is to answer them now. */
export class Signals implements Disposable {
  private readonly early: NodeJS.Signals[] = [];
  private receiver: ((name: NodeJS.Signals) => void) | undefined;

  constructor() {
    for (const name of names) process.on(name, this.receive);
  }

  /** From here on `receiver` gets them, first those that came while nobody did. `undefined`: they wait. */
  giveTo(receiver: ((name: NodeJS.Signals) => void) | undefined): void {
    this.receiver = receiver;
    if (receiver !== undefined) for (const name of this.early.splice(0)) receiver(name);
  }

  [Symbol.dispose](): void {
    for (const name of names) process.off(name, this.receive);
  }

  private readonly receive = (name: NodeJS.Signals): void => {
    if (this.receiver === undefined) this.early.push(name);
    else this.receiver(name);
  };
}
