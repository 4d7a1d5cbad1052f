/** What is promised of reads under a lease (guarantees §1). */
import type { NodeId, RaftStatus } from "../../../lib/raft/mod.ts";

/** Watches every node that answers reads under a lease, or might. */
export class Leases {
  readonly #check: (holds: boolean, message: string) => void;
  /** Of every node that runs and has led: whether it answers reads under a lease at this moment. */
  readonly #held = new Map<NodeId, () => boolean>();

  constructor(check: (holds: boolean, message: string) => void) {
    this.#check = check;
  }

  /** A node leads, or did. */
  led(id: NodeId, holdsLease: () => boolean): void {
    this.#held.set(id, holdsLease);
  }

  /** A node begins to lead: nobody else may answer reads any more without asking. */
  won({ id, term }: RaftStatus): void {
    for (const [other, isHeld] of this.#held) {
      const isAlone = other === id || !isHeld();
      this.#check(isAlone, `node ${id} leads term ${term} while node ${other} answers reads under a lease`);
    }
  }

  /** A leader answers a read at once, when so much was ever committed. */
  read({ id, term, commitIndex }: RaftStatus, committed: number): void {
    this.#check(
      commitIndex >= committed,
      `leader ${id} of term ${term} answers a read from ${commitIndex}, and ${committed} is committed`,
    );
  }

  /** A node's process is no more. */
  died(node: NodeId): void {
    this.#held.delete(node);
  }
}
