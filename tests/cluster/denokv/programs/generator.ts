/** Makes random programs on a Deno KV database: the same seed makes the same program. */
import { SeededRandom } from "../../../support/seeded_random.ts";
import { atTheLimits, manyKeys } from "./limits.ts";
import type { Check, Expectation, Mutation, NumberKind, Program, Step, Value } from "./step.ts";

const MIN_STEPS = 5;
const MORE_STEPS = 30;
const MIN_KEYS = 3;
const MORE_KEYS = 8;
const MAX_PARTS = 3;
const HOUR_MS = 3_600_000;
/** One program of so many tries the limits, and another one lists more keys than fit a page. */
const LIMITS_SHARE = 1 / 20;
const MANY_KEYS_SHARE = 1 / 40;

/** Few enough that keys meet; of all types, with the neighbours of their order. */
const PARTS: readonly Deno.KvKeyPart[] = [
  "",
  "a",
  "a\0",
  "b",
  "ä€😀",
  "\ud800",
  0,
  -0,
  1,
  -1.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  0n,
  -1n,
  255n,
  2n ** 70n,
  -(2n ** 70n),
  true,
  false,
  new Uint8Array(),
  new Uint8Array([0]),
  new Uint8Array([0, 255]),
  new Uint8Array([255]),
];

const VALUES: readonly Value[] = [
  null,
  undefined,
  "",
  "text",
  "ä€😀",
  0,
  -0,
  7,
  1.5,
  2 ** 40,
  Number.NaN,
  5n,
  -(2n ** 80n),
  true,
  new Uint8Array(),
  new Uint8Array([1, 2, 3]),
  { name: "Ada", tags: ["x", null], at: new Date(0) },
  new Map<unknown, unknown>([[1, new Set(["y"])]]),
  [1, , 3], // deno-lint-ignore-line no-sparse-arrays -- a hole is a value of its own
].map((value) => ({ kind: "plain", value }));

/** Numbers of V8. */
const NUMBERS: readonly Value[] = [0, 1, 2.5, -3, 2 ** 31, -0, 1n, -2n, 2n ** 64n, 2n ** 65n, Number.NaN]
  .map((value) => ({ kind: "plain", value }));
/** Values that can't be added. */
const OTHERS: readonly Value[] = ["x", null, true, new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]), { value: 1 }]
  .map((value) => ({ kind: "plain", value }));
const U64_OPERANDS: readonly bigint[] = [0n, 1n, 2n, 10n, 2n ** 32n, 2n ** 64n - 1n];
const LITERALS: readonly string[] = [
  "00000000000000000000",
  "ffffffffffffffffffff",
  "FFFFFFFFFFFFFFFFFFFF",
  "10000000000000010000",
  "00000000000000010001",
];

/** Which programs to make. */
export interface ProgramKind {
  /**
   * Whether a program has the database for itself: its keys begin with any part, and it lists the whole database. The
   * keys of others begin with {@link firstPartsOf} their seed.
   */
  readonly isAlone: boolean;
}

/** Returns the first parts of all keys of a program; no other seed has them. */
export function firstPartsOf(seed: number, { isAlone }: ProgramKind): Deno.KvKey {
  return isAlone ? [] : ["program", seed];
}

/** Returns the program of a seed. */
export function programOf(seed: number, kind: ProgramKind): Program {
  const random = new SeededRandom(seed);
  const first = firstPartsOf(seed, kind);
  if (kind.isAlone) return stepsOf(random, first);
  if (random.chance(LIMITS_SHARE)) return atTheLimits(random, first);
  if (random.chance(MANY_KEYS_SHARE)) return manyKeys(random, first);
  return stepsOf(random, first);
}

function stepsOf(random: SeededRandom, first: Deno.KvKey): Program {
  const pool = new KeyPool(random, first);
  return Array.from({ length: MIN_STEPS + random.below(MORE_STEPS) }, () => stepOf(random, pool));
}

/** The keys of one program. */
class KeyPool {
  readonly #random: SeededRandom;
  readonly #first: Deno.KvKey;
  readonly #keys: readonly Deno.KvKey[];

  constructor(random: SeededRandom, first: Deno.KvKey) {
    this.#random = random;
    this.#first = first;
    const keyOf = (): Deno.KvKey => [
      ...first,
      ...Array.from({ length: random.below(MAX_PARTS + 1) }, () => random.pick(PARTS)),
    ];
    this.#keys = Array.from({ length: MIN_KEYS + random.below(MORE_KEYS) }, keyOf);
  }

  /** Returns one of the keys. */
  key(): Deno.KvKey {
    return this.#random.pick(this.#keys);
  }

  /** Returns a key that begins as one of the keys does: a prefix, or the bound of a range. */
  prefix(): Deno.KvKey {
    const key = this.key();
    const more = key.length - this.#first.length;
    return key.slice(0, this.#first.length + this.#random.below(more + 1));
  }

  /** Returns one of the keys, or another key that begins with `prefix`. */
  bound(prefix = this.prefix()): Deno.KvKey {
    const text = Deno.inspect(prefix);
    const keys = this.#keys.filter((key) => Deno.inspect(key.slice(0, prefix.length)) === text);
    return keys.length > 0 && this.#random.chance(0.6)
      ? this.#random.pick(keys)
      : [...prefix, this.#random.pick(PARTS)];
  }
}

function stepOf(random: SeededRandom, pool: KeyPool): Step {
  const consistency = random.chance(0.8) ? "strong" : "eventual";
  const dice = random.below(100);
  if (dice < 15) {
    return { kind: "set", key: pool.key(), value: valueOf(random), expireInMs: expiryOf(random) };
  }
  if (dice < 22) return { kind: "delete", key: pool.key() };
  if (dice < 32) return { kind: "get", key: pool.bound(), consistency };
  if (dice < 40) {
    return {
      kind: "getMany",
      keys: Array.from({ length: random.below(11) }, () => pool.bound()),
      consistency,
    };
  }
  if (dice < 60) return listOf(random, pool);
  // kvraft refuses a wrong operand before it evaluates the checks and the mutations before it.
  if (dice < 63) return { kind: "commit", checks: [], mutations: [wrongOperandOf(random, pool)] };
  // A commit that fails may leave a versionstamped key behind, whose name the runner does not learn.
  const mayFail = random.chance(0.7);
  const mutation = (): Mutation => mutationOf(random, pool, mayFail);
  return {
    kind: "commit",
    checks: Array.from({ length: random.pick([0, 0, 1, 1, 2, 3]) }, () => checkOf(random, pool)),
    mutations: Array.from({ length: random.pick([0, 1, 1, 1, 2, 2, 3, 5]) }, mutation),
  };
}

function listOf(random: SeededRandom, pool: KeyPool): Step {
  const options: Deno.KvListOptions = {
    ...(random.chance(0.4) ? { limit: 1 + random.below(12) } : {}),
    ...(random.chance(0.4) ? { reverse: true } : {}),
    ...(random.chance(0.4) ? { batchSize: random.pick([1, 2, 3, 7, 500, 1_000]) } : {}),
    ...(random.chance(0.2) ? { consistency: "eventual" } : {}),
  };
  const resumeAfter = random.chance(0.3) ? 1 + random.below(4) : null;
  return { kind: "list", selector: selectorOf(random, pool), options, resumeAfter };
}

/** Selectors whose bounds are in the wrong order, or outside of the prefix, are refused by the client alike. */
function selectorOf(random: SeededRandom, pool: KeyPool): Deno.KvListSelector {
  const prefix = pool.prefix();
  switch (random.below(4)) {
    case 0:
      return { prefix };
    case 1:
      return { prefix, start: boundOf(random, pool, prefix) };
    case 2:
      return { prefix, end: boundOf(random, pool, prefix) };
    default:
      return { start: boundOf(random, pool, prefix), end: pool.bound() };
  }
}

/** Returns the bound of a range, mostly one that begins with `prefix`. */
function boundOf(random: SeededRandom, pool: KeyPool, prefix: Deno.KvKey): Deno.KvKey {
  return random.chance(0.2) ? pool.bound() : pool.bound(prefix);
}

function checkOf(random: SeededRandom, pool: KeyPool): Check {
  return { key: pool.key(), expected: expectationOf(random) };
}

function expectationOf(random: SeededRandom): Expectation {
  const dice = random.below(100);
  if (dice < 50) return { kind: "current" };
  if (dice < 70) return { kind: "absent" };
  if (dice < 90) return { kind: "observed", position: random.below(10) };
  return { kind: "literal", versionstamp: random.pick(LITERALS) };
}

function mutationOf(random: SeededRandom, pool: KeyPool, mayFail: boolean): Mutation {
  const key = pool.key();
  const dice = random.below(mayFail ? 100 : 45);
  if (dice < 35) {
    const isVersionstamped = !mayFail && random.chance(0.4);
    return { kind: "set", key, value: valueOf(random), expireInMs: expiryOf(random), isVersionstamped };
  }
  if (dice < 45) return { kind: "delete", key };
  if (dice < 75) return { kind: numberKindOf(random), key, operand: random.pick(U64_OPERANDS) };
  const bound = random.chance(0.3) ? 2 : null;
  return random.chance(0.2)
    ? { kind: "mutate", type: numberKindOf(random), key, value: u64Of(random), bound }
    : { kind: "mutate", type: "sum", key, value: random.pick(NUMBERS), bound };
}

/** Returns a mutation whose operand is no number, or a number of V8 where only a 64-bit integer is taken. */
function wrongOperandOf(random: SeededRandom, pool: KeyPool): Mutation {
  const type = numberKindOf(random);
  const value = type === "sum" || random.chance(0.5) ? random.pick(OTHERS) : random.pick(NUMBERS);
  return { kind: "mutate", type, key: pool.key(), value, bound: null };
}

function numberKindOf(random: SeededRandom): NumberKind {
  return random.chance(0.5) ? "sum" : random.pick<NumberKind>(["min", "max"]);
}

function valueOf(random: SeededRandom): Value {
  const dice = random.below(10);
  if (dice < 3) return u64Of(random);
  return random.pick(dice < 6 ? NUMBERS : VALUES);
}

function u64Of(random: SeededRandom): Value {
  return { kind: "u64", value: random.pick(U64_OPERANDS) };
}

/** Never in the near future: the stores delete expired keys at different times. */
function expiryOf(random: SeededRandom): number | null {
  return random.chance(0.2) ? random.pick([HOUR_MS, 24 * HOUR_MS, 1e12, 8e14]) : null;
}
