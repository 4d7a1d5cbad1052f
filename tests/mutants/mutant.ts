/**
 * A mutant: a small fault in the production code, to show that the tests detect it. Mutants are data; laboratory.ts tests
 * them.
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

/** Returns the mutants of one file; `checks` are the default checks. */
export function inFile(
  file: string,
  checks: readonly Check[],
  mutants: readonly (Omit<Mutant, "file" | "checks"> & Partial<Pick<Mutant, "checks">>)[],
): readonly Mutant[] {
  return mutants.map((mutant) => ({ file, checks, ...mutant }));
}

/** Thrown for a mutant that can't be inserted: its entry must be updated to the code. */
export class StaleMutantError extends Error {
  override readonly name = "StaleMutantError";
}

/** Returns the text of the file with the fault. Throws {@link StaleMutantError} unless `from` occurs exactly once. */
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
  // As a function, since "$" is special in a replacement text.
  return source.replace(from, () => to);
}
