/** `kvraft client check` on real nodes: transactions with branches and reads of the past, while the leader is killed. */
import { assert, assertEquals } from "@std/assert";
import { TestCluster } from "../../support/processes/cluster.ts";
import { eventually } from "../../support/eventually.ts";
import { runKvraft } from "../../support/processes/process.ts";

const MIX = "put=20,get=30,branches=20,transaction=5,delete=5,list=10";
/** So few that the history is compacted many times. */
const HISTORY_BYTES = 16_384;
/** The prefix of the keys that `check` writes. */
const PREFIX = "checked/";

Deno.test("client check: transactions with branches and past reads are linearizable after kill -9 of the leader", async () => {
  await using cluster = await TestCluster.start({ flags: ["--history-bytes", `${HISTORY_BYTES}`] });
  const leader = await cluster.waitForLeader();
  await using client = await cluster.connect();
  const checked = runKvraft([
    ...["client", "--cluster", cluster.ids.map((id) => cluster.address(id)).join(",")],
    ...["check", "--duration", "6s", "--mix", MIX, "--prefix", PREFIX, "--seed", "1", "--output", "json"],
  ], { cwd: cluster.folder.path });
  await eventually("check has written", async () => {
    const { entries } = await client.list({ prefix: PREFIX });
    return entries.length > 0 ? true : null;
  });
  await cluster.kill(leader);
  await cluster.waitForLeader(cluster.ids.filter((id) => id !== leader));
  await cluster.startNode(leader);
  const { code, stdout, stderr } = await checked;
  assertEquals([code, stderr], [0, ""], stdout);
  const report = JSON.parse(stdout);
  assertEquals([report.verdict, report.cleared], ["linearizable", true], stdout);
  assert(report.byKind.branches.answered > 0, stdout);
  await cluster.waitForEqualStates();
});
