/** What is fuzzed: a door of the program through which bytes come that nobody vouches for. */
import type { SeededRandom } from "../support/seeded_random.ts";

/** One door. */
export interface FuzzTarget {
  /** Also the name of its folder in the corpus. */
  readonly name: string;
  /** What must hold whatever the input is, as a sentence. */
  readonly promise: string;
  /** Pieces that mean something at this door, for the mutator to put in. */
  readonly tokens: readonly Uint8Array[];
  /** Makes a mutated input well formed again where that lets it come further (lengths, checksums). */
  repair(input: Uint8Array<ArrayBuffer>, random: SeededRandom): Uint8Array<ArrayBuffer>;
  /** Pushes the input through the door. Rejects when the promise was broken. */
  run(input: Uint8Array<ArrayBuffer>): Promise<void>;
}

/** For doors behind which every input is as well formed as another. */
export function unrepaired(input: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return input;
}

/** Tokens that are texts. */
export function texts(...tokens: readonly string[]): readonly Uint8Array[] {
  return tokens.map((token) => new TextEncoder().encode(token));
}
