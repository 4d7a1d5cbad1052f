/** The configuration that holds at each index of a log, and the steps from one configuration to the next. */
import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { InvariantError } from "../../../lib/platform/assert.ts";
import { ConfigurationHistory } from "../../../lib/raft/configuration_history.ts";
import { finalOf, jointOf, targetProblem, withSameVoters } from "../../../lib/raft/membership.ts";
import type { Configuration } from "../../../lib/raft/mod.ts";
import { configurationOf, configurationText, TEXT_CODEC } from "../../support/raft/configuration.ts";

/** Configurations that differ in one number, so that a test can distinguish them. */
function numbered(number: number): Configuration {
  return configurationOf({ voters: [number] });
}

function historyFrom(index: number, number: number): ConfigurationHistory {
  return new ConfigurationHistory({ index, term: 1, configuration: numbered(number) });
}

Deno.test("ConfigurationHistory: a configuration holds from when it is appended until its entry is discarded", () => {
  const history = historyFrom(0, 1);
  history.append(3, numbered(2));
  history.append(5, numbered(3));
  assertEquals([history.newestIndex, history.newest.confState.voters], [5, [3]]);
  history.truncateFrom(5);
  assertEquals([history.newestIndex, history.newest.confState.voters], [3, [2]]);
  history.truncateFrom(1);
  assertEquals([history.newestIndex, history.newest.confState.voters], [0, [1]]);
});

Deno.test("ConfigurationHistory: after appends, truncations and compactions every index has the configuration of the last entry up to it", () => {
  const act = fc.oneof(
    fc.record({ kind: fc.constant("append"), index: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ kind: fc.constant("truncate"), index: fc.nat(20) }),
    fc.record({ kind: fc.constant("compact"), index: fc.nat(20) }),
    fc.record({ kind: fc.constant("reset"), index: fc.nat(20) }),
  );
  fc.assert(fc.property(fc.array(act, { maxLength: 20 }), (acts) => {
    const history = historyFrom(0, 1);
    let numbers = [1];
    let compactedIndex = 0;
    let used = 1;
    for (const { kind, index } of acts) {
      if (kind === "append") {
        used++;
        const at = Math.max(numbers.length - 1, history.newestIndex) + index;
        history.append(at, numbered(used));
        while (numbers.length < at) numbers.push(numbers.at(-1) ?? 0);
        numbers.push(used);
      } else if (kind === "truncate" && index > compactedIndex) {
        history.truncateFrom(index);
        numbers = numbers.slice(0, index);
      } else if (kind === "compact" && index >= compactedIndex) {
        history.compactTo(index);
        compactedIndex = index;
      } else if (kind === "reset" && index >= compactedIndex) {
        used++;
        history.reset({ index, term: 1, configuration: numbered(used) });
        numbers = new Array<number>(index + 1).fill(used);
        compactedIndex = index;
      }
    }
    for (let index = compactedIndex; index < 60; index++) {
      assertEquals(history.at(index).confState.voters, [numbers[index] ?? numbers.at(-1) ?? 0]);
    }
    assertEquals(history.at(1_000), history.newest);
  }));
});

Deno.test("ConfigurationHistory: the time before a snapshot is unknown, and its configuration is never discarded", () => {
  const history = historyFrom(7, 1);
  assertThrows(() => history.at(6), InvariantError, "no longer known");
  assertThrows(() => history.truncateFrom(7), InvariantError, "never discarded");
  assertThrows(() => history.append(7, numbered(2)), InvariantError, "in order");
});

Deno.test("ConfigurationHistory: nodesFrom returns the nodes of a configuration and of all later ones", () => {
  const history = new ConfigurationHistory({
    index: 0,
    term: 0,
    configuration: configurationOf({ voters: [1, 2] }),
  });
  history.append(4, configurationOf({ voters: [2, 3], outgoing: [1, 2] }));
  history.append(6, configurationOf({ voters: [2, 3], learners: [5], removed: [1] }));
  assertEquals([...history.nodesFrom(0)], [1, 2, 3, 5]);
  assertEquals([...history.nodesFrom(5)], [1, 2, 3, 5]);
  assertEquals([...history.nodesFrom(6)], [2, 3, 5]);
  history.truncateFrom(6);
  assertEquals([...history.nodesFrom(5)], [1, 2, 3]);
});

Deno.test("jointOf: a change leads through a joint configuration, which removes no node yet, to the requested one", () => {
  const current = configurationOf({ voters: [1, 2, 3], learners: [4, 5], removed: [9] });
  const target = configurationOf({ voters: [1, 2, 4], learners: [3], removed: [9] });
  const joint = jointOf(current, target);
  assertEquals(configurationText(joint), "voters=1,2,4 learners=3 outgoing=1,2,3 removed=5,9");
  assertEquals(joint.members.map(({ id }) => id), [1, 2, 3, 4]);
  const final = finalOf(joint);
  assertEquals(configurationText(final), "voters=1,2,4 learners=3 removed=5,9");
  assertEquals(final.members.map(({ id }) => id), [1, 2, 3, 4]);
});

Deno.test("withSameVoters, finalOf: a member that the target does not name becomes a removed node", () => {
  const current = configurationOf({ voters: [1, 2, 3], learners: [4] });
  assertEquals(
    configurationText(withSameVoters(current, configurationOf({ voters: [1, 2, 3] }))),
    "voters=1,2,3 removed=4",
  );
  const joint = jointOf(current, configurationOf({ voters: [2, 3], learners: [4] }));
  assertEquals(configurationText(joint), "voters=2,3 learners=4 outgoing=1,2,3");
  assertEquals(configurationText(finalOf(joint)), "voters=2,3 learners=4 removed=1");
});

Deno.test("jointOf: a member's data are as the target says, a leaving member's as before", () => {
  const current = configurationOf({ voters: [1, 2] });
  const moved = { id: 2, address: "elsewhere:1", dataId: 7, autoPromote: false, replaces: null };
  const target = { ...configurationOf({ voters: [2] }), members: [moved] };
  const joint = jointOf(current, target);
  assertEquals(joint.members, [...current.members.slice(0, 1), moved]);
  assertEquals(finalOf(joint).members, [moved]);
});

Deno.test("targetProblem: an invalid configuration can't be requested", () => {
  const wrong = [
    configurationOf({ voters: [] }),
    configurationOf({ voters: [1], outgoing: [1, 2] }),
    configurationOf({ voters: [1, 2], learners: [2] }),
    configurationOf({ voters: [1, 2], removed: [2] }),
    { ...configurationOf({ voters: [1, 2] }), members: [] },
    {
      ...configurationOf({ voters: [1, 2] }),
      confState: { voters: [2, 1], learners: [], votersOutgoing: [] },
    },
  ];
  const current = configurationOf({ voters: [1], removed: [3] });
  for (const one of wrong) assertNotEquals(targetProblem(one, current), null);
  assertEquals(targetProblem(configurationOf({ voters: [1], learners: [2], removed: [3] }), current), null);
  assertEquals(
    targetProblem(configurationOf({ voters: [1, 3] }), current),
    "the id of a removed node is not used again",
  );
});

Deno.test("configurationOf: configurationText reads back what the tests write", () => {
  const one = configurationOf({ voters: [3, 1], learners: [4], outgoing: [1, 2], removed: [7] });
  assertEquals(TEXT_CODEC.decode(TEXT_CODEC.encode(one)), one);
  const none = configurationOf({ voters: [] });
  assertEquals(TEXT_CODEC.decode(TEXT_CODEC.encode(none)), none);
});
