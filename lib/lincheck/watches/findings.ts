/** Findings of a check of watches: sentences that name watches, operations and keys by their positions in the run. */
import type { History } from "../history.ts";
import type { WatchEvent } from "./record.ts";

/** The rule that was broken. */
export type WatchRule =
  /** Revisions ascend, and none is shown twice. */
  | "order"
  /** A watch shows nothing from before its start. */
  | "start"
  /** A watch shows only the keys and the kinds of events that it asked for. */
  | "range"
  /** The numbers of a notice fit each other. */
  | "form"
  /** Every change within what a watch covers is shown. */
  | "missing"
  /** All watches, and the answers to writes, show the same changes. */
  | "agreement"
  /** Every change was made by an operation, or by the end of a lease. */
  | "author"
  /** All changes of one revision are those of one operation. */
  | "whole"
  /** An operation has one revision. */
  | "once"
  /** A revision that was shown was not made by an operation that was called later. */
  | "time"
  /** The previous value is the one that the change replaced. */
  | "previous"
  /** A key's version and createRevision follow from its changes. */
  | "numbers"
  /** A reset shows every key of its watch, as of its revision. */
  | "reset"
  /** A lease ends once, not before its time to live has passed, and with all of its keys. */
  | "lease";

/** A part of a sentence. */
export type Phrase =
  | string
  | { readonly kind: "watch"; readonly watch: number }
  | { readonly kind: "operation"; readonly operation: number }
  | { readonly kind: "key"; readonly key: string }
  | { readonly kind: "value"; readonly value: string };

/** One contradiction. */
export interface WatchFinding {
  readonly rule: WatchRule;
  readonly revision: number;
  /** The key that it is about; null: none in particular. */
  readonly key: string | null;
  readonly sentence: readonly Phrase[];
}

/** A contradiction between what was seen and what was answered. */
export interface WatchViolation {
  readonly kind: "violation";
  /** The first ones in the order of revisions, at most {@link MAX_FINDINGS}; at least one. */
  readonly findings: readonly WatchFinding[];
  /** The number of all. */
  readonly total: number;
}

/** Everything that was seen fits what was answered. */
export interface WatchesConsistent {
  readonly kind: "consistent";
  readonly figures: WatchFigures;
  /**
   * The history with what the watches add to it: events as reads of a past revision, and the deletes of leases that
   * ended. It still has to be linearizable.
   */
  readonly history: History;
}

/** Numbers of a consistent run. */
export interface WatchFigures {
  readonly watches: number;
  readonly events: number;
  readonly resets: number;
  /** Revisions that at least one watch showed. */
  readonly revisions: number;
  /** Writes of unknown outcome that a watch showed to be applied. */
  readonly resolved: number;
  /** Ends of leases that a watch showed. */
  readonly leaseEnds: number;
}

/** The result of a check of watches. */
export type WatchVerdict = WatchesConsistent | WatchViolation;

/** Findings of a violation that are shown. */
export const MAX_FINDINGS = 20;
/** Findings that are kept until the first ones of them are known. */
const MAX_KEPT_FINDINGS = 10_000;

/** Collects findings. */
export class Findings {
  readonly #kept: WatchFinding[] = [];
  #total = 0;

  /** Adds one. */
  add(finding: WatchFinding): void {
    this.#total += 1;
    if (this.#kept.length < MAX_KEPT_FINDINGS) this.#kept.push(finding);
  }

  /** Returns the violation; null without findings. */
  violation(): WatchViolation | null {
    if (this.#total === 0) return null;
    const inOrder = this.#kept.toSorted((a, b) => a.revision - b.revision);
    return { kind: "violation", findings: inOrder.slice(0, MAX_FINDINGS), total: this.#total };
  }
}

/** Returns the phrase that names a watch. */
export function watchPhrase(watch: number): Phrase {
  return { kind: "watch", watch };
}

/** Returns the phrase that names an operation. */
export function operationPhrase(operation: number): Phrase {
  return { kind: "operation", operation };
}

/** Returns the phrase that names a key. */
export function keyPhrase(key: string): Phrase {
  return { kind: "key", key };
}

/** Returns the phrases of `a put of "v" to k` or `a delete of k`. */
export function changePhrases(event: WatchEvent): readonly Phrase[] {
  return event.kind === "delete"
    ? ["a delete of ", keyPhrase(event.key)]
    : ["a put of ", { kind: "value", value: event.entry.value }, " to ", keyPhrase(event.key)];
}
