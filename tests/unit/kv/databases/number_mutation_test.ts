/**
 * sum, min and max on the values of databases. Each case was run on `Deno.openKv(":memory:")` of Deno 2.9.6, or follows the
 * source of denokv 0.14 where Deno's API cannot express it (it drops min, max and clamp).
 */
import { assertEquals } from "@std/assert";
import { describeWriteFailure, type NumberMutation } from "../../../../lib/kv/mod.ts";
import { numberAfter } from "../../../../lib/kv/databases/number_mutation.ts";
import { readV8Number, writeV8Number } from "../../../../lib/kv/databases/v8_number.ts";
import { SeededRandom } from "../../../support/seeded_random.ts";
import { shown, u64, v8Value } from "./support.ts";

const KEY = new Uint8Array([1]);
const BYTES = Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0, 0);

interface Bounds {
  readonly min?: unknown;
  readonly max?: unknown;
  readonly clamp?: boolean;
}

function sum(value: Uint8Array, { min, max, clamp = false }: Bounds = {}): NumberMutation {
  const bound = (one: unknown): Uint8Array | null => one === undefined ? null : v8Value(one).subarray(1);
  return { kind: "sum", key: KEY, value, minimum: bound(min), maximum: bound(max), clamp };
}

/** The value afterwards, or Deno's words for the failure. */
function outcome(stored: Uint8Array | null, mutation: NumberMutation): unknown {
  const after = numberAfter(mutation, stored);
  return typeof after === "string" ? describeWriteFailure(after, mutation) : shown(after);
}

const NOT_U64 = "Failed to perform 'sum' mutation on a non-U64 value in the database";
const OUT_OF_RANGE = "The result of a Sum operation would exceed its range limit";

Deno.test("numberAfter: the sums of numbers, bigints and 64-bit integers, and their failures, are those of Deno KV", () => {
  const cases: readonly (readonly [Uint8Array | null, NumberMutation, unknown])[] = [
    [v8Value(1), sum(v8Value(2.5)), 3.5],
    [v8Value(1n), sum(v8Value(2n)), 3n],
    [v8Value(-0), sum(v8Value(-0)), -0],
    [v8Value(Number.MAX_VALUE), sum(v8Value(Number.MAX_VALUE)), Infinity],
    [v8Value(Infinity), sum(v8Value(-Infinity)), NaN],
    [v8Value(2n ** 128n), sum(v8Value(-(2n ** 128n))), 0n],
    [v8Value(1n), sum(v8Value(2)), "Cannot sum BigInt with Number"],
    [v8Value(1), sum(v8Value(2n)), "Cannot sum Number with BigInt"],
    [v8Value(1n), sum(u64(2n)), NOT_U64],
    [v8Value("x"), sum(u64(2n)), NOT_U64],
    [BYTES, sum(u64(2n)), NOT_U64],
    [v8Value("x"), sum(v8Value(2)), "unsupported value type"],
    [v8Value(null), sum(v8Value(2)), "unsupported value type"],
    [v8Value(true), sum(v8Value(2)), "unsupported value type"],
    [v8Value(new Number(4)), sum(v8Value(2)), "unsupported value type"],
    [BYTES, sum(v8Value(2)), "unsupported value type"],
    // Surprising: a bigint is added to a 64-bit integer, and a number is not.
    [u64(5n), sum(v8Value(2n)), "u64 7"],
    [u64(5n), sum(v8Value(2)), "Cannot sum KvU64 with Number"],
    [u64(5n), sum(v8Value(-2n)), "Cannot sum KvU64 with BigInt"],
    [u64(5n), sum(v8Value(2n ** 64n)), "Cannot sum KvU64 with BigInt"],
    [u64(5n), sum(v8Value(2n), { min: 0n }), "Cannot sum KvU64 with BigInt"],
    [u64(5n), sum(v8Value(2n), { clamp: true }), "Cannot sum KvU64 with BigInt"],
    [u64(7n), sum(u64(2n ** 64n - 1n)), "u64 6"],
    [null, sum(u64(4n)), "u64 4"],
    [null, sum(v8Value(4)), 4],
  ];
  for (const [stored, mutation, expected] of cases) assertEquals(outcome(stored, mutation), expected);
});

Deno.test("numberAfter: bounds refuse or clamp a sum, but for the first one of a key", () => {
  const cases: readonly (readonly [Uint8Array | null, NumberMutation, unknown])[] = [
    [v8Value(20), sum(v8Value(20), { min: 0, max: 10 }), OUT_OF_RANGE],
    [v8Value(20), sum(v8Value(20), { min: 0, max: 10, clamp: true }), 10],
    [v8Value(20), sum(v8Value(-30), { min: 0, max: 10 }), OUT_OF_RANGE],
    [v8Value(20), sum(v8Value(-30), { min: 0, max: 10, clamp: true }), 0],
    [v8Value(5), sum(v8Value(5), { min: 0, max: 10 }), 10],
    [v8Value(5), sum(v8Value(-5), { min: 0, max: 10 }), 0],
    [v8Value(-3n), sum(v8Value(-5n), { min: -4n }), OUT_OF_RANGE],
    [v8Value(-3n), sum(v8Value(-5n), { min: -4n, clamp: true }), -4n],
    [v8Value(NaN), sum(v8Value(1), { min: 0, max: 10 }), NaN],
    // Surprising: an absent key is set to the operand even beyond the bounds, and contradicting bounds give the upper one.
    [null, sum(v8Value(20), { min: 0, max: 10 }), 20],
    [v8Value(1), sum(v8Value(1), { min: 10, max: 5, clamp: true }), 5],
    // Surprising: those of 64-bit integers are ignored.
    [u64(5n), { ...sum(u64(9n)), maximum: v8Value(10n).subarray(1) } as NumberMutation, "u64 14"],
  ];
  for (const [stored, mutation, expected] of cases) assertEquals(outcome(stored, mutation), expected);
});

Deno.test("numberAfter: min and max are of 64-bit integers alone, unsigned", () => {
  const [low, high] = [2n, 2n ** 63n + 5n];
  const compare = (kind: "min" | "max", stored: Uint8Array | null, value: bigint): unknown =>
    outcome(stored, { kind, key: KEY, value: u64(value) });
  assertEquals(compare("min", u64(low), high), `u64 ${low}`);
  assertEquals(compare("min", u64(high), low), `u64 ${low}`);
  assertEquals(compare("max", u64(low), high), `u64 ${high}`);
  assertEquals(compare("max", u64(high), low), `u64 ${high}`);
  assertEquals(compare("max", null, low), `u64 ${low}`);
  const refused = "Failed to perform 'max' mutation on a non-U64 value in the database";
  assertEquals(compare("max", v8Value(1n), low), refused);
});

Deno.test("numberAfter: numbers are written as doubles of format 15, and every NaN as the same bytes", () => {
  const written = (stored: Uint8Array | null, value: Uint8Array): string =>
    (numberAfter(sum(value), stored) as Uint8Array).toHex();
  assertEquals(written(null, v8Value(1)), "01ff0f4e000000000000f03f");
  // The one that Deno 2.8 and later write: no Node reads it.
  const format16 = Uint8Array.of(1, 0xff, 0x10, 0x49, 0x02);
  assertEquals(written(format16, format16), "01ff0f4e0000000000000040");
  assertEquals(written(v8Value(-1n), v8Value(0n)), "01ff0f5a110100000000000000");
  const otherNaN = v8Value(NaN);
  otherNaN.set([1, 2, 3, 4, 5, 6, 0xfb, 0xff], 4);
  assertEquals(written(otherNaN, v8Value(1)), "01ff0f4e000000000000f87f");
  assertEquals(written(null, otherNaN), "01ff0f4e000000000000f87f");
});

Deno.test("writeV8Number: V8 reads every number that it writes, and it reads every one that V8 writes", () => {
  const random = new SeededRandom(1);
  const edges = [0, 1, 63, 64, 127, 128, 2 ** 30, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 53, 0.1, 1e300];
  const numbers: (number | bigint)[] = edges.flatMap((edge) => [edge, -edge]);
  for (let bits = 0; bits < 300; bits += 1 + random.below(9)) {
    const value = 2n ** BigInt(bits) + BigInt(random.below(2 ** 30));
    numbers.push(value, -value, value - 1n, 2n ** BigInt(8 * bits) - 1n);
  }
  for (const number of numbers) {
    assertEquals(readV8Number(v8Value(number).subarray(1)), number);
    assertEquals(shown(writeV8Number(number, 1)), number);
  }
});

Deno.test("readV8Number: bytes that are no number, cut numbers and huge bigints are none", () => {
  const whole = v8Value(2n ** 70n).subarray(1);
  for (let length = 0; length < whole.length; length++) {
    assertEquals(readV8Number(whole.subarray(0, length)), null);
  }
  assertEquals(readV8Number(v8Value(1.5).subarray(1, -1)), null);
  assertEquals(readV8Number(Uint8Array.of(0xff, 0x0f, 0x49, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01)), null);
  assertEquals(readV8Number(Uint8Array.of(0xfe, 0x0f, 0x49, 0x02)), null);
  assertEquals(readV8Number(v8Value("1").subarray(1)), null);
  assertEquals(readV8Number(v8Value(2n ** 32_767n).subarray(1)), 2n ** 32_767n);
  assertEquals(readV8Number(v8Value(2n ** 32_768n).subarray(1)), null);
  assertEquals(
    outcome(v8Value(2n ** 32_767n), sum(v8Value(2n ** 32_767n))),
    "The result of a Sum operation would be a BigInt of more than 4096 bytes",
  );
});
