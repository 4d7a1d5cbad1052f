/** A copy of a node's folder that runs together with its original: the other nodes log the cause. */
import { assert } from "@std/assert";
import { TestCluster } from "../support/processes/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { startKvraft } from "../support/processes/process.ts";
import { freePorts } from "../support/temporary.ts";

Deno.test("data folder: two nodes that run from copies of one folder are reported by the nodes that both dial", async () => {
  await using cluster = await TestCluster.start();
  const leader = await cluster.waitForLeader();
  const original = cluster.ids.find((id) => id !== leader);
  assert(original !== undefined);
  await cluster.stop(original);
  const copied = await new Deno.Command("cp", {
    args: ["-r", cluster.dataFolder(original), `${cluster.dataFolder(original)}-copy`],
  }).output();
  assert(copied.success);
  await cluster.startNode(original);
  const bind = `127.0.0.1:${freePorts(1)}`;
  const folder = `${cluster.dataFolder(original)}-copy`;
  const args = cluster.serverArguments(original, bind).map((arg) =>
    arg === cluster.dataFolder(original) ? folder : arg
  );
  const extra = args.includes(folder) ? [] : ["--data-dir", folder];
  await using _copy = startKvraft(["server", ...args, ...extra], { cwd: cluster.folder.path });
  await eventually("a node says that two processes call as one", () => {
    return cluster.logs().includes("Two processes connect as one node") ? true : null;
  }, { explain: cluster.logs });
});
