/**
 * Checks whether what watches showed fits together, and fits the answers that clients received: every change within what a watch
 * covers is shown once, in order, as it was written.
 *
 * Each watch is checked by itself first (`form.ts`). Then all changes are put into one table (`changes.ts`), together with
 * what answers, previous values and resets say about them; the author of each revision is found (`authors.ts`), all
 * statements about a change are compared (`agreement.ts`), each key's changes are read in order (`timeline.ts`), resets
 * are compared with the state as of their revision (`resets.ts`), and deletes without an author are ends of leases
 * (`leases.ts`). What remains is a matter of linearizability: the history is
 * returned with what the watches add to it (`evidence.ts`).
 *
 * Nothing that a correct store can show is refused. Of what is not covered by a watch, no change is required.
 */
import type { Operation } from "../history.ts";
import { partitionPoint } from "../bounds.ts";
import { Agreement } from "./agreement.ts";
import { Authors } from "./authors.ts";
import { Changes } from "./changes.ts";
import { Coverage } from "./coverage.ts";
import { historyWithWatches } from "./evidence.ts";
import { Findings, operationPhrase, type WatchFigures, type WatchVerdict } from "./findings.ts";
import { checkForm } from "./form.ts";
import { type LeaseEnd, Leases } from "./leases.ts";
import type { WatchedRun } from "./record.ts";
import { checkResets } from "./resets.ts";
import { KeyStates } from "./states.ts";
import { checkTimeline } from "./timeline.ts";

/**
 * Checks the watches of a run. Time grows with the events, and with the changes times the watches of their keys.
 *
 * @example
 * ```ts
 * import { checkWatches } from "../mod.ts";
 * const verdict = checkWatches({ history: [], leases: [], watches: [], prefix: "" });
 * if (verdict.kind !== "consistent") throw new Error("nothing was seen, and nothing can be wrong");
 * ```
 */
export function checkWatches(run: WatchedRun): WatchVerdict {
  const findings = new Findings();
  const answers = Reached.ofAnswers(run);
  for (const [watch, record] of run.watches.entries()) {
    checkForm(record, { watch, reachedBefore: (time) => answers.before(time), findings });
  }
  // The other checks rely on these rules.
  const early = findings.violation();
  if (early !== null) return early;
  const changes = new Changes(run);
  const coverage = new Coverage(run.watches);
  const authors = new Authors(run, { changes, findings });
  const agreement = new Agreement(run, { coverage, findings });
  const states = new KeyStates(changes, coverage);
  for (const key of states.keys) {
    for (const cell of states.cellsOf(key)) agreement.check(cell);
    checkTimeline(key, { states, findings });
  }
  checkResets(run, { states, findings });
  checkTimes(run, { authors, findings });
  const leases = new Leases(run, { states, findings });
  const ends = authors.unexplained.flatMap((unexplained) => leases.explain(unexplained) ?? []);
  for (const key of states.keys) leases.checkAttachments(key);
  const late = findings.violation();
  if (late !== null) return late;
  return {
    kind: "consistent",
    figures: figuresOf(run, { authors, ends }),
    history: historyWithWatches(run, { changes, states, authors, leases, ends }),
  };
}

/** Checks that no operation made a revision that a watch had shown before the operation was called. */
function checkTimes(
  run: WatchedRun,
  { authors, findings }: { readonly authors: Authors; readonly findings: Findings },
): void {
  const shown = Reached.ofNotices(run);
  for (const { operation, revision } of authors.placed()) {
    const reached = shown.before(run.history[operation]?.calledAt ?? Infinity);
    if (reached < revision) continue;
    findings.add({
      rule: "time",
      revision,
      key: null,
      sentence: [
        operationPhrase(operation),
        ` made revision ${revision}, and a watch had shown revision ${reached} before it was called.`,
      ],
    });
  }
}

function figuresOf(
  { watches, history }: WatchedRun,
  { authors, ends }: { readonly authors: Authors; readonly ends: readonly LeaseEnd[] },
): WatchFigures {
  const notices = watches.flatMap((watch) => watch.notices);
  const batches = notices.flatMap((notice) => notice.kind === "events" ? [notice] : []);
  const isUnknown = (operation: number): boolean => history[operation]?.outcome.kind === "unknown";
  return {
    watches: watches.length,
    events: batches.reduce((sum, { events }) => sum + events.length, 0),
    resets: notices.filter(({ kind }) => kind === "reset").length,
    revisions: new Set(batches.map(({ revision }) => revision)).size,
    resolved: [...authors.resolved.keys()].filter(isUnknown).length,
    leaseEnds: ends.filter(({ isCertain }) => isCertain).length,
  };
}

/** The greatest revision that was known at each time. */
class Reached {
  readonly #known: readonly { readonly at: number; readonly revision: number }[];

  private constructor(known: readonly { readonly at: number; readonly revision: number }[]) {
    let greatest = 0;
    this.#known = known.toSorted((a, b) => a.at - b.at).map(({ at, revision }) => {
      greatest = Math.max(greatest, revision);
      return { at, revision: greatest };
    });
  }

  /** From the answers to operations. */
  static ofAnswers({ history }: WatchedRun): Reached {
    return new Reached(history.flatMap((operation) => {
      const { returnedAt } = operation;
      const revision = revisionAnswered(operation);
      return returnedAt === null || revision === null ? [] : [{ at: returnedAt, revision }];
    }));
  }

  /** From what watches showed. */
  static ofNotices({ watches }: WatchedRun): Reached {
    return new Reached(
      watches.flatMap(({ notices }) =>
        notices.map(({ receivedAt, revision }) => ({ at: receivedAt, revision }))
      ),
    );
  }

  /** Returns the greatest revision that was known before `time`; 0 when none was. */
  before(time: number): number {
    return this.#known[partitionPoint(this.#known, ({ at }) => at < time) - 1]?.revision ?? 0;
  }
}

/** Returns a revision that the store had reached when it answered. */
function revisionAnswered({ outcome }: Operation): number | null {
  if (outcome.kind !== "answered" || outcome.result === null) return null;
  return "revision" in outcome.result ? outcome.result.revision : outcome.result.modRevision;
}
