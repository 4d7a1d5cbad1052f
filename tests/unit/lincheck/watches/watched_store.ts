/**
 * Runs of a store with watches that are right by construction: every operation takes effect at one instant between its
 * call and its return, leases end after their time to live, and every watch shows what it has to, later.
 */
import type { Random } from "../../../../lib/platform/clock.ts";
import {
  type Branches,
  type EventFilter,
  execute,
  type KeySet,
  type LeaseCall,
  type Mutation,
  type Operation,
  type Outcome,
  type WatchedEntry,
  type WatchedRun,
  type WatchEvent,
  type WatchNotice,
  type WatchRecord,
} from "../../../../lib/lincheck/mod.ts";
import { hasKey } from "../../../../lib/lincheck/transactions/transaction.ts";
import { passes } from "../../../../lib/lincheck/watches/record.ts";

/** Parameters of a run. */
export interface WatchedWorkload {
  readonly random: Random;
  readonly operations: number;
  readonly keys: number;
  readonly watches: number;
  /** Share of writes whose outcome is unknown; half of them take effect. */
  readonly unknown: number;
  /** Share of puts that attach a lease. */
  readonly leases: number;
  /** Share of watches that have a gap, closed by a reset. The first watch shows everything, and has none. */
  readonly resets: number;
}

/** Prefix of all keys. */
export const PREFIX = "w/";
const STEP_MS = 10;
const MAX_LATENCY_MS = 30;
const TTL_MS = 60;
/** The revision before the first write. */
const FIRST_REVISION = 40;

/** One revision. */
interface LogEntry {
  readonly revision: number;
  readonly at: number;
  readonly events: readonly WatchEvent[];
}

/** Returns the record of a run. */
export function simulateWatches(workload: WatchedWorkload): WatchedRun {
  const store = new WatchedStore(workload);
  for (let number = 0; number < workload.operations; number++) store.step(number);
  const watches = Array.from({ length: workload.watches }, (_, watcher) => store.watch(watcher));
  return { history: store.history, leases: store.leaseCalls, watches, prefix: PREFIX };
}

class WatchedStore {
  readonly history: Operation[] = [];
  readonly leaseCalls: LeaseCall[] = [];
  readonly #workload: WatchedWorkload;
  readonly #log: LogEntry[] = [];
  readonly #keys = new Map<string, WatchedEntry>();
  /** Deadlines of leases by id. */
  readonly #leases = new Map<number, number>();
  #revision = FIRST_REVISION;
  #now = 0;
  #lastLease = 0;

  constructor(workload: WatchedWorkload) {
    this.#workload = workload;
  }

  /** Time passes, and one operation takes effect. */
  step(number: number): void {
    this.#now += STEP_MS * this.#workload.random();
    this.#endLeases();
    this.#callLeases();
    const calledAt = this.#now - MAX_LATENCY_MS * this.#workload.random();
    const returnedAt = this.#now + MAX_LATENCY_MS * this.#workload.random();
    const recorded = { client: 1 + number % 16, calledAt, returnedAt };
    this.history.push(this.#perform(number, recorded));
  }

  /** Returns the record of a watch that is started at some time. */
  watch(watcher: number): WatchRecord {
    const { random } = this.#workload;
    const isFirst = watcher === 0;
    const keys: KeySet = isFirst ? { kind: "range", start: "", end: null } : this.#watchedKeys();
    const only: EventFilter = isFirst || this.#chance(0.7) ? null : this.#chance(0.5) ? "puts" : "deletes";
    const startedAt = isFirst ? -2 * MAX_LATENCY_MS : random() * this.#now * 0.7;
    const atStart = this.#revisionAt(startedAt);
    const from = isFirst ? FIRST_REVISION + 1 : this.#chance(0.5) ? null : FIRST_REVISION + 1 +
      Math.floor(random() * (atStart - FIRST_REVISION + 1));
    const record = { watcher, start: 1, keys, only, from, resync: true, startedAt };
    const hasPrevious = this.#chance(0.6);
    const gapAt = !isFirst && this.#chance(this.#workload.resets)
      ? startedAt + random() * (this.#now - startedAt)
      : null;
    const notices: WatchNotice[] = [];
    let receivedAt = startedAt + 1;
    let upTo = from === null ? atStart : from - 1;
    for (const { revision, at, events } of this.#log) {
      if (revision <= upTo) continue;
      receivedAt = Math.max(receivedAt, at) + random() * MAX_LATENCY_MS;
      if (gapAt !== null && at > gapAt && !notices.some(({ kind }) => kind === "reset")) {
        upTo = this.#revisionAt(at + 100);
        receivedAt = Math.max(receivedAt, at + 101);
        notices.push({ kind: "reset", revision: upTo, receivedAt, entries: this.#entriesAt(upTo, keys) });
        continue;
      }
      const seen = events.filter(({ key, kind }) => hasKey(keys, key) && passes(only, kind));
      const shown = hasPrevious ? seen : seen.map((event) => ({ ...event, previous: "omitted" as const }));
      if (shown.length > 0) notices.push({ kind: "events", revision, receivedAt, events: shown });
      else if (this.#chance(0.05)) notices.push({ kind: "progress", revision, receivedAt });
    }
    return { ...record, notices };
  }

  #watchedKeys(): KeySet {
    const start = this.#key();
    if (this.#chance(0.3)) return { kind: "key", key: start };
    const end = this.#key();
    return {
      kind: "range",
      start: start < end ? start : "",
      end: start < end || this.#chance(0.5) ? end : null,
    };
  }

  #perform(number: number, recorded: Pick<Operation, "client" | "calledAt" | "returnedAt">): Operation {
    const { random } = this.#workload;
    const [key, value, chance] = [this.#key(), `v${number}`, random()];
    const fate = this.#fate();
    const isUnknown = fate !== "answered";
    const ended = <Result>(result: Result): Outcome<Result> =>
      fate === "answered" ? { kind: "answered", result } : { kind: fate === "notApplied" ? fate : "unknown" };
    const happens = fate === "answered" || fate === "applied";
    if (chance < 0.35) {
      const lease = this.#leaseForPut();
      if (happens) this.#apply([{ kind: "put", key, value }], lease);
      const attached = lease === null ? {} : { leaseId: lease };
      return {
        ...recorded,
        kind: "put",
        key,
        value,
        ...attached,
        outcome: ended({ revision: this.#revision }),
      };
    }
    if (chance < 0.5) {
      const deleted = this.#keys.has(key);
      if (happens && deleted) this.#apply([{ kind: "delete", key }]);
      return { ...recorded, kind: "delete", key, outcome: ended({ deleted, revision: this.#revision }) };
    }
    if (chance < 0.65) {
      const current = this.#keys.get(key) ?? null;
      const expect = this.#chance(0.7) ? current?.value ?? null : "other";
      const succeeded = expect === (current?.value ?? null);
      if (happens && succeeded) this.#apply([{ kind: "put", key, value }]);
      const result = { succeeded, current: entryOf(this.#keys.get(key) ?? null), revision: this.#revision };
      return { ...recorded, kind: "compareAndSet", key, expect, value, outcome: ended(result) };
    }
    if (chance < 0.8) {
      const chosen = [...new Set([key, this.#key(), this.#key()])];
      const mutations = chosen.map((each, part): Mutation =>
        part === 1 ? { kind: "delete", key: each } : { kind: "put", key: each, value: `${value}.${part}` }
      );
      if (happens) this.#apply(mutations);
      const result = { succeeded: true, failedChecks: [], revision: this.#revision };
      return { ...recorded, kind: "transaction", checks: [], mutations, outcome: ended(result) };
    }
    if (chance < 0.9 && !isUnknown) return this.#branches(value, recorded);
    const result = entryOf(this.#keys.get(key) ?? null);
    return { ...recorded, kind: "get", key, outcome: { kind: "answered", result } };
  }

  #branches(value: string, recorded: Pick<Operation, "client" | "calledAt" | "returnedAt">): Operation {
    const [key, other] = [this.#key(), this.#key()];
    const transaction: Branches = {
      conditions: [{ kind: "version", keys: { kind: "key", key }, comparison: "greater", number: 1 }],
      then: [
        { kind: "put", key, value, returnPrevious: false },
        {
          kind: "delete",
          keys: { kind: "range", start: key, end: other },
          returnPrevious: this.#chance(0.5),
        },
      ],
      else: [
        { kind: "put", key, value, returnPrevious: true },
        { kind: "put", key, value: `${value}.2`, returnPrevious: false },
        { kind: "delete", keys: { kind: "key", key: other }, returnPrevious: false },
      ],
    };
    const before = {
      keys: [...this.#keys.keys()].sort(),
      get: (name: string) => this.#keys.get(name) ?? null,
    };
    const execution = execute(transaction, before, this.#revision + 1);
    if (execution.kind === "failed") throw new Error("this transaction cannot fail");
    this.#apply(
      execution.changes.map(({ key: changed, state }): Mutation =>
        state === null ? { kind: "delete", key: changed } : { kind: "put", key: changed, value: state.value }
      ),
    );
    const { succeeded, outcomes } = execution;
    const result = { kind: "executed", succeeded, outcomes, revision: this.#revision } as const;
    return { ...recorded, kind: "branchingTransaction", transaction, outcome: { kind: "answered", result } };
  }

  #fate(): "answered" | "applied" | "lost" | "notApplied" {
    if (!this.#chance(this.#workload.unknown)) return "answered";
    return this.#chance(0.5) ? "applied" : this.#chance(0.5) ? "lost" : "notApplied";
  }

  /** Returns a lease that did not end yet, or null. */
  #leaseForPut(): number | null {
    if (!this.#chance(this.#workload.leases) || this.#leases.size === 0) return null;
    return [...this.#leases.keys()][Math.floor(this.#workload.random() * this.#leases.size)] ?? null;
  }

  #callLeases(): void {
    const chance = this.#workload.random();
    if (this.#workload.leases === 0) return;
    if (chance < 0.1) this.#callLease("grant", ++this.#lastLease);
    const [leaseId] = this.#leases.keys();
    if (leaseId === undefined) return;
    if (chance > 0.92) this.#callLease("keepAlive", leaseId);
    else if (chance > 0.91) {
      this.#callLease("revoke", leaseId);
      this.#leases.set(leaseId, 0);
      this.#endLeases();
    }
  }

  #callLease(kind: LeaseCall["kind"], leaseId: number): void {
    const calledAt = this.#now - 1;
    const outcome = { kind: "answered", result: { ttlMs: TTL_MS } } as const;
    this.leaseCalls.push({ kind, leaseId, ttlMs: TTL_MS, calledAt, returnedAt: this.#now, outcome });
    this.#leases.set(leaseId, this.#now + TTL_MS);
  }

  #endLeases(): void {
    for (const [leaseId, deadline] of this.#leases) {
      if (deadline > this.#now) continue;
      this.#leases.delete(leaseId);
      const keys = [...this.#keys].filter(([, entry]) => entry.leaseId === leaseId).map(([key]) => key)
        .sort();
      if (keys.length > 0) this.#apply(keys.map((key) => ({ kind: "delete", key })));
    }
  }

  /** Makes changes, those that change something, in one revision. */
  #apply(mutations: readonly Mutation[], leaseId: number | null = null): void {
    const revision = this.#revision + 1;
    const events = mutations.flatMap((mutation) => this.#change(mutation, { revision, leaseId }));
    if (events.length === 0) return;
    this.#revision = revision;
    this.#log.push({ revision, at: this.#now, events });
  }

  #change(
    mutation: Mutation,
    { revision, leaseId }: { readonly revision: number; readonly leaseId: number | null },
  ): readonly WatchEvent[] {
    const { key } = mutation;
    const previous = this.#keys.get(key) ?? null;
    if (mutation.kind === "delete") {
      this.#keys.delete(key);
      return previous === null ? [] : [{ kind: "delete", key, modRevision: revision, previous }];
    }
    const entry: WatchedEntry = {
      value: mutation.value,
      createRevision: previous?.createRevision ?? revision,
      modRevision: revision,
      version: (previous?.version ?? 0) + 1,
      leaseId,
    };
    this.#keys.set(key, entry);
    return [{ kind: "put", key, entry, previous }];
  }

  #revisionAt(time: number): number {
    return this.#log.findLast(({ at }) => at <= time)?.revision ?? FIRST_REVISION;
  }

  #entriesAt(revision: number, keys: KeySet): readonly (WatchedEntry & { readonly key: string })[] {
    const entries = new Map<string, WatchedEntry>();
    for (const { events } of this.#log.filter((each) => each.revision <= revision)) {
      for (const event of events) {
        if (event.kind === "put") entries.set(event.key, event.entry);
        else entries.delete(event.key);
      }
    }
    return [...entries].filter(([key]) => hasKey(keys, key)).sort(([a], [b]) => a < b ? -1 : 1)
      .map(([key, entry]) => ({ key, ...entry }));
  }

  #key(): string {
    return `${PREFIX}${Math.floor(this.#workload.random() * this.#workload.keys)}`;
  }

  #chance(share: number): boolean {
    return this.#workload.random() < share;
  }
}

function entryOf(
  entry: WatchedEntry | null,
): { value: string; createRevision: number; modRevision: number; version: number } | null {
  if (entry === null) return null;
  const { value, createRevision, modRevision, version } = entry;
  return { value, createRevision, modRevision, version };
}
