import { useServerNow } from "../clock.ts";
import { age, bytes, count, momentMs, plural, precise, toMs } from "../format.ts";
import type { GetStatusResponse, ServerStatus, StoreMember, StoreStatus } from "../gen/holdfast/v1/admin_service.ts";
import { Badge } from "../parts/badge.tsx";
import { Empty, Known, Panel } from "../parts/panel.tsx";
import { Text } from "../parts/text.tsx";
import { ViewHead } from "../shell.tsx";
import { status } from "../topics.ts";
import { useValue } from "../value.ts";
import type { Said } from "../words.ts";

/** The servers and the members of etcd, and how each of them does. */
export function ServersView() {
  const told = useValue(status);
  return (
    <>
      <ViewHead title="Servers" plainTitle="Servers" />
      <Known told={told}>{(value) => <Parts {...value} />}</Known>
    </>
  );
}

function Parts(status: GetStatusResponse) {
  const { serverId, servers, store } = status;
  return (
    <>
      <Panel title="Holdfast servers" aside={plural(servers.length, "server")}>
        <ul class="cards">
          {servers.map((server) => (
            <Server key={server.serverId} server={server} own={server.serverId === serverId ? status : undefined} />
          ))}
        </ul>
      </Panel>
      <Panel title="etcd" aside={store !== undefined && storeAside(store)}>
        {store === undefined ? <Empty>This server has not reached it yet.</Empty> : <Store store={store} />}
      </Panel>
    </>
  );
}

/** `own`: what the one that answers says of itself. */
function Server({ server, own }: { server: ServerStatus; own: GetStatusResponse | undefined }) {
  const nowMs = useServerNow();
  const startedMs = momentMs(server.startedAt);
  return (
    <li class="card">
      <header>
        <h3>
          <Text>{server.address}</Text>
        </h3>
        <Badge said={stateOf(server, own)} />
        {own !== undefined && <Badge said={{ word: "this one", tone: "quiet" }} />}
      </header>
      <dl class="claim-facts">
        <div>
          <dt>Sessions</dt>
          <dd>{count(server.sessionCount)}</dd>
        </div>
        <div>
          <dt>Version</dt>
          <dd>
            <Text>{server.version}</Text>
          </dd>
        </div>
        {startedMs !== undefined && (
          <div>
            <dt>Up for</dt>
            <dd>{age(nowMs - startedMs)}</dd>
          </div>
        )}
        {own !== undefined && <OwnFacts {...own} />}
        <div class="wide">
          <dt>Id</dt>
          <dd class="mono">
            <Text>{server.serverId}</Text>
          </dd>
        </div>
      </dl>
    </li>
  );
}

function stateOf({ draining }: ServerStatus, own: GetStatusResponse | undefined): Said {
  if (own !== undefined && own.problem !== "") return { word: "not serving", tone: "trouble" };
  if (draining) return { word: "draining", tone: "waiting" };
  return own === undefined ? { word: "registered", tone: "held" } : { word: "serving", tone: "held" };
}

function OwnFacts({ table, eventLoopDelay }: GetStatusResponse) {
  const lagMs = toMs(table?.lag) ?? 0;
  const verifiedMs = toMs(table?.verifiedAgo);
  const lateMs = toMs(eventLoopDelay);
  return (
    <>
      <div>
        <dt>Table behind etcd</dt>
        <dd class={lagMs > 1_000 ? "tone-trouble strong" : ""}>{lagMs === 0 ? "not at all" : precise(lagMs)}</dd>
      </div>
      <div>
        <dt>Known to be current</dt>
        <dd>{verifiedMs === undefined ? "never yet" : verifiedMs < 1_000 ? "just now" : `${age(verifiedMs)} ago`}</dd>
      </div>
      {lateMs !== undefined && (
        <div>
          <dt>Event loop late by</dt>
          <dd class={lateMs > 500 ? "tone-trouble strong" : ""}>{precise(lateMs)} at most</dd>
        </div>
      )}
      {table !== undefined && (
        <div class="wide">
          <dt>Table</dt>
          <dd>
            {plural(table.lockCount, "lock")}, {count(table.heldCount)} held and {count(table.waitingCount)} waiting,{" "}
            {plural(table.sessionCount, "session")}, at revision <span class="mono">{table.revision}</span>
          </dd>
        </div>
      )}
    </>
  );
}

const storeAside = ({ members, answering, commitLatency }: StoreStatus) => (
  <>
    {plural(members.length, "member")}
    {commitLatency !== undefined && `, commits in ${precise(toMs(commitLatency))}`}{" "}
    <Badge said={answering ? { word: "takes writes", tone: "held" } : { word: "does not answer", tone: "trouble" }} />
  </>
);

function Store({ store: { members, quotaBytes, clusterId } }: { store: StoreStatus }) {
  return (
    <>
      <ul class="cards">
        {members.map((member) => (
          <Member key={member.memberId} member={member} quota={Number(quotaBytes)} />
        ))}
      </ul>
      <p class="hint">
        Cluster <span class="mono">{hex(clusterId)}</span>.{" "}
        {quotaBytes === "0"
          ? "Its quota is unknown."
          : `Quota ${bytes(Number(quotaBytes))}: at that size writes are refused.`}
      </p>
    </>
  );
}

function Member({ member, quota }: { member: StoreMember; quota: number }) {
  const { name, endpoint, reachable, leader, version, alarms, memberId } = member;
  const size = Number(member.databaseBytes);
  const used = Number(member.databaseInUseBytes);
  const share = quota === 0 ? undefined : size / quota;
  return (
    <li class={`card ${reachable ? "" : "card-faint"}`}>
      <header>
        <h3>
          <Text>{name === "" ? endpoint : name}</Text>
        </h3>
        {!reachable && <Badge said={{ word: "unreachable", tone: "trouble" }} />}
        {leader && <Badge said={{ word: "leader", tone: "held" }} />}
        {alarms.map((alarm) => (
          <Badge key={alarm} said={{ word: alarm, tone: "trouble" }} />
        ))}
      </header>
      <dl class="claim-facts">
        <div>
          <dt>Address</dt>
          <dd>
            <Text>{endpoint}</Text>
          </dd>
        </div>
        <div>
          <dt>Version</dt>
          <dd>{version === "" ? "unknown" : <Text>{version}</Text>}</dd>
        </div>
        <div>
          <dt>Member</dt>
          <dd class="mono">{hex(memberId)}</dd>
        </div>
        <div class="wide">
          <dt>Database</dt>
          <dd>
            <span class={`quota ${share !== undefined && share > 0.8 ? "tone-trouble" : ""}`}>
              <span class="quota-bar" aria-hidden="true">
                <span class="quota-used" style={{ width: `${100 * Math.min(1, quota === 0 ? 0 : used / quota)}%` }} />
                <span class="quota-size" style={{ width: `${100 * Math.min(1, share ?? 0)}%` }} />
              </span>
              <span>
                {bytes(size)}
                {share !== undefined && `, ${Math.round(100 * share)} % of the quota`}, {bytes(used)} of it in use
              </span>
            </span>
          </dd>
        </div>
      </dl>
      {!reachable && <p class="hint">It does not answer: this is what was known last.</p>}
    </li>
  );
}

/** As etcd's own tools write ids. */
const hex = (id: string): string => BigInt(id).toString(16);
