import { constants } from "node:os";

/** What `holdfast` exits with of its own; a child's own codes are passed on as they are. */
export const exitCode = {
  ok: 0,
  /** The server could not be started, or stopped by itself. */
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
} as const;

/** What a shell makes of a process that a signal ended: 128 and its number. */
export const exitCodeOf = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];
