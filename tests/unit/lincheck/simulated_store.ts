/**
 * Histories of a store that is linearizable by construction: every operation takes effect at one instant
 * between its call and its return, and those without an answer at some later one, or never.
 */
import type { Random } from "../../../lib/platform/clock.ts";
import {
  type Check,
  type Entry,
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

function requestOf({ random, keys, values, wide }: Workload, number: number): Request {
  const key = keyName(Math.floor(random() * keys));
  const value = values === null ? `v${number}` : `v${Math.floor(random() * values)}`;
  const chance = random();
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
        return { ...recorded, kind: "get", key, outcome: { kind: "answered", result: this.#entry(key) } };
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
      case "list": {
        const { range, limit } = request;
        const keys = [...this.#keys.keys()].filter((key) => inRange(key, range)).sort();
        if (range.reverse) keys.reverse();
        const entries = keys.slice(0, limit).flatMap((key) => {
          const entry = this.#entry(key);
          return entry === null ? [] : [{ key, ...entry }];
        });
        const result = { entries, more: keys.length > limit, revision: this.#seen(this.#revision) };
        return { ...recorded, kind: "list", range, limit, outcome: { kind: "answered", result } };
      }
    }
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
    return this.#seen(this.#revision);
  }

  #entry(key: string): Entry | null {
    const state = this.#keys.get(key);
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
