/** Mutation of inputs, reproducible by seed. */
import type { SeededRandom } from "../support/seeded_random.ts";

/** Longest input; larger lengths are only claimed. */
export const MAX_INPUT_BYTES = 16_384;
const MAX_CHANGES = 6;
const MAX_RUN_BYTES = 2_048;

type Bytes = Uint8Array<ArrayBuffer>;

/** The base of new inputs. */
export interface Material {
  /** Inputs known so far; at least one. */
  readonly corpus: readonly Bytes[];
  readonly tokens: readonly Uint8Array[];
}

/** Wrong lengths: at the limits of frames and records, of 32 bits, and around sign changes. */
export const LYING_LENGTHS: readonly number[] = [
  0,
  1,
  0x7f,
  0xff,
  0xffff,
  0x0100_0000,
  0x0100_0001,
  0x7fff_ffff,
  0x8000_0000,
  0xffff_fffb,
  0xffff_ffff,
];

/** Returns an input with one to a few changes. */
export function mutated({ corpus, tokens }: Material, random: SeededRandom): Bytes {
  let input = random.pick(corpus);
  // A single change reaches the deepest code: further ones may fail an earlier check.
  const changes = random.chance(0.5) ? 1 : 1 + random.below(MAX_CHANGES);
  for (let change = 0; change < changes; change++) {
    input = random.pick(CHANGES)(input, { corpus, tokens, random });
  }
  return input.slice(0, MAX_INPUT_BYTES);
}

type Change = (input: Bytes, with_: Material & { readonly random: SeededRandom }) => Bytes;

const CHANGES: readonly Change[] = [
  function flipBit(input, { random }): Bytes {
    const at = random.below(input.length);
    return input.length === 0 ? input : input.with(at, (input[at] ?? 0) ^ (1 << random.below(8)));
  },
  function setByte(input, { random }): Bytes {
    return input.length === 0 ? input : input.with(random.below(input.length), random.below(256));
  },
  function setLength(input, { random }): Bytes {
    if (input.length < 4) return input;
    const changed = input.slice();
    new DataView(changed.buffer).setUint32(random.below(input.length - 3), random.pick(LYING_LENGTHS));
    return changed;
  },
  function truncate(input, { random }): Bytes {
    return input.slice(0, random.below(input.length + 1));
  },
  function remove(input, { random }): Bytes {
    const from = random.below(input.length + 1);
    return joined(input.subarray(0, from), input.subarray(from + random.below(16)));
  },
  function repeat(input, { random }): Bytes {
    const from = random.below(input.length + 1);
    const part = input.subarray(from, from + 1 + random.below(64));
    return joined(input.subarray(0, from), part, part, input.subarray(from + part.length));
  },
  function splice(input, { corpus, random }): Bytes {
    const other = random.pick(corpus);
    return joined(
      input.subarray(0, random.below(input.length + 1)),
      other.subarray(random.below(other.length + 1)),
    );
  },
  function insertToken(input, { tokens, random }): Bytes {
    const at = random.below(input.length + 1);
    return tokens.length === 0
      ? input
      : joined(input.subarray(0, at), random.pick(tokens), input.subarray(at));
  },
  function insertRun(input, { random }): Bytes {
    const at = random.below(input.length + 1);
    const run = new Uint8Array(random.below(MAX_RUN_BYTES)).fill(random.below(256));
    return joined(input.subarray(0, at), run, input.subarray(at));
  },
];

/** Concatenates byte arrays. */
export function joined(...parts: readonly Uint8Array[]): Bytes {
  const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}
