/** A fuzz target: a decoder of untrusted bytes. */
import type { SeededRandom } from "../support/seeded_random.ts";

/** A decoder of untrusted bytes. */
export interface FuzzTarget {
  /** Also the name of its folder in the corpus. */
  readonly name: string;
  /** Property that must hold for every input, as a sentence. */
  readonly promise: string;
  /** Pieces with a meaning to this decoder, for the mutator to insert. */
  readonly tokens: readonly Uint8Array[];
  /** Corrects lengths and checksums of a mutated input, so that it reaches deeper code. */
  repair(input: Uint8Array<ArrayBuffer>, random: SeededRandom): Uint8Array<ArrayBuffer>;
  /** Decodes the input. Rejects when the promise was broken. */
  run(input: Uint8Array<ArrayBuffer>): Promise<void>;
}

/** The `repair` of targets without lengths and checksums. */
export function unrepaired(input: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return input;
}

/** Tokens that are texts. */
export function texts(...tokens: readonly string[]): readonly Uint8Array[] {
  return tokens.map((token) => new TextEncoder().encode(token));
}
