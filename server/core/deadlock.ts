import type { LockTable } from "./lock-table.ts";
import type { Claim } from "./queue.ts";

/** The claim to be denied, and the circle in words. */
export interface Deadlock {
  readonly victim: Claim;
  readonly message: string;
}

export function findDeadlock(table: LockTable): Deadlock | undefined {
  void table;
  return undefined;
}
