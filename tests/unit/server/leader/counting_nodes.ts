/**
 * Nodes that share a log of counts and lease starts, each with a clock of its own that begins at another time. The real
 * time is that of the test's clock.
 */
import { assert, assertEquals } from "@std/assert";
import type { Clock } from "../../../../lib/platform/clock.ts";
import { decodeCommand } from "../../../../lib/protocol/command.ts";
import { LogClock } from "../../../../lib/server/leader/log_clock.ts";
import { ManualClock } from "../../../support/fakes/manual_clock.ts";

/** An entry: a count, or the start of a lease's time (a grant or keep-alive), with the real time at which it was proposed. */
type LogEntry =
  | { readonly kind: "count"; readonly elapsedMs: number }
  | { readonly kind: "start"; readonly leaseId: number; readonly ttlMs: number; readonly atMs: number };

/** A lease as a node has applied it. */
interface Lease {
  readonly deadlineMs: number;
  /** The real time from which on its holder expects it to have ended. */
  readonly heldUntilMs: number;
}

interface NodeState {
  readonly leases: Map<number, Lease>;
  applied: number;
  logTimeMs: number;
  countIndex: number;
}

/** The end of a lease, when the first node applied it. */
export interface End {
  readonly leaseId: number;
  /** How long after the end that its holder expects; negative if it was early. */
  readonly lateMs: number;
}

/** A leader has to apply the entries before its term until it counts. */
export class CountingNodes {
  readonly clock = new ManualClock();
  readonly ends: End[] = [];
  sessions = 1;
  /** Whether entries are accepted. */
  accepts = true;
  /** Most leases that one count ends. */
  maxEnded = Infinity;
  readonly #log: LogEntry[] = [];
  readonly #states: NodeState[] = [];
  readonly #clocks: LogClock[] = [];
  #leader: number | null = 0;
  #term = 1;
  /** Entries of the log when the term began. */
  #termStart = 0;

  constructor(nodes: number) {
    for (let node = 0; node < nodes; node++) this.restart(node);
  }

  /** The log's time once everything in it is applied. */
  get logTimeMs(): number {
    return this.#log.reduce((sum, entry) => sum + (entry.kind === "count" ? entry.elapsedMs : 0), 0);
  }

  /** The counts in the log. */
  get counts(): readonly number[] {
    return this.#log.flatMap((entry) => entry.kind === "count" ? [entry.elapsedMs] : []);
  }

  /** The log's time as a node estimates it. */
  estimateOf(node: number): number {
    return this.#clockOf(node).nowMs;
  }

  /** The node starts again, with nothing applied. */
  restart(node: number): void {
    this.#clocks[node]?.stop();
    const state: NodeState = { leases: new Map(), applied: 0, logTimeMs: 0, countIndex: 0 };
    const logClock = new LogClock({
      clock: this.#clockWithOffset(1_000_000 * node + 0.37 * node),
      applied: () => ({
        logTimeMs: state.logTimeMs,
        sessionCount: this.sessions,
        leaseCount: state.leases.size,
        leaseDeadlineBefore: (logTimeMs) => earliestBefore(state.leases, logTimeMs),
      }),
      countIndex: () => state.countIndex,
      leadingTerm: () => node === this.#leader && state.applied >= this.#termStart ? this.#term : null,
      propose: (command) =>
        this.accepts ? this.#log.push({ kind: "count", elapsedMs: elapsedIn(command) }) : null,
    });
    this.#states[node] = state;
    this.#clocks[node] = logClock;
    logClock.start();
  }

  /** Another node leads, or none; `lost` entries at the end of the log, which no node has applied, were on no majority. */
  lead(node: number | null, lost = 0): void {
    const applied = Math.max(...this.#states.map((state) => state.applied));
    this.#log.length = Math.max(applied, this.#log.length - lost);
    this.#leader = node;
    this.#term += 1;
    this.#termStart = this.#log.length;
  }

  /** The leader proposes the start of a lease's time, as it does for a grant or keep-alive; false if it refuses to. */
  startLease(leaseId: number, ttlMs: number): boolean {
    if (this.#leader === null || !this.#clockOf(this.#leader).countNow()) return false;
    this.#log.push({ kind: "start", leaseId, ttlMs, atMs: this.clock.now() });
    return true;
  }

  /** A node applies the log as far as it has it. */
  apply(node: number): void {
    const state = this.#stateOf(node);
    for (const entry of this.#log.slice(state.applied)) this.#applyEntry(state, entry);
    this.#clockOf(node).noteApplied();
  }

  /** Every node applies everything. */
  applyAll(): void {
    for (const node of this.#states.keys()) this.apply(node);
  }

  /** Time passes, and all nodes apply everything after each step. */
  pass(durationMs: number, stepMs = 20): void {
    for (let passedMs = 0; passedMs < durationMs; passedMs += stepMs) {
      this.clock.advance(stepMs);
      this.applyAll();
    }
  }

  stop(): void {
    for (const logClock of this.#clocks) logClock.stop();
    assertEquals(this.clock.timerCount, 0);
  }

  #applyEntry(state: NodeState, entry: LogEntry): void {
    state.applied += 1;
    switch (entry.kind) {
      case "start": {
        const { leaseId, ttlMs, atMs } = entry;
        state.leases.set(leaseId, { deadlineMs: state.logTimeMs + ttlMs, heldUntilMs: atMs + ttlMs });
        return;
      }
      case "count":
        state.countIndex = state.applied;
        state.logTimeMs += entry.elapsedMs;
        this.#end(state);
    }
  }

  /** Ends leases that are due. */
  #end({ leases, logTimeMs, applied }: NodeState): void {
    const isFirst = this.#states.every((state) => state.applied <= applied);
    const due = [...leases].filter(([, { deadlineMs }]) => deadlineMs < logTimeMs);
    for (const [leaseId, { heldUntilMs }] of due.slice(0, this.maxEnded)) {
      leases.delete(leaseId);
      if (isFirst && !this.ends.some((end) => end.leaseId === leaseId)) {
        this.ends.push({ leaseId, lateMs: this.clock.now() - heldUntilMs });
      }
    }
  }

  #clockOf(node: number): LogClock {
    const logClock = this.#clocks[node];
    assert(logClock !== undefined, "the node is one of these");
    return logClock;
  }

  #stateOf(node: number): NodeState {
    const state = this.#states[node];
    assert(state !== undefined, "the node is one of these");
    return state;
  }

  #clockWithOffset(offsetMs: number): Clock {
    const { clock } = this;
    return {
      now: () => clock.now() + offsetMs,
      after: (delayMs, callback) => clock.after(delayMs, callback),
      endOfTurn: (callback) => clock.endOfTurn(callback),
    };
  }
}

function earliestBefore(leases: ReadonlyMap<number, Lease>, logTimeMs: number): number | null {
  const deadlines = [...leases.values()].map(({ deadlineMs }) => deadlineMs).filter((one) => one < logTimeMs);
  return deadlines.length === 0 ? null : Math.min(...deadlines);
}

function elapsedIn(bytes: Uint8Array): number {
  const command = decodeCommand(bytes);
  assert(command.kind === "expireSessions", "nothing else is proposed");
  return command.elapsedMs;
}
