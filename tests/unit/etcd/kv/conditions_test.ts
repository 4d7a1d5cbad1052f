/** The conditions of etcd's transactions: the store's hold if and only if etcd's do. */
import { assertEquals } from "@std/assert";
import type { Comparison, Condition } from "../../../../lib/kv/branching_command.ts";
import { conditionsOf } from "../../../../lib/etcd/kv/txn/conditions.ts";
import {
  type Compare,
  COMPARE_RESULT,
  COMPARE_TARGET,
  type CompareUnion,
} from "../../../../lib/etcd/messages/kv.ts";
import { etcdKeyRevision } from "../../../../lib/etcd/revisions.ts";
import { bytes } from "../../kv/support.ts";

const UNKNOWN = 9;
const RESULTS = [...Object.values(COMPARE_RESULT), UNKNOWN];
/** Numbers that clients compare with. */
const COMPARED = [-(2 ** 53) + 1, -1, 0, 1, 2, 3, 4, 2 ** 53 - 1];
/** The store's numbers of a key; 0 for an absent one. */
const STORED = [0, 1, 2, 3];

function compare(result: number, target: number, targetUnion: CompareUnion | null): Compare {
  return { key: bytes("k"), rangeEnd: new Uint8Array(0), result, target, targetUnion };
}

/** Whether etcd's comparison of two numbers holds. */
function holdsInEtcd(result: number, found: number | bigint, compared: number | bigint): boolean {
  switch (result) {
    case COMPARE_RESULT.equal:
      return found === compared;
    case COMPARE_RESULT.notEqual:
      return found !== compared;
    case COMPARE_RESULT.less:
      return found < compared;
    case COMPARE_RESULT.greater:
      return found > compared;
    default:
      return true;
  }
}

/** Whether all conditions hold of a key with this number. */
function holdsInStore(conditions: readonly Condition[], found: number): boolean {
  return conditions.every((condition) => {
    if (condition.kind === "value") throw new Error("the conditions are on numbers");
    const { comparison, number } = condition;
    const results: Readonly<Record<Comparison, boolean>> = {
      equal: found === number,
      notEqual: found !== number,
      less: found < number,
      greater: found > number,
    };
    return results[comparison];
  });
}

Deno.test("conditionsOf: comparisons of revisions hold as in etcd, whose revisions are one more and whose 0 is none", () => {
  for (const result of RESULTS) {
    for (const compared of COMPARED) {
      for (const found of STORED) {
        const expected = holdsInEtcd(result, etcdKeyRevision(found), compared);
        const create = compare(result, COMPARE_TARGET.create, { kind: "createRevision", value: compared });
        const mod = compare(result, COMPARE_TARGET.mod, { kind: "modRevision", value: compared });
        const text = `${found} ${result} ${compared}`;
        assertEquals(holdsInStore(conditionsOf(create), found), expected, text);
        assertEquals(holdsInStore(conditionsOf(mod), found), expected, text);
      }
    }
  }
});

Deno.test("conditionsOf: comparisons of versions and leases hold for any number that a client sends", () => {
  const leases = [-(2n ** 63n), -1n, 0n, 1n, 2n, 3n, 2n ** 53n, 2n ** 63n - 1n];
  for (const result of RESULTS) {
    for (const found of STORED) {
      for (const compared of COMPARED) {
        const version = compare(result, COMPARE_TARGET.version, { kind: "version", value: compared });
        assertEquals(holdsInStore(conditionsOf(version), found), holdsInEtcd(result, found, compared));
      }
      for (const compared of leases) {
        const lease = compare(result, COMPARE_TARGET.lease, { kind: "lease", value: compared });
        assertEquals(holdsInStore(conditionsOf(lease), found), holdsInEtcd(result, BigInt(found), compared));
      }
    }
  }
});

Deno.test("conditionsOf: a missing or wrong union member counts as 0, and an unknown target is equal to anything", () => {
  const wrong: CompareUnion = { kind: "version", value: 7 };
  for (const union of [null, wrong]) {
    const mod = compare(COMPARE_RESULT.equal, COMPARE_TARGET.mod, union);
    assertEquals(STORED.map((found) => holdsInStore(conditionsOf(mod), found)), [true, false, false, false]);
    const value = compare(COMPARE_RESULT.equal, COMPARE_TARGET.value, union);
    const keys = { kind: "key", key: bytes("k") } as const;
    assertEquals(conditionsOf(value), [
      { kind: "value", keys, comparison: "equal", value: new Uint8Array(0) },
    ]);
  }
  const outcomes = RESULTS.map((result) => holdsInStore(conditionsOf(compare(result, UNKNOWN, null)), 0));
  assertEquals(outcomes, [true, false, false, false, true]);
});

Deno.test("conditionsOf: an unknown comparison of values holds for keys that exist", () => {
  const [condition] = conditionsOf(compare(UNKNOWN, COMPARE_TARGET.value, null));
  assertEquals(condition, {
    kind: "version",
    keys: { kind: "key", key: bytes("k") },
    comparison: "notEqual",
    number: 0,
  });
});
