/**
 * etcd's Go client with its recipes for mutexes, elections and transactional memory, its watches, and a recorded history,
 * while leaders are killed, nodes restarted and all of them killed: nothing is lost, counted twice, repeated or missing.
 */
import { assert } from "@std/assert";
import { EtcdCluster } from "../support/etcd/cluster.ts";
import { driverProgram } from "../support/etcd/driver.ts";
import { Recipes } from "../support/etcd/recipes.ts";
import { EtcdServer, etcdVersion } from "../support/etcd/server.ts";
import { skip } from "../support/processes/process.ts";

const NO_GO = "there is no Go with etcd's modules";

Deno.test("clientv3: its recipes, watches and history find nothing wrong with etcd", async () => {
  const program = await driverProgram();
  if (program === null) return skip(NO_GO);
  if (etcdVersion() === null) return skip("etcd is not installed");
  await using etcd = await EtcdServer.start();
  await using recipes = new Recipes(program, [etcd.address], () => "");
  await recipes.progress();
  const { history = 0 } = await recipes.verify();
  assert(history > 0, "there is a history");
});

Deno.test("clientv3: kill -9 of leaders and of all nodes, restarts: nothing is lost, and no event is missing", async () => {
  const program = await driverProgram();
  if (program === null) return skip(NO_GO);
  await using served = await EtcdCluster.start();
  const { cluster } = served;
  await using recipes = new Recipes(program, served.addresses, cluster.logs);
  await recipes.progress();
  for (let kill = 0; kill < 2; kill++) {
    const leader = await cluster.waitForLeader();
    await cluster.kill(leader);
    await recipes.progress();
    await cluster.startNode(leader);
  }
  for (const id of cluster.ids) {
    await cluster.stop(id);
    await cluster.startNode(id);
    await cluster.waitForLeader();
  }
  await recipes.progress();
  await Promise.all(cluster.ids.map((id) => cluster.kill(id)));
  await cluster.startNodes(cluster.ids);
  await recipes.progress();
  await recipes.verify();
  await cluster.waitForEqualStates();
});
