/**
 * The changes of one key in order: whether its numbers and previous values follow from the changes before. Where changes
 * may be missing between two known ones, only what any changes between them allow is required.
 */
import { agree, type Cell, type Sighting } from "./changes.ts";
import { type Findings, keyPhrase, type Phrase, watchPhrase, type WatchRule } from "./findings.ts";
import { entryAfter, type WatchedEntry, type WatchEvent } from "./record.ts";
import type { KeyStates, KnownState } from "./states.ts";

/** Checks the known changes of a key. */
export function checkTimeline(
  key: string,
  { states, findings }: { readonly states: KeyStates; readonly findings: Findings },
): void {
  for (const cell of states.cellsOf(key)) {
    const check = new CellCheck(cell, { before: states.at(key, cell.revision - 1), findings });
    if (cell.complete !== null) check.checkNumbers(cell.complete);
    for (const sighting of cell.sightings) check.checkPrevious(sighting);
  }
}

class CellCheck {
  readonly #cell: Cell;
  readonly #before: KnownState | null;
  readonly #findings: Findings;

  constructor(
    cell: Cell,
    { before, findings }: { readonly before: KnownState | null; readonly findings: Findings },
  ) {
    this.#cell = cell;
    this.#before = before;
    this.#findings = findings;
  }

  /** Checks that createRevision and version of every event follow from the change before it. */
  checkNumbers({ watch, events }: Sighting): void {
    const { revision } = this.#cell;
    let before = this.#before;
    for (const event of events) {
      const why = numbersProblem(event, before);
      if (why !== null) {
        this.#find("numbers", watch, [
          " shows a ",
          event.kind,
          " of ",
          keyPhrase(event.key),
          ` at revision ${revision}: ${why}.`,
        ]);
      }
      before = { revision, entry: entryAfter(event), isCurrent: true };
    }
  }

  /** Checks the previous values that one watch shows. */
  checkPrevious({ watch, events }: Sighting): void {
    const { revision, complete } = this.#cell;
    let position = 0;
    for (const event of events) {
      // The events of a watch with a filter are some of the complete ones, in their order.
      const all: readonly WatchEvent[] = complete?.events ?? [];
      while (position < all.length && all[position]?.kind !== event.kind) position++;
      const last = all[position - 1];
      const before = last === undefined
        ? this.#before
        : { revision, entry: entryAfter(last), isCurrent: true };
      position++;
      if (event.previous === "omitted") continue;
      const why = previousProblem(event.previous, { before, isComplete: complete !== null, revision });
      if (why === null) continue;
      this.#find("previous", watch, [
        " shows a ",
        event.kind,
        " of ",
        keyPhrase(event.key),
        ` at revision ${revision}: ${why}.`,
      ]);
    }
  }

  #find(rule: WatchRule, watch: number, sentence: readonly Phrase[]): void {
    const { revision, key } = this.#cell;
    this.#findings.add({ rule, revision, key, sentence: [watchPhrase(watch), ...sentence] });
  }
}

/** Returns why an event cannot follow on a state, or null. */
function numbersProblem(event: WatchEvent, before: KnownState | null): string | null {
  if (before === null) return null;
  const { entry: old, isCurrent, revision } = before;
  if (event.kind === "delete") {
    return old === null && isCurrent ? `it did not exist since revision ${revision}` : null;
  }
  const { createRevision, version, modRevision } = event.entry;
  const isFirst = version === 1 && createRevision === modRevision;
  if (old === null) {
    if (isFirst || (!isCurrent && createRevision > revision)) return null;
    return `it did not exist at revision ${revision}, and has createRevision ${createRevision} and version ${version}`;
  }
  const isSameLife = createRevision <= revision && agree({ ...old, createRevision }, old);
  if (!isSameLife) {
    // It was deleted and created again in between.
    if (!isCurrent && createRevision > revision) return null;
    return `it existed at revision ${revision}, and has createRevision ${createRevision} and version ${version}`;
  }
  if (old.version === null) return null;
  const isRight = isCurrent ? version === old.version + 1 : version > old.version;
  return isRight ? null : `it has version ${version}; at revision ${revision} it had version ${old.version}`;
}

/** Returns why `previous` cannot be what an event replaced, or null. */
function previousProblem(
  previous: WatchedEntry | null,
  { before, isComplete, revision }: {
    readonly before: KnownState | null;
    /** Whether all changes of the key in this revision are known. */
    readonly isComplete: boolean;
    readonly revision: number;
  },
): string | null {
  if (before === null) return null;
  if (previous === null) {
    if (!isComplete || before.entry === null || !before.isCurrent) return null;
    return `nothing is said to have been there before; since revision ${before.revision} it existed`;
  }
  if (!isComplete && previous.modRevision === revision) return null;
  const { modRevision } = previous;
  if (modRevision !== before.revision) {
    const later = before.revision > modRevision
      ? `it was changed at revision ${before.revision} since`
      : "no watch shows that";
    return modRevision > before.revision && !before.isCurrent
      ? null
      : `what was there before is said to be of revision ${modRevision}, and ${later}`;
  }
  return agree(previous, before.entry)
    ? null
    : `what was there before differs from what revision ${modRevision} put there`;
}
