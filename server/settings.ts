/** What can be set of a server: the one list from which flags, environment variables and help are made. */

export interface Setting {
  /** The flag without its dashes. The environment variable is HOLDFAST_ and this in capitals. */
  readonly name: string;
  /** What stands for its value in help. Absent: it is given without one. */
  readonly value?: string;
  readonly fallback?: string;
  readonly text: string;
  /** It is a secret: no flag, since everybody on the machine can read those. */
  readonly environmentOnly?: true;
}

export const settings = [
  {
    name: "grpc-address",
    value: "host:port",
    fallback: "127.0.0.1:7400",
    text: "where clients connect; port 0: a free one",
  },
  {
    name: "advertise-address",
    value: "host:port",
    text: "where clients of other servers are told to find this one; none: nowhere, for servers behind a load balancer; without it --grpc-address, or this machine's first address if that is 0.0.0.0 or [::]",
  },
  {
    name: "http-address",
    value: "host:port",
    fallback: "127.0.0.1:7401",
    text: "where the console, /healthz, /readyz and /metrics are; with TLS if beyond loopback and not --insecure",
  },
  {
    name: "console-hosts",
    value: "list",
    text: "names, several with commas, under which browsers may open the console, besides this machine's own",
  },
  { name: "tls-cert", value: "file", text: "certificate chain (PEM) to serve with TLS" },
  { name: "tls-key", value: "file", text: "private key (PEM) of --tls-cert" },
  { name: "insecure", text: "listen beyond loopback without TLS: whoever reaches the port may take and free locks" },
  {
    name: "admin-token-file",
    value: "file",
    text: "file whose first line, 16 to 512 characters, lets administrators on other machines change things; without one they can only look",
  },
  { name: "admin-token", value: "text", text: "that line itself", environmentOnly: true },
  { name: "data", value: "folder", fallback: ".data", text: "where the etcd of its own keeps its data" },
  {
    name: "etcd-binary",
    value: "file",
    text: "etcd program to run; without it the pinned one is built by tools/build.sh",
  },
  {
    name: "etcd-endpoints",
    value: "list",
    text: "host:port of an etcd that is there, several with commas, instead of one of its own",
  },
  {
    name: "etcd-ca",
    value: "file",
    text: "certificates (PEM) to verify etcd by; without it the system's, if an endpoint begins with https://",
  },
  { name: "etcd-cert", value: "file", text: "certificate (PEM) to show to etcd" },
  { name: "etcd-key", value: "file", text: "private key (PEM) of --etcd-cert" },
  { name: "etcd-user", value: "name", text: "user to authenticate to etcd as" },
  { name: "etcd-password-file", value: "file", text: "file whose first line is that user's password" },
  { name: "etcd-password", value: "text", text: "that user's password", environmentOnly: true },
  {
    name: "prefix",
    value: "text",
    fallback: "holdfast/",
    text: "what all keys in etcd begin with; servers with one prefix are one service",
  },
  {
    name: "state-file",
    value: "file",
    text: "where this server remembers how far it has seen etcd, to notice one that was restored; kept in --data with an etcd of its own",
  },
  {
    name: "drain-delay",
    value: "duration",
    fallback: "0s",
    text: "how long, when the server is told to end, /readyz says no before anybody is turned away: for load balancers that look there; none with an etcd of its own",
  },
  {
    name: "drain-time",
    value: "duration",
    fallback: "5s",
    text: "how long clients have to go elsewhere when the server ends; none with an etcd of its own",
  },
  { name: "max-ttl", value: "duration", fallback: "10m", text: "longest TTL that a session may ask for" },
  { name: "max-claims-per-session", value: "n", fallback: "1000", text: "live claims of one session" },
  { name: "max-waiters-per-lock", value: "n", fallback: "10000", text: "claims waiting for one lock" },
  {
    name: "max-reentry-depth",
    value: "n",
    fallback: "100",
    text: "how often one reentry_id may hold a lock at a time",
  },
  {
    name: "metrics",
    value: "on|off",
    fallback: "on",
    text: "whether metrics are kept; off: /metrics is not found, and no collector is sent any",
  },
  {
    name: "lock-classes",
    value: "list",
    text: "classes that metrics tell locks apart by, as class=pattern with commas: orders=orders/*,jobs=nightly/*",
  },
  {
    name: "otlp-endpoint",
    value: "url",
    text: "OpenTelemetry collector that metrics and traces are sent to, such as http://127.0.0.1:4318",
  },
  {
    name: "otlp-headers",
    value: "list",
    text: "what that collector wants with each request, as name=value with commas",
    environmentOnly: true,
  },
  { name: "otlp-interval", value: "duration", fallback: "15s", text: "how often metrics are sent there" },
  {
    name: "trace-ratio",
    value: "n",
    fallback: "0",
    text: "share of acquires to trace, 0 to 1, that come without a trace of their own; those with one follow it",
  },
  { name: "log-level", value: "level", fallback: "info", text: "debug, info, warn or error" },
  { name: "log-format", value: "format", fallback: "auto", text: "text, json, or auto: text on a terminal" },
] as const satisfies readonly Setting[];

export type SettingName = (typeof settings)[number]["name"];

/** The name of the environment variable of a setting. */
export const environmentName = (name: string): string => `HOLDFAST_${name.toUpperCase().replaceAll("-", "_")}`;
