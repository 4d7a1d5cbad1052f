/** Alarms and checks of the health of a node that serves etcd's clients. */
import { assertEquals } from "@std/assert";
import type { ServedNode } from "../../../lib/etcd/context.ts";
import { alarmsOf, healthProblem, problemOf } from "../../../lib/etcd/health.ts";
import type { NodeStatus } from "../../../lib/protocol/messages.ts";
import { FakeCluster } from "../../support/fakes/scripted_node.ts";

const MIB = 1_048_576;
const LARGEST = 1.5 * MIB;

function status(differences: Partial<NodeStatus> = {}): NodeStatus {
  const [node] = new FakeCluster(1).nodes;
  if (node === undefined) throw new Error("there is a node");
  return { ...node.status(), ...differences };
}

function node(
  differences: Partial<NodeStatus>,
  { leader = 1n, isReadable = true } = {},
): ServedNode {
  return {
    view: () => ({ clusterId: 1n, memberId: 1n, raftTerm: 1, leader, revision: 1 }),
    status: () => Promise.resolve(status(differences)),
    isReadable: () => Promise.resolve(isReadable),
  };
}

/** Whether the alarm is raised for a state and a quota. */
function isRaised(stateBytes: number, quotaBytes: number | null): boolean {
  return alarmsOf(status({ stateBytes, quotaBytes })).length > 0;
}

Deno.test("alarmsOf: it is raised from the part of the quota on in which a request may be refused, and ends by itself", () => {
  assertEquals(isRaised(Number.MAX_SAFE_INTEGER, null), false, "there is no quota");
  // A hundredth of a large quota, the largest request of a usual one, and a quarter of a small one.
  for (const [quota, spare] of [[1_000 * MIB, 10 * MIB], [100 * MIB, LARGEST], [4_000, 1_000]] as const) {
    assertEquals([isRaised(quota - spare, quota), isRaised(quota - spare + 1, quota)], [false, true]);
  }
  assertEquals(alarmsOf(status({ disk: "nearlyFull" })), ["NOSPACE"]);
});

Deno.test("healthProblem: alarms, a missing leader and a read that is not answered have etcd's words", async () => {
  const ask = (served: ServedNode, excluded: readonly string[] = [], isSerializable = false) =>
    healthProblem(served, { isSerializable, excluded });
  assertEquals(await ask(node({})), null);
  const full = node({ disk: "full" });
  assertEquals([await ask(full), await ask(full, ["NOSPACE"])], ["ALARM NOSPACE", null]);
  const leaderless = node({ leader: null }, { leader: 0n, isReadable: false });
  assertEquals([await ask(leaderless), await ask(leaderless, [], true)], ["RAFT NO LEADER", null]);
  const behind = node({}, { isReadable: false });
  assertEquals(await ask(behind), "RANGE ERROR:etcdserver: request timed out");
});

Deno.test("problemOf: a learner, and a node that is no member yet, fail the check for voters", async () => {
  const member = { id: 1, address: "n1:7001" } as const;
  const check = (members: NodeStatus["members"]) => problemOf("non_learner", node({ id: 1, members }));
  assertEquals(await check([{ ...member, role: "voter" }]), null);
  assertEquals(await check([{ ...member, role: "learner" }]), "not supported for learner");
  assertEquals(await check([]), "not supported for learner");
});
