/**
 * Waiting in tests: for a condition or for an event, always with a deadline, and with an error that says what was
 * waited for. Nothing else in the tests waits.
 */

/** Default deadline. Generous, since a busy machine is no failure, and two test files run at a time. */
export const DEADLINE_MS = 60_000;
const POLL_MS = 20;

/** Options of a wait. */
export interface WaitOptions {
  /** Default {@link DEADLINE_MS}. */
  readonly deadlineMs?: number;
  /** Text added to the error: the logs of the processes that the test waited for. */
  readonly explain?: () => string;
}

/** Thrown at the deadline. */
export class DeadlineError extends Error {
  override readonly name = "DeadlineError";
}

/**
 * Repeats `attempt` until it returns something other than null, and returns that. An attempt that throws counts as null;
 * the error at the deadline contains the last such error.
 */
export async function eventually<T>(
  what: string,
  attempt: () => T | null | Promise<T | null>,
  options: WaitOptions = {},
): Promise<T> {
  const { deadlineMs = DEADLINE_MS, explain = (): string => "" } = options;
  const start = performance.now();
  let lastError: unknown = null;
  while (true) {
    try {
      const result = await attempt();
      if (result !== null) return result;
      lastError = null;
    } catch (error) {
      lastError = error;
    }
    if (performance.now() - start > deadlineMs) {
      const because = lastError === null ? "" : ` (last: ${lastError})`;
      throw new DeadlineError(`Waited ${deadlineMs} ms in vain until ${what}${because}\n${explain()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Returns the result of `promise`; throws at the deadline. */
export async function within<T>(what: string, promise: Promise<T>, options: WaitOptions = {}): Promise<T> {
  const { deadlineMs = DEADLINE_MS, explain = (): string => "" } = options;
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new DeadlineError(`Waited ${deadlineMs} ms in vain until ${what}\n${explain()}`)),
    deadlineMs,
  );
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
