/** A check of mutual exclusion: each fenced write was made while its writer was the first in the queue of the lock. */
import type { AppliedHistory } from "./applied_history.ts";

/** The lock, and the key that only its holders write. */
export const LOCK_NAME = "mutex";
export const FENCED_KEY = "fenced";

/** Returns what is wrong with the fenced writes as sentences; none when no two holders overlap. */
export function fencingProblems(history: AppliedHistory): string[] {
  const problems: string[] = [];
  let greatest = 0;
  for (let revision = 1; revision <= history.lastRevision; revision++) {
    const write = history.at(revision)?.changes.find(({ key }) => key === FENCED_KEY);
    if (write === undefined) continue;
    const token = Number.parseInt(write.state?.value ?? "", 10);
    const holder = holderAt(history, revision - 1);
    if (token !== holder) {
      problems.push(`revision ${revision} is written with token ${token}; ${holder} holds the lock`);
    }
    if (token < greatest) {
      problems.push(`revision ${revision} is written with token ${token} after ${greatest}`);
    }
    greatest = Math.max(greatest, token);
  }
  return problems;
}

/** Returns the fencing token of the holder as of a revision; null while it is free. */
function holderAt(history: AppliedHistory, revision: number): number | null {
  const tokens = history.keys.filter((key) => key.startsWith(`${LOCK_NAME}/`))
    .flatMap((key) => history.entryAt(key, revision)?.createRevision ?? []);
  return tokens.length === 0 ? null : Math.min(...tokens);
}
