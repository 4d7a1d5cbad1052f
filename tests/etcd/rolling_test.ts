/** A rolling restart under etcd's Go client: only requests that are in progress at the stopped node may fail. */
import { assert, assertEquals } from "@std/assert";
import { CHECKOUT } from "../support/checkout.ts";
import { EtcdCluster } from "../support/etcd/cluster.ts";
import { driverProgram } from "../support/etcd/driver.ts";
import { eventually } from "../support/eventually.ts";
import { Process, skip } from "../support/processes/process.ts";

const MIN_REQUESTS = 50;

/** The last line of the program. */
interface Report {
  readonly clients: number;
  readonly requests: number;
  readonly failures: Readonly<Record<string, number>>;
}

/** Waits for more requests. */
async function progress(process: Process): Promise<void> {
  const count = (): number => Number([...process.printed.matchAll(/"steady":(\d+)/g)].at(-1)?.[1] ?? 0);
  const goal = count() + MIN_REQUESTS;
  await eventually("clients go on", () => count() >= goal ? true : null, { explain: () => process.printed });
}

Deno.test("rolling restart: no request of clientv3 fails but those in progress at the stopped node", async () => {
  const program = await driverProgram();
  if (program === null) return skip("there is no Go with etcd's modules");
  await using served = await EtcdCluster.start();
  const { cluster } = served;
  await using process = Process.start(program, ["steady", served.addresses.join(",")], {
    cwd: CHECKOUT,
    name: "steady requests",
    keepsInput: true,
  });
  await progress(process);
  for (const id of cluster.ids) {
    await cluster.stop(id);
    await cluster.startNode(id);
    await cluster.waitForLeader();
    await progress(process);
  }
  await process.endInput();
  const { code, stdout } = await process.end({ explain: cluster.logs });
  assertEquals(code, 0);
  const { clients, failures }: Report = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
  const failed = Object.values(failures).reduce((sum, one) => sum + one, 0);
  // A client does one request at a time: each of them may be in progress at each stop.
  assert(failed <= clients * cluster.ids.length, JSON.stringify(failures));
});
