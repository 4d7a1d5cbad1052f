/** Detects two processes that connect as the same node. */
import type { Clock } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import { MAX_PEER_LANES } from "../protocol/limits.ts";
import type { NodeId } from "../raft/types.ts";

/** Number of open connections of a node that were replaced at which two processes are suspected. */
export const TWIN_REPLACEMENTS = 4;
/** Time within which they are counted. */
export const TWIN_WINDOW_MS = 10_000;
/** Time between two log lines about one node. */
const TWIN_LOG_INTERVAL_MS = 60_000;

/** Replaced connections of one node. */
interface Replacements {
  /** Times of the latest TWIN_REPLACEMENTS replacements. */
  readonly replacedAtMs: number[];
  loggedAtMs: number | null;
}

/**
 * Detects two processes that connect as the same node, such as a copy of a data directory that runs beside its original.
 * Each connection of one replaces that of the other, so both are disconnected again and again.
 *
 * One process closes a connection before it opens the next of that lane. If the network fails for a moment, the close may
 * not be noticed in time, but not TWIN_REPLACEMENTS times within TWIN_WINDOW_MS.
 */
export class TwinCallers {
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** By node, the latest last; at most MAX_PEER_LANES nodes. */
  readonly #calls = new Map<NodeId, Replacements>();

  constructor({ clock, logger }: { readonly clock: Clock; readonly logger: Logger }) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Records that a connection of `node` from `newer` replaced an open one from `older`. */
  replaced(node: NodeId, remotes: { readonly older: string; readonly newer: string }): void {
    const now = this.#clock.now();
    const calls = this.#calls.get(node) ?? { replacedAtMs: [], loggedAtMs: null };
    this.#calls.delete(node);
    this.#calls.set(node, calls);
    const [first] = this.#calls.keys();
    if (this.#calls.size > MAX_PEER_LANES && first !== undefined) this.#calls.delete(first);
    const { replacedAtMs, loggedAtMs } = calls;
    replacedAtMs.push(now);
    if (replacedAtMs.length > TWIN_REPLACEMENTS) replacedAtMs.shift();
    const sinceMs = now - (replacedAtMs[0] ?? now);
    if (replacedAtMs.length < TWIN_REPLACEMENTS || sinceMs > TWIN_WINDOW_MS) return;
    if (loggedAtMs !== null && now - loggedAtMs < TWIN_LOG_INTERVAL_MS) return;
    calls.loggedAtMs = now;
    this.#logger.error(
      "Two processes connect as one node: does a copy of its data directory run beside the original? Stop the copy",
      { event: "twoProcesses", node, from: remotes.older, and: remotes.newer },
    );
  }
}
