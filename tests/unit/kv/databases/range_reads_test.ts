/** Reads of several ranges: complete at one revision, in as many answers as it takes. */
import { assert, assertEquals } from "@std/assert";
import {
  databaseKey,
  databaseRange,
  entriesOfRanges,
  type KeyValue,
  type ReadRange,
  readRanges,
  successor,
  validateRanges,
} from "../../../../lib/kv/mod.ts";
import { SeededRandom } from "../../../support/seeded_random.ts";
import { bytes, put, transaction } from "../support.ts";
import { DatabaseReplica, set, v8Value, write } from "./support.ts";

function range(start: Uint8Array, end: Uint8Array | null, options: Partial<ReadRange> = {}): ReadRange {
  return { start, end, limit: 1_000, reverse: false, ...options };
}

/** Reads by several answers, as a client does. */
function readAll(
  replica: DatabaseReplica,
  ranges: readonly ReadRange[],
  asOf: number | null = null,
): { readonly found: readonly (readonly string[])[]; readonly answers: number } {
  const { machine } = replica;
  const found: string[][] = ranges.map(() => []);
  let left = ranges.map((one, position) => ({ one, position }));
  for (let answers = 1;; answers++) {
    const { result } = readRanges(left.map(({ one }) => one), {
      revision: asOf ?? machine.revision,
      get: (key) => asOf === null ? { result: machine.get(key), looked: 0 } : machine.getAt(key, asOf),
      list: (query) =>
        asOf === null ? { result: machine.list(query), looked: 0 } : machine.listAt(query, asOf),
    });
    for (const [position, entries] of result.ranges.entries()) {
      found[left[position]?.position ?? -1]?.push(...entries.map(textOf));
    }
    const { next } = result;
    if (next === null) return { found, answers };
    left = left.slice(next.range).map((rest, index) => {
      if (index > 0 || next.after === null) return rest;
      const { one, position } = rest;
      const limit = (ranges[position]?.limit ?? 0) - (found[position]?.length ?? 0);
      const continued = one.reverse
        ? { ...one, limit, end: next.after }
        : { ...one, limit, start: successor(next.after) };
      return { one: continued, position };
    });
    assert(answers < 1_000, "a read comes to an end");
  }
}

function textOf({ key, value }: KeyValue): string {
  return `${new TextDecoder().decode(key)}=${value.length}`;
}

Deno.test("readRanges: several ranges, in both directions and limited, at one revision", () => {
  const replica = new DatabaseReplica();
  replica.apply(transaction(["a", "b", "c", "d"].map((key) => put(key, "v"))));
  const { revision } = replica.machine;
  const ranges = [
    range(bytes("b"), bytes("d")),
    range(bytes(""), null, { reverse: true, limit: 3 }),
    range(bytes("c"), bytes("c\0")),
    range(bytes("x"), bytes("x\0")),
    range(bytes("d"), bytes("a")),
  ];
  const expected = [["b=1", "c=1"], ["d=1", "c=1", "b=1"], ["c=1"], [], []];
  assertEquals(readAll(replica, ranges), { found: expected, answers: 1 });
  replica.apply(transaction([put("bb", "v"), { kind: "delete", key: bytes("c") }]));
  assertEquals(readAll(replica, ranges, revision).found, expected);
  assertEquals(readAll(replica, ranges).found[0], ["b=1", "bb=1"]);
});

Deno.test("readRanges: a page that would be too large goes on where it ended, and nothing is missing or twice", () => {
  const random = new SeededRandom(3);
  const replica = new DatabaseReplica();
  const large = new Uint8Array(1_000_000);
  for (let number = 0; number < 12; number++) {
    const key = bytes(`k${String(number).padStart(2, "0")}`);
    replica.apply(transaction([{ kind: "put", key, value: large.subarray(random.below(200_000)) }]));
  }
  const { revision } = replica.machine;
  const keys = replica.machine.list({
    prefix: bytes("k"),
    start: null,
    end: null,
    after: null,
    reverse: false,
    limit: 3,
  });
  assertEquals(keys.entries.length, 3);
  for (const reverse of [false, true]) {
    const ranges = [
      range(bytes("k00"), bytes("k03"), { reverse }),
      range(bytes("k"), null, { reverse, limit: 11 }),
    ];
    const { found, answers } = readAll(replica, ranges, reverse ? revision : null);
    assertEquals([found[0]?.length, found[1]?.length], [3, 11]);
    assertEquals(new Set(found[1]).size, 11);
    assert(answers > 2, `${answers} answers`);
  }
});

Deno.test("readRanges: a page that is full at the end of a range goes on with the next one", () => {
  const replica = new DatabaseReplica();
  const value = new Uint8Array(1_000_000);
  for (const key of ["a1", "a2", "a3", "a4", "a5"]) {
    replica.apply(transaction([{ kind: "put", key: bytes(key), value }]));
  }
  const ranges = [range(bytes("a"), bytes("b"), { limit: 5 }), range(bytes("a5"), bytes("a5\0"))];
  const { found, answers } = readAll(replica, ranges);
  assertEquals([found.map(({ length }) => length), answers], [[5, 1], 2]);
});

Deno.test("readRanges: small ranges of many entries end at the entries of one page, between ranges and within one", () => {
  const replica = new DatabaseReplica();
  const mutations = Array.from({ length: 1_000 }, (_, number) => set(`k${1_000 + number}`, v8Value(1)));
  replica.apply(write(mutations));
  const { start, end } = databaseRange(0);
  const ranges = Array.from({ length: 12 }, (_, number) => range(start, end, { limit: 999 - (number % 2) }));
  const { found, answers } = readAll(replica, ranges);
  assertEquals(found.map(({ length }) => length), ranges.map(({ limit }) => limit));
  assertEquals(answers, 2);
});

Deno.test("validateRanges: the limits of a read", () => {
  const one = range(bytes("a"), null);
  assertEquals(validateRanges([one, { ...one, limit: 1 }]), null);
  assertEquals(validateRanges(Array(100).fill(one)), null);
  const refused = [
    [],
    Array(101).fill(one),
    [{ ...one, limit: 0 }],
    [{ ...one, limit: 1_001 }],
    [{ ...one, limit: 0.5 }],
    [{ ...one, start: new Uint8Array(4_097) }],
    [{ ...one, end: new Uint8Array(4_097) }],
  ];
  for (const ranges of refused) assert(validateRanges(ranges) !== null);
});

Deno.test("entriesOfRanges: the range of one key counts as one entry, with any limit", () => {
  const key = databaseKey(0, bytes("k"));
  const point = range(key, successor(key));
  assertEquals(entriesOfRanges([point, point]), 2);
  assertEquals(entriesOfRanges([range(key, Uint8Array.of(...key, 1))]), 1_000);
  assertEquals(entriesOfRanges([range(key, databaseKey(0, bytes("l\0")))]), 1_000);
});
