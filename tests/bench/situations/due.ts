/** When requests of an open loop fall due. */

/** How many have fallen due so long after the beginning; the first does at once. */
export function dueBy(elapsedMs: number, ratePerSecond: number): number {
  return Math.floor(elapsedMs / 1_000 * ratePerSecond) + 1;
}
