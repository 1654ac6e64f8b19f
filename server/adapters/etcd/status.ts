import {
  type AlarmMember,
  AlarmRequest_AlarmAction,
  AlarmType,
  ClusterService,
  MaintenanceService,
  type Member,
  type StatusResponse,
} from "../../gen/etcd/api/etcdserverpb/rpc.ts";
import { type EtcdAddress, EtcdClient, type UnaryMethod } from "./client.ts";

/** The members of an etcd cluster, as far as they can be asked. */
export interface EtcdStatus {
  /** 0n: no member answers. */
  readonly clusterId: bigint;
  /** The size that the database may reach; 0: unknown. */
  readonly quotaBytes: number;
  /** In order of ids. */
  readonly members: readonly EtcdMember[];
}

export interface EtcdMember {
  readonly id: bigint;
  readonly name: string;
  /** What the member raised: "NOSPACE" or "CORRUPT". */
  readonly alarms: readonly string[];
  /** What it says of itself; `undefined`: it does not answer, or none of our endpoints is its. */
  readonly answer:
    | {
        readonly endpoint: string;
        readonly version: string;
        readonly isLeader: boolean;
        readonly databaseBytes: number;
        readonly databaseInUseBytes: number;
      }
    | undefined;
}

const TIMEOUT_MS = 2_000;

/** Asks each endpoint by itself, over a connection of its own. Resolves within 4 s with what is known by then. */
export async function readStatus(address: EtcdAddress): Promise<EtcdStatus> {
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

function described(member: Member, alarms: readonly AlarmMember[], answers: readonly EndpointAnswer[]): EtcdMember {
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
