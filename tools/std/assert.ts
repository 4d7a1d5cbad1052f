/** Substitute for `jsr:@std/assert` if JSR cannot be reached (see tools/std_imports.ts). */
import { AssertionError, deepStrictEqual, notDeepStrictEqual } from "node:assert/strict";

export { AssertionError };

/** Fails unless `expression` is truthy. */
export function assert(expression: unknown, message = ""): asserts expression {
  if (!expression) throw new AssertionError({ message: message || "Assertion failed" });
}

/** Fails unless the two values are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, message?: string): void {
  deepStrictEqual(actual, expected, message);
}

/** Fails if the two values are deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, message?: string): void {
  notDeepStrictEqual(actual, expected, message);
}

/** Fails unless `actual` matches `expected`. */
export function assertMatch(actual: string, expected: RegExp, message?: string): void {
  assert(expected.test(actual), message ?? `Expected ${JSON.stringify(actual)} to match ${expected}`);
}

/** Fails unless `actual` contains `expected`. */
export function assertStringIncludes(actual: string, expected: string, message?: string): void {
  assert(
    actual.includes(expected),
    message ?? `Expected ${JSON.stringify(actual)} to contain ${JSON.stringify(expected)}`,
  );
}

/** Fails unless `value` is an instance of `ErrorClass`; narrows its type. */
export function assertInstanceOf<T extends abstract new (...args: never[]) => unknown>(
  actual: unknown,
  expectedType: T,
  message?: string,
): asserts actual is InstanceType<T> {
  assert(
    actual instanceof expectedType,
    message ?? `Expected ${actual} to be an instance of ${expectedType.name}`,
  );
}

/** Fails unless `fn` throws an instance of `ErrorClass` whose message contains `includes`; returns the error. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: abstract new (...args: never[]) => E,
  includes?: string,
): E {
  try {
    fn();
  } catch (error) {
    assertInstanceOf(error, ErrorClass);
    if (includes !== undefined) assertStringIncludes(error.message, includes);
    return error;
  }
  throw new AssertionError({ message: "Expected the function to throw" });
}

/** Fails unless the promise of `fn` rejects with an instance of `ErrorClass` whose message contains `includes`. */
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: abstract new (...args: never[]) => E,
  includes?: string,
): Promise<E> {
  try {
    await fn();
  } catch (error) {
    assertInstanceOf(error, ErrorClass);
    if (includes !== undefined) assertStringIncludes(error.message, includes);
    return error;
  }
  throw new AssertionError({ message: "Expected the promise to be rejected" });
}
