/** The holder of a lease: it keeps the lease alive at whichever node answers, until it is stopped. */
import { DenoNetwork } from "../../../lib/platform/deno_network.ts";
import { SystemClock } from "../../../lib/platform/system.ts";
import { eventually, within } from "../eventually.ts";
import { LeaseClient } from "../frames/lease_client.ts";
import type { TestCluster } from "./cluster.ts";

/** A node that does not answer within this time is left for the next. */
const ANSWER_DEADLINE_MS = 2_000;
const INTERVAL_MS = 200;

/** Connects to a node. */
export function connectTo(cluster: TestCluster, node: number): Promise<LeaseClient> {
  const address = { host: "127.0.0.1", port: cluster.port(node) };
  return LeaseClient.open({ network: new DenoNetwork(), clock: new SystemClock(), address });
}

/** Makes a request at any node that answers it. */
export async function atAnyNode<T>(
  cluster: TestCluster,
  request: (client: LeaseClient) => Promise<T>,
): Promise<T> {
  let attempt = 0;
  return await eventually("a node answers", async () => {
    const node = cluster.ids[attempt++ % cluster.ids.length] ?? 0;
    using client = await connectTo(cluster, node);
    return { answer: await within("the answer", request(client), { deadlineMs: ANSWER_DEADLINE_MS }) };
  }, { explain: cluster.logs }).then(({ answer }) => answer);
}

/** Keeps one lease alive. */
export class LeaseHolder implements AsyncDisposable {
  /** When the last keep-alive that was confirmed was sent. */
  confirmedSentAt = performance.now();
  /** Whether a node has answered that the lease does not exist. */
  isLost = false;
  readonly #cluster: TestCluster;
  readonly #leaseId: number;
  readonly #stop = Promise.withResolvers<void>();
  #isStopped = false;
  readonly #ended: Promise<void>;

  /** The lease exists. */
  constructor(cluster: TestCluster, leaseId: number) {
    this.#cluster = cluster;
    this.#leaseId = leaseId;
    this.#ended = this.#run();
  }

  /** Resolves once a keep-alive that was sent after the call is confirmed. */
  async confirmed(): Promise<void> {
    const calledAt = performance.now();
    await eventually(
      `lease ${this.#leaseId} is kept alive`,
      () => this.isLost || this.confirmedSentAt > calledAt ? true : null,
      { explain: this.#cluster.logs },
    );
  }

  /** Ends at once, as a holder that is killed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    this.#stop.resolve();
    await this.#ended;
  }

  async #run(): Promise<void> {
    for (let attempt = 0; !this.#isStopped; attempt++) {
      const { ids } = this.#cluster;
      try {
        using client = await connectTo(this.#cluster, ids[attempt % ids.length] ?? 0);
        while (!this.#isStopped) await this.#keepAlive(client);
      } catch {
        // The node was killed, is suspended, or knows of no leader: the next one is asked.
        await this.#rest();
      }
    }
  }

  async #keepAlive(client: LeaseClient): Promise<void> {
    const sentAt = performance.now();
    const answer = within("a keep-alive is answered", client.keepAlive(this.#leaseId), {
      deadlineMs: ANSWER_DEADLINE_MS,
    });
    const [ttlMs] = await answer;
    if (ttlMs === 0) this.isLost = true;
    else this.confirmedSentAt = sentAt;
    await this.#rest();
  }

  #rest(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, INTERVAL_MS);
    void this.#stop.promise.then(() => {
      clearTimeout(timer);
      resolve();
    });
    return promise;
  }
}
