/** An operator's commands for membership changes of a cluster of real processes, with checks of their effect. */
import { assertEquals, assertMatch } from "@std/assert";
import type { Member } from "../../../lib/mod.ts";
import type { TestCluster } from "./cluster.ts";

/** Starts a new node, adds it and waits until it votes. Returns its id. */
export async function addNode(cluster: TestCluster): Promise<number> {
  const id = await cluster.join();
  const { stdout } = await cluster.client(["member", "add", `${id}`, cluster.memberAddress(id)]);
  assertMatch(stdout, new RegExp(`^ok  n${id} votes now\\. `));
  return id;
}

/** Removes a running node: its process logs that and exits. */
export async function removeNode(cluster: TestCluster, id: number): Promise<void> {
  const { stdout } = await cluster.client(["member", "remove", `${id}`]);
  assertMatch(stdout, new RegExp(`^ok  n${id} is removed\\. `));
  await assertLeaves(cluster, id);
}

/** Starts a new node that replaces another, running or not. Returns its id. */
export async function replaceNode(cluster: TestCluster, old: number): Promise<number> {
  const id = await cluster.join();
  const { stdout } = await cluster.client([
    "member",
    "replace",
    `${old}`,
    `${id}`,
    cluster.memberAddress(id),
  ]);
  assertMatch(stdout, new RegExp(`^ok  n${id} votes in the place of n${old}\\. `));
  return id;
}

/** Waits until a removed node logs its removal and exits with 1, and drops it from the cluster. */
export async function assertLeaves(cluster: TestCluster, id: number): Promise<void> {
  const { code, stderr } = await cluster.end(id);
  assertEquals(code, 1, stderr);
  // It has applied its removal, or learned of it from nodes that have.
  assertMatch(stderr, new RegExp(`kvraft: this node stopped: .*node ${id} was removed from the cluster`));
  await cluster.discard(id);
}

/** Returns the members as `client members` shows them: `voter 1`. */
export async function rolesOf(cluster: TestCluster): Promise<readonly string[]> {
  const { stdout } = await cluster.client(["members", "--output", "json"]);
  const { members }: { members: readonly Member[] } = JSON.parse(stdout);
  return members.map(({ id, role }) => `${role} ${id}`);
}
