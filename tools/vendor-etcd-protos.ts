/**
 * Copies etcd's own protos from its Go module and takes out the options that only its gateway,
 * OpenAPI and version tooling read, so that they compile without those packages.
 *
 * Run: `node tools/vendor-etcd-protos.ts "$(go env GOMODCACHE)/go.etcd.io/etcd/api/v3@v3.7.3"`.
 * Writes `third_party/etcd`. The messages and services are untouched; etcd's licence is kept beside them.
 */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const from = process.argv[2];
if (from === undefined) throw new Error("usage: vendor-etcd-protos.ts <folder of go.etcd.io/etcd/api/v3>");
const to = join(import.meta.dirname, "../third_party/etcd");

function strip(source: string): string {
  return (
    source
      .replace(/^import "(google\/api|protoc-gen-openapiv2|etcd\/api\/versionpb)\/.*\n/gm, "")
      .replace(/^\/\/ for grpc-gateway\n/gm, "")
      // Options of the file and of methods with a body in braces, which end at their own indentation.
      .replace(/^( *)option \((?:grpc\.gateway|google\.api)[^=]*= \{\n[\s\S]*?\n *\};\n/gm, (whole, indent: string) =>
        indent === "" ? balanced(whole) : "",
      )
      .replace(/^ *option \(versionpb\.[^)]*\) = [^;]*;\n/gm, "")
      .replace(/ *\[\(versionpb\.[^)]*\) *= *"[^"]*"\]/g, "")
      .replace(/,? *\(versionpb\.[^)]*\) *= *"[^"]*"/g, "")
  );
}

/** The top-level OpenAPI option nests braces; its end is the line "};" in the first column. */
function balanced(whole: string): string {
  if (!whole.trimEnd().endsWith("\n};")) throw new Error("unexpected option block");
  return "";
}

const files = ["etcdserverpb/rpc.proto", "mvccpb/kv.proto", "authpb/auth.proto"];
for (const file of files) {
  const target = join(to, "etcd/api", file);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, strip(readFileSync(join(from, file), "utf8")));
}
copyFileSync(join(from, "LICENSE"), join(to, "LICENSE"));
