/** The keys of a store that end by themselves: with a lease, or at a time of the wall clock. */
import { assert } from "../../platform/assert.ts";
import { LIST_PAGE_BYTES, type Mutation } from "../command.ts";
import type { PagedStore } from "../pages/paged_store.ts";
import { AttachedKeys, type AttachFailure } from "./attached_keys.ts";
import type { LeaseKeysPage, LeaseKeysQuery } from "./lease_command.ts";
import type { Leases } from "./leases.ts";

/** Reads and deletes these keys, which the store's puts and deletes add and remove. */
export class LeasedKeys {
  readonly #pages: PagedStore;

  /** Makes a reader of the keys in `pages`. */
  constructor(pages: PagedStore) {
    this.#pages = pages;
  }

  /** Returns the first mutation whose key cannot be attached to its lease, and why; null if all can be applied. */
  attachFailure(
    mutations: readonly Mutation[],
    leases: Leases,
  ): { readonly position: number; readonly reason: AttachFailure } | null {
    if (!hasExpiringPut(mutations)) return null;
    const attachedKeys = this.attachedKeys(leases);
    for (const [position, mutation] of mutations.entries()) {
      const address = this.#pages.get(mutation.key);
      const from = address === 0 ? 0 : this.#pages.records.leaseId(address);
      const to = mutation.kind === "expiringPut" ? mutation.leaseId ?? 0 : 0;
      const reason = attachedKeys.move(from, to);
      if (reason !== null) return { position, reason };
    }
    return null;
  }

  /** Returns a count of the keys of leases, for one transaction. */
  attachedKeys(leases: Leases): AttachedKeys {
    return new AttachedKeys(leases, (leaseId) => this.#pages.indexes.leased.count(leaseId));
  }

  /** Returns the number of keys that are attached to a lease. O(log n). */
  count(leaseId: number): number {
    return this.#pages.indexes.leased.count(leaseId);
  }

  /** Number of keys that are attached to leases. */
  get total(): number {
    return this.#pages.indexes.leased.size;
  }

  /** Returns one page of the keys that are attached to a lease, after a key unless that is null. O(log n + page). */
  page(leaseId: number, { after, limit }: LeaseKeysQuery): LeaseKeysPage {
    return this.#pages.indexes.leased.keysOf(leaseId, { after, limit, maxBytes: LIST_PAGE_BYTES });
  }

  /** Returns the first key of a lease that is not below `from`, or null; the caller owns it. O(log n). */
  firstFrom(leaseId: number, from: Uint8Array): Uint8Array | null {
    return this.#pages.indexes.leased.firstFrom(leaseId, from);
  }

  /** Returns all keys that are attached to a lease, in order; the caller owns them. O(log n + keys). */
  all(leaseId: number): readonly Uint8Array[] {
    return this.#pages.indexes.leased.keysOf(leaseId).keys;
  }

  /** Deletes keys that are present, as of `revision`. O(keys × log n). */
  delete(keys: readonly Uint8Array[], revision: number): void {
    for (const key of keys) {
      assert(this.#pages.delete(key, revision), "a key of an index is present");
    }
  }

  /** The time of the wall clock at which the next key expires; null without one. */
  get nextExpiresAtMs(): number | null {
    return this.#pages.indexes.expiring.firstNumber;
  }

  /** Deletes the keys that expire up to a time, those with the lowest time first, at most `limit`; returns their number. */
  deleteExpired(
    untilMs: number,
    { limit, revision }: { readonly limit: number; readonly revision: number },
  ): number {
    const entries = this.#pages.indexes.expiring.entriesUpTo(untilMs, limit);
    this.delete(entries.map(({ key }) => key), revision);
    return entries.length;
  }
}

function hasExpiringPut(mutations: readonly Mutation[]): boolean {
  // A loop without a function: every transaction is looked at.
  for (const { kind } of mutations) if (kind === "expiringPut") return true;
  return false;
}
