import { useState } from "preact/hooks";
import { printable } from "../../../clients/cli/text.ts";
import { closeSession } from "../changes.ts";
import { useNow, useServerNow } from "../clock.ts";
import { age, clientName, count, dayAndTime, momentMs, plainClientName, plural, toMs } from "../format.ts";
import type { GetSessionResponse, Session } from "../gen/holdfast/v1/admin_service.ts";
import { ClaimState, Liveness, OnDisconnect, type SessionClaim } from "../gen/holdfast/v1/lock_service.ts";
import { Badge } from "../parts/badge.tsx";
import { Copy } from "../parts/copy.tsx";
import { EventList } from "../parts/events.tsx";
import { ForceDialog, typable } from "../parts/force-dialog.tsx";
import { LockLink } from "../parts/links.tsx";
import { Empty, Known, Panel } from "../parts/panel.tsx";
import { Text } from "../parts/text.tsx";
import { Validity } from "../parts/validity.tsx";
import { ViewHead } from "../shell.tsx";
import { live, useEvents, useSession } from "../topics.ts";
import { useValue } from "../value.ts";

/** One session: who it is, what it holds and waits for, and what happened to it lately. */
export function SessionView({ id }: { id: string }) {
  const told = useSession(id);
  const events = useEvents({ session: id });
  const session = told.kind === "known" ? told.value.session : undefined;
  return (
    <>
      <ViewHead
        title={<Text>{clientName(session?.client, id)}</Text>}
        plainTitle={session === undefined ? `Session ${printable(id)}` : plainClientName(session.client, id)}
        back={{ to: { view: "sessions" }, title: "Sessions" }}
      />
      <Known told={told}>{(value) => <Parts {...value} />}</Known>
      <Panel title="Recent history" aside="seen by this server">
        <Known told={events}>
          {(list) => <EventList events={list} about="session" none="Nothing that this server remembers." />}
        </Known>
      </Panel>
    </>
  );
}

function Parts({ session, claims }: GetSessionResponse) {
  if (session === undefined) return <Empty>There is no such session: it has ended.</Empty>;
  return (
    <div class="lock-parts">
      <About session={session} claims={claims.length} />
      <Claims claims={claims} />
    </div>
  );
}

function About({ session, claims }: { session: Session; claims: number }) {
  const [asking, setAsking] = useState(false);
  const access = useValue(live.hello)?.access;
  const frozen = access !== undefined && !access.allowed && !access.byToken;
  return (
    <Panel title="Session" class="holders">
      <div class="holder-card">
        <SessionFacts session={session} />
        <footer>
          <button
            type="button"
            class="button button-danger-quiet"
            disabled={frozen}
            title={frozen ? access.problem : undefined}
            onClick={() => setAsking(true)}
          >
            Close by force …
          </button>
        </footer>
      </div>
      {asking && <ForceClose session={session} claims={claims} close={() => setAsking(false)} />}
    </Panel>
  );
}

function ForceClose({ session, claims, close }: { session: Session; claims: number; close: () => void }) {
  const { sessionId, client } = session;
  return (
    <ForceDialog
      title="Close by force"
      verb="Close it"
      victim={<SessionFacts session={session} />}
      consequence={`The session ends, and with it ${plural(claims, "claim")}, in one step. Its client is told, and may go on working until it hears of it.`}
      confirmation={typable(clientName(client, sessionId), sessionId.slice(0, 8))}
      act={(reason) => closeSession(sessionId, reason)}
      done="The session was closed, and its client told."
      close={close}
    />
  );
}

function SessionFacts({ session }: { session: Session }) {
  const nowMs = useServerNow();
  const askedMs = useNow();
  const { sessionId, client, peer, identity, labels, openedAt, ttl, validFor, serverId } = session;
  const openedMs = momentMs(openedAt);
  const validForMs = toMs(validFor);
  const tags = Object.entries(labels);
  return (
    <dl class="claim-facts">
      <Fact title="Program" text={client === undefined || client.name === "" ? "unknown" : client.name} />
      <Fact title="Host" text={client === undefined || client.host === "" ? "unknown" : client.host} />
      {client !== undefined && client.pid !== 0 && <Fact title="Process" text={String(client.pid)} />}
      <Fact title="Address" text={peer === "" ? "unknown" : peer} />
      {identity !== "" && <Fact title="Identity" text={identity} />}
      {client !== undefined && client.language !== "" && (
        <Fact title="Library" text={`${client.language} ${client.version}`} />
      )}
      {openedMs !== undefined && (
        <div>
          <dt>Open for</dt>
          <dd title={dayAndTime(openedMs)}>{age(nowMs - openedMs)}</dd>
        </div>
      )}
      <div>
        <dt>Valid for, of {count((toMs(ttl) ?? 0) / 1_000)} s</dt>
        <dd>
          <Validity
            validUntilMs={validForMs === undefined ? undefined : askedMs + validForMs}
            ttlMs={toMs(ttl) ?? 0}
            nowMs={askedMs}
          />
        </dd>
      </div>
      <Fact
        title="If the stream breaks"
        text={session.onDisconnect === OnDisconnect.KEEP ? "keeps its claims until then" : "releases them"}
      />
      <Fact
        title="Proven alive by"
        text={session.liveness === Liveness.TRANSPORT ? "its connection" : "its heartbeats"}
      />
      <Fact title="Served by" text={serverId} />
      <div class="wide">
        <dt>Session id</dt>
        <dd class="mono">
          <Text>{sessionId}</Text> <Copy text={sessionId} what="session id" />
        </dd>
      </div>
      {tags.length > 0 && (
        <div class="wide">
          <dt>Labels</dt>
          <dd class="labels">
            {tags.map(([key, value]) => (
              <Text key={key} class="label">{`${key}=${value}`}</Text>
            ))}
          </dd>
        </div>
      )}
    </dl>
  );
}

function Fact({ title, text }: { title: string; text: string }) {
  return (
    <div>
      <dt>{title}</dt>
      <dd>
        <Text>{text}</Text>
      </dd>
    </div>
  );
}

function Claims({ claims }: { claims: readonly SessionClaim[] }) {
  return (
    <Panel title="Claims" aside={claims.length > 0 && count(claims.length)} class="queue">
      {claims.length === 0 ? (
        <Empty>It holds nothing and waits for nothing.</Empty>
      ) : (
        <div class="scroll" tabIndex={0} role="group" aria-label="Claims">
          <table class="table">
            <thead>
              <tr>
                <th scope="col">State</th>
                <th scope="col">Lock</th>
                <th scope="col" class="number optional">
                  Fencing token
                </th>
              </tr>
            </thead>
            <tbody>
              {claims.flatMap(({ claimId, state, locks }) =>
                locks.map(({ name, fencingToken }) => (
                  <tr key={`${claimId}/${name}`}>
                    <td>
                      <Badge
                        said={
                          state === ClaimState.HELD
                            ? { word: "held", tone: "held" }
                            : { word: "waits", tone: "waiting" }
                        }
                      />
                    </td>
                    <td>
                      <LockLink name={name} />
                    </td>
                    <td class="number mono optional">{fencingToken === "0" ? "" : fencingToken}</td>
                  </tr>
                )),
              )}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}
