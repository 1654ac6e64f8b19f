/** How much of everything is done. */
export interface Scale {
  readonly name: "full" | "quick";
  /** How often each figure is taken; what counts is the median. */
  readonly rounds: number;
  /** Before the clock starts, and measured. */
  readonly warmupSeconds: number;
  readonly seconds: number;
  /** Lock and unlock at the same time. The targets are about 1, 64 and 512. */
  readonly inFlight: readonly number[];
  readonly waiters: number;
  readonly hotWarmupSeconds: number;
  readonly idleSessions: readonly number[];
  readonly connections: number;
  readonly idleSeconds: number;
  /** Memory is given so long to stand still. */
  readonly patienceMs: number;
  readonly claimSessions: number;
  readonly claimsPerSession: number;
  readonly killsRelease: number;
  readonly killsKeep: number;
}

/** For real: a quarter of an hour on two cores. */
export const full: Scale = {
  name: "full",
  rounds: 3,
  warmupSeconds: 0.7,
  seconds: 1.5,
  inFlight: [1, 64, 512],
  waiters: 1000,
  hotWarmupSeconds: 1.5,
  idleSessions: [1000, 10_000],
  connections: 100,
  idleSeconds: 30,
  patienceMs: 10_000,
  claimSessions: 1000,
  claimsPerSession: 100,
  killsRelease: 15,
  killsKeep: 3,
};

/** Everything once, with numbers so small that they mean nothing: whether the bench works. */
export const quick: Scale = {
  name: "quick",
  rounds: 1,
  warmupSeconds: 0.2,
  seconds: 0.3,
  inFlight: [1, 64, 512],
  waiters: 30,
  hotWarmupSeconds: 0.3,
  idleSessions: [50],
  connections: 10,
  idleSeconds: 1,
  patienceMs: 500,
  claimSessions: 20,
  claimsPerSession: 50,
  killsRelease: 2,
  killsKeep: 1,
};
