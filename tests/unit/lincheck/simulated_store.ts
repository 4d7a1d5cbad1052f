/**
 * Histories of a store that is linearizable by construction: every operation takes effect at one instant
 * between its call and its return, and those without an answer at some later one, or never.
 */
import type { Random } from "../../../lib/platform/clock.ts";
import {
  type Branches,
  type BranchOutcome,
  type Check,
  type Entry,
  execute,
  type History,
  inRange,
  type KeyRange,
  type KeyState,
  type Mutation,
  type Operation,
} from "../../../lib/lincheck/mod.ts";

/** Parameters of a simulated history. */
export interface Workload {
  readonly random: Random;
  readonly operations: number;
  readonly clients: number;
  readonly keys: number;
  /** Different values that are written; null: each write has its own. */
  readonly values: number | null;
  /** Share of writes whose outcome is unknown to the client; a tenth as many are reported as not applied. */
  readonly unknown: number;
  /** Share of the numbers in answers (revisions, versions) that the recorder did not keep. */
  readonly forgotten: number;
  /** Share of operations on several keys. */
  readonly wide: number;
  /** Share of transactions with branches, and of reads that are as of a past revision. */
  readonly branching: number;
  readonly past: number;
}

/** How long an answer takes at most, in milliseconds. */
const MAX_LATENCY_MS = 20;
/** Time after its call within which an unanswered write may still take effect. */
const MAX_DELAY_MS = 400;
/** Keys on which a transaction or listing works. */
const WIDTH = 3;

type Request =
  | { readonly kind: "get"; readonly key: string }
  | { readonly kind: "put"; readonly key: string; readonly value: string }
  | { readonly kind: "delete"; readonly key: string }
  | { readonly kind: "compareAndSet"; readonly key: string; readonly value: string }
  | { readonly kind: "transaction"; readonly keys: readonly string[]; readonly value: string }
  | { readonly kind: "branchingTransaction"; readonly transaction: Branches }
  | { readonly kind: "list"; readonly range: KeyRange; readonly limit: number };

/** A request, when it takes effect (null: never), and what its client learns. */
interface Plan {
  readonly request: Request;
  readonly client: number;
  readonly calledAt: number;
  readonly returnedAt: number;
  readonly effectAt: number | null;
  readonly fate: "answered" | "unknown" | "notApplied";
}

/** The history of one run. */
export function simulate(workload: Workload): History {
  const plans = plansOf(workload);
  const inOrder = plans.toSorted((a, b) => (a.effectAt ?? Infinity) - (b.effectAt ?? Infinity));
  const store = new SimulatedStore(workload);
  const history = inOrder.map((plan) => store.perform(plan));
  return history.toSorted((a, b) => a.calledAt - b.calledAt);
}

/** The name of a key; names are in the order of their numbers. */
export function keyName(number: number): string {
  return `key/${String(number).padStart(4, "0")}`;
}

function plansOf(workload: Workload): readonly Plan[] {
  const { random, operations, clients, unknown } = workload;
  const freeAt = Array.from({ length: clients }, () => random() * MAX_LATENCY_MS);
  return Array.from({ length: operations }, (_, number) => {
    const client = number % clients;
    const calledAt = freeAt[client] ?? 0;
    const returnedAt = calledAt + random() * MAX_LATENCY_MS;
    freeAt[client] = returnedAt + random();
    const request = requestOf(workload, number);
    const isWrite = request.kind !== "get" && request.kind !== "list";
    const chance = random();
    if (!isWrite || chance >= unknown * 1.1) {
      const effectAt = calledAt + random() * (returnedAt - calledAt);
      return { request, client, calledAt, returnedAt, effectAt, fate: "answered" };
    }
    if (chance >= unknown) {
      return { request, client, calledAt, returnedAt, effectAt: null, fate: "notApplied" };
    }
    const effectAt = random() < 0.5 ? null : calledAt + random() * MAX_DELAY_MS;
    return { request, client, calledAt, returnedAt, effectAt, fate: "unknown" };
  });
}

function requestOf(workload: Workload, number: number): Request {
  const { random, keys, values, wide, branching } = workload;
  const key = keyName(Math.floor(random() * keys));
  const value = values === null ? `v${number}` : `v${Math.floor(random() * values)}`;
  const chance = random();
  if (random() < branching) {
    return { kind: "branchingTransaction", transaction: randomBranches(workload, value) };
  }
  if (random() < wide) {
    const start = Math.floor(random() * keys);
    if (chance < 0.5) {
      const chosen = Array.from({ length: Math.min(WIDTH, keys) }, (_, i) => keyName((start + i) % keys));
      return { kind: "transaction", keys: chosen, value };
    }
    const range = {
      prefix: "key/",
      start: keyName(start),
      end: keyName(start + WIDTH),
      after: null,
      reverse: random() < 0.3,
    };
    return { kind: "list", range, limit: random() < 0.3 ? 1 : 100 };
  }
  if (chance < 0.4) return { kind: "get", key };
  if (chance < 0.7) return { kind: "put", key, value };
  if (chance < 0.8) return { kind: "delete", key };
  return { kind: "compareAndSet", key, value };
}

class SimulatedStore {
  readonly #workload: Workload;
  readonly #keys = new Map<string, KeyState>();
  /** The keys after each revision. */
  readonly #past: ReadonlyMap<string, KeyState>[] = [new Map()];
  #revision = 0;

  constructor(workload: Workload) {
    this.#workload = workload;
  }

  /** Performs the planned operation, and records it as its client saw it. */
  perform({ request, client, calledAt, returnedAt, effectAt, fate }: Plan): Operation {
    const operation = this.#take(request, { client, calledAt, returnedAt, happens: effectAt !== null });
    switch (fate) {
      case "answered":
        return operation;
      case "unknown":
      case "notApplied":
        return { ...operation, outcome: { kind: fate } };
    }
  }

  #take(
    request: Request,
    { happens, ...recorded }: {
      readonly client: number;
      readonly calledAt: number;
      readonly returnedAt: number;
      readonly happens: boolean;
    },
  ): Operation {
    switch (request.kind) {
      case "get": {
        const { key } = request;
        const revision = this.#pastRevision();
        const keys = revision === null ? this.#keys : this.#past[revision] ?? this.#keys;
        const outcome = { kind: "answered", result: this.#entry(key, keys) } as const;
        return { ...recorded, kind: "get", key, ...(revision === null ? {} : { revision }), outcome };
      }
      case "put": {
        const { key, value } = request;
        const result = { revision: this.#write([{ kind: "put", key, value }], happens) };
        return { ...recorded, kind: "put", key, value, outcome: { kind: "answered", result } };
      }
      case "delete": {
        const { key } = request;
        const deleted = this.#keys.has(key);
        // A delete of an absent key takes a revision at feature level 1, and none later.
        const mutations: Mutation[] = deleted || this.#chance(0.5) ? [{ kind: "delete", key }] : [];
        const result = { deleted, revision: this.#write(mutations, happens) };
        return { ...recorded, kind: "delete", key, outcome: { kind: "answered", result } };
      }
      case "compareAndSet": {
        const { key, value } = request;
        const current = this.#keys.get(key)?.value ?? null;
        const expect = this.#chance(0.6) ? current : this.#chance(0.5) ? null : "v0";
        const succeeded = expect === current;
        const revision = this.#write(succeeded ? [{ kind: "put", key, value }] : [], happens);
        const result = { succeeded, current: this.#entry(key), revision };
        return {
          ...recorded,
          kind: "compareAndSet",
          key,
          expect,
          value,
          outcome: { kind: "answered", result },
        };
      }
      case "transaction":
        return this.#transaction(request, { happens, ...recorded });
      case "branchingTransaction":
        return this.#branches(request, { happens, ...recorded });
      case "list":
        return this.#list(request, recorded);
    }
  }

  #list(
    { range, limit }: Extract<Request, { readonly kind: "list" }>,
    recorded: Pick<Operation, "client" | "calledAt" | "returnedAt">,
  ): Operation {
    const past = this.#pastRevision();
    const state = past === null ? this.#keys : this.#past[past] ?? this.#keys;
    const keys = [...state.keys()].filter((key) => inRange(key, range)).sort();
    if (range.reverse) keys.reverse();
    const entries = keys.slice(0, limit).flatMap((key) => {
      const entry = this.#entry(key, state);
      return entry === null ? [] : [{ key, ...entry }];
    });
    const result = { entries, more: keys.length > limit, revision: this.#seen(past ?? this.#revision) };
    const outcome = { kind: "answered", result } as const;
    return {
      ...recorded,
      kind: "list",
      range,
      limit,
      ...(past === null ? {} : { revision: past }),
      outcome,
    };
  }

  #transaction(
    { keys, value }: Extract<Request, { readonly kind: "transaction" }>,
    { happens, ...recorded }: {
      readonly client: number;
      readonly calledAt: number;
      readonly returnedAt: number;
      readonly happens: boolean;
    },
  ): Operation {
    const [first = "", ...others] = keys;
    const modRevision = (this.#keys.get(first)?.modRevision ?? 0) + (this.#chance(0.8) ? 0 : 1);
    const checks: Check[] = this.#chance(0.5) ? [] : [{ kind: "modRevision", key: first, modRevision }];
    if (this.#chance(0.3)) {
      checks.push({ kind: "exists", key: others[0] ?? first, exists: this.#chance(0.5) });
    }
    const failedChecks = checks.flatMap((check, i) => this.#holds(check) ? [] : [i]);
    const succeeded = failedChecks.length === 0;
    const mutations = keys.map((key, i): Mutation =>
      i === 1 ? { kind: "delete", key } : { kind: "put", key, value }
    );
    const result = { succeeded, failedChecks, revision: this.#write(succeeded ? mutations : [], happens) };
    return { ...recorded, kind: "transaction", checks, mutations, outcome: { kind: "answered", result } };
  }

  #branches(
    { transaction }: Extract<Request, { readonly kind: "branchingTransaction" }>,
    { happens, ...recorded }: {
      readonly client: number;
      readonly calledAt: number;
      readonly returnedAt: number;
      readonly happens: boolean;
    },
  ): Operation {
    const before = { keys: [...this.#keys.keys()].sort(), get: (key: string) => this.#keys.get(key) ?? null };
    const execution = execute(transaction, before, this.#revision + 1);
    const operation = { ...recorded, kind: "branchingTransaction", transaction } as const;
    if (execution.kind === "failed") {
      const { reason, position } = execution;
      const result = { kind: "failed", reason, position, revision: this.#seen(this.#revision) } as const;
      return { ...operation, outcome: { kind: "answered", result } };
    }
    if (happens && execution.changes.length > 0) {
      this.#revision++;
      for (const { key, state } of execution.changes) {
        if (state === null) this.#keys.delete(key);
        else this.#keys.set(key, state);
      }
      this.#past.push(new Map(this.#keys));
    }
    const { succeeded } = execution;
    const outcomes = execution.outcomes.map((outcome) => this.#seenOutcome(outcome));
    const result = { kind: "executed", succeeded, outcomes, revision: this.#seen(this.#revision) } as const;
    return { ...operation, outcome: { kind: "answered", result } };
  }

  /** Returns an outcome as the recorder kept it. */
  #seenOutcome(outcome: BranchOutcome): BranchOutcome {
    if (outcome.kind === "transaction") {
      return { ...outcome, outcomes: outcome.outcomes.map((each) => this.#seenOutcome(each)) };
    }
    if (outcome.kind === "put") {
      return { ...outcome, createRevision: this.#seen(outcome.createRevision ?? 0) };
    }
    if (outcome.kind !== "get") return outcome;
    const entries = outcome.entries.map((entry) => ({
      ...entry,
      modRevision: this.#seen(entry.modRevision ?? 0),
    }));
    return { ...outcome, entries };
  }

  /** Returns the past revision that the next read is of, or null: it reads the present. */
  #pastRevision(): number | null {
    if (!this.#chance(this.#workload.past)) return null;
    return Math.floor(this.#workload.random() * (this.#revision + 1));
  }

  #holds(check: Check): boolean {
    const state = this.#keys.get(check.key);
    if (check.kind === "modRevision") return (state?.modRevision ?? 0) === check.modRevision;
    return check.kind === "exists" ? (state !== undefined) === check.exists : state?.value === check.value;
  }

  /** The revision as the recorder kept it. */
  #write(mutations: readonly Mutation[], happens: boolean): number | null {
    if (!happens) return null;
    if (mutations.length > 0) this.#revision++;
    for (const mutation of mutations) {
      const { key } = mutation;
      const before = this.#keys.get(key);
      if (mutation.kind === "delete") this.#keys.delete(key);
      else {
        this.#keys.set(key, {
          value: mutation.value,
          createRevision: before?.createRevision ?? this.#revision,
          modRevision: this.#revision,
          version: (before?.version ?? 0) + 1,
        });
      }
    }
    if (mutations.length > 0) this.#past.push(new Map(this.#keys));
    return this.#seen(this.#revision);
  }

  #entry(key: string, keys: ReadonlyMap<string, KeyState> = this.#keys): Entry | null {
    const state = keys.get(key);
    if (state === undefined) return null;
    return {
      value: state.value,
      createRevision: this.#seen(state.createRevision),
      modRevision: this.#seen(state.modRevision),
      version: this.#seen(state.version),
    };
  }

  #seen(number: number): number | null {
    return this.#chance(this.#workload.forgotten) ? null : number;
  }

  #chance(share: number): boolean {
    return this.#workload.random() < share;
  }
}

/** Returns a transaction that meets what may be in the store: nested at times, on keys and ranges. */
function randomBranches(workload: Workload, value: string, depth = 0): Branches {
  const { random } = workload;
  const some = <T>(most: number, make: () => T): readonly T[] =>
    Array.from({ length: Math.floor(random() * (most + 1)) }, make);
  const operations = (): Branches["then"] => some(2, () => randomOperation(workload, value, depth));
  return { conditions: some(2, () => randomCondition(workload)), then: operations(), else: operations() };
}

function randomCondition({ random, keys }: Workload): Branches["conditions"][number] {
  const comparison = random() < 0.5 ? "equal" : "notEqual";
  const ordered = pick(random, ["equal", "notEqual", "less", "greater"] as const);
  const named = randomKeys({ random, keys });
  const number = Math.floor(random() * 4);
  switch (pick(random, ["value", "version", "createRevision", "modRevision"] as const)) {
    case "value":
      return { kind: "value", keys: named, comparison: ordered, value: `v${number}` };
    case "version":
      return { kind: "version", keys: named, comparison: ordered, number };
    case "createRevision":
      return { kind: "createRevision", keys: named, comparison, number };
    case "modRevision":
      return { kind: "modRevision", keys: named, comparison, number };
  }
}

function randomOperation(workload: Workload, value: string, depth: number): Branches["then"][number] {
  const { random, keys } = workload;
  const key = keyName(Math.floor(random() * keys));
  const returnPrevious = random() < 0.5;
  const kind = pick(random, ["put", "put", "delete", "get", "get", "sum", "transaction"] as const);
  switch (kind) {
    case "put": {
      const number = String.fromCharCode(1).padEnd(8, String.fromCharCode(0));
      return { kind, key, value: pick(random, [value, value, number, null]), returnPrevious };
    }
    case "delete":
      return { kind, keys: randomKeys(workload), returnPrevious };
    case "get":
      return {
        kind,
        keys: randomKeys(workload),
        limit: pick(random, [1, 100]),
        reverse: random() < 0.3,
        revision: null,
      };
    case "sum":
      return { kind: pick(random, ["sum", "min", "max"] as const), key, operand: "\x02\0\0\0\0\0\0\0" };
    case "transaction":
      return depth > 1
        ? { kind: "get", keys: { kind: "key", key }, limit: 1, reverse: false, revision: null }
        : { kind, ...randomBranches(workload, `${value}n`, depth + 1) };
  }
}

function randomKeys(
  { random, keys }: Pick<Workload, "random" | "keys">,
): Branches["conditions"][number]["keys"] {
  const start = Math.floor(random() * keys);
  if (random() < 0.6) return { kind: "key", key: keyName(start) };
  return { kind: "range", start: keyName(start), end: random() < 0.3 ? null : keyName(start + 2) };
}

function pick<T>(random: Random, items: readonly [T, ...T[]]): T {
  return items[Math.floor(random() * items.length)] ?? items[0];
}
