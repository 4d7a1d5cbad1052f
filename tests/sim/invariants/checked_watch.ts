/**
 * A check of one watch over all its connections: it is sent exactly the events of its keys that the log has from its first
 * revision on, those of a revision together and in order, none twice, none left out.
 */
import { equals } from "@std/bytes";
import type { KeyValue } from "../../../lib/kv/mod.ts";
import { compareKeys, keyText } from "../../../lib/kv/keys.ts";
import { entryText, isSame, type PastStates, type Version } from "./past_states.ts";

/** The keys and the events that a watch asks for. */
export interface WatchScope {
  readonly start: Uint8Array;
  /** Null: to the end of all keys. */
  readonly end: Uint8Array | null;
  readonly puts: boolean;
  readonly deletes: boolean;
  readonly previous: boolean;
}

/** An event as a watcher was sent it. */
export interface SeenEvent {
  readonly key: Uint8Array;
  /** Null for a deletion. */
  readonly entry: KeyValue | null;
  /** Undefined where it was not sent. */
  readonly previous: KeyValue | null | undefined;
}

/** The cluster, as the checks of watches use it. */
export interface WatchTruth {
  readonly states: PastStates;
  /** Whether the cluster has a history: not before every member is known to know of it. */
  readonly hasHistory: boolean;
  /** The events up to this revision are compacted on some node. */
  readonly compactedRevision: number;
}

/** Options of a {@link CheckedWatch}. */
export interface CheckedWatchOptions {
  /** For messages. */
  readonly name: string;
  readonly scope: WatchScope;
  /** The first revision that it asks for; null: from now on. */
  readonly from: number | null;
  readonly truth: WatchTruth;
  readonly violated: (message: string) => void;
}

/** One watch. */
export class CheckedWatch {
  readonly #options: CheckedWatchOptions;
  /** The first revision of which it was not sent the events; null before it has begun from now on. */
  #next: number | null;
  /** The part of a revision that was sent in frames before the last one. */
  #part: { readonly revision: number; readonly events: readonly SeenEvent[] } | null = null;

  constructor(options: CheckedWatchOptions) {
    this.#options = options;
    this.#next = options.from;
  }

  /** The keys and events that it asks for. */
  get scope(): WatchScope {
    return this.#options.scope;
  }

  /** The revision from which it is to be resumed; null: from now on. */
  get next(): number | null {
    return this.#next;
  }

  /** Whether it was sent everything that it asks for up to the newest revision, or the cluster has no history. */
  get isLevel(): boolean {
    const { states, hasHistory } = this.#options.truth;
    return !hasHistory || (this.#next !== null && this.#firstLeftOut(states.lastRevision) === null);
  }

  /** A node has begun to serve it at this revision, which must be at least the newest one of when it was asked for. */
  started(revision: number, newestBefore: number): void {
    this.#check(
      revision >= newestBefore && revision <= this.#options.truth.states.lastRevision,
      `begins at revision ${revision}, and ${newestBefore} was the newest before it was requested`,
    );
    this.#next ??= revision + 1;
    this.#part = null;
  }

  /** Events came; `more`: others of the same revision follow. */
  events(revision: number, events: readonly SeenEvent[], more: boolean): void {
    const next = this.#next ?? Infinity;
    this.#check(revision >= next, `is sent revision ${revision}, and should go on at ${next}`);
    const before = this.#part?.events ?? [];
    this.#check(
      this.#part === null || this.#part.revision === revision,
      `is sent revision ${revision} within revision ${this.#part?.revision}`,
    );
    const all = [...before, ...events];
    this.#part = more ? { revision, events: all } : null;
    if (more) return;
    this.#skipTo(revision);
    const expected = this.#expectedAt(revision);
    this.#check(
      expected.length > 0 && expected.length === all.length &&
        all.every((event, position) => this.#isRight(event, expected[position])),
      () =>
        `is sent at revision ${revision}: ${all.map(eventText).join(", ")} in place of ${
          expected.map(eventText).join(", ") || "nothing"
        }`,
    );
    this.#next = revision + 1;
  }

  /** It was sent everything up to this revision. */
  progressed(revision: number): void {
    this.#check(
      revision >= (this.#next ?? 0) - 1 && revision <= this.#options.truth.states.lastRevision,
      `is level with revision ${revision}, and should go on at ${this.#next}`,
    );
    this.#check(this.#part === null, `is level with revision ${revision} in the middle of a revision`);
    this.#skipTo(revision + 1);
    this.#next = revision + 1;
  }

  /** It was sent the keys as of a revision in place of compacted events. */
  wasReset(revision: number, entries: readonly KeyValue[]): void {
    this.hasEndedCompacted(null);
    const { scope, truth } = this.#options;
    const expected = truth.states.entriesAt(revision).filter(({ key }) => isInScope(key, scope));
    this.#check(
      expected.length === entries.length &&
        entries.every((entry, position) => isSame(entry, expected[position] ?? null)),
      () =>
        `is set to revision ${revision} with ${entries.map(entryText)} in place of ${
          expected.map(entryText)
        }`,
    );
    this.#next = revision + 1;
    this.#part = null;
  }

  /** It ended because its next revision is compacted, according to a node. */
  hasEndedCompacted(compactedRevision: number | null): void {
    const { truth } = this.#options;
    const compacted = compactedRevision ?? truth.compactedRevision;
    this.#check(
      compacted <= truth.compactedRevision && this.#next !== null && this.#next <= compacted,
      `ends as compacted at ${compactedRevision}; it should go on at ${this.#next}, and ${truth.compactedRevision} is compacted`,
    );
  }

  /** Checks that nothing which it asks for is in the revisions before this one that it was not sent. */
  #skipTo(revision: number): void {
    const leftOut = this.#firstLeftOut(revision - 1);
    this.#check(
      leftOut === null,
      () =>
        `is not sent ${eventText(leftOut ?? null)} of revision ${leftOut?.revision}, and then ${revision}`,
    );
  }

  /** Returns the first event up to a revision that it was not sent. */
  #firstLeftOut(to: number): Version | null {
    for (let revision = this.#next ?? Infinity; revision <= to; revision++) {
      const [first] = this.#expectedAt(revision);
      if (first !== undefined) return first;
    }
    return null;
  }

  #expectedAt(revision: number): readonly Version[] {
    const { scope, truth: { states } } = this.#options;
    return states.versionsAt(revision).filter(({ key, entry }) =>
      (entry === null ? scope.deletes : scope.puts) && isInScope(key, scope)
    );
  }

  #isRight(event: SeenEvent, expected: Version | undefined): boolean {
    if (expected === undefined || !equals(event.key, expected.key)) return false;
    if (!isSame(event.entry, expected.entry)) return false;
    if (!this.#options.scope.previous) return event.previous === undefined;
    return event.previous !== undefined && isSame(event.previous, expected.previous);
  }

  #check(holds: boolean, message: string | (() => string)): void {
    if (holds) return;
    const { name, violated } = this.#options;
    violated(`the watch ${name} ${typeof message === "string" ? message : message()}`);
  }
}

/** The keys of databases, which begin with eight bytes 255, are in the scope of no watcher of other keys. */
function isInScope(key: Uint8Array, { start, end }: WatchScope): boolean {
  if (key.length >= 8 && key.subarray(0, 8).every((byte) => byte === 255)) return false;
  return compareKeys(key, start) >= 0 && (end === null || compareKeys(key, end) < 0);
}

function eventText(event: SeenEvent | null): string {
  if (event === null) return "nothing";
  return event.entry === null ? `a delete of ${keyText(event.key)}` : `a put of ${entryText(event.entry)}`;
}
