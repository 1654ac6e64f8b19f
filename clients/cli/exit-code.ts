import { constants } from "node:os";

/** What `holdfast` exits with of its own; a child's own codes are passed on as they are. */
export const exitCode = {
  ok: 0,
  /** The server could not be started, or stopped by itself; or something that was asked for was refused. */
  failed: 1,
  /** A flag or an argument is wrong. */
  usage: 2,
  /** The command was found and cannot be run, as in a shell. */
  notExecutable: 126,
  /** The command was not found, as in a shell. */
  notFound: 127,
  /** The lock was lost while the command ran, and the command was stopped. */
  lost: 200,
  /** The lock was not acquired: taken, timed out, refused. */
  notAcquired: 201,
  /** No server could be reached, or it cannot reach its store. */
  unavailable: 202,
  /** Nobody leads. */
  noLeader: 203,
} as const;

export type ExitCode = keyof typeof exitCode;

/** What a code means, for the manual. */
export const exitCodeTexts: Readonly<Record<ExitCode, string>> = {
  ok: "done",
  failed: "it failed for a reason that is written on standard error",
  usage: "a flag or an argument is wrong; nothing was done",
  notExecutable: "the command cannot be run",
  notFound: "the command was not found",
  lost: "the lock was lost while the command ran, and the command was stopped",
  notAcquired: "the lock was not acquired: taken (--try), not free in time (--wait), or refused; nothing was run",
  unavailable: "no server could be reached (lock and elect try for up to 10 s), or it has no store",
  noLeader: "nobody leads",
};

/** What a shell makes of a process that a signal ended: 128 and its number. */
export const exitCodeOf = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];
