/**
 * The authors of revisions. An answered write says so itself. One of unknown outcome made a revision if no other operation
 * can have made all the changes that watches showed of it; then everything that it writes has to be in that revision.
 */
import { getOrMake } from "../bounds.ts";
import type { History, Operation } from "../history.ts";
import type { Changes } from "./changes.ts";
import {
  canHaveMade,
  effectsOf,
  type Made,
  madeBy,
  type PossibleWrites,
  possibleWritesOf,
  WriteIndex,
} from "./effects.ts";
import {
  changePhrases,
  type Findings,
  operationPhrase,
  type Phrase,
  watchPhrase,
  type WatchRule,
} from "./findings.ts";
import type { WatchedRun, WatchEvent } from "./record.ts";

/** An event of a revision, with the watch that showed it first. */
interface Seen {
  readonly event: WatchEvent;
  readonly watch: number;
  readonly receivedAt: number;
}

/** A revision of which all changes are deletes that no operation has to have made. */
export interface Unexplained {
  readonly revision: number;
  readonly keys: readonly string[];
  readonly watch: number;
  /** When a watch first showed it. */
  readonly seenAt: number;
  /** Operations of unknown outcome of which each may have made all of it. */
  readonly candidates: readonly number[];
}

/** The authors of a run's revisions. */
export class Authors {
  /** Revisions whose changes may be those of leases that ended. */
  readonly unexplained: Unexplained[] = [];
  readonly #run: WatchedRun;
  readonly #findings: Findings;
  readonly #writes: readonly PossibleWrites[];
  readonly #made: readonly Made[];
  readonly #index: WriteIndex;
  /** The operations that certainly made a revision. */
  readonly #makerOf = new Map<number, number>();
  /** The operations that made this revision if they changed anything. */
  readonly #possibleMakersOf = new Map<number, number[]>();
  /** The revision of each operation of unknown outcome or revision that is known to have been applied. */
  readonly #resolved = new Map<number, number>();

  /** Finds the author of every revision that watches showed, and adds to `changes` what these operations wrote. */
  constructor(
    run: WatchedRun,
    { changes, findings }: { readonly changes: Changes; readonly findings: Findings },
  ) {
    const { history } = run;
    this.#run = run;
    this.#findings = findings;
    this.#writes = history.map(possibleWritesOf);
    this.#made = history.map(madeBy);
    this.#index = new WriteIndex(this.#writes);
    for (const [operation, made] of this.#made.entries()) {
      if (made.kind === "nothing" || made.revision === null) continue;
      if (made.kind === "certain") this.#makerOf.set(made.revision, operation);
      else getOrMake(this.#possibleMakersOf, made.revision, () => []).push(operation);
    }
    for (const [revision, operation] of this.#makerOf) this.#note(changes, { operation, revision });
    for (const revision of changes.revisions) {
      const seen = this.#seenAt(revision, changes);
      if (seen.length > 0) this.#explain(seen, { revision, changes });
    }
  }

  /** Operations without a known revision that a watch showed to be applied, with that revision. */
  get resolved(): ReadonlyMap<number, number> {
    return this.#resolved;
  }

  /** Returns the operation that certainly made a revision, according to its answer; null if none is known. */
  makerOf(revision: number): number | null {
    return this.#makerOf.get(revision) ?? null;
  }

  /** The operations whose revision is known, with that revision. */
  *placed(): Iterable<{ readonly operation: number; readonly revision: number }> {
    for (const [revision, operation] of this.#makerOf) yield { operation, revision };
    for (const [operation, revision] of this.#resolved) yield { operation, revision };
  }

  /** Returns the events of the run's own keys at a revision, each key's by the watch that showed it first. */
  #seenAt(revision: number, changes: Changes): readonly Seen[] {
    return changes.at(revision).flatMap(({ key, sightings }) => {
      if (!key.startsWith(this.#run.prefix)) return [];
      const [first, ...others] = sightings;
      if (first === undefined) return [];
      const { watch, receivedAt, events } = others.reduce(
        (least, each) => each.receivedAt < least.receivedAt ? each : least,
        first,
      );
      return events.map((event) => ({ event, watch, receivedAt }));
    });
  }

  #explain(
    seen: readonly Seen[],
    { revision, changes }: { readonly revision: number; readonly changes: Changes },
  ): void {
    const maker = this.#makerOf.get(revision);
    if (maker !== undefined) {
      this.#checkMaker(maker, { seen, revision });
      return;
    }
    const candidates = this.#candidatesFor(seen, revision);
    const [candidate, ...others] = candidates;
    if (seen.every(({ event }) => event.kind === "delete")) {
      this.#noteUnexplained(seen, { revision, candidates });
      return;
    }
    if (candidate === undefined) {
      this.#findNoAuthor(seen, revision);
      return;
    }
    if (others.length > 0 || this.#possibleMakersOf.get(revision)?.includes(candidate) === true) return;
    const earlier = this.#resolved.get(candidate);
    if (earlier !== undefined) {
      this.#find("once", { revision, key: seen[0]?.event.key ?? null }, [
        operationPhrase(candidate),
        ` can have been applied once, and alone can have made both revision ${earlier} and revision ${revision}.`,
      ]);
      return;
    }
    this.#resolved.set(candidate, revision);
    this.#note(changes, { operation: candidate, revision });
  }

  /** Checks that the operation that was answered with a revision can have made everything that was seen of it. */
  #checkMaker(
    maker: number,
    { seen, revision }: { readonly seen: readonly Seen[]; readonly revision: number },
  ): void {
    const writes = this.#writes[maker];
    if (writes === undefined) return;
    for (const { event, watch } of seen) {
      if (canHaveMade(writes, event)) continue;
      this.#find("author", { revision, key: event.key }, [
        watchPhrase(watch),
        " shows ",
        ...changePhrases(event),
        ` at revision ${revision}, which `,
        operationPhrase(maker),
        " made; it does not write that.",
      ]);
    }
  }

  /** Returns the operations of which each may have made everything that was seen of a revision. */
  #candidatesFor(seen: readonly Seen[], revision: number): readonly number[] {
    const [first] = seen;
    if (first === undefined) return [];
    const possible = this.#possibleMakersOf.get(revision) ?? [];
    return [...this.#index.writersOf(first.event)].filter((operation) => {
      const made = this.#made[operation];
      const writes = this.#writes[operation];
      if (made === undefined || writes === undefined || made.kind === "nothing") return false;
      if (made.revision !== null && !possible.includes(operation)) return false;
      return seen.every(({ event, receivedAt }) =>
        canHaveMade(writes, event) && (this.#operation(operation)?.calledAt ?? Infinity) <= receivedAt
      );
    });
  }

  #noteUnexplained(
    seen: readonly Seen[],
    { revision, candidates }: { readonly revision: number; readonly candidates: readonly number[] },
  ): void {
    const [first, ...others] = seen;
    if (first === undefined) return;
    const { watch, receivedAt: seenAt } = others.reduce(
      (least, each) => each.receivedAt < least.receivedAt ? each : least,
      first,
    );
    const keys = [...new Set(seen.map(({ event }) => event.key))];
    this.unexplained.push({ revision, keys, watch, seenAt, candidates });
  }

  #findNoAuthor(seen: readonly Seen[], revision: number): void {
    const single = seen.find((each) => this.#candidatesFor([each], revision).length === 0);
    if (single === undefined) {
      const [first] = seen;
      if (first === undefined) return;
      this.#find("whole", { revision, key: first.event.key }, [
        watchPhrase(first.watch),
        ` shows revision ${revision}, and no operation writes all that watches show of it.`,
      ]);
      return;
    }
    const { event, watch } = single;
    this.#find("author", { revision, key: event.key }, [
      watchPhrase(watch),
      " shows ",
      ...changePhrases(event),
      ` at revision ${revision}`,
      ...this.#whyNotMade(single),
    ]);
  }

  /** Returns the end of a sentence: why an operation with the same value cannot have made a change. */
  #whyNotMade({ event, receivedAt }: Seen): readonly Phrase[] {
    const [writer] = this.#index.writersOf(event);
    const operation = writer === undefined ? undefined : this.#operation(writer);
    if (writer === undefined || operation === undefined) return [", and no operation wrote it."];
    if (operation.outcome.kind === "notApplied") {
      return [
        ", and its author, ",
        operationPhrase(writer),
        ", received the answer that it was not applied.",
      ];
    }
    if (operation.calledAt > receivedAt) {
      return [" before its author, ", operationPhrase(writer), ", was called."];
    }
    const made = this.#made[writer];
    const answer = made === undefined || made.kind === "nothing"
      ? "received the answer that nothing was changed."
      : `received revision ${made.revision ?? "unknown"}.`;
    return [", and its author, ", operationPhrase(writer), `, ${answer}`];
  }

  #note(
    changes: Changes,
    { operation, revision }: { readonly operation: number; readonly revision: number },
  ): void {
    const author = this.#operation(operation);
    if (author !== undefined) changes.noteEffects(effectsOf(author), { operation, revision });
  }

  #operation(position: number): Operation | undefined {
    const history: History = this.#run.history;
    return history[position];
  }

  #find(
    rule: WatchRule,
    { revision, key }: { readonly revision: number; readonly key: string | null },
    sentence: readonly Phrase[],
  ): void {
    this.#findings.add({ rule, revision, key, sentence });
  }
}
