/** Sizes, times and node names as people say them. */

const UNITS = ["B", "kB", "MB", "GB", "TB"] as const;
const UNIT_STEP = 1_000;

/** `340 B`, `12.3 MB`. */
export function sizeText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= UNIT_STEP && unit < UNITS.length - 1) {
    value /= UNIT_STEP;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

/** A time as people say it: `0.9 ms`, `340 ms`, `2.3 s`. */
export function duration(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

/** How many in a second, of `count` in `elapsedMs`; all of them when that is no time. */
export function perSecond(count: number, elapsedMs: number): number {
  return elapsedMs <= 0 ? count : count / elapsedMs * 1_000;
}

/** How much of the whole is done, in whole percent; 100 only when all of it is. */
export function percentOf(part: number, whole: number): number {
  return whole <= 0 ? 0 : Math.min(100, Math.floor(part / whole * 100));
}

/** `1 key`, `12 keys`; with blanks between thousands. */
export function countOf(count: number, noun: string): string {
  return `${withThousands(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** `12 431`. */
export function withThousands(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, " ");
}

/** `a`, `a and b`, `a, b and c`. */
export function enumeration(names: readonly string[]): string {
  const last = names.at(-1) ?? "";
  return names.length < 2 ? last : `${names.slice(0, -1).join(", ")} and ${last}`;
}
