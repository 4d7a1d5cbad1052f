/**
 * Decides whether a node can serve clients, and if not, why. The test is a linearizable read: it needs a leader, a majority
 * that follows it, and an up-to-date state on this node. Reasons that are known without it are checked first.
 */
import type { Clock } from "../../platform/clock.ts";
import { pause } from "../../platform/promise.ts";
import type { NodeStatus } from "../../protocol/messages.ts";

/** Maximum time of the read. */
const READ_TIMEOUT_MS = 1_000;

/** A reason why a node is not ready. The reasons are stable: docs/operations.md lists them. */
export interface Unready {
  readonly reason: "starting" | "joining" | "stopping" | "diskFull" | "noLeader" | "behind";
  /** A sentence for a person. */
  readonly message: string;
}

/** The parts of a node that readiness depends on. */
export interface ReadinessOptions {
  readonly clock: Clock;
  readonly status: () => NodeStatus;
  readonly isDiskFull: () => boolean;
  /** Resolves to true once this node could answer a linearizable read, to false when it cannot. */
  readonly whenReadable: () => Promise<boolean>;
}

/** Whether a node can answer a linearizable read. */
export class Readability {
  readonly #options: Pick<ReadinessOptions, "clock" | "whenReadable">;
  /** The read in progress: all checks share it, so that reads do not pile up. */
  #read: Promise<boolean> | null = null;

  constructor(options: Pick<ReadinessOptions, "clock" | "whenReadable">) {
    this.#options = options;
  }

  /** Resolves to true once a read could be answered, to false if it cannot, or not in time. */
  async check(): Promise<boolean> {
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
}

/** The readiness of a running node. */
export class Readiness {
  readonly #options: ReadinessOptions;
  readonly #readability: Readability;

  constructor(options: ReadinessOptions) {
    this.#options = options;
    this.#readability = new Readability(options);
  }

  /** Returns the reasons why the node is not ready; none if it is. */
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
        message: "The disk of this node is full. Free disk space; the node continues by itself.",
      });
    }
    if (leader === null) reasons.push({ reason: "noLeader", message: "This node knows of no leader." });
    else if (reasons.length === 0 && !await this.#readability.check()) reasons.push(this.#whyNot());
    return reasons;
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
