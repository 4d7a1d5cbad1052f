/**
 * The databases of a store: their keys, which are in the reserved part of the key space, and the registry.
 *
 * A write is planned before anything is changed where its numbers depend on stored ones: it may fail. All other writes are
 * applied mutation by mutation, at little more than the cost of a put.
 */
import { assertNever } from "../../platform/assert.ts";
import type { RefusalReason } from "../command.ts";
import { keyText } from "../keys.ts";
import type { PagedStore } from "../pages/paged_store.ts";
import {
  type ChangeDatabases,
  type DatabaseCheck,
  type DatabaseMutation,
  type DatabaseResult,
  type DatabaseWrite,
  type DatabaseWriteFailure,
  DEFAULT_DATABASE_ID,
  MAX_CHECKED_KEY_BYTES,
  NO_CREDENTIAL,
} from "./database_command.ts";
import { numberAfter } from "./number_mutation.ts";
import { decodeRegistry } from "./read_registry.ts";
import {
  changedRegistry,
  databaseOf,
  EMPTY_REGISTRY,
  encodeRegistry,
  isOpen,
  type Registry,
} from "./registry.ts";
import { DATABASE_PREFIX_BYTES, databasePrefix, databaseRange, REGISTRY_KEY } from "./reserved_keys.ts";
import { VERSIONSTAMP_ELEMENT_BYTES, writeVersionstampElement } from "./versionstamp.ts";

/** The sender of a write that came by no access token. */
export interface DatabaseWriter {
  /** Whether it is of a user, whose rights were checked. */
  readonly isUser: boolean;
  /** Whether authentication is enabled. */
  readonly isAuthEnabled: boolean;
}

/** The value that a mutation of a plan stores; null for a delete. */
type PlannedValue = Uint8Array | null;

/** A mutation that fails, with the reason. */
interface PlanFailure {
  readonly reason: DatabaseWriteFailure;
  readonly position: number;
}

/** The databases of one store. */
export class Databases {
  readonly #pages: PagedStore;
  /** Null until it is first read: only {@link change} writes its key. */
  #registry: Registry | null = null;
  /** The key of the mutation that is being applied, as the store has it: the store copies it. */
  readonly #key = new Uint8Array(DATABASE_PREFIX_BYTES + MAX_CHECKED_KEY_BYTES + VERSIONSTAMP_ELEMENT_BYTES);
  #keyDatabaseId = -1;

  /** Makes the databases of the keys in `pages`, without a change before feature level 2. */
  constructor(pages: PagedStore) {
    this.#pages = pages;
  }

  /** The databases and their access tokens. */
  get registry(): Registry {
    this.#registry ??= this.#readRegistry();
    return this.#registry;
  }

  /** Returns why a write is not executed, or null. O(databases). */
  refusalOf(
    { databaseId, credentialId }: DatabaseWrite,
    { isUser, isAuthEnabled }: DatabaseWriter,
  ): RefusalReason | null {
    const database = databaseOf(this.registry, databaseId);
    if (database === null && databaseId !== DEFAULT_DATABASE_ID) return "databaseNotFound";
    if (credentialId !== NO_CREDENTIAL) {
      const isKnown = database?.tokens.some(({ id }) => id === credentialId) ?? false;
      return isKnown ? null : "unauthenticated";
    }
    return isUser || (!isAuthEnabled && isOpen(database)) ? null : "unauthenticated";
  }

  /** Executes a valid write that is not refused; `before` is the revision of the last change. */
  write({ databaseId, checks, mutations }: DatabaseWrite, before: number): DatabaseResult {
    const failedChecks = checks.length === 0 ? [] : this.#failedChecks(databaseId, checks);
    if (failedChecks.length > 0) return { kind: "databaseChecksFailed", revision: before, failedChecks };
    const revision = before + 1;
    const planned = this.#plan(databaseId, mutations, revision);
    if (planned !== null && "reason" in planned) {
      return { kind: "databaseWriteFailed", revision: before, ...planned };
    }
    // The revision is the write's own, even if it only deletes keys that do not exist.
    this.#pages.advance(revision);
    for (let position = 0; position < mutations.length; position++) {
      const mutation = mutations[position];
      if (mutation === undefined) break;
      const key = this.#keyOf(databaseId, mutation, revision);
      if (mutation.kind === "delete") {
        this.#pages.delete(key, revision);
      } else if (mutation.kind === "set" && mutation.expiresAtMs !== null) {
        this.#pages.put(key, mutation.value, revision, { leaseId: 0, expiresAtMs: mutation.expiresAtMs });
      } else {
        this.#pages.put(key, planned?.[position] ?? mutation.value, revision);
      }
    }
    return { kind: "databaseWritten", revision };
  }

  /** Makes a valid change of the registry; `before` is the revision of the last change. */
  change({ change }: ChangeDatabases, before: number): DatabaseResult {
    const changed = changedRegistry(this.registry, change, (databaseId) => this.#hasKeys(databaseId));
    if (typeof changed === "string") return { kind: "databasesFailed", revision: before, reason: changed };
    const { registry, databaseId, tokenId } = changed;
    const value = encodeRegistry(registry);
    if (value === null) return { kind: "databasesFailed", revision: before, reason: "tooMany" };
    const revision = before + 1;
    this.#pages.put(REGISTRY_KEY, value, revision);
    this.#registry = registry;
    return { kind: "databasesChanged", revision, databaseId, tokenId };
  }

  /** Returns the change of the store's bytes if a write was applied now; of sums by the length of their operands. */
  growth({ databaseId, mutations }: DatabaseWrite): number {
    const lengths = mutations.length === 1 ? null : new Map<string, number>();
    let growth = 0;
    for (const mutation of mutations) {
      const key = this.#keyOf(databaseId, mutation, 0);
      const after = mutation.kind === "delete" ? 0 : key.length + mutation.value.length;
      const text = lengths === null ? "" : keyText(key);
      growth += after - (lengths?.get(text) ?? this.#bytesOf(key));
      lengths?.set(text, after);
    }
    return growth;
  }

  #readRegistry(): Registry {
    const address = this.#pages.get(REGISTRY_KEY);
    // Version 0.1.0 knew of no reserved keys: what a client may have written there is no registry.
    const stored = address === 0 ? null : decodeRegistry(this.#pages.records.value(address));
    return stored ?? EMPTY_REGISTRY;
  }

  #failedChecks(databaseId: number, checks: readonly DatabaseCheck[]): number[] {
    const { records } = this.#pages;
    const failed: number[] = [];
    for (const [position, { key, revision }] of checks.entries()) {
      const address = this.#pages.get(this.#prefixed(databaseId, key));
      const present = address === 0 ? null : records.modRevision(address);
      if (present !== revision) failed.push(position);
    }
    return failed;
  }

  /**
   * Returns what each mutation stores; null for a write without numbers, whose mutations say it themselves; the first
   * mutation that fails.
   */
  #plan(
    databaseId: number,
    mutations: readonly DatabaseMutation[],
    revision: number,
  ): readonly PlannedValue[] | PlanFailure | null {
    if (!hasNumbers(mutations)) return null;
    const [only] = mutations;
    if (mutations.length === 1 && only !== undefined) {
      // The usual sum, without a map of what was changed before.
      const key = this.#keyOf(databaseId, only, revision);
      const value = this.#valueAfter(only, () => this.#storedValue(key, false));
      return typeof value === "string" ? { reason: value, position: 0 } : [value];
    }
    /** The values that earlier mutations have stored. */
    const changed = new Map<string, PlannedValue>();
    const planned: PlannedValue[] = [];
    for (const [position, mutation] of mutations.entries()) {
      const key = this.#keyOf(databaseId, mutation, revision);
      const text = keyText(key);
      const value = this.#valueAfter(
        mutation,
        () => changed.get(text) ?? this.#storedValue(key, changed.has(text)),
      );
      if (typeof value === "string") return { reason: value, position };
      changed.set(text, value);
      planned.push(value);
    }
    return planned;
  }

  #valueAfter(mutation: DatabaseMutation, before: () => PlannedValue): PlannedValue | DatabaseWriteFailure {
    switch (mutation.kind) {
      case "set":
        return mutation.value;
      case "delete":
        return null;
      case "sum":
      case "min":
      case "max":
        return numberAfter(mutation, before());
      default:
        return assertNever(mutation);
    }
  }

  #storedValue(key: Uint8Array, isDeleted: boolean): PlannedValue {
    const address = isDeleted ? 0 : this.#pages.get(key);
    return address === 0 ? null : this.#pages.records.value(address);
  }

  /** Returns the store's key of a mutation, valid until the next call. */
  #keyOf(databaseId: number, mutation: DatabaseMutation, revision: number): Uint8Array {
    const { key } = mutation;
    if (mutation.kind !== "set" || !mutation.versionstampedKey) return this.#prefixed(databaseId, key);
    writeVersionstampElement(this.#key, DATABASE_PREFIX_BYTES + key.length, revision);
    return this.#prefixed(databaseId, key, VERSIONSTAMP_ELEMENT_BYTES);
  }

  /** Returns the store's key of a key, with so many bytes behind it, valid until the next call. */
  #prefixed(databaseId: number, key: Uint8Array, bytesBehind = 0): Uint8Array {
    if (databaseId !== this.#keyDatabaseId) {
      this.#key.set(databasePrefix(databaseId));
      this.#keyDatabaseId = databaseId;
    }
    this.#key.set(key, DATABASE_PREFIX_BYTES);
    return this.#key.subarray(0, DATABASE_PREFIX_BYTES + key.length + bytesBehind);
  }

  #hasKeys(databaseId: number): boolean {
    const { start, end } = databaseRange(databaseId);
    return this.#pages.count({ lower: start, upper: end }) > 0;
  }

  #bytesOf(key: Uint8Array): number {
    const address = this.#pages.get(key);
    return address === 0 ? 0 : key.length + this.#pages.records.valueLength(address);
  }
}

function hasNumbers(mutations: readonly DatabaseMutation[]): boolean {
  // A loop without a function: every write is looked at.
  for (const { kind } of mutations) if (kind !== "set" && kind !== "delete") return true;
  return false;
}
