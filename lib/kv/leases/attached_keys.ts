/** The rules for attaching keys to leases, of one transaction. */
import type { Leases } from "./leases.ts";

/** The reason why a key cannot be attached to a lease. */
export type AttachFailure = "leaseNotFound" | "tooManyLeaseKeys";

/** Counts the keys of leases as a transaction attaches, detaches and deletes them, before the store is changed. */
export class AttachedKeys {
  readonly #leases: Pick<Leases, "has" | "limits">;
  /** Returns the number of keys of a lease in the store. */
  readonly #keyCount: (leaseId: number) => number;
  readonly #changes = new Map<number, number>();

  /** Makes a count of a transaction that has changed nothing yet. */
  constructor(leases: Pick<Leases, "has" | "limits">, keyCount: (leaseId: number) => number) {
    this.#leases = leases;
    this.#keyCount = keyCount;
  }

  /** Counts a key that moves from one lease to another; 0 stands for none. Returns the reason if it must not. */
  move(from: number, to: number): AttachFailure | null {
    if (to !== 0 && !this.#leases.has(to)) return "leaseNotFound";
    if (from === to) return null;
    if (to !== 0) {
      const change = this.#changeOf(to) + 1;
      if (this.#keyCount(to) + change > this.#leases.limits.maxLeaseKeys) return "tooManyLeaseKeys";
      this.#changes.set(to, change);
    }
    if (from !== 0) this.#changes.set(from, this.#changeOf(from) - 1);
    return null;
  }

  #changeOf(leaseId: number): number {
    return this.#changes.get(leaseId) ?? 0;
  }
}
