/** How a store is, as far as its members can be asked. */
export interface StoreStatus {
  /** 0n: no member answers. */
  readonly clusterId: bigint;
  /** The size that the database may reach; 0: unknown. */
  readonly quotaBytes: number;
  /** In order of ids. */
  readonly members: readonly StoreMember[];
}

export interface StoreMember {
  readonly id: bigint;
  readonly name: string;
  /** What was raised for it, such as "NOSPACE". */
  readonly alarms: readonly string[];
  /** What it says of itself; `undefined`: it does not answer, or we do not know where it is. */
  readonly answer: StoreMemberAnswer | undefined;
}

export interface StoreMemberAnswer {
  readonly endpoint: string;
  readonly version: string;
  readonly isLeader: boolean;
  readonly databaseBytes: number;
  readonly databaseInUseBytes: number;
}
