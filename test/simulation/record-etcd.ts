/**
 * Records what the pinned etcd makes of a script of its oddities, for the simulated one to be held against:
 * `node test/simulation/record-etcd.ts` writes `etcd-recording.json` beside this file.
 */
import { writeFileSync } from "node:fs";
import { play, writeScript } from "./etcd-script.ts";
import { withRealEtcd } from "./etcds-under-script.ts";

const told = await withRealEtcd((etcd) => play(etcd, writeScript()));
const lines = told.map((each) => JSON.stringify(each)).join(",\n");
writeFileSync(new URL("./etcd-recording.json", import.meta.url), `[\n${lines}\n]\n`);
console.log(`${told.length} steps recorded`);
