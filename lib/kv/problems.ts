/** Problems of requests, and the rules that are the same for all: how long a key and a value are. */
import { MAX_KEY_BYTES } from "./command.ts";

/** A problem of a request. */
export interface CommandProblem {
  /** The error code for the client. */
  readonly kind: "keyTooLarge" | "valueTooLarge" | "invalidRequest";
  /** The error message. */
  readonly message: string;
}

/** Limits that a server may configure. */
export interface CommandLimits {
  /** Maximum bytes of a written value; at most MAX_VALUE_BYTES. */
  readonly maxValueBytes: number;
}

/** Returns the problem of a key, or null when it is valid. */
export function validateKey(key: Uint8Array): CommandProblem | null {
  if (key.length === 0) return invalid("Cannot use an empty key: give at least one byte.");
  return validateKeyLength(key);
}

/** Returns the problem of a key or of the bound of a range, which may be empty; null when it is valid. */
export function validateKeyLength(key: Uint8Array): CommandProblem | null {
  if (key.length <= MAX_KEY_BYTES) return null;
  const message = `Cannot use a key of ${key.length} bytes: at most ${MAX_KEY_BYTES} are allowed.`;
  return { kind: "keyTooLarge", message };
}

/** Returns the problem of a value, or null when it is valid. */
export function validateValueLength(value: Uint8Array, maxValueBytes: number): CommandProblem | null {
  if (value.length <= maxValueBytes) return null;
  const message = `Cannot use a value of ${value.length} bytes: at most ${maxValueBytes} are allowed.`;
  return { kind: "valueTooLarge", message };
}

/** Returns the problem of the first item that has one, or null. */
export function firstProblem<T>(
  items: readonly T[],
  validate: (item: T) => CommandProblem | null,
): CommandProblem | null {
  for (const item of items) {
    const problem = validate(item);
    if (problem !== null) return problem;
  }
  return null;
}

/** Returns the problem of a request that breaks a rule. */
export function invalid(message: string): CommandProblem {
  return { kind: "invalidRequest", message };
}
