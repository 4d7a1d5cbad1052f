/** The allowed changes of membership, and the configurations that they lead to. */
import fc from "fast-check";
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { MembershipChange } from "../../../../lib/protocol/messages.ts";
import { configurationProblem } from "../../../../lib/protocol/configuration.ts";
import { MAX_REMOVED_IDS } from "../../../../lib/protocol/limits.ts";
import type { Configuration, MemberRecord } from "../../../../lib/raft/mod.ts";
import { foundingConfiguration, membersOf } from "../../../../lib/server/membership/members.ts";
import {
  type MembershipPlan,
  type MembershipSituation,
  planChange,
  planProblem,
  planPromotion,
  withDataIds,
} from "../../../../lib/server/membership/membership_change.ts";

const addressOf = (id: number): string => `n${id}:7001`;

function founded(...ids: number[]): Configuration {
  return foundingConfiguration(ids.map((id) => ({ id, address: addressOf(id) })));
}

function situation(
  configuration: Configuration,
  options: Partial<MembershipSituation> = {},
): MembershipSituation {
  return { configuration, isReachable: () => true, force: false, ...options };
}

/** The plan for a change, with the node that answers at its address. */
function plan(
  change: MembershipChange,
  configuration: Configuration,
  options: Partial<MembershipSituation> = {},
): MembershipPlan {
  const isNew = change.kind === "add" || change.kind === "replace";
  const joiningNode = isNew ? { id: change.id, address: change.address, dataId: 100 + change.id } : null;
  return planChange(change, situation(configuration, options), joiningNode);
}

function proposed(outcome: MembershipPlan): Configuration {
  assert(outcome.kind === "propose", JSON.stringify(outcome));
  return outcome.configuration;
}

function reason(outcome: MembershipPlan): string {
  assert(outcome.kind === "refused", JSON.stringify(outcome));
  return outcome.reason;
}

/** Members as text: `1 2 voter, 3 learner`. */
function text(configuration: Configuration): string {
  return membersOf(configuration).map(({ id, role }) => `${id} ${role}`).join(", ");
}

function record(id: number, changes: Partial<MemberRecord> = {}): MemberRecord {
  return { id, address: addressOf(id), dataId: null, autoPromote: false, replaces: null, ...changes };
}

function add(id: number, learner = false): MembershipChange {
  return { kind: "add", id, address: addressOf(id), learner };
}

function replace(dead: number, id: number): MembershipChange {
  return { kind: "replace", dead, id, address: addressOf(id) };
}

Deno.test("planChange: an added node is a learner that is promoted by itself, with its data directory recorded", () => {
  assertEquals(proposed(plan(add(4), founded(1, 2, 3))), {
    confState: { voters: [1, 2, 3], learners: [4], votersOutgoing: [] },
    members: [record(1), record(2), record(3), record(4, { dataId: 104, autoPromote: true })],
    removedIds: [],
  });
});

Deno.test("planPromotion: a replacement takes the place of the dead voter in one change, whose id cannot be used again", () => {
  const waiting = proposed(plan(replace(3, 4), founded(1, 2, 3)));
  assertEquals(waiting.members.at(-1), record(4, { dataId: 104, autoPromote: true, replaces: 3 }));
  const silent = situation(waiting, { isReachable: (node) => node === 1 });
  assertEquals(proposed(planPromotion(4, silent)), {
    confState: { voters: [1, 2, 4], learners: [], votersOutgoing: [] },
    members: [record(1), record(2), record(4, { dataId: 104 })],
    removedIds: [3],
  });
});

Deno.test("planPromotion: a learner is not promoted while less than a majority of the new voters is reachable", () => {
  const waiting = proposed(plan(add(4), founded(1, 2, 3)));
  assertMatch(
    reason(planPromotion(4, situation(waiting, { isReachable: (node) => node === 1 || node === 4 }))),
    /of the 4 voters that there would be, 3 must answer, and only 2 do \(node 2 and node 3/,
  );
});

Deno.test("planPromotion: seven voters stay seven if a replacement comes after its node was demoted and another promoted", () => {
  let configuration = proposed(plan(replace(3, 8), founded(1, 2, 3, 4, 5, 6, 7)));
  configuration = proposed(plan({ kind: "demote", id: 3 }, configuration));
  configuration = proposed(plan(add(9, true), configuration));
  configuration = proposed(plan({ kind: "promote", id: 9 }, configuration));
  assertMatch(reason(planPromotion(8, situation(configuration))), /at most 7 voters/);
});

Deno.test("planChange: with seven voters a replacement may be promoted by an operator: they stay seven", () => {
  const waiting = proposed(plan(replace(3, 8), founded(1, 2, 3, 4, 5, 6, 7)));
  assertEquals(
    proposed(plan({ kind: "promote", id: 8 }, waiting)).confState.voters,
    [1, 2, 4, 5, 6, 7, 8],
  );
});

Deno.test("planChange: repeating an applied change is a no-op, unless the node has another role", () => {
  const three = founded(1, 2, 3);
  const learning = proposed(plan(add(4, true), three));
  const rising = proposed(plan(add(4), three));
  const replacing = proposed(plan(replace(3, 4), three));
  const replaced = proposed(planPromotion(4, situation(replacing)));
  const removed = proposed(plan({ kind: "remove", id: 3 }, three));
  const done: [MembershipChange, Configuration][] = [
    [add(3), three],
    [add(4), rising],
    [add(4, true), learning],
    [replace(3, 4), replacing],
    [replace(3, 4), replaced],
    [{ kind: "remove", id: 3 }, removed],
    [{ kind: "promote", id: 3 }, three],
    [{ kind: "demote", id: 4 }, learning],
    [{ kind: "update", id: 3, address: addressOf(3) }, three],
  ];
  for (const [change, configuration] of done) {
    assertEquals(plan(change, configuration), { kind: "done" }, JSON.stringify(change));
  }
  assertMatch(reason(plan(add(4), learning)), /as a learner: promote it/);
  assertMatch(reason(plan(add(3, true), three)), /as a voter: demote it/);
  assertMatch(reason(plan(add(4, true), rising)), /becomes a voter once it has caught up/);
});

Deno.test("planChange: dangerous changes are refused with the reason", () => {
  const three = founded(1, 2, 3);
  const removed = proposed(plan({ kind: "remove", id: 3 }, three));
  const joint = { ...three, confState: { ...three.confState, votersOutgoing: [1, 2] } };
  const onlyOne = { isReachable: (node: number) => node === 1 };
  const refusals: [RegExp, MembershipPlan][] = [
    [/another change is in progress/, plan(add(4), joint)],
    [/never used again/, plan(add(3), removed)],
    [
      /a member already, at another address/,
      plan({ kind: "add", id: 3, address: "n9:1", learner: false }, three),
    ],
    [
      /n3:7001 is the address of node 3/,
      plan({ kind: "add", id: 4, address: "n3:7001", learner: true }, three),
    ],
    [/at most 7 voters/, plan(add(8), founded(1, 2, 3, 4, 5, 6, 7))],
    [/node 4 is not a voter/, plan(replace(4, 5), three)],
    [
      /n3:7001 is the address of node 3 until the new one votes: give that another port/,
      plan({ kind: "replace", dead: 3, id: 4, address: "n3:7001" }, three),
    ],
    [/node 9 is not a member/, plan({ kind: "remove", id: 9 }, three)],
    [/node 9 is not a member; add it first/, plan({ kind: "promote", id: 9 }, three)],
    [/node 9 is not a member/, plan({ kind: "demote", id: 9 }, three)],
    [/node 9 is not a member/, plan({ kind: "update", id: 9, address: "n9:1" }, three)],
    [/n2:7001 is the address of node 2/, plan({ kind: "update", id: 3, address: "n2:7001" }, three)],
    [/a cluster needs a voter/, plan({ kind: "remove", id: 1 }, founded(1))],
    [/a cluster needs a voter/, plan({ kind: "demote", id: 1 }, founded(1))],
    [/2 must answer, and only 1 do/, plan({ kind: "remove", id: 3 }, three, onlyOne)],
  ];
  for (const [expected, outcome] of refusals) assertMatch(reason(outcome), expected);
  const forced = proposed(plan({ kind: "remove", id: 3 }, three, { ...onlyOne, force: true }));
  assertEquals(text(forced), "1 voter, 2 voter");
});

Deno.test("planChange: a removal is refused if the configuration can hold no more removed ids", () => {
  const full = {
    ...founded(1, 2, 3),
    removedIds: Array.from({ length: MAX_REMOVED_IDS }, (_, position) => position + 100),
  };
  assertMatch(reason(plan({ kind: "remove", id: 3 }, full)), /which is the maximum/);
  const replacing = proposed(plan(replace(3, 4), full));
  assertMatch(reason(planPromotion(4, situation(replacing))), /which is the maximum/);
});

Deno.test("planChange: data directories are recorded if unknown, and never changed", () => {
  const known = { ...founded(1, 2, 3), members: [record(1, { dataId: 7 }), record(2), record(3)] };
  assertEquals(withDataIds(known, new Map([[1, 8], [2, 9]])).members, [
    record(1, { dataId: 7 }),
    record(2, { dataId: 9 }),
    record(3),
  ]);
});

const anyId = fc.integer({ min: 1, max: 20 });
const anyChange: fc.Arbitrary<MembershipChange> = fc.oneof(
  fc.record({ id: anyId, learner: fc.boolean() }).map(({ id, learner }) => add(id, learner)),
  fc.record({ dead: anyId, id: anyId }).map(({ dead, id }) => replace(dead, id)),
  fc.record({ kind: fc.constantFrom("remove", "promote", "demote"), id: anyId }),
  fc.record({ id: anyId, at: anyId }).map(({ id, at }): MembershipChange => (
    { kind: "update", id, address: addressOf(at) }
  )),
);

Deno.test("planChange: after any sequence of changes the configuration is valid, removed ids stay unused, and a majority is reachable", () => {
  const step = fc.record({
    change: anyChange,
    down: fc.uniqueArray(anyId),
    force: fc.boolean(),
    promote: anyId,
  });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 7 }), fc.array(step, { maxLength: 40 }), (founders, steps) => {
      let configuration = founded(...Array.from({ length: founders }, (_, position) => position + 1));
      for (const { change, down, force, promote } of steps) {
        const now = { isReachable: (node: number) => !down.includes(node), force };
        const isWaiting = configuration.confState.learners.includes(promote);
        const outcomes = [
          plan(change, configuration, now),
          ...isWaiting ? [planPromotion(promote, situation(configuration, now))] : [],
        ];
        for (const outcome of outcomes) {
          if (outcome.kind !== "propose") continue;
          checkStep(configuration, outcome.configuration, now);
        }
        const last = outcomes.findLast(({ kind }) => kind === "propose");
        if (last?.kind === "propose") configuration = last.configuration;
      }
    }),
    { numRuns: 500 },
  );
});

function checkStep(
  before: Configuration,
  after: Configuration,
  { isReachable, force }: Pick<MembershipSituation, "isReachable" | "force">,
): void {
  assertEquals(configurationProblem(after), null);
  assertEquals(after.confState.votersOutgoing, []);
  assert(before.removedIds.every((id) => after.removedIds.includes(id)), "a spent id stays spent");
  const addresses = after.members.map(({ address }) => address);
  assertEquals(new Set(addresses).size, addresses.length, "no two members have one address");
  const { voters } = after.confState;
  const isSame = voters.join() === before.confState.voters.join();
  const gained = voters.filter((id) => !before.confState.voters.includes(id));
  // A replacement leaves as many voters as there were, for a silent one at most.
  const isReplacement = gained.length === 1 && voters.length === before.confState.voters.length;
  const reachable = voters.filter(isReachable).length;
  assert(
    force || isSame || isReplacement || reachable > voters.length / 2,
    `${text(before)} became ${text(after)}, and only ${reachable} answer`,
  );
}

Deno.test("planChange: a plan that exceeds the size of a configuration, or leads to one that does, is refused before it is proposed", () => {
  const current = founded(1, 2);
  const moved = { ...current, members: [record(1), record(2, { address: "0.0.0.0:7001" })] };
  assertMatch(planProblem(moved, current) ?? "", /configuration would be invalid: address must be host:port/);
  assertMatch(planProblem({ ...founded(1, 2), removedIds: [2] }, current) ?? "", /is not used again/);
  const full = { ...current, removedIds: Array.from({ length: MAX_REMOVED_IDS }, (_, at) => at + 10) };
  const smaller = { ...founded(1), removedIds: full.removedIds };
  assertMatch(planProblem(smaller, full) ?? "", /removedIds must not be more/);
  assertEquals(planProblem(founded(1, 2, 3), current), null);
});
