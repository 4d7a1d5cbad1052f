/**
 * A watch over any number of connections: it begins at a node, and continues at another one when it is lost there.
 *
 * Order: the first revision that was not delivered yet is all that a watch remembers. Each revision is queued once, whole,
 * and the next request asks for the revision after it; so none is delivered twice and none is left out, whichever nodes
 * answer. A program that reads slowly fills the queue; the watch is cancelled at its node then, and begins again after
 * what is queued, so that other calls over the connection go on.
 */
import { assertNever } from "../../platform/assert.ts";
import { errorMessage } from "../../platform/errors.ts";
import { pause, unlessAborted } from "../../platform/promise.ts";
import type { ServerFrame } from "../../protocol/client_frames.ts";
import type { NodeId } from "../../raft/types.ts";
import { refusalOf } from "../calls.ts";
import type { NodeConnection } from "../connection.ts";
import type { ClientCore } from "../core.ts";
import {
  AbortError,
  AuthenticationError,
  ClosedError,
  CompactedError,
  InternalError,
  TooManyWatchesError,
} from "../errors.ts";
import type { Keyspace } from "../keyspace.ts";
import {
  type AttemptFailure,
  attemptTimeoutMs,
  decide,
  describeFailure,
  needsSignIn,
  pauseAfterMs,
  reasonWithin,
  toError,
} from "../retry.ts";
import { BatchQueue } from "./batch_queue.ts";
import type { WatchEnd } from "./connection_watches.ts";
import { toWatchEvents, toWatchPlan, type WatchPlan } from "./input.ts";
import { readKeys } from "./state_reader.ts";
import type { WatchBatch, WatchEvent, WatchRequest } from "./types.ts";

/** The longest wait for a node to begin a watch. */
const MAX_START_TIMEOUT_MS = 8_000;
const ACTION = "watch keys";

/** The end of a watch at one node. */
type SessionEnd =
  | { readonly kind: "stopped" | "full" }
  | { readonly kind: "compacted"; readonly compactedRevision: number }
  | { readonly kind: "failed"; readonly failure: AttemptFailure };

/** Returns the batches of a watch; each iteration of them is a watch of its own. Throws KvraftError. */
export function watchKeys(
  core: ClientCore,
  keyspace: Keyspace,
  request: WatchRequest,
): AsyncIterable<WatchBatch> {
  const plan = toWatchPlan(request, keyspace);
  return { [Symbol.asyncIterator]: () => new Watch(core, keyspace, plan) };
}

/** One iteration. */
class Watch implements AsyncIterator<WatchBatch, undefined> {
  readonly #core: ClientCore;
  readonly #keyspace: Keyspace;
  readonly #plan: WatchPlan;
  readonly #queue = new BatchQueue();
  readonly #stop = new AbortController();
  #running: Promise<void> | null = null;
  /** The first revision that is not queued; null until a watch from the present on has begun. */
  #next: number | null;
  /** Events of the revision {@link #next} of which further ones follow. */
  #parts: WatchEvent[] = [];
  /** Failures since the watch last began at a node. */
  #round = 0;
  /** The node at which this client has signed in again since. */
  #signedInAt: NodeId | null = null;

  constructor(core: ClientCore, keyspace: Keyspace, plan: WatchPlan) {
    this.#core = core;
    this.#keyspace = keyspace;
    this.#plan = plan;
    this.#next = plan.from;
  }

  next(): Promise<IteratorResult<WatchBatch, undefined>> {
    this.#running ??= this.#run();
    return this.#queue.next();
  }

  async return(): Promise<IteratorResult<WatchBatch, undefined>> {
    this.#queue.close(null);
    this.#stop.abort();
    this.#running ??= Promise.resolve();
    await this.#running;
    return { done: true, value: undefined };
  }

  /** Watches until the program or an error ends it. Never rejects. */
  async #run(): Promise<void> {
    const { pool, watches, maxWatches } = this.#core;
    const { signal } = this.#plan;
    const onAbort = (): void => {
      const cause = signal?.reason;
      this.#queue.close(new AbortError(`Cannot ${ACTION}: the caller's signal ended the watch.`, { cause }));
      this.#stop.abort();
    };
    const onClosing = (): void => {
      this.#queue.close(new ClosedError(`Cannot ${ACTION}: the client was closed.`));
      this.#stop.abort();
    };
    if (pool.closing.isClosed) return onClosing();
    if (signal?.aborted) return onAbort();
    if (watches.size >= maxWatches) {
      return this.#queue.fail(
        new TooManyWatchesError(`Cannot ${ACTION}: this client has ${maxWatches} watches. End some first.`),
      );
    }
    watches.add(this);
    signal?.addEventListener("abort", onAbort);
    pool.closing.add(onClosing);
    try {
      await this.#watch();
    } catch (error) {
      this.#queue.fail(error instanceof Error ? error : new Error(String(error)));
    } finally {
      watches.delete(this);
      signal?.removeEventListener("abort", onAbort);
      pool.closing.remove(onClosing);
    }
  }

  /** Watches at one node after the other. */
  async #watch(): Promise<void> {
    const { signal } = this.#stop;
    const { clock, random } = this.#core;
    let avoided: NodeId | null = null;
    while (!signal.aborted) {
      await this.#queue.untilLow();
      const end = await this.#session(avoided);
      switch (end.kind) {
        case "stopped":
          return;
        case "full":
          avoided = null;
          break;
        case "compacted":
          await this.#resync(end.compactedRevision);
          break;
        case "failed": {
          if (needsSignIn(end.failure) && end.failure.node !== this.#signedInAt) {
            const { node } = end.failure;
            if (await this.#signInAgain(node)) break;
            avoided = node;
            await pause(pauseAfterMs(end.failure, this.#round++, random), { clock, signal });
            break;
          }
          const decision = decide(end.failure, "read");
          const isFinal = end.failure.kind === "unreachable" && end.failure.hope === "none";
          if (decision.kind === "giveUp" || isFinal) throw toError(end.failure, ACTION, "not-applied");
          this.#signedInAt = null;
          this.#plan.onInterruption(describeFailure(end.failure));
          avoided = decision.except ?? busyNode(end.failure);
          await pause(pauseAfterMs(end.failure, this.#round++, random), { clock, signal });
          break;
        }
        default:
          assertNever(end);
      }
    }
  }

  /** Watches at one node, another one than `avoided` if possible, until that ends. */
  async #session(avoided: NodeId | null): Promise<SessionEnd> {
    const { pool } = this.#core;
    const { signal } = this.#stop;
    if (signal.aborted) return { kind: "stopped" };
    const open = pool.route(avoided);
    if (open !== null) return await this.#sessionAt(open);
    const reached = await unlessAborted(pool.reach(avoided), signal);
    if (reached === null || signal.aborted) return { kind: "stopped" };
    if (reached.kind === "unreachable") return { kind: "failed", failure: reached };
    return await this.#sessionAt(reached.connection);
  }

  #sessionAt(connection: NodeConnection): Promise<SessionEnd> {
    const { keys, puts, deletes, previous, visibleOnly } = this.#plan;
    const { signal } = this.#stop;
    this.#parts = [];
    return new Promise((resolve) => {
      let watchId = 0;
      const end = (ended: SessionEnd): void => {
        signal.removeEventListener("abort", onStop);
        resolve(ended);
      };
      const cancel = (kind: "stopped" | "full"): void => {
        connection.watches.cancel(watchId);
        end({ kind });
      };
      const onStop = (): void => cancel("stopped");
      signal.addEventListener("abort", onStop);
      const request = {
        kind: "watch",
        keys,
        from: this.#next,
        puts,
        deletes,
        previous,
        visibleOnly,
      } as const;
      const timeoutMs = Math.min(attemptTimeoutMs(this.#round, Infinity), MAX_START_TIMEOUT_MS);
      watchId = connection.watches.start(request, timeoutMs, {
        onStarted: (revision) => this.#began(revision),
        onEvents: (frame) => {
          this.#take(frame);
          if (this.#queue.isFull) cancel("full");
        },
        onProgress: (revision) => this.#progressTo(revision),
        onEnd: (ended) => end(this.#ended(connection, ended)),
      });
    });
  }

  /**
   * Signs in again at a node, after which the watch goes on. Throws AuthenticationError if that is refused; returns false
   * after another failure, such as that of a node without a leader: it is tried again, at another node if there is one.
   */
  async #signInAgain(node: NodeId): Promise<boolean> {
    try {
      await unlessAborted(this.#core.pool.signInAgain(node), this.#stop.signal);
      this.#signedInAt = node;
      return true;
    } catch (error) {
      if (error instanceof AuthenticationError) throw error;
      this.#plan.onInterruption(reasonWithin(errorMessage(error)));
      return false;
    }
  }

  #began(revision: number): void {
    this.#round = 0;
    this.#signedInAt = null;
    this.#next ??= revision + 1;
    if (this.#plan.progress) this.#queue.push({ kind: "progress", revision: this.#next - 1 });
  }

  /** Queues the events of a revision once all of them are there. */
  #take(frame: ServerFrame<"watchEvents">): void {
    const { revision, more } = frame;
    if (this.#next !== null && revision < this.#next) return; // queued before
    for (const event of toWatchEvents(frame, this.#keyspace)) this.#parts.push(event);
    if (more) return;
    this.#queue.push({ kind: "events", revision, events: this.#parts });
    this.#parts = [];
    this.#next = revision + 1;
  }

  #progressTo(revision: number): void {
    // One up to the revision that is known already counts: it shows that the watch is up to date while nothing changes.
    if (this.#next !== null && revision < this.#next - 1) return;
    this.#next = revision + 1;
    if (this.#plan.progress) this.#queue.push({ kind: "progress", revision });
  }

  /** Returns how a watch ended that its node, or the loss of the connection, ended. */
  #ended({ node }: NodeConnection, end: WatchEnd): SessionEnd {
    switch (end.kind) {
      case "lost":
        return { kind: "failed", failure: { kind: "lost", node, left: true, reason: end.reason } };
      case "refused": {
        const { code, compactedRevision = 0 } = end.error;
        if (code === "compacted") return { kind: "compacted", compactedRevision };
        return { kind: "failed", failure: refusalOf(end.error, node, this.#core.pool) };
      }
      case "ended": {
        const { code, message, compactedRevision = 0 } = end.notice;
        if (code === "compacted") return { kind: "compacted", compactedRevision };
        if (code === "permissionDenied" || code === "unauthenticated") {
          return {
            kind: "failed",
            failure: { kind: "refused", node, code, message, outcome: "not-applied" },
          };
        }
        return { kind: "failed", failure: { kind: "lost", node, left: true, reason: message } };
      }
      default:
        return assertNever(end);
    }
  }

  /** Queues the present state in place of events whose history is compacted; throws if that is not wanted. */
  async #resync(compactedRevision: number): Promise<void> {
    if (!this.#plan.resync) {
      throw new CompactedError(
        `Cannot ${ACTION} from revision ${this.#next}: the history is compacted up to revision ${compactedRevision}. ` +
          "Read the keys and watch from there, or watch with resync.",
        { compactedRevision },
      );
    }
    const { signal } = this.#stop;
    const { revision, entries } = await this.#core.repeat(
      () => readKeys(this.#core, this.#plan, signal),
      signal,
    );
    if (this.#next !== null && revision < this.#next - 1) {
      throw new InternalError(`Cannot ${ACTION}: a node has an older state than those before it.`);
    }
    this.#queue.push({ kind: "reset", revision, entries: this.#keyspace.listToCaller(entries) });
    this.#next = revision + 1;
  }
}

/**
 * Returns the node that refused a watch as busy, or null. It refuses because of the watches that it has, which it keeps for
 * as long as their clients do, so another node is asked next.
 */
function busyNode(failure: AttemptFailure): NodeId | null {
  return failure.kind === "refused" && failure.code === "busy" ? failure.node : null;
}
