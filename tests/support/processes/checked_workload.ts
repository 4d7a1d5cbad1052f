/**
 * Concurrent clients on a few keys while a cluster is disturbed, and the check afterwards that their history is
 * linearizable, as `kvraft client check` does it.
 */
import { check, CHECK_LIMITS, type History, type Operation } from "../../../lib/lincheck/mod.ts";
import type { KvClient } from "../../../lib/mod.ts";
import { SystemClock } from "../../../lib/platform/system.ts";
import { DEFAULT_MIX, type Figures, figuresOf, perform, Workload } from "../../../lib/loadgen/mod.ts";
import type { TestCluster } from "./cluster.ts";
import { eventually } from "../eventually.ts";

const CLIENTS = 5;
const KEYS = 12;
const PREFIX = "check/";
/** Short enough that an outage brings unknown outcomes. */
const TIMEOUT_MS = 1_500;

/** Clients at work. Use with `await using`. */
export class CheckedWorkload implements AsyncDisposable {
  readonly #workload: Workload;
  readonly #clients: AsyncDisposableStack;

  private constructor(workload: Workload, clients: AsyncDisposableStack) {
    this.#workload = workload;
    this.#clients = clients;
  }

  /** Starts them with the current nodes of `cluster`. The seed decides their operations, given the answers they get. */
  static async start(cluster: TestCluster, seed: number): Promise<CheckedWorkload> {
    await using owner = new AsyncDisposableStack();
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => cluster.connect()));
    for (const client of clients) owner.use(client);
    const workload = Workload.start({
      clients,
      seed,
      mix: DEFAULT_MIX,
      prefix: PREFIX,
      keys: KEYS,
      timeoutMs: TIMEOUT_MS,
      clock: new SystemClock(),
    });
    return new CheckedWorkload(workload, owner.move());
  }

  /** Their operations and answers so far. */
  get history(): History {
    return this.#workload.history;
  }

  /** Waits until this many more of their writes are answered, or the history is full. */
  async progress(writes: number, explain: () => string): Promise<void> {
    const workload = this.#workload;
    const goal = workload.answeredWrites + writes;
    await eventually(`${writes} more of the clients' writes are answered`, () => {
      return workload.answeredWrites >= goal || workload.isFull ? true : null;
    }, { explain });
  }

  /** Stops them and reads the keys through `reader`; throws unless the history is linearizable. */
  async stopAndCheck(reader: KvClient): Promise<Figures> {
    const workload = this.#workload;
    workload.stop();
    await workload.finished;
    const { history, startedAt } = workload;
    const figures = figuresOf(history, { startedAt, endedAt: performance.now() });
    requireLinearizable([...history, await lookAtAll(reader)]);
    return figures;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#workload.abort();
    // The wait for its end reports its failure.
    await this.#workload.finished.catch(() => {});
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
