/**
 * Assertions of the production code. They stay on: a wrong program must stop before it does harm.
 * Wrong input (a peer, a client, a disk, a flag) is never an assertion; it gets a named error.
 */

/** An invariant of this program did not hold. */
export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

/** Throws {@link InvariantError} unless `condition` holds; `message` is the invariant, as a sentence. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantError(`Invariant violated: ${message}`);
}

/** Closes a `switch` over a union: the compiler refuses it while a case is missing. */
export function assertNever(value: never): never {
  throw new InvariantError(`Invariant violated: unexpected case ${JSON.stringify(value)}`);
}
