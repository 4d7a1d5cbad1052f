/**
 * Whether a node is of use to clients now, and if not, why. The proof is a linearizable read: it needs a leader, a
 * majority that follows it, and a state here that is up to date. What is known without it is looked at first.
 */
import type { Clock } from "../../platform/clock.ts";
import { pause } from "../../platform/promise.ts";
import type { NodeStatus } from "../../protocol/messages.ts";

/** How long a node may take to show that it is up to date. */
const READ_TIMEOUT_MS = 1_000;

/** Why a node is not ready. Stable: docs/operations.md lists them. */
export interface Unready {
  readonly reason: "starting" | "joining" | "stopping" | "diskFull" | "noLeader" | "behind";
  /** A sentence for a person. */
  readonly message: string;
}

/** What readiness is judged by. */
export interface ReadinessOptions {
  readonly clock: Clock;
  readonly status: () => NodeStatus;
  readonly isDiskFull: () => boolean;
  /** Resolves to true once a linearizable read could be answered here, to false when none can be. */
  readonly whenReadable: () => Promise<boolean>;
}

/** Judges a node that serves. */
export class Readiness {
  readonly #options: ReadinessOptions;
  /** The read under way: all that ask share it, so that those who ask in vain don't pile up. */
  #read: Promise<boolean> | null = null;

  constructor(options: ReadinessOptions) {
    this.#options = options;
  }

  /** Every reason against; none for a node that is ready. */
  async check(): Promise<readonly Unready[]> {
    const { status, isDiskFull } = this.#options;
    const { id, members, leader } = status();
    const reasons: Unready[] = [];
    if (!members.some((member) => member.id === id)) {
      reasons.push({
        reason: "joining",
        message: "This node is no member yet. Add it: kvraft client … member add.",
      });
    }
    if (isDiskFull()) {
      reasons.push({
        reason: "diskFull",
        message: "The disk of this node is full. Make room; it goes on by itself.",
      });
    }
    if (leader === null) reasons.push({ reason: "noLeader", message: "This node knows of no leader." });
    else if (reasons.length === 0 && !await this.#isReadable()) reasons.push(this.#whyNot());
    return reasons;
  }

  async #isReadable(): Promise<boolean> {
    this.#read ??= this.#options.whenReadable().finally(() => this.#read = null);
    const over = new AbortController();
    const late = pause(READ_TIMEOUT_MS, { clock: this.#options.clock, signal: over.signal }).then(() =>
      false
    );
    try {
      return await Promise.race([this.#read, late]);
    } finally {
      over.abort();
    }
  }

  #whyNot(): Unready {
    const { leader, appliedIndex, commitIndex } = this.#options.status();
    if (leader === null) return { reason: "noLeader", message: "This node knows of no leader." };
    return {
      reason: "behind",
      message: `Node ${leader} leads, and it is not confirmed that this node is up to date: it has applied ` +
        `${appliedIndex} of the ${commitIndex} entries that it knows to be committed, or no majority answers.`,
    };
  }
}
