import { lockNameProblem } from "../../core/lock-name.ts";
import type { LockPage, LockQuery, TokenView } from "../../engine/lock-engine.ts";
import {
  type CheckTokenRequest,
  CheckTokenResponse,
  type GetLockRequest,
  GetLockResponse,
  type ListLocksRequest,
  ListLocksResponse,
  LockState,
  TokenState,
} from "../../gen/holdfast/v1/lock_service.ts";
import { encode } from "./encode.ts";
import { readPageToken, writePageToken } from "./page-token.ts";
import type { Read } from "./reply.ts";
import { NO_BYTES, toClaim, toLock } from "./views.ts";

const DEFAULT_COUNT = 100;
const MAX_COUNT = 1_000;
const LISTED_HOLDERS = 10;
/** The size at which a page ends early: clients read no more than 4 MiB unless told to. */
export const PAGE_BYTES = 1_048_576;

/** One lock, its holders and its waiters. */
export const getLock: Read<GetLockRequest> = ({ engine }, { name, maxClaims }, reply) => {
  const wrong = lockNameProblem(name);
  if (wrong !== undefined) return reply.fail("invalid", `name ${wrong}`);
  engine.getLock(name, countOf(maxClaims), (answer) =>
    reply.answer(answer, name, (view) => encode(GetLockResponse, { lock: toLock(view) })),
  );
};

/** A page of locks. */
export const listLocks: Read<ListLocksRequest> = ({ engine }, { prefix, state, pageSize, pageToken }, reply) => {
  if (!states.has(state)) return reply.fail("invalid", `state ${state} is unknown to this server`);
  const question = `${state}\0${prefix}`;
  const after = pageToken === "" ? "" : readPageToken(pageToken, question);
  if (after === undefined)
    return reply.fail("invalid", "page_token is not the next_page_token of a page with the same prefix and state");
  const query = { prefix, state: states.get(state), after, pageSize: countOf(pageSize), holderLimit: LISTED_HOLDERS };
  engine.listLocks(query, (answer) => reply.answer(answer, "", (page) => encodePage(page, question)));
};

/** Whether a grant is live. */
export const checkToken: Read<CheckTokenRequest> = ({ engine }, { name, fencingToken }, reply) => {
  const wrong = lockNameProblem(name);
  if (wrong !== undefined) return reply.fail("invalid", `name ${wrong}`);
  if (fencingToken === 0n) return reply.fail("invalid", "fencing_token is zero, which no grant has");
  engine.checkToken(name, fencingToken, (answer) => reply.answer(answer, name, encodeToken));
};

/** How many things to put on a page of which so many were asked for. */
export const countOf = (asked: number): number => (asked === 0 ? DEFAULT_COUNT : Math.min(asked, MAX_COUNT));

const states: ReadonlyMap<number, LockQuery["state"]> = new Map<number, LockQuery["state"]>([
  [LockState.UNSPECIFIED, undefined],
  [LockState.HELD, "held"],
  [LockState.CONTENDED, "contended"],
]);

/** As many locks of the page as fit: the token for the rest names the last of those. */
function encodePage(page: LockPage, question: string): Uint8Array {
  const parts: Uint8Array[] = [];
  let size = 0;
  for (const view of page.locks) {
    const bytes = encode(ListLocksResponse, { locks: [toLock(view)], nextPageToken: "" });
    if (parts.length > 0 && size + bytes.length > PAGE_BYTES) break;
    parts.push(bytes);
    size += bytes.length;
  }
  const last = page.locks[parts.length - 1];
  if (last !== undefined && (page.more || parts.length < page.locks.length))
    parts.push(encode(ListLocksResponse, { locks: [], nextPageToken: writePageToken(last.name, question) }));
  return Buffer.concat(parts);
}

const tokenStates = {
  live: TokenState.LIVE,
  ended: TokenState.ENDED,
  "not-issued": TokenState.NOT_ISSUED,
} as const satisfies Record<TokenView["state"], TokenState>;

function encodeToken({ state, claim }: TokenView): Uint8Array {
  const shown = claim === undefined ? undefined : { ...toClaim(claim), value: NO_BYTES };
  return encode(CheckTokenResponse, { state: tokenStates[state], claim: shown });
}
