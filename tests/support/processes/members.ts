/** What an operator types to change who belongs to a cluster of real processes, and what is to be seen of it then. */
import { assertEquals, assertMatch } from "@std/assert";
import type { Member } from "../../../lib/mod.ts";
import type { TestCluster } from "./cluster.ts";

/** Starts a new node and adds it, until it votes. Gives its id. */
export async function addNode(cluster: TestCluster): Promise<number> {
  const id = await cluster.join();
  const { stdout } = await cluster.client(["member", "add", `${id}`, cluster.memberAddress(id)]);
  assertMatch(stdout, new RegExp(`^ok  n${id} votes now\\. `));
  return id;
}

/** Removes a running node: its process says so and ends. */
export async function removeNode(cluster: TestCluster, id: number): Promise<void> {
  const { stdout } = await cluster.client(["member", "remove", `${id}`]);
  assertMatch(stdout, new RegExp(`^ok  n${id} is removed\\. `));
  await assertLeaves(cluster, id);
}

/** Starts a new node that takes the place of another, running or not. Gives its id. */
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

/** A node that runs and is no member any more says so, ends with 1, and is no part of the cluster from then on. */
export async function assertLeaves(cluster: TestCluster, id: number): Promise<void> {
  const { code, stderr } = await cluster.end(id);
  assertEquals(code, 1, stderr);
  // It has applied its removal, or was told of it by those that have.
  assertMatch(stderr, new RegExp(`kvraft: this node stopped: .*node ${id} was removed from the cluster`));
  await cluster.discard(id);
}

/** The members as `client members` shows them: `voter 1`. */
export async function rolesOf(cluster: TestCluster): Promise<readonly string[]> {
  const { stdout } = await cluster.client(["members", "--output", "json"]);
  const { members }: { members: readonly Member[] } = JSON.parse(stdout);
  return members.map(({ id, role }) => `${role} ${id}`);
}
