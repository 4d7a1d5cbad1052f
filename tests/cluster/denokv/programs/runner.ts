/**
 * Runs a program on an open Deno KV database, whichever it is, and returns a text for the outcome of each step. Two
 * databases with the same semantics return equal texts: versionstamps are replaced by their rank, and what the client
 * adds to an error of a server is cut off.
 */
import { createHash } from "node:crypto";
import { assertNever } from "../../../../lib/platform/assert.ts";
import type { Check, Mutation, Program, Step, Value } from "./step.ts";

const MAX_TEXT = 300;
/** Longer lists are shortened. */
const MAX_LISTED = 20;
/** Commits of more keys fail only in the client, before they change anything. */
const MAX_COMPARED_KEYS = 100;
const VERSIONSTAMP = /^[0-9a-f]{20}$/;
/** The client's words before those of the server. */
const SERVER_ERROR = /^KV Connect failed to call '.*' \(status=\d+ [^)]*\): /s;

/** denokv 0.14 takes so many checks, Deno's local database and its client 100. */
const DENOKV_CHECKS = 10;
const DENOKV_TOO_MANY_CHECKS = "Too many checks included in atomic write.";
const MANY_CHECKS = "committed, or refused for its many checks";

/** Options of a run. */
export interface RunnerOptions {
  /**
   * Whether a commit that fails must leave all keys as they were. Deno's local database and denokv keep the mutations
   * before the one that fails.
   */
  readonly isAllOrNothing: boolean;
}

/** Returns the outcomes of the steps, in their order. */
export async function outcomesOf(
  kv: Deno.Kv,
  program: Program,
  options: RunnerOptions,
): Promise<readonly string[]> {
  const run = new ProgramRun(kv, options);
  const texts: string[] = [];
  for (const step of program) texts.push(await run.outcome(step));
  return texts.map((text) => run.ranked(text));
}

class ProgramRun {
  readonly #kv: Deno.Kv;
  readonly #isAllOrNothing: boolean;
  /** Versionstamps in the order in which they were seen first. */
  readonly #observed: string[] = [];

  constructor(kv: Deno.Kv, { isAllOrNothing }: RunnerOptions) {
    this.#kv = kv;
    this.#isAllOrNothing = isAllOrNothing;
  }

  /** Returns the outcome of a step, with versionstamps as they are. */
  async outcome(step: Step): Promise<string> {
    try {
      return await this.#call(step);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      return `throws ${error.message.replace(SERVER_ERROR, "")}`;
    }
  }

  /** Replaces the versionstamps by their ranks: `#1` is the least one of the program. */
  ranked(text: string): string {
    const ranks = new Map(this.#observed.toSorted().map((stamp, position) => [stamp, `#${position + 1}`]));
    return text.replace(/[0-9a-f]{20}/g, (stamp) => ranks.get(stamp) ?? stamp);
  }

  async #call(step: Step): Promise<string> {
    const kv = this.#kv;
    switch (step.kind) {
      case "set": {
        const { key, value, expireInMs } = step;
        return this.#committed(await kv.set(key, valueOf(value), expiry(expireInMs)));
      }
      case "delete":
        await kv.delete(step.key);
        return "deleted";
      case "get":
        return this.#entry(await kv.get(step.key, { consistency: step.consistency }));
      case "getMany": {
        const entries = await kv.getMany([...step.keys], { consistency: step.consistency });
        return entries.map((entry) => this.#entry(entry)).join("; ");
      }
      case "list":
        return await this.#list(step);
      case "commit":
        return await this.#commit(step);
      default:
        return assertNever(step);
    }
  }

  async #list({ selector, options, resumeAfter }: Step & { kind: "list" }): Promise<string> {
    const texts: string[] = [];
    const first = this.#kv.list(selector, options);
    while (resumeAfter === null || texts.length < resumeAfter) {
      const next = await first.next();
      if (next.done === true) return this.#listed(texts);
      texts.push(this.#entry(next.value));
    }
    for await (const entry of this.#kv.list(selector, { ...options, cursor: first.cursor })) {
      texts.push(this.#entry(entry));
    }
    return this.#listed(texts);
  }

  /** Makes a long list short without losing a difference: its versionstamps become relative to the list. */
  #listed(texts: readonly string[]): string {
    const joined = texts.join("; ");
    if (texts.length <= MAX_LISTED) return `${texts.length} entries: ${joined}`;
    const order = [...new Set(joined.match(/[0-9a-f]{20}/g) ?? [])].toSorted();
    const relative = joined.replace(/[0-9a-f]{20}/g, (stamp) => `#${order.indexOf(stamp)}`);
    return `${texts.length} entries: ${shortened(relative)}`;
  }

  async #commit({ checks, mutations }: Step & { kind: "commit" }): Promise<string> {
    const stamps = await this.#expected(checks);
    const operation = this.#kv.atomic();
    checks.forEach(({ key }, position) => operation.check({ key, versionstamp: stamps[position] ?? null }));
    for (const mutation of mutations) addMutation(operation, mutation, this.#kv);
    const keys = changedKeys(mutations);
    const before = await this.#state(keys);
    try {
      const result = await operation.commit();
      if (!result.ok) return "a check failed";
      if (checks.length > DENOKV_CHECKS) return MANY_CHECKS;
      return mutations.length === 0 ? this.#empty(result) : this.#committed(result);
    } catch (error) {
      if (error instanceof Error && error.message.endsWith(DENOKV_TOO_MANY_CHECKS)) return MANY_CHECKS;
      await this.#compareAndClear(keys, before);
      throw error;
    }
  }

  /** Reads the versionstamps that the checks expect. */
  async #expected(checks: readonly Check[]): Promise<readonly (string | null)[]> {
    const stamps: (string | null)[] = [];
    for (const { key, expected } of checks) {
      switch (expected.kind) {
        case "absent":
          stamps.push(null);
          break;
        case "literal":
          stamps.push(expected.versionstamp);
          break;
        case "current":
          stamps.push(this.#seen((await this.#kv.get(key)).versionstamp));
          break;
        case "observed": {
          const observed = this.#observed[expected.position];
          stamps.push(observed ?? this.#seen((await this.#kv.get(key)).versionstamp));
          break;
        }
        default:
          assertNever(expected);
      }
    }
    return stamps;
  }

  /** Returns the entries of keys that a commit changes, if a failure must not change them. */
  async #state(keys: readonly Deno.KvKey[]): Promise<readonly string[]> {
    if (!this.#isAllOrNothing || keys.length > MAX_COMPARED_KEYS) return [];
    const entries: string[] = [];
    for (const key of keys) entries.push(entryText(await this.#kv.get(key)));
    return entries;
  }

  /**
   * Deletes the keys of a commit that failed, so that a database that made some of its mutations continues in the same
   * state as one that made none; before that it checks that one that must not make any has made none.
   */
  async #compareAndClear(keys: readonly Deno.KvKey[], before: readonly string[]): Promise<void> {
    const after = await this.#state(keys);
    if (after.join() !== before.join()) {
      throw new Error(`A failed commit changed keys: ${before.join("; ")} became ${after.join("; ")}`);
    }
    if (keys.length > MAX_COMPARED_KEYS) return;
    for (const key of keys) await this.#kv.delete(key).catch(() => {});
  }

  #committed({ versionstamp }: Deno.KvCommitResult): string {
    if (!VERSIONSTAMP.test(versionstamp)) return `a versionstamp of another form: ${versionstamp}`;
    return `committed ${this.#seen(versionstamp)}`;
  }

  /** The versionstamp of a commit without mutations need not be new, but it is not older than what was seen. */
  #empty({ versionstamp }: Deno.KvCommitResult): string {
    const greatest = this.#observed.reduce((most, one) => one > most ? one : most, "");
    if (!VERSIONSTAMP.test(versionstamp)) return `a versionstamp of another form: ${versionstamp}`;
    return versionstamp >= greatest ? "committed nothing" : `older than ${greatest}: ${versionstamp}`;
  }

  #entry(entry: Deno.KvEntryMaybe<unknown>): string {
    this.#seen(entry.versionstamp);
    return entryText(entry);
  }

  #seen(versionstamp: string | null): string | null {
    if (versionstamp !== null && !this.#observed.includes(versionstamp)) this.#observed.push(versionstamp);
    return versionstamp;
  }
}

function addMutation(operation: Deno.AtomicOperation, mutation: Mutation, kv: Deno.Kv): void {
  switch (mutation.kind) {
    case "set": {
      const { key, value, expireInMs, isVersionstamped } = mutation;
      const written = isVersionstamped ? [...key, kv.commitVersionstamp()] : key;
      operation.set(written as Deno.KvKey, valueOf(value), expiry(expireInMs));
      return;
    }
    case "delete":
      operation.delete(mutation.key);
      return;
    case "sum":
    case "min":
    case "max":
      operation[mutation.kind](mutation.key, mutation.operand);
      return;
    case "mutate": {
      const { type, key, value, bound } = mutation;
      const bounds = bound === null ? {} : { max: bound, clamp: true };
      // The types allow a KvU64 only, the client sends any value.
      operation.mutate({ type, key, value: valueOf(value) as Deno.KvU64, ...bounds });
      return;
    }
    default:
      assertNever(mutation);
  }
}

/** Returns the keys that a commit changes, each once, without those of which the versionstamp is a part. */
function changedKeys(mutations: readonly Mutation[]): readonly Deno.KvKey[] {
  const written = mutations.filter((one) => one.kind !== "set" || !one.isVersionstamped);
  return [...new Map(written.map(({ key }) => [textOf(key), key])).values()];
}

function valueOf(value: Value): unknown {
  return value.kind === "u64" ? new Deno.KvU64(value.value) : value.value;
}

function expiry(expireInMs: number | null): { expireIn?: number } {
  return expireInMs === null ? {} : { expireIn: expireInMs };
}

function entryText({ key, value, versionstamp }: Deno.KvEntryMaybe<unknown>): string {
  return `${textOf(key)} = ${textOf(value)} @ ${versionstamp}`;
}

function textOf(value: unknown): string {
  const all = { depth: 10, iterableLimit: Infinity, strAbbreviateSize: Infinity, breakLength: Infinity };
  return shortened(Deno.inspect(value, all));
}

/** Replaces the middle of a long text by its hash. */
function shortened(text: string): string {
  if (text.length <= MAX_TEXT) return text;
  return `${text.slice(0, 100)}…(${text.length} characters, ${hashOf(text)})…${text.slice(-20)}`;
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}
