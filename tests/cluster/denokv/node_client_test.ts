/** npm's `@deno/kv` in Node on a kvraft cluster: every kind of call, and the limits that only the server enforces. */
import { assertEquals } from "@std/assert";
import { CHECKOUT } from "../../support/checkout.ts";
import { CLIENT_ENVIRONMENT } from "../../support/denokv/server.ts";
import { Process, skip } from "../../support/processes/process.ts";
import { installNodeClient } from "../../support/denokv/stock_clients.ts";
import { TemporaryFolder } from "../../support/temporary.ts";
import { DenokvCluster } from "../../support/denokv/cluster.ts";

const PROGRAM = `${CHECKOUT}tests/cluster/denokv/node_client.mjs`;

/** The outcomes of the calls, by name. */
const OUTCOMES: Readonly<Record<string, unknown>> = {
  "set": true,
  "get": { name: "Ada" },
  "get of an absent key before others": null,
  "getMany of 11 keys": [null, null, null, null, null, "Ada", null, null, null, null, null],
  "check of another versionstamp": false,
  "sum": "7n",
  "sum on a bigint": "throws 400 Failed to perform 'sum' mutation on a non-U64 value in the database",
  "get after a commit that failed": null,
  "list of 250 keys": [250, 0, 249, [249, 248, 247]],
  "empty commits": [true, true],
  "delete": null,
  "watch": [1, 2, 3],
  "a value of 65,537 bytes": "throws 400 Value too large (max 65536 bytes)",
  "a key of 2,049 bytes": "throws 400 Key too large for write (max 2048 bytes)",
  "101 checks": "throws 400 Too many checks (max 100)",
  "1,001 mutations": "throws 400 Too many mutations (max 1000)",
  "a commit of 851,968 bytes": "throws 400 Total mutation size too large (max 819200 bytes)",
  "keys of 84,000 bytes": "throws 400 Total key size too large (max 81920 bytes)",
  "enqueue": "throws 400 Enqueue operations are not supported in KV Connect",
  "a versionstamp of one byte": "throws 400 Invalid check: a versionstamp has 10 bytes",
};

Deno.test("@deno/kv in Node: every call, and every limit that its server enforces", async () => {
  await using folder = await TemporaryFolder.make();
  if (!await installNodeClient(folder.path)) return skip("npm could not install @deno/kv");
  await Deno.copyFile(PROGRAM, `${folder.path}/node_client.mjs`);
  await using served = await DenokvCluster.start();
  await served.cluster.waitForLeader();
  await using program = Process.start("node", ["node_client.mjs", served.url(1)], {
    cwd: folder.path,
    env: CLIENT_ENVIRONMENT,
  });
  const { stdout, stderr } = await program.end({ explain: served.cluster.logs });
  const lines = stdout.trim().split("\n").map((line): [string, unknown] => JSON.parse(line));
  assertEquals(Object.fromEntries(lines), OUTCOMES, stderr);
});
