/** Validation of watches. */
import type { KeySet } from "./branching_command.ts";
import { compareKeys } from "./keys.ts";
import { type CommandProblem, invalid, validateKey, validateKeyLength } from "./problems.ts";

/** The part of a watch that can be invalid in itself. */
export interface WatchRequest {
  readonly keys: KeySet;
  /** The first revision whose events are wanted; null for those after the present one. */
  readonly from: number | null;
  /** Whether puts, and whether deletes, are wanted. */
  readonly puts: boolean;
  readonly deletes: boolean;
}

/** Returns the problem of a watch, or null when it is valid. */
export function validateWatch({ keys, from, puts, deletes }: WatchRequest): CommandProblem | null {
  if (!puts && !deletes) {
    return invalid("Cannot watch neither puts nor deletes: ask for one of them or both.");
  }
  if (from !== null && !(Number.isSafeInteger(from) && from >= 1)) {
    return invalid(`Cannot watch from revision ${from}: the first revision is 1.`);
  }
  return validateKeys(keys);
}

function validateKeys(keys: KeySet): CommandProblem | null {
  if (keys.kind === "key") return validateKey(keys.key);
  const { start, end } = keys;
  const problem = validateKeyLength(start) ?? (end === null ? null : validateKeyLength(end));
  if (problem !== null || end === null || compareKeys(end, start) > 0) return problem;
  return invalid("Cannot watch a range without keys: its end is not above its start.");
}
