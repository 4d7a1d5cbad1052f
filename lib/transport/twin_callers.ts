/**
 * Notices that two processes call as one node, as a copy of a data folder does that runs beside its original. Each
 * connection of the one replaces the other's, so both lose theirs again and again, and neither can know why.
 *
 * One process closes a connection before it opens the next of that lane. That the end is not heard of in time happens,
 * where a network is down for a moment, but not TWIN_REPLACEMENTS times within TWIN_WINDOW_MS.
 */
import type { NodeId } from "../raft/types.ts";
import type { Clock } from "../platform/clock.ts";
import { MAX_PEER_LANES } from "../protocol/limits.ts";
import type { Logger } from "../platform/logger.ts";

/** So many connections of a node that were replaced while they were open are a sign of two processes. */
export const TWIN_REPLACEMENTS = 4;
/** Within this time. */
export const TWIN_WINDOW_MS = 10_000;
/** A node is named in the log once in this time. */
const TWIN_LOG_INTERVAL_MS = 60_000;

/** What is known of the calls of a node. */
interface Calls {
  /** When open connections were replaced, the latest TWIN_REPLACEMENTS of them. */
  readonly replacedAtMs: number[];
  loggedAtMs: number | null;
}

/** Counts, by node, the connections that were replaced while they were open. */
export class TwinCallers {
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** The node that called last is last; beyond MAX_PEER_LANES nodes the first is forgotten. */
  readonly #calls = new Map<NodeId, Calls>();

  constructor({ clock, logger }: { readonly clock: Clock; readonly logger: Logger }) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /** A connection of `node` from `newer` took the place of one from `older`, which was open. */
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
      "Two processes call as one node: does a copy of its data folder run beside the original? Stop the copy",
      { node, from: remotes.older, and: remotes.newer },
    );
  }
}
