/** What folders are called while and after one of them is recovered. */

/** The old folder afterwards, and the new one until it takes the name. */
export function neighboursOf(dataDir: string): { readonly old: string; readonly fresh: string } {
  return { old: `${dataDir}.before-recovery`, fresh: `${dataDir}.recovered` };
}
