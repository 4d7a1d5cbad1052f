/**
 * What hostile programs do not try yet, each with the reason: a fault of kvraft that is known and to be mended. With
 * the mend its line goes, and the fuzz holds it.
 */
export const EXCLUSIONS = {
  termLeaps: "a term near 2^53 in a frame between nodes ends the node at its next election",
} as const satisfies Readonly<Record<string, string>>;

/** Whether something is left out, by the name of its exclusion. */
export function isExcluded(name: string): boolean {
  return name in EXCLUSIONS;
}
