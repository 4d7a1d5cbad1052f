/** Output of status, members and health about nodes that are suspended, dead, or no longer lead. */
import { assertEquals } from "@std/assert";
import { isDeepStrictEqual } from "node:util";
import { TestCluster } from "../support/processes/cluster.ts";
import { eventually } from "../support/eventually.ts";

interface Row {
  readonly id: number;
  readonly state: string;
  readonly lag: number | null;
  readonly lastContactMs: number | null;
}

/** Waits until `status` and `members` give each node this state; `status` ends with `code`. A busy machine may be slow. */
async function awaitStates(
  cluster: TestCluster,
  { expected, code }: { readonly expected: Readonly<Record<number, string>>; readonly code: number },
): Promise<void> {
  for (const command of ["status", "members"]) {
    await eventually(`${command} says ${JSON.stringify(expected)}`, async () => {
      const addresses = cluster.ids.map((id) => cluster.address(id)).join(",");
      const ended = await cluster.run(["client", "--cluster", addresses, command, "--output", "json"]);
      const { nodes, members }: { readonly nodes?: readonly Row[]; readonly members?: readonly Row[] } = JSON
        .parse(ended.stdout);
      const states = (nodes ?? members ?? []).map(({ id, state }) => [id, state]);
      return isDeepStrictEqual([ended.code, Object.fromEntries(states)], [
          command === "status" ? code : 0,
          expected,
        ])
        ? true
        : null;
    }, { explain: cluster.logs });
  }
}

/** Waits until the other nodes follow a leader; returns its id. */
async function newLeader(cluster: TestCluster, old: number): Promise<number> {
  return await cluster.waitForLeader(cluster.ids.filter((id) => id !== old));
}

Deno.test("status: suspended nodes are not answering, dead ones unreachable, and health exits with 0 only while reads work", async () => {
  await using cluster = await TestCluster.start();
  const leader = await cluster.waitForLeader();
  const [frozen = 0, other = 0] = cluster.ids.filter((id) => id !== leader);
  await cluster.client(["health"]);
  cluster.pause(frozen);
  const withLeader = { [leader]: "up", [frozen]: "notAnswering", [other]: "up" };
  await awaitStates(cluster, { expected: withLeader, code: 0 });
  // Enough runs that one of them begins with the suspended node's address.
  for (let round = 0; round < 6; round++) await cluster.client(["health"]);
  await cluster.kill(leader);
  const withoutLeader = { [leader]: "unreachable", [frozen]: "notAnswering", [other]: "up" };
  await awaitStates(cluster, { expected: withoutLeader, code: 3 });
  const { stdout } = await cluster.client(["health", "--timeout-ms", "500", "--output", "json"], { code: 3 });
  assertEquals(JSON.parse(stdout).healthy, false);
  cluster.resume(frozen);
  await newLeader(cluster, leader);
  await cluster.client(["health"]);
});

Deno.test("members: a dead leader is shown as one that its successor has not heard from", async () => {
  await using cluster = await TestCluster.start();
  const old = await cluster.waitForLeader();
  await cluster.client(["put", "k", "v"]);
  await cluster.kill(old);
  await newLeader(cluster, old);
  const { stdout } = await cluster.client(["members", "--output", "json"]);
  const { members }: { readonly members: readonly Row[] } = JSON.parse(stdout);
  const { state, lag, lastContactMs } = members.find(({ id }) => id === old) ?? {};
  assertEquals({ state, lag, lastContactMs }, { state: "unreachable", lag: null, lastContactMs: null });
});
