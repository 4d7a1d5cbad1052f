/** Decoding and encoding configurations: the core receives only valid ones. */
import { assertEquals, assertThrows } from "@std/assert";
import { encode, type ValueType } from "@std/msgpack";
import {
  configurationProblem,
  decodeConfiguration,
  encodeConfiguration,
} from "../../../lib/protocol/configuration.ts";
import { DecodeError } from "../../../lib/protocol/errors.ts";
import type { Configuration } from "../../../lib/raft/types.ts";

type Row = [number, string, number | null, boolean, number | null];

const member = (id: number, address = `n${id}:1`): Row => [id, address, null, false, null];

/** A configuration of these voters alone. */
function ofVoters(voters: readonly number[]): ValueType {
  return [[...voters], [], [], voters.map((id) => member(id)), []];
}

const count = (length: number): number[] => Array.from({ length }, (_, position) => position + 1);

Deno.test("decodeConfiguration: a configuration that breaks a rule is refused with the field and the rule", () => {
  const one = member(1);
  const refusals: readonly [ValueType, string][] = [
    [[[2, 1], [], [], [one, member(2)], []], "voters must be sorted and without repetition"],
    [[[1], [2, 2], [], [one, member(2)], []], "learners must be sorted and without repetition"],
    [[[1], [], [1, 1], [one], []], "votersOutgoing must be sorted and without repetition"],
    [[[1], [], [], [one], [3, 2]], "removedIds must be sorted and without repetition"],
    [[[1], [1], [], [one], []], "learners must not be voters"],
    [[[1, 2], [], [], [one], []], "members must be the voters and learners, sorted by id"],
    [[[1], [], [], [one, member(2)], []], "members must be the voters and learners, sorted by id"],
    [[[1], [2], [], [member(2), one], []], "members must be the voters and learners, sorted by id"],
    [[[1], [], [2], [one], []], "members must be the voters and learners, sorted by id"],
    [[[], [1], [], [one], []], "voters must not be empty where there are members"],
    [[[1], [], [], [one], [1]], "removedIds must not have the member 1"],
    [[[1], [], [], [[1, "n1:1", null, false, 1]], []], "replaces must not be the member itself, 1"],
    [
      [[1], [], [], [member(1, "n1")], []],
      'address must be host:port that others can dial, in its one written form, not "n1"',
    ],
    [
      [[1], [], [], [member(1, "N1:1")], []],
      'address must be host:port that others can dial, in its one written form, not "N1:1"',
    ],
    [[[1], [], [], [member(1, "0.0.0.0:1")], []], "address must be host:port that others can dial"],
    [[[0], [], [], [member(0)], []], "voters must be an integer from 1 to"],
    [ofVoters(count(8)), "voters must not have more than 7 elements"],
    [
      [[1], count(17).slice(1), [], count(17).map((id) => member(id)), []],
      "members must not have more than 16 elements",
    ],
    [
      [[1], [], [], [one], count(16_385).map((id) => id + 1)],
      "removedIds must not have more than 16384 elements",
    ],
    [
      [[1], [], [2], [one, member(2)], count(16_384).map((id) => id + 2)],
      "removedIds must not be more than 16384, those that leave included",
    ],
    [[[1], [], [], [[1, "n1:1", null, 0, null]], []], "member autoPromote must be true or false"],
  ];
  for (const [value, expected] of refusals) {
    assertThrows(() => decodeConfiguration(encode(value)), DecodeError, expected);
  }
});

Deno.test("decodeConfiguration: a demoted voter, seven voters and an empty configuration are allowed", () => {
  const joint: Configuration = {
    confState: { voters: [1], learners: [2], votersOutgoing: [1, 2] },
    members: [1, 2].map((id) => (
      { id, address: `n${id}:1`, dataId: null, autoPromote: false, replaces: null }
    )),
    removedIds: [],
  };
  assertEquals(configurationProblem(joint), null);
  assertEquals(decodeConfiguration(encode(ofVoters(count(7)))).confState.voters, count(7));
  assertEquals(decodeConfiguration(encode(ofVoters([]))).members, []);
});

Deno.test("encodeConfiguration: an invalid configuration is an assertion", () => {
  const broken: Configuration = {
    confState: { voters: [1], learners: [], votersOutgoing: [] },
    members: [],
    removedIds: [],
  };
  assertThrows(() => encodeConfiguration(broken), Error, "members must be the voters and learners");
});
