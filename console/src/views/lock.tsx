import { useState } from "preact/hooks";
import { printable } from "../../../clients/cli/text.ts";
import { releaseLock } from "../changes.ts";
import { useServerNow } from "../clock.ts";
import { age, count, dayAndTime, momentMs, plural } from "../format.ts";
import { type Claim, type Lock, Mode } from "../gen/holdfast/v1/lock_service.ts";
import { Badge } from "../parts/badge.tsx";
import { Copy } from "../parts/copy.tsx";
import { EventList } from "../parts/events.tsx";
import { ForceDialog, typable } from "../parts/force-dialog.tsx";
import { ClientLink } from "../parts/links.tsx";
import { Empty, Known, Panel } from "../parts/panel.tsx";
import { Text } from "../parts/text.tsx";
import { ViewHead } from "../shell.tsx";
import { live, useEvents, useLock } from "../topics.ts";
import { useValue } from "../value.ts";
import { modeWords, stateWords } from "../words.ts";

/** One lock: who holds it, who waits in which order, and what happened to it lately. */
export function LockView({ name }: { name: string }) {
  const [all, setAll] = useState(false);
  const told = useLock(name, all);
  const events = useEvents({ lock: name });
  return (
    <>
      <ViewHead
        title={<Text class="lock-title">{name}</Text>}
        plainTitle={printable(name)}
        back={{ to: { view: "locks", prefix: "" }, title: "Locks" }}
      />
      <Known told={told}>
        {(lock) => (
          <>
            <Facts lock={lock} />
            <div class="lock-parts">
              <Holders lock={lock} />
              <Queue lock={lock} all={all} showAll={() => setAll(true)} />
            </div>
          </>
        )}
      </Known>
      <Panel title="Recent history" aside="seen by this server">
        <Known told={events}>
          {(list) => <EventList events={list} about="lock" none="Nothing that this server remembers." />}
        </Known>
      </Panel>
    </>
  );
}

function Facts({ lock }: { lock: Lock }) {
  const { state, mode, limit, permitsHeld, holderCount, waiterCount } = lock;
  return (
    <p class="facts">
      <Badge said={stateWords[state]} />
      {mode !== Mode.UNSPECIFIED && <span>{modeWords[mode]}</span>}
      {mode === Mode.SEMAPHORE && (
        <span>
          {permitsHeld} of {plural(limit, "permit")} taken
        </span>
      )}
      <span>{plural(holderCount, "holder")}</span>
      <span>{plural(waiterCount, "waiter")}</span>
    </p>
  );
}

function Holders({ lock: { name, holders, holderCount, mode } }: { lock: Lock }) {
  // Here and not with the holder: that one may be gone before the question is answered.
  const [asked, setAsked] = useState<Claim>();
  const hidden = holderCount - holders.length;
  return (
    <Panel title={mode === Mode.EXCLUSIVE ? "Holder" : "Holders"} class="holders">
      {holders.length === 0 ? (
        <Empty>Nobody holds it.</Empty>
      ) : (
        <ul class="holder-cards">
          {holders.map((claim) => (
            <Holder key={`${claim.sessionId}/${claim.claimId}`} claim={claim} ask={() => setAsked(claim)} />
          ))}
        </ul>
      )}
      {hidden > 0 && <p class="hint">and {plural(hidden, "other holder")}</p>}
      {asked !== undefined && (
        <ForceRelease
          lock={name}
          claim={asked}
          gone={!holders.some(({ fencingToken }) => fencingToken === asked.fencingToken)}
          close={() => setAsked(undefined)}
        />
      )}
    </Panel>
  );
}

function Holder({ claim, ask }: { claim: Claim; ask: () => void }) {
  const access = useValue(live.hello)?.access;
  const frozen = access !== undefined && !access.allowed && !access.byToken;
  return (
    <li class="holder-card">
      <ClaimFacts claim={claim} />
      <footer>
        <button
          type="button"
          class="button button-danger-quiet"
          disabled={frozen}
          title={frozen ? access.problem : undefined}
          onClick={ask}
        >
          Free by force …
        </button>
      </footer>
    </li>
  );
}

interface ForceReleaseProps {
  readonly lock: string;
  readonly claim: Claim;
  /** Whether it holds the lock no more. */
  readonly gone: boolean;
  readonly close: () => void;
}

/** Bound to the token that was shown when it was opened: who came later is not hit. */
function ForceRelease({ lock, claim, gone, close }: ForceReleaseProps) {
  const several = claim.lockCount > 1 ? ` It is on ${count(claim.lockCount)} locks, and ends on all of them.` : "";
  return (
    <ForceDialog
      title="Free by force"
      verb="Free it"
      victim={
        <>
          <p class="victim-lock">
            <Text>{lock}</Text>
          </p>
          <ClaimFacts claim={claim} />
          {gone && <p class="victim-gone">It does not hold the lock any more.</p>}
        </>
      }
      consequence={`This holder is told that it has lost the lock, and the next in the queue gets it at once.${several} The holder may go on working until it hears of it: only a resource that checks fencing tokens is safe from that.`}
      confirmation={typable(lock, claim.fencingToken.slice(-6))}
      act={(reason) => releaseLock(lock, claim.fencingToken, reason)}
      done="The lock was freed, and its holder told."
      close={close}
    />
  );
}

function ClaimFacts({ claim }: { claim: Claim }) {
  const nowMs = useServerNow();
  const sinceMs = momentMs(claim.grantedAt ?? claim.claimedAt);
  return (
    <dl class="claim-facts">
      <div class="wide">
        <dt>Who</dt>
        <dd>
          <ClientLink client={claim.client} sessionId={claim.sessionId} />
        </dd>
      </div>
      {sinceMs !== undefined && (
        <div>
          <dt>Held for</dt>
          <dd title={dayAndTime(sinceMs)}>{age(nowMs - sinceMs)}</dd>
        </div>
      )}
      <div>
        <dt>Fencing token</dt>
        <dd class="mono">
          {claim.fencingToken} <Copy text={claim.fencingToken} what="fencing token" />
        </dd>
      </div>
      {claim.mode === Mode.SEMAPHORE && (
        <div>
          <dt>Permits</dt>
          <dd>{count(claim.permits)}</dd>
        </div>
      )}
      {claim.lockCount > 1 && (
        <div>
          <dt>Claim on</dt>
          <dd>{plural(claim.lockCount, "lock")}</dd>
        </div>
      )}
      {claim.reentryId !== "" && (
        <div>
          <dt>Reentry id</dt>
          <dd>
            <Text class="mono">{claim.reentryId}</Text>
          </dd>
        </div>
      )}
      {claim.purpose !== "" && (
        <div class="wide">
          <dt>Purpose</dt>
          <dd>
            <Text>{claim.purpose}</Text>
          </dd>
        </div>
      )}
      {claim.value.length > 0 && (
        <div class="wide">
          <dt>Announces</dt>
          <dd>
            <Text class="mono">{new TextDecoder().decode(claim.value).slice(0, 500)}</Text>
          </dd>
        </div>
      )}
    </dl>
  );
}

interface QueueProps {
  readonly lock: Lock;
  readonly all: boolean;
  readonly showAll: () => void;
}

function Queue({ lock: { waiters, waiterCount }, all, showAll }: QueueProps) {
  const nowMs = useServerNow();
  const hidden = waiterCount - waiters.length;
  return (
    <Panel title="Queue" aside={waiterCount > 0 && `${count(waiterCount)} waiting`} class="queue">
      {waiters.length === 0 ? (
        <Empty>Nobody waits.</Empty>
      ) : (
        <div class="scroll" tabIndex={0} role="group" aria-label="Queue, in order">
          <table class="table">
            <thead>
              <tr>
                <th scope="col" class="number">
                  Place
                </th>
                <th scope="col">Who</th>
                <th scope="col" class="number">
                  Waits for
                </th>
                <th scope="col" class="optional">
                  Purpose
                </th>
              </tr>
            </thead>
            <tbody>
              {waiters.map((claim, index) => (
                <tr key={`${claim.sessionId}/${claim.claimId}`}>
                  <td class="number place">{index + 1}</td>
                  <td>
                    <ClientLink client={claim.client} sessionId={claim.sessionId} />
                    {claim.mode === Mode.SHARED && <span class="quiet mode">shared</span>}
                  </td>
                  <td class="number">{age(nowMs - (momentMs(claim.claimedAt) ?? nowMs))}</td>
                  <td class="optional">
                    <Text>{claim.purpose}</Text>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {hidden > 0 && (
        <p class="hint queue-more">
          and {plural(hidden, "more", "more")} behind them
          {!all && (
            <button type="button" class="button button-small button-quiet" onClick={showAll}>
              Show up to 1,000
            </button>
          )}
        </p>
      )}
    </Panel>
  );
}
