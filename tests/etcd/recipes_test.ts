/**
 * etcd's Go client with its recipes for mutexes, elections and transactional memory, its watches, and a recorded history,
 * while leaders are killed, nodes restarted and all of them killed: nothing is lost, counted twice, repeated or missing.
 */
import { assert } from "@std/assert";
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
