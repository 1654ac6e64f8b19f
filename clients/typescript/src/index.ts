/**
 * The client of Holdfast, a distributed lock service. Start with `connect`.
 *
 * @packageDocumentation
 */
export {
  type AcquireOptions,
  type Client,
  connect,
  type LookOptions,
  type TryOptions,
  type WithLockOptions,
} from "./client.ts";
export { type CallError, decodeError } from "./decode-error.ts";
export { type CampaignOptions, Election, type Leader, type Leadership } from "./election.ts";
export type {
  ClaimView,
  ClientInfo,
  GrantedLock,
  HolderEnd,
  Liveness,
  LockSpec,
  Mode,
  OnDisconnect,
  PreviousHolder,
} from "./frames.ts";
export type { HeldLock } from "./held-lock.ts";
export { type ErrorDetails, HoldfastError, LockLostError } from "./holdfast-error.ts";
export type { QueuePlace } from "./lock-claim.ts";
export type { LockChanges, LockView, TokenView, WatchTarget } from "./lock-reads.ts";
export { type ClaimOptions, type LockTarget, semaphore, shared } from "./lock-request.ts";
export { type ConnectOptions, type TlsOptions, VERSION } from "./options.ts";
export type { Reason } from "./reason.ts";
export { type WebLock, type WebLockInfo, type WebLockMode, type WebLockOptions, WebLocks } from "./web-locks.ts";
