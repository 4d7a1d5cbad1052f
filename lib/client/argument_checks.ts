/**
 * Checks of arguments that TypeScript has checked already: programs in JavaScript can pass anything, and get an
 * {@link InvalidRequestError} with a sentence. Each function returns the argument that it was given.
 */
import { shortened } from "../platform/errors.ts";
import { InvalidRequestError } from "./errors.ts";
import type { Bytes } from "./types.ts";

const TEXT = new TextEncoder();

/** Returns `value` if it is an object and no array. `what` names it: "the options of a call". */
export function checkObject<T extends object>(value: T, what: string): T {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new InvalidRequestError(`Cannot use ${describeValue(value)} as ${what}: pass an object.`);
}

/** Returns `value` if it is an array; one with holes as an array of undefined in their places, which is refused later. */
export function checkList<T>(value: readonly T[], what: string): readonly T[] {
  if (Array.isArray(value)) return Array.from<T>(value);
  throw new InvalidRequestError(`Cannot use ${describeValue(value)} as ${what}: pass an array.`);
}

/** Returns `value` if it is true or false. */
export function checkBoolean(value: boolean, what: string): boolean {
  if (typeof value === "boolean") return value;
  throw new InvalidRequestError(`Cannot use ${describeValue(value)} as ${what}: pass true or false.`);
}

/** Returns `value` if it is one of `choices`. */
export function checkChoice<T extends string>(value: T, choices: readonly T[], what: string): T {
  if (choices.includes(value)) return value;
  const allowed = choices.map((choice) => `"${choice}"`).join(" or ");
  throw new InvalidRequestError(`Cannot use ${describeValue(value)} as ${what}: pass ${allowed}.`);
}

/** Returns `value` if it is a number; its range is checked where it is used. */
export function checkNumber(value: number, what: string): number {
  if (typeof value === "number") return value;
  throw new InvalidRequestError(`Cannot use ${describeValue(value)} as ${what}: pass a number.`);
}

/** Returns `value` if it is an integer from `min` up that a number holds exactly. */
export function checkInteger(
  value: number,
  { what, min }: { readonly what: string; readonly min: number },
): number {
  if (Number.isSafeInteger(value) && value >= min) return value;
  throw new InvalidRequestError(
    `Cannot use ${describeValue(value)} as ${what}: pass an integer from ${min} up.`,
  );
}

/** Returns `value` if it is text. */
export function checkText(value: string, what: string): string {
  if (typeof value === "string") return value;
  throw new InvalidRequestError(`Cannot use ${describeValue(value)} as ${what}: pass text.`);
}

/** Returns `value` if it is a function. */
export function checkFunction<T extends (...args: never[]) => unknown>(value: T, what: string): T {
  if (typeof value === "function") return value;
  throw new InvalidRequestError(`Cannot use ${describeValue(value)} as ${what}: pass a function.`);
}

/** Returns `value` if it is null or a signal, of whichever implementation. */
export function checkSignal(value: AbortSignal | null): AbortSignal | null {
  const isSignal = value === null || typeof value === "object" && typeof value.aborted === "boolean" &&
      typeof value.addEventListener === "function";
  if (isSignal) return value;
  throw new InvalidRequestError(`Cannot use ${describeValue(value)} as a signal: pass an AbortSignal.`);
}

/** Returns the bytes of a key or value as a copy that the client owns. */
export function toBytes(value: Bytes, what: string): Uint8Array {
  return value instanceof Uint8Array ? value.slice() : toView(value, what);
}

/** Returns the bytes of a key or value without a copy: they may be the caller's, and are used before it continues. */
export function toView(value: Bytes, what: string): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (typeof value !== "string") {
    throw new InvalidRequestError(`Cannot take this ${what}: it is neither text nor a Uint8Array.`);
  }
  if (!value.isWellFormed()) {
    throw new InvalidRequestError(
      `Cannot take this ${what}: it is not well-formed Unicode. Pass its bytes instead.`,
    );
  }
  return TEXT.encode(value);
}

/** Returns the error for an object whose `kind` is none of its union's, so that no case was left for it. */
export function unknownKind(value: never, what: string): InvalidRequestError {
  const { kind } = value as { readonly kind: unknown };
  return new InvalidRequestError(`Cannot use ${what} of kind ${describeValue(kind)}: there is no such kind.`);
}

/** Returns a value for a message: text in quotes and shortened, numbers as they are, of others the type. */
export function describeValue(value: unknown): string {
  switch (typeof value) {
    case "string":
      return `"${shortened(value)}"`;
    case "function":
    case "symbol":
      return `a ${typeof value}`;
    case "object":
      return value === null ? "null" : Array.isArray(value) ? "an array" : "an object";
    default:
      return String(value);
  }
}
