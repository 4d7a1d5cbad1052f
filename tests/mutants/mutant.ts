/**
 * A mutant: a small fault planted in the production code, to show that the tests would notice it. Mutants are data;
 * what is done with them is in laboratory.ts.
 */
import type { Check } from "./checks.ts";

/** One fault. */
export interface Mutant {
  /** `M1` and up. */
  readonly id: string;
  /** The behaviour of the mutated program, in a few words. */
  readonly title: string;
  /** The effect for users, or the violated rule. */
  readonly failure: string;
  /** The one file that is changed, relative to the checkout. */
  readonly file: string;
  /** Text that occurs exactly once. Short and distinctive, so that edits around it have no effect. */
  readonly from: string;
  /** The replacement, which must compile. */
  readonly to: string;
  /** The checks that should detect it, fast ones first. */
  readonly checks: readonly Check[];
}

/** Returns the mutants of one file, noticed by `checks` where an entry names no others. */
export function inFile(
  file: string,
  checks: readonly Check[],
  mutants: readonly (Omit<Mutant, "file" | "checks"> & Partial<Pick<Mutant, "checks">>)[],
): readonly Mutant[] {
  return mutants.map((mutant) => ({ file, checks, ...mutant }));
}

/** A mutant that can't be planted as it is written: its entry must be brought up to date with the code. */
export class StaleMutantError extends Error {
  override readonly name = "StaleMutantError";
}

/** The text of the mutant's file with the fault in it. Throws {@link StaleMutantError} when the place isn't there, or isn't one. */
export function planted(mutant: Mutant, source: string): string {
  const { id, file, from, to } = mutant;
  const places = source.split(from).length - 1;
  if (places !== 1) {
    throw new StaleMutantError(
      `Cannot plant ${id} in ${file}: the text ${
        JSON.stringify(from)
      } occurs ${places} times instead of once. ` +
        "Look up where the code it breaks has gone, and adapt the mutant in tests/mutants.",
    );
  }
  // As a function: a replacement text would give "$" a meaning.
  return source.replace(from, () => to);
}
