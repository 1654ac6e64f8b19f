import {
  type AlarmMember,
  AlarmRequest_AlarmAction,
  AlarmType,
  ClusterService,
  MaintenanceService,
  type Member,
  type StatusResponse,
} from "../../gen/etcd/api/etcdserverpb/rpc.ts";
import type { StoreMember, StoreStatus } from "../../ports/store-status.ts";
import { type EtcdAddress, EtcdClient } from "./client.ts";
import type { UnaryMethod } from "./connection.ts";

const TIMEOUT_MS = 2_000;

/** Asks each endpoint by itself, over a connection of its own. Resolves within 4 s with what is known by then. */
export async function readStatus(address: EtcdAddress): Promise<StoreStatus> {
  const asked = await Promise.all(address.endpoints.map((endpoint) => askEndpoint(address, endpoint)));
  const answers = asked.filter((answer) => answer !== undefined);
  const { members = [], alarms = [] } = answers[0] ?? {};
  return {
    clusterId: answers[0]?.status.header?.clusterId ?? 0n,
    quotaBytes: Number(answers[0]?.status.dbSizeQuota ?? 0n),
    members: members.map((member) => described(member, alarms, answers)).sort((a, b) => (a.id < b.id ? -1 : 1)),
  };
}

interface EndpointAnswer {
  readonly endpoint: string;
  readonly status: StatusResponse;
  readonly members: readonly Member[];
  readonly alarms: readonly AlarmMember[];
}

async function askEndpoint(address: EtcdAddress, endpoint: string): Promise<EndpointAnswer | undefined> {
  const client = new EtcdClient({ ...address, endpoints: [endpoint] });
  const ask = <Request, Response>(method: UnaryMethod<Request, Response>, request: Request) =>
    new Promise<Response | undefined>((resolve) => {
      client.call(method, request, TIMEOUT_MS, (_, response) => resolve(response));
    });
  try {
    await new Promise((resolve) => client.authenticate(resolve));
    const [status, members, alarms] = await Promise.all([
      ask(MaintenanceService.status, {}),
      ask(ClusterService.memberList, { linearizable: false }),
      ask(MaintenanceService.alarm, { action: AlarmRequest_AlarmAction.GET, memberID: 0n, alarm: AlarmType.NONE }),
    ]);
    if (status === undefined) return undefined;
    return { endpoint, status, members: members?.members ?? [], alarms: alarms?.alarms ?? [] };
  } finally {
    await client.close();
  }
}

function described(member: Member, alarms: readonly AlarmMember[], answers: readonly EndpointAnswer[]): StoreMember {
  const answer = answers.find(({ status }) => status.header?.memberId === member.ID);
  return {
    id: member.ID,
    name: member.name,
    alarms: alarms
      .filter(({ memberID }) => memberID === member.ID)
      .map(({ alarm }) => (alarm === AlarmType.NOSPACE ? "NOSPACE" : "CORRUPT")),
    answer: answer && {
      endpoint: answer.endpoint,
      version: answer.status.version,
      isLeader: answer.status.leader === member.ID,
      databaseBytes: Number(answer.status.dbSize),
      databaseInUseBytes: Number(answer.status.dbSizeInUse),
    },
  };
}
