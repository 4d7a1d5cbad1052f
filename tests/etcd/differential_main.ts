/**
 * `deno task etcd:diff`: runs random programs on etcd and on a node of a kvraft cluster, over bare gRPC, and prints those
 * whose outcomes differ.
 *
 *     --programs N        how many (400, which is about ten thousand requests)
 *     --first S           the first seed (a random one)
 *     --nodes N           nodes of the kvraft cluster (1)
 *     --against etcd      compares etcd with another etcd, which shows what the tool takes for a difference
 *     --all               goes on after ten differences
 */
// deno-lint-ignore-file no-console -- this is a command
import { parseArgs } from "node:util";
import { EtcdCluster } from "../support/etcd/cluster.ts";
import { Driver, driverProgram } from "../support/etcd/driver.ts";
import { EtcdServer, etcdVersion } from "../support/etcd/server.ts";
import { compare, differenceText, shortened } from "./programs/comparison.ts";

const DEFAULT_PROGRAMS = 400;
const MAX_DIFFERENCES = 10;
const SAID_EVERY = 50;

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      programs: { type: "string" },
      first: { type: "string" },
      nodes: { type: "string" },
      against: { type: "string" },
      all: { type: "boolean" },
    },
  });
  const program = await driverProgram();
  if (program === null || etcdVersion() === null) {
    console.log("This needs etcd on the PATH, and go with etcd's modules.");
    Deno.exit(1);
  }
  const first = Number(values.first ?? Math.floor(Math.random() * 1e9));
  const count = Number(values.programs ?? DEFAULT_PROGRAMS);
  await using owner = new AsyncDisposableStack();
  const peer = owner.use(await EtcdServer.start());
  const address = values.against === "etcd"
    ? owner.use(await EtcdServer.start()).address
    : await owner.use(await EtcdCluster.start({ nodes: Number(values.nodes ?? 1) })).leaderAddress();
  const pair = {
    etcd: owner.use(new Driver(program, peer.address)),
    kvraft: owner.use(new Driver(program, address)),
  };
  console.log(`seeds ${first} to ${first + count - 1}`);
  const exceptions = new Map<string, number>();
  let requests = 0;
  let differing = 0;
  for (let done = 0; done < count; done++) {
    const one = await compare(pair, first + done);
    requests += one.requests;
    for (const name of one.exceptions) exceptions.set(name, (exceptions.get(name) ?? 0) + 1);
    if (one.difference !== null) {
      console.log(differenceText(await shortened(pair, one.difference)));
      if (++differing >= MAX_DIFFERENCES && values.all !== true) break;
    }
    if ((done + 1) % SAID_EVERY === 0) {
      console.log(`${done + 1} programs, ${requests} requests, ${differing} differ`);
    }
  }
  for (const [name, times] of exceptions) console.log(`exception ${name}: ${times} times`);
  console.log(`${requests} requests, ${differing} programs differ`);
  Deno.exitCode = differing > 0 ? 1 : 0;
}
