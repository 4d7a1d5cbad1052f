/** `kvraft client check --mix watch` on real nodes, while the leader is killed and another node is paused. */
import { assert, assertEquals } from "@std/assert";
import { TestCluster } from "../../support/processes/cluster.ts";
import { eventually } from "../../support/eventually.ts";
import { runKvraft } from "../../support/processes/process.ts";

/** The prefix of the keys that `check` writes. */
const PREFIX = "checked/";
/** So few that some watches find the history compacted. */
const HISTORY_BYTES = 65_536;

Deno.test("client check: watchers miss and double nothing while the leader is killed and another node is paused", async () => {
  await using cluster = await TestCluster.start({ flags: ["--history-bytes", `${HISTORY_BYTES}`] });
  const leader = await cluster.waitForLeader();
  await using client = await cluster.connect();
  const checked = runKvraft([
    ...["client", "--cluster", cluster.ids.map((id) => cluster.address(id)).join(",")],
    ...["check", "--duration", "8s", "--mix", "watch", "--prefix", PREFIX, "--seed", "1", "--output", "json"],
  ], { cwd: cluster.folder.path });
  await eventually("check has written", async () => {
    const { entries } = await client.list({ prefix: PREFIX });
    return entries.length > 0 ? true : null;
  });
  await cluster.kill(leader);
  const next = await cluster.waitForLeader(cluster.ids.filter((id) => id !== leader));
  await cluster.startNode(leader);
  await cluster.waitForLeader();
  cluster.pause(next);
  await cluster.waitForLeader(cluster.ids.filter((id) => id !== next));
  cluster.resume(next);
  const { code, stdout, stderr } = await checked;
  assertEquals([code, stderr], [0, ""], stdout);
  const { verdict, watching, cleared } = JSON.parse(stdout);
  assertEquals([verdict, cleared, watching.late], ["linearizable", true, 0], stdout);
  assert(watching.events > 100 && watching.watches > watching.watchers && watching.leaseEnds > 0, stdout);
  await cluster.waitForEqualStates();
});
