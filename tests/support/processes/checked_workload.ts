/**
 * Concurrent clients on a few keys while a cluster is disturbed, with watchers of these keys where a test wants them, and
 * the check afterwards that their history is linearizable and that the watchers saw every change, as `kvraft client check`
 * does it.
 */
import {
  check,
  CHECK_LIMITS,
  checkWatches,
  findingText,
  type History,
  type Operation,
  type WatchedRun,
  type WatchFigures,
} from "../../../lib/lincheck/mod.ts";
import type { KvClient } from "../../../lib/mod.ts";
import { SystemClock } from "../../../lib/platform/system.ts";
import {
  DEFAULT_MIX,
  type Figures,
  figuresOf,
  perform,
  WatchedWorkload,
  Workload,
} from "../../../lib/loadgen/mod.ts";
import type { TestCluster } from "./cluster.ts";
import { eventually } from "../eventually.ts";

const CLIENTS = 5;
const KEYS = 12;
const PREFIX = "check/";
/** Short enough that an outage brings unknown outcomes. */
const TIMEOUT_MS = 1_500;
/** Time for the watchers of a healed cluster to show the last writes. */
const CATCH_UP_MS = 60_000;

/** Clients at work. Use with `await using`. */
export class CheckedWorkload implements AsyncDisposable {
  readonly #workload: Workload;
  /** Null without watchers. */
  readonly #watched: WatchedWorkload | null;
  readonly #clients: AsyncDisposableStack;
  #watching: WatchFigures | null = null;

  private constructor(
    { workload, watched, clients }: {
      readonly workload: Workload;
      readonly watched: WatchedWorkload | null;
      readonly clients: AsyncDisposableStack;
    },
  ) {
    this.#workload = workload;
    this.#watched = watched;
    this.#clients = clients;
  }

  /** Starts them with the current nodes of `cluster`. The seed decides their operations, given the answers they get. */
  static async start(
    cluster: TestCluster,
    { seed, watchers = 0 }: { readonly seed: number; readonly watchers?: number },
  ): Promise<CheckedWorkload> {
    await using owner = new AsyncDisposableStack();
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => cluster.connect()));
    for (const client of clients) owner.use(client);
    const options = {
      clients,
      seed,
      mix: DEFAULT_MIX,
      prefix: PREFIX,
      keys: KEYS,
      timeoutMs: TIMEOUT_MS,
      clock: new SystemClock(),
    };
    const leaseClient = owner.use(await cluster.connect());
    const watched = watchers === 0 ? null : await WatchedWorkload.start({
      ...options,
      watchers,
      connect: () => cluster.connect(),
      leases: leaseClient.leases,
      catchUpMs: CATCH_UP_MS,
    });
    const workload = watched?.workload ?? Workload.start(options);
    return new CheckedWorkload({ workload, watched, clients: owner.move() });
  }

  /** Their operations and answers so far, and what watchers saw. */
  get run(): WatchedRun {
    const { history } = this.#workload;
    return this.#watched?.run ?? { history, watches: [], leases: [], prefix: PREFIX };
  }

  /** Figures of the watches, after {@link stopAndCheck}; null without watchers. */
  get watching(): WatchFigures | null {
    return this.#watching;
  }

  /** Waits until this many more of their writes are answered, or the history is full. */
  async progress(writes: number, explain: () => string): Promise<void> {
    const workload = this.#workload;
    const goal = workload.answeredWrites + writes;
    await eventually(`${writes} more of the clients' writes are answered`, () => {
      return workload.answeredWrites >= goal || workload.isFull ? true : null;
    }, { explain });
  }

  /** Stops them and reads the keys through `reader`; throws unless the history is linearizable and all watches are right. */
  async stopAndCheck(reader: KvClient): Promise<Figures> {
    const workload = this.#workload;
    workload.stop();
    await (this.#watched?.finish() ?? workload.finished);
    const { history, startedAt } = workload;
    const figures = figuresOf(history, { startedAt, endedAt: performance.now() });
    requireLinearizable([...this.#checkedHistory(), await lookAtAll(reader)]);
    return figures;
  }

  /** Returns the history, with what watchers saw; throws unless that is right. */
  #checkedHistory(): History {
    if (this.#watched === null) return this.#workload.history;
    const { run, late } = this.#watched;
    const verdict = checkWatches(run);
    if (verdict.kind === "violation") {
      const { startedAt } = this.#workload;
      const texts = verdict.findings.map((finding) => findingText(finding, { run, startedAt }));
      throw new Error(`watches are wrong in ${verdict.total} places: ${texts.join("\n")}`);
    }
    if (late.length > 0) {
      const texts = late.map(({ watcher, start, notices }) =>
        `${watcher}.${start} (at revision ${notices.at(-1)?.revision ?? 0})`
      );
      throw new Error(`watches did not show the last writes within ${CATCH_UP_MS} ms: ${texts.join(", ")}`);
    }
    this.#watching = verdict.figures;
    return verdict.history;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#workload.abort();
    // The wait for its end reports its failure.
    await (this.#watched?.abort() ?? this.#workload.finished).catch(() => {});
    await this.#clients[Symbol.asyncDispose]();
  }
}

/** Adds a read of the final keys to the history. */
async function lookAtAll(reader: KvClient): Promise<Operation> {
  const range = { prefix: PREFIX, start: null, end: null, after: null, reverse: false };
  const calledAt = performance.now();
  const request = { kind: "list", range, limit: KEYS } as const;
  const ended = await perform(reader, { request, options: {} });
  return { ...ended, client: CLIENTS + 1, calledAt, returnedAt: performance.now() };
}

function requireLinearizable(history: History): void {
  const verdict = check(history, { ...CHECK_LIMITS, now: () => performance.now() });
  if (verdict.kind === "linearizable") return;
  throw new Error(`the history is not shown to be linearizable: ${verdict.kind}, ${JSON.stringify(verdict)}`);
}
