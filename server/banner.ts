/** What a server that is ready has to show. */
export interface Ready {
  readonly version: string;
  /** "host:port", as bound. */
  readonly grpc: string;
  readonly grpcHasTls: boolean;
  /** URL without a path. */
  readonly http: string;
  /** Where its state is, in words. */
  readonly etcd: string;
  /** Whether it was started where its sources are, and its commands with them. */
  readonly hasSources: boolean;
}

/**
 * The text that says that a server is ready: its addresses, and three commands to try. Programs may wait for it and
 * read the lines that begin with "gRPC" and "HTTP".
 */
export function banner({ version, grpc, grpcHasTls, http, etcd, hasSources }: Ready): string {
  const [holdfast, grpcurl] = hasSources ? ["bin/holdfast", "$(tools/build.sh grpcurl)"] : ["holdfast", "grpcurl"];
  const server = grpc === "127.0.0.1:7400" ? "" : ` --server ${grpc}`;
  const plain = `Try, in other terminals:

  ${holdfast} lock${server} orders/42 -- sleep 60
  ${holdfast} ls${server}
  ${grpcurl} -plaintext -d '{"locks": [{"name": "orders/42"}]}' ${grpc} holdfast.v1.LockService/Hold
`;
  return `Holdfast ${version} is ready.

gRPC  ${grpc}${grpcHasTls ? " with TLS" : ""}
HTTP  ${http}  console, /healthz /readyz /metrics
etcd  ${etcd}

${grpcHasTls ? "" : `${plain}\n`}Ctrl-C ends it.
`;
}
