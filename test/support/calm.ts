/**
 * How long something may take: what is promised, where nothing else runs on the machine, which CALM=1 in the environment says
 * (`make calm`); else as long as a machine may take that is busy with other tests.
 */
export const within = (promisedMs: number, busyMs: number): number => (process.env.CALM === "1" ? promisedMs : busyMs);
