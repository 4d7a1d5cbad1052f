/**
 * Random programs over bare gRPC have the same outcomes on kvraft as on etcd, but for the exceptions that
 * programs/exceptions.ts names. `deno task etcd:diff` runs more of them.
 */
import { assert, assertEquals } from "@std/assert";
import { EtcdCluster } from "../support/etcd/cluster.ts";
import { type Body, Driver, driverProgram, type DriverStep, type Outcome } from "../support/etcd/driver.ts";
import { EtcdServer, etcdVersion } from "../support/etcd/server.ts";
import { skip } from "../support/processes/process.ts";
import { compare, differenceText, type Pair, shortened } from "./programs/comparison.ts";
import { programOf } from "./programs/generator.ts";

const MAX_SHOWN = 3;

/** Returns the first differences of programs. */
async function differencesOf(pair: Pair, programs: number): Promise<readonly string[]> {
  const texts: string[] = [];
  for (let seed = 1; seed <= programs && texts.length < MAX_SHOWN; seed++) {
    const { difference } = await compare(pair, seed);
    if (difference !== null) texts.push(differenceText(difference));
  }
  return texts;
}

/** Returns the driver program where it and etcd are available; otherwise says why the test is skipped. */
async function programOrSkip(): Promise<string | null> {
  const program = etcdVersion() === null ? null : await driverProgram();
  if (program === null) skip("there is no etcd, or no Go with etcd's modules");
  return program;
}

/** A driver that leaves a field out of every request. */
class FaultyDriver extends Driver {
  override perform(step: DriverStep): Promise<Outcome> {
    if (!("call" in step) || !("body" in step)) return super.perform(step);
    const { count_only: _, ...body }: Body = step.body ?? {};
    return super.perform({ ...step, body });
  }
}

Deno.test("random programs: two etcds have the same outcomes, and a planted difference is found", async () => {
  const program = await programOrSkip();
  if (program === null) return;
  await using one = await EtcdServer.start();
  await using other = await EtcdServer.start();
  await using etcd = new Driver(program, one.address);
  await using kvraft = new Driver(program, other.address);
  assertEquals(await differencesOf({ etcd, kvraft }, 8), []);
  await using faulty = new FaultyDriver(program, other.address);
  const pair = { etcd, kvraft: faulty };
  for (let seed = 100;; seed++) {
    // Those with streams take longer.
    if (programOf(seed).some(({ kind }) => kind === "open")) continue;
    const { difference } = await compare(pair, seed);
    if (difference === null) continue;
    const least = await shortened(pair, difference);
    assert(least.program.length <= 3, differenceText(least));
    assert(JSON.stringify(least.program.at(-1)).includes("count_only"), differenceText(least));
    return;
  }
});

// A follower is behind in serializable reads and new watches, as one of etcd is: the leader is asked.
for (const nodes of [1, 3]) {
  Deno.test(`random programs: a cluster of ${nodes} answers as etcd does`, async () => {
    const program = await programOrSkip();
    if (program === null) return;
    await using peer = await EtcdServer.start();
    await using served = await EtcdCluster.start({ nodes });
    await using etcd = new Driver(program, peer.address);
    await using kvraft = new Driver(program, await served.leaderAddress());
    assertEquals(await differencesOf({ etcd, kvraft }, nodes === 1 ? 24 : 8), []);
    await served.cluster.waitForEqualStates();
  });
}
