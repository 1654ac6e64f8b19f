import type { ClientBase } from "pg";
import type { HeldLock } from "../../clients/typescript/src/index.ts";

/** The table: each account with the fencing token of the last writer. PostgreSQL's bigint holds every token. */
export const schema = `
  CREATE TABLE account (
    name text PRIMARY KEY,
    balance bigint NOT NULL CHECK (balance >= 0),
    fence bigint NOT NULL DEFAULT 0
  )`;

/**
 * Adds `amount` to an account under the lock that guards it. Comparing and writing are one statement, so there is no
 * moment between them. Throws when a later holder of the lock has written: then this one is not the holder any more.
 */
export async function deposit(db: ClientBase, lock: HeldLock, account: string, amount: number): Promise<void> {
  const { rowCount } = await db.query(
    "UPDATE account SET balance = balance + $1, fence = $2 WHERE name = $3 AND fence <= $2",
    [amount, lock.token.toString(), account],
  );
  if (rowCount === 0) throw new Error(`a later holder of "${lock.name}" has written: token ${lock.token} is too old`);
}
