/**
 * Draws what each client does next: chance decides, within a few keys, so that clients meet on them all the time.
 *
 * Every value is written once in a run, so that what is read tells which write it came from. Conditions go by what was
 * last seen of a key, which is often true and often just not any more: both answers happen.
 */
import type { Check, Entry, KeyRange, Mutation, Operation } from "../lincheck/mod.ts";
import { drawBranches } from "./branches.ts";
import { pick } from "./keys.ts";
import type { Request } from "./perform.ts";
import { assert, assertNever } from "../platform/assert.ts";
import type { Random } from "../platform/clock.ts";

/** Most keys of a workload. */
export const MAX_KEYS = 1_000;
/** Longest prefix of its keys: far from the longest key that a store takes. */
export const MAX_PREFIX_BYTES = 1_024;
/** Most keys of one transaction. */
const MAX_TRANSACTION_KEYS = 3;
/** Page sizes of lists: one that hardly ever suffices, one that sometimes does, one that shows much. */
const LIST_LIMITS = [1, 4, 64];
/** Counters of a workload, and the end of their keys, which sort behind those of the values before which they begin. */
const COUNTERS = 2;
const COUNTER_SUFFIX = "n";
/** Share of the reads that are as of a past revision. */
const PAST_SHARE = 0.1;
const KEY_DIGITS = 4;

/** The keys of a workload as its clients last saw them, and the past revisions that can be read. */
export class SeenKeys {
  readonly #entries = new Map<string, Entry | null>();
  /** The greatest revision that an answer showed. */
  #revision = 0;
  /** The least revision to read: the first one that was seen, or the compacted one; null before the first. */
  #oldestRevision: number | null = null;

  /** The key as it was last seen; null when it did not exist, or was never seen. */
  get(key: string): Entry | null {
    return this.#entries.get(key) ?? null;
  }

  /** Returns a revision that can be read, chosen by a number from 0 to below 1; null for none. */
  pastRevision(share: number): number | null {
    if (this.#oldestRevision === null || this.#oldestRevision > this.#revision) return null;
    return this.#oldestRevision + Math.floor(share * (this.#revision - this.#oldestRevision + 1));
  }

  /** Whether the store executes transactions with branches; known once it refused one. */
  hasBranches = true;

  /** Takes note that revisions below this one cannot be read. */
  noteCompacted(revision: number): void {
    this.#oldestRevision = Math.max(revision, this.#oldestRevision ?? 0);
  }

  /** Takes note of what an answer showed. */
  note(operation: Operation): void {
    if (operation.outcome.kind !== "answered") return;
    const { result } = operation.outcome;
    if (result !== null && "revision" in result && result.revision !== null) {
      this.#revision = Math.max(this.#revision, result.revision);
      this.#oldestRevision ??= result.revision;
    }
    if ((operation.kind === "get" || operation.kind === "list") && operation.revision !== undefined) return;
    switch (operation.kind) {
      case "get":
        this.#entries.set(operation.key, operation.outcome.result);
        return;
      case "compareAndSet":
        this.#entries.set(operation.key, operation.outcome.result.current);
        return;
      case "delete":
        this.#entries.set(operation.key, null);
        return;
      case "put": {
        const { revision } = operation.outcome.result;
        const unseen = { createRevision: null, version: null };
        this.#entries.set(operation.key, { value: operation.value, modRevision: revision, ...unseen });
        return;
      }
      case "list":
        for (const { key, ...entry } of operation.outcome.result.entries) this.#entries.set(key, entry);
        return;
      case "transaction":
      case "branchingTransaction":
        return;
      default:
        assertNever(operation);
    }
  }
}

/** Options of a source of requests. */
export interface RequestOptions {
  readonly random: Random;
  readonly mix: Mix;
  /** The prefix of all keys, a character for each byte. */
  readonly prefix: string;
  /** How many keys there are, from 1 to {@link MAX_KEYS}. */
  readonly keys: number;
  /** The client's number: part of every value it writes. */
  readonly client: number;
  readonly seen: SeenKeys;
  /** Returns the lease that a put attaches, or null. Default: none. */
  readonly leaseForPut?: (random: Random) => number | null;
}

/** The requests of one client. */
export class RequestSource {
  readonly #options: RequestOptions;
  readonly #keys: readonly string[];
  readonly #kinds: readonly OperationKind[];
  readonly #total: number;
  #writes = 0;

  constructor(options: RequestOptions) {
    const { keys, mix, prefix } = options;
    this.#options = options;
    this.#keys = Array.from({ length: keys }, (_, number) => keyName(prefix, number));
    this.#kinds = OPERATION_KINDS.filter((kind) => mix[kind] > 0);
    this.#total = this.#kinds.reduce((sum, kind) => sum + mix[kind], 0);
    assert(this.#keys.length > 0 && this.#total > 0, "a workload has keys and something to do");
  }

  /** The next request. */
  next(): Request {
    const kind = this.#kind();
    if (isWrite(kind)) this.#writes += 1;
    const key = this.#pick(this.#keys);
    switch (kind) {
      case "put": {
        const { leaseForPut, random } = this.#options;
        const leaseId = leaseForPut?.(random) ?? null;
        return { kind, key, value: this.#value(), ...(leaseId === null ? {} : { leaseId }) };
      }
      case "get":
        return { kind, key, ...this.#past() };
      case "delete":
        return { kind, key };
      case "compareAndSet":
        return { kind, key, expect: this.#options.seen.get(key)?.value ?? null, value: this.#value() };
      case "transaction":
        return this.#transaction();
      case "branchingTransaction":
        return this.#branches();
      case "list":
        return { kind, range: this.#range(), limit: this.#pick(LIST_LIMITS), ...this.#past() };
      default:
        return assertNever(kind);
    }
  }

  #kind(): OperationKind {
    let at = this.#options.random() * this.#total;
    for (const kind of this.#kinds) {
      at -= this.#options.mix[kind];
      if (at < 0) return kind;
    }
    return this.#pick(this.#kinds);
  }

  #value(part = 0): string {
    const name = `${this.#options.client}.${this.#writes}`;
    return part === 0 ? name : `${name}.${part}`;
  }

  #transaction(): Request {
    const keys = this.#someKeys();
    const checks = keys.filter(() => this.#chance(0.5)).map((key) => this.#check(key));
    // A key that is only looked at ties two keys together without a write to both.
    const changed = keys.length > 1 && this.#chance(0.3) ? keys.slice(1) : keys;
    // One that only deletes may change nothing, and its answer does not say so: its revision would show no order.
    const mutations = changed.map((key, position): Mutation =>
      this.#chance(0.3) && position > 0
        ? { kind: "delete", key }
        : { kind: "put", key, value: this.#value(position + 1) }
    );
    return { kind: "transaction", checks, mutations };
  }

  #branches(): Request {
    const { random, seen } = this.#options;
    if (!seen.hasBranches) return this.#transaction();
    let part = 0;
    const transaction = drawBranches({
      random,
      keys: this.#keys,
      counters: this.#keys.slice(0, COUNTERS).map((key) => `${key}${COUNTER_SUFFIX}`),
      value: () => this.#value(++part),
      seen: (key) => seen.get(key),
      pastRevision: null,
    });
    return { kind: "branchingTransaction", transaction };
  }

  #someKeys(): readonly string[] {
    const count = 1 + this.#below(Math.min(MAX_TRANSACTION_KEYS, this.#keys.length));
    const chosen = new Set<string>();
    while (chosen.size < count) chosen.add(this.#pick(this.#keys));
    return [...chosen];
  }

  #check(key: string): Check {
    const entry = this.#options.seen.get(key);
    if (entry === null) return { kind: "exists", key, exists: this.#chance(0.2) };
    if (entry.modRevision !== null && this.#chance(0.5)) {
      return { kind: "modRevision", key, modRevision: entry.modRevision };
    }
    return { kind: "value", key, value: entry.value };
  }

  #range(): KeyRange {
    const { prefix } = this.#options;
    const [start, end] = [this.#bound(), this.#bound()];
    const isEmpty = start !== null && end !== null && start >= end;
    return { prefix, start: isEmpty ? null : start, end, after: null, reverse: this.#chance(0.3) };
  }

  /** The revision of a read of the past, at times. */
  #past(): { readonly revision?: number } {
    if (!this.#chance(PAST_SHARE)) return {};
    const revision = this.#options.seen.pastRevision(this.#options.random());
    return revision === null ? {} : { revision };
  }

  #bound(): string | null {
    return this.#chance(0.5) ? null : this.#pick(this.#keys);
  }

  #chance(share: number): boolean {
    return this.#options.random() < share;
  }

  #below(limit: number): number {
    return Math.floor(this.#options.random() * limit);
  }

  #pick<T>(items: readonly T[]): T {
    return pick(items, this.#options.random);
  }
}

/** Returns the name of a key; names are in the order of their numbers. */
export function keyName(prefix: string, number: number): string {
  return `${prefix}${String(number).padStart(KEY_DIGITS, "0")}`;
}

/** The kinds of operations of a client. */
export type OperationKind = Operation["kind"];

/** Every kind, in the order in which they are shown. */
export const OPERATION_KINDS = [
  "put",
  "get",
  "delete",
  "compareAndSet",
  "transaction",
  "branchingTransaction",
  "list",
] as const satisfies readonly OperationKind[];

/** How often each kind comes, relative to the others; at least one is above 0. */
export type Mix = Readonly<Record<OperationKind, number>>;

/** Half writes, half reads, and every kind often enough to meet every other. */
export const DEFAULT_MIX: Mix = {
  put: 30,
  get: 33,
  delete: 8,
  compareAndSet: 12,
  transaction: 6,
  branchingTransaction: 4,
  list: 7,
};

/** Whether the kind changes the store, and so can be of unknown outcome. */
export function isWrite(kind: Operation["kind"]): boolean {
  return kind !== "get" && kind !== "list";
}
