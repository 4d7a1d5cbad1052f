/**
 * The ends of leases: deletes that no client requested. Each has to delete keys that were attached to a lease, all of them in
 * one revision, and no earlier than the lease's time to live after the last call that was confirmed to renew it.
 */
import { getOrMake } from "../bounds.ts";
import type { Unexplained } from "./authors.ts";
import { type Findings, keyPhrase, type Phrase, watchPhrase } from "./findings.ts";
import type { LeaseCall, WatchedRun } from "./record.ts";
import type { KeyStates } from "./states.ts";

/** Share of the time to live by which the clocks of a node and of this program may differ within it. */
const CLOCK_DRIFT = 0.001;

/** A revision in which leases ended. */
export interface LeaseEnd {
  readonly revision: number;
  readonly keys: readonly string[];
  readonly seenAt: number;
  /** Whether an operation of unknown outcome may have made these deletes instead. */
  readonly isCertain: boolean;
  /** No lease of these keys was granted before. */
  readonly grantedFrom: number;
}

/** The leases of a run. */
export class Leases {
  readonly #findings: Findings;
  readonly #states: KeyStates;
  readonly #callsOf: ReadonlyMap<number, readonly LeaseCall[]>;
  /** The leases to which a key may have been attached, by an operation that was not refused. */
  readonly #leasesOf = new Map<string, Set<number>>();
  /** The first call of the history. */
  readonly #beginning: number;
  /** The revision in which each lease ended. */
  readonly #ended = new Map<number, number>();

  /** Reads the calls and the puts of a run. */
  constructor(
    { leases, history }: WatchedRun,
    { states, findings }: { readonly states: KeyStates; readonly findings: Findings },
  ) {
    this.#findings = findings;
    this.#states = states;
    this.#callsOf = Map.groupBy(leases, ({ leaseId }) => leaseId);
    this.#beginning = history.reduce(
      (least, { calledAt }) => Math.min(least, calledAt),
      history[0]?.calledAt ?? 0,
    );
    for (const operation of history) {
      if (operation.kind !== "put" || operation.leaseId === undefined) continue;
      if (operation.outcome.kind === "notApplied") continue;
      getOrMake(this.#leasesOf, operation.key, () => new Set<number>()).add(operation.leaseId);
    }
  }

  /** The keys that were ever attached to a lease. */
  get attachedKeys(): Iterable<string> {
    return this.#leasesOf.keys();
  }

  /** Returns when a lease was first requested; the beginning of the history for one that was granted before. */
  grantedFrom(leaseId: number): number {
    const [first, ...others] = this.#callsOf.get(leaseId) ?? [];
    if (first === undefined) return this.#beginning;
    return others.reduce((least, { calledAt }) => Math.min(least, calledAt), first.calledAt);
  }

  /** Checks deletes whose author is not known; returns the end of leases that they show, or null if there is none. */
  explain(unexplained: Unexplained): LeaseEnd | null {
    const { revision, keys, seenAt, candidates } = unexplained;
    const leases = new Map(keys.map((key) => [key, this.#leaseBefore(key, revision)]));
    const free = [...leases].find(([, ids]) => ids.length === 0)?.[0];
    if (free !== undefined) {
      if (candidates.length === 0) {
        this.#findNoAuthor(free, unexplained);
      }
      return null;
    }
    const possible = [...leases.values()].flat();
    const grantedFrom = Math.min(...possible.map((leaseId) => this.grantedFrom(leaseId)));
    const isCertain = candidates.length === 0;
    if (isCertain) {
      for (const [key, [leaseId, ...others]] of leases) {
        if (leaseId === undefined || others.length > 0) continue;
        this.#checkEnd(leaseId, { key, unexplained });
      }
    }
    return { revision, keys, seenAt, isCertain, grantedFrom };
  }

  /** Checks that a key was not attached to a lease after the lease's end. */
  checkAttachments(key: string): void {
    for (const { revision, complete } of this.#states.cellsOf(key)) {
      for (const event of complete?.events ?? []) {
        const leaseId = event.kind === "put" ? event.entry.leaseId : null;
        const ended = leaseId === null ? undefined : this.#ended.get(leaseId);
        if (complete === null || ended === undefined || ended >= revision) continue;
        this.#find({ revision, key }, [
          watchPhrase(complete.watch),
          " shows ",
          keyPhrase(key),
          ` attached to lease ${leaseId} at revision ${revision}; that lease ended at revision ${ended}.`,
        ]);
      }
    }
  }

  /** Returns the leases of which the end in this revision may have deleted a key. */
  #leaseBefore(key: string, revision: number): readonly number[] {
    const before = this.#states.at(key, revision - 1);
    const possible = [...this.#leasesOf.get(key) ?? []];
    if (before === null || !before.isCurrent) return possible;
    const { entry } = before;
    if (entry === null || entry.leaseId === null) return [];
    return entry.leaseId === "unknown" ? possible : [entry.leaseId];
  }

  #checkEnd(
    leaseId: number,
    { key, unexplained }: { readonly key: string; readonly unexplained: Unexplained },
  ): void {
    const { revision, watch, seenAt } = unexplained;
    const ended = this.#ended.get(leaseId);
    if (ended !== undefined && ended !== revision) {
      this.#find({ revision, key }, [
        watchPhrase(watch),
        " shows a delete of ",
        keyPhrase(key),
        ` at revision ${revision} by the end of lease ${leaseId}, which ended at revision ${ended} already.`,
      ]);
      return;
    }
    if (ended !== undefined) return;
    this.#ended.set(leaseId, revision);
    this.#checkOtherKeys(leaseId, unexplained);
    const calls = this.#callsOf.get(leaseId) ?? [];
    const isRevoked = calls.some(({ kind, calledAt, outcome }) =>
      kind === "revoke" && outcome.kind !== "notApplied" && calledAt <= seenAt
    );
    if (isRevoked) return;
    const earliest = earliestEndOf(calls);
    if (seenAt >= earliest.at) return;
    this.#find({ revision, key }, [
      watchPhrase(watch),
      " shows a delete of ",
      keyPhrase(key),
      ` at revision ${revision}, which no client requested; its lease ${leaseId} was renewed for ${earliest.ttlMs} ms and ends ` +
      `${Math.ceil(earliest.at - seenAt)} ms later at the earliest.`,
    ]);
  }

  /** Checks that the end of a lease deleted all of its keys. */
  #checkOtherKeys(leaseId: number, { revision, watch }: Unexplained): void {
    for (const [key, ids] of this.#leasesOf) {
      const state = ids.has(leaseId) ? this.#states.at(key, revision) : null;
      if (state === null || !state.isCurrent || state.entry?.leaseId !== leaseId) continue;
      this.#find({ revision, key }, [
        watchPhrase(watch),
        ` shows the end of lease ${leaseId} at revision ${revision} without a delete of `,
        keyPhrase(key),
        ", which has the same lease.",
      ]);
    }
  }

  #findNoAuthor(key: string, { revision, watch }: Unexplained): void {
    const isAbsent = this.#states.at(key, revision - 1)?.entry === null;
    this.#findings.add({
      rule: "author",
      revision,
      key,
      sentence: [
        watchPhrase(watch),
        " shows a delete of ",
        keyPhrase(key),
        ` at revision ${revision}, which no operation made, and it ${
          isAbsent ? "did not exist" : "had no lease"
        }.`,
      ],
    });
  }

  #find(
    { revision, key }: { readonly revision: number; readonly key: string },
    sentence: readonly Phrase[],
  ): void {
    this.#findings.add({ rule: "lease", revision, key, sentence });
  }
}

/** Returns the time before which a lease cannot have ended by itself, and the time to live that follows it. */
function earliestEndOf(calls: readonly LeaseCall[]): { readonly at: number; readonly ttlMs: number } {
  let earliest = { at: -Infinity, ttlMs: 0 };
  for (const { kind, calledAt, outcome } of calls) {
    if (kind === "revoke" || outcome.kind !== "answered" || outcome.result.ttlMs === 0) continue;
    const { ttlMs } = outcome.result;
    const at = calledAt + ttlMs * (1 - CLOCK_DRIFT);
    if (at > earliest.at) earliest = { at, ttlMs };
  }
  return earliest;
}
