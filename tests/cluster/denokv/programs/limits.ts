/** Programs at the limits of Deno KV: sizes of keys, values and commits, and lists that are longer than a page. */
import type { SeededRandom } from "../../../support/seeded_random.ts";
import type { Mutation, Program, Step } from "./step.ts";

const MAX_KEY_BYTES = 2_048;
const MAX_VALUE_BYTES = 65_536;
const MAX_CHECKS = 100;
const MAX_MUTATIONS = 1_000;
const MAX_COMMIT_BYTES = 819_200;
const MAX_COMMIT_KEY_BYTES = 81_920;
const MAX_RANGES = 10;
/** Bytes that the type and the end of a part of bytes need in an encoded key. */
const PART_OVERHEAD = 2;
/** Bytes that come before the characters of a string of one-byte characters as long as a value may be. */
const STRING_OVERHEAD = 6;
const STEPS = 6;
const LISTS = 4;

/** Returns a program of some steps of which each is at a limit, one below it, or one above it. */
export function atTheLimits(random: SeededRandom, first: Deno.KvKey): Program {
  const makers = [
    keySize,
    readKeySize,
    valueSize,
    checks,
    mutations,
    commitBytes,
    commitKeyBytes,
    ranges,
    refused,
  ];
  return Array.from({ length: STEPS }, () => random.pick(makers)(random, first));
}

/** Returns a program that writes more keys than a page has, and lists them with page sizes around theirs. */
export function manyKeys(random: SeededRandom, first: Deno.KvKey): Program {
  const count = random.pick([499, 500, 501, 999, 1_000]);
  const fill: Step = {
    kind: "commit",
    checks: [],
    mutations: Array.from({ length: count }, (_, number) => setOf([...first, number], number)),
  };
  const lists = Array.from({ length: LISTS }, (): Step => ({
    kind: "list",
    selector: { prefix: first },
    options: {
      ...(random.chance(0.7) ? { batchSize: random.pick([1, 99, 100, 499, 500, 501, 1_000, 1_001]) } : {}),
      ...(random.chance(0.5) ? { limit: random.pick([1, 100, 101, 499, 500, 501, 700, 1_001]) } : {}),
      reverse: random.chance(0.3),
    },
    resumeAfter: random.chance(0.5) ? random.pick([1, 100, 250, 499, 500]) : null,
  }));
  return [fill, ...lists];
}

function setOf(key: Deno.KvKey, value: unknown): Mutation {
  return { kind: "set", key, value: { kind: "plain", value }, expireInMs: null, isVersionstamped: false };
}

/** Returns -1, 0 or 1, which is added to a limit. */
function around(random: SeededRandom): number {
  return random.below(3) - 1;
}

/** Returns a key that is encoded in so many bytes, and begins with `first` up to the difference. */
function keyOf(bytes: number, random: SeededRandom, first: Deno.KvKey): Deno.KvKey {
  const filler = (length: number): Uint8Array => new Uint8Array(length).fill(1 + random.below(2));
  // A number is a byte and eight, the text "program" nine; see KEY_START_BYTES.
  return [...first, filler(bytes - KEY_START_BYTES - PART_OVERHEAD)];
}

/** Bytes of the encoding of `["program", seed]`. */
const KEY_START_BYTES = 18;

function keySize(random: SeededRandom, first: Deno.KvKey): Step {
  const key = keyOf(MAX_KEY_BYTES + around(random), random, first);
  return { kind: "set", key, value: { kind: "plain", value: 1 }, expireInMs: null };
}

function readKeySize(random: SeededRandom, first: Deno.KvKey): Step {
  const key = keyOf(MAX_KEY_BYTES + around(random), random, first);
  if (random.chance(0.5)) return { kind: "get", key, consistency: "strong" };
  return { kind: "list", selector: { prefix: key }, options: {}, resumeAfter: null };
}

function valueSize(random: SeededRandom, first: Deno.KvKey): Step {
  const bytes = MAX_VALUE_BYTES + around(random);
  const value = random.chance(0.5) ? new Uint8Array(bytes) : "x".repeat(bytes - STRING_OVERHEAD);
  return { kind: "set", key: [...first, "value"], value: { kind: "plain", value }, expireInMs: null };
}

function checks(random: SeededRandom, first: Deno.KvKey): Step {
  return {
    kind: "commit",
    checks: Array.from({ length: MAX_CHECKS + around(random) }, (_, number) => (
      { key: [...first, "absent", number], expected: { kind: "absent" } }
    )),
    mutations: [setOf([...first, "checked"], 1)],
  };
}

function mutations(random: SeededRandom, first: Deno.KvKey): Step {
  const count = MAX_MUTATIONS + around(random);
  const all = Array.from({ length: count }, (_, number): Mutation => {
    const key = [...first, "many", number % 700];
    return random.chance(0.8) ? { kind: "sum", key, operand: 1n } : { kind: "delete", key };
  });
  return { kind: "commit", checks: [], mutations: all };
}

function commitBytes(random: SeededRandom, first: Deno.KvKey): Step {
  const values = Math.floor(MAX_COMMIT_BYTES / MAX_VALUE_BYTES) + (random.chance(0.7) ? 0 : 1);
  const all = Array.from({ length: values }, (_, number) => (
    setOf([...first, "large", number], new Uint8Array(MAX_VALUE_BYTES - random.below(3)))
  ));
  return { kind: "commit", checks: [], mutations: all };
}

function commitKeyBytes(random: SeededRandom, first: Deno.KvKey): Step {
  const keys = MAX_COMMIT_KEY_BYTES / MAX_KEY_BYTES;
  const sizes = Array.from({ length: keys }, (_, number) => number === 0 ? around(random) : 0);
  const all = sizes.map((more) => setOf(keyOf(MAX_KEY_BYTES + Math.min(0, more), random, first), 1));
  return { kind: "commit", checks: [], mutations: sizes[0] === 1 ? [...all, setOf([...first, 1], 1)] : all };
}

function ranges(random: SeededRandom, first: Deno.KvKey): Step {
  const keys = Array.from({ length: MAX_RANGES + around(random) }, (_, number) => [...first, "many", number]);
  return { kind: "getMany", keys, consistency: "strong" };
}

/** A call that every client refuses. */
function refused(random: SeededRandom, first: Deno.KvKey): Step {
  const list = (options: Deno.KvListOptions): Step => (
    { kind: "list", selector: { prefix: first }, options, resumeAfter: null }
  );
  return random.pick<Step>([
    list({ limit: 0 }),
    list({ limit: -1 }),
    list({ batchSize: 0 }),
    list({ batchSize: 1_001 }),
    list({ cursor: "!" }),
    { kind: "set", key: [], value: { kind: "plain", value: 1 }, expireInMs: null },
    { kind: "set", key: first, value: { kind: "plain", value: 1 }, expireInMs: -1 },
    { kind: "set", key: first, value: { kind: "plain", value: 1 }, expireInMs: 1e300 },
    { kind: "set", key: first, value: { kind: "u64", value: 2n ** 64n }, expireInMs: null },
    { kind: "commit", checks: [], mutations: [{ kind: "sum", key: first, operand: -1n }] },
    {
      kind: "commit",
      checks: [{ key: first, expected: { kind: "literal", versionstamp: "00" } }],
      mutations: [setOf(first, 1)],
    },
  ]);
}
