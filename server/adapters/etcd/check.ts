import { MaintenanceService } from "../../gen/etcd/api/etcdserverpb/rpc.ts";
import type { EtcdClient } from "./client.ts";
import { type CallFailure, describeFailure } from "./connection.ts";
import { StoreError } from "./store-error.ts";

/** Older ones lose events of starved watches or around compactions, or tell of progress that was not made. */
const OLDEST = { major: 3, minor: 6 };

const RETRY_MS = 200;
const CALL_TIMEOUT_MS = 2_000;

/**
 * Waits until etcd answers, lets us in and says that it is new enough. Rejects with a `StoreError`: `unreachable`
 * when there was no answer by `untilMs` of the monotonic clock, `auth-refused`, or `too-old`.
 */
export async function checkEtcd(client: EtcdClient, endpoints: readonly string[], untilMs: number): Promise<void> {
  for (;;) {
    const answer = await askVersion(client);
    if (typeof answer === "string") {
      refuseOld(answer, endpoints);
      return;
    }
    await retryUnless(startProblem(answer, endpoints), untilMs);
  }
}

/** Waits a little, to try again; rejects with the problem if that cannot help, or not by `untilMs`. */
export async function retryUnless(problem: StoreError, untilMs: number): Promise<void> {
  if (problem.reason !== "unreachable" || performance.now() + RETRY_MS > untilMs) throw problem;
  await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
}

/** What a call that failed at the start says about etcd. */
export function startProblem(failure: CallFailure, endpoints: readonly string[]): StoreError {
  const at = endpoints.join(",");
  const details = describeFailure(failure);
  if (!REFUSALS.some((refusal) => details.includes(refusal))) {
    return new StoreError(
      "unreachable",
      `etcd at ${at} does not answer (${details}); start it or correct the endpoints`,
    );
  }
  const advice = "give a user and a password that may read and write all keys of the prefix";
  return new StoreError("auth-refused", `etcd at ${at} refuses us (${details}); ${advice}`);
}

const REFUSALS = ["user name is empty", "authentication failed", "permission denied", "invalid auth token"];

function askVersion(client: EtcdClient): Promise<string | CallFailure> {
  return new Promise((resolve) => {
    client.authenticate((refused) => {
      if (refused !== null) resolve(refused);
      else {
        client.call(MaintenanceService.status, {}, CALL_TIMEOUT_MS, (failure, response) =>
          resolve(failure ?? response!.version),
        );
      }
    });
  });
}

function refuseOld(version: string, endpoints: readonly string[]): void {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major > OLDEST.major || (major === OLDEST.major && minor >= OLDEST.minor)) return;
  const needed = `${OLDEST.major}.${OLDEST.minor}`;
  const message = `etcd at ${endpoints.join(",")} is ${version}; Holdfast needs ${needed} or newer`;
  throw new StoreError("too-old", message);
}
