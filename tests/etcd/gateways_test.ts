/**
 * etcd's Go client with its recipes and a recorded history through two gateways, which are killed in turn: clients go on
 * through the other one, and what a gateway had in progress is applied once or not at all.
 */
import { EtcdCluster } from "../support/etcd/cluster.ts";
import { driverProgram } from "../support/etcd/driver.ts";
import { Recipes } from "../support/etcd/recipes.ts";
import { type Process, skip, startKvraft } from "../support/processes/process.ts";
import { freePorts } from "../support/temporary.ts";

const HOST = "127.0.0.1";
/** Kills of each gateway. */
const ROUNDS = 2;

/** Starts a gateway for etcd's clients, and waits until it serves. */
async function startGateway({ cluster }: EtcdCluster, address: string): Promise<Process> {
  const nodes = cluster.ids.map((id) => cluster.address(id)).join(",");
  const gateway = startKvraft(["gateway", "--cluster", nodes, "--etcd", address], {
    cwd: cluster.folder.path,
    name: `the gateway on ${address}`,
  });
  await gateway.waitForOutput(/serves etcd v3/, { explain: cluster.logs });
  return gateway;
}

Deno.test("clientv3: kill -9 of two gateways in turn, and of the leader: nothing is lost, applied twice or missed", async () => {
  const program = await driverProgram();
  if (program === null) return skip("there is no Go with etcd's modules");
  await using served = await EtcdCluster.start();
  const { cluster } = served;
  const firstPort = freePorts(2);
  const addresses = [firstPort, firstPort + 1].map((port) => `${HOST}:${port}`);
  await using gateways = new AsyncDisposableStack();
  const start = async (address: string): Promise<Process> =>
    gateways.use(await startGateway(served, address));
  const running = new Map<string, Process>();
  for (const address of addresses) running.set(address, await start(address));
  const logs = (): string => [...running.values()].map(({ printed }) => printed).join("\n") + cluster.logs();
  await using recipes = new Recipes(program, addresses, logs);
  await recipes.progress();
  for (let round = 0; round < ROUNDS; round++) {
    for (const address of addresses) {
      await running.get(address)?.kill();
      await recipes.progress();
      running.set(address, await start(address));
      await recipes.progress();
    }
  }
  const leader = await cluster.waitForLeader();
  await cluster.kill(leader);
  await recipes.progress();
  await cluster.startNode(leader);
  await recipes.progress();
  await recipes.verify();
  await cluster.waitForEqualStates();
});
