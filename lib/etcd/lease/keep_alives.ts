/**
 * Keeps leases alive for the clients of etcd. Each of them has a stream, and each lease a message of its own; what arrives in
 * one turn of the event loop, over all streams, goes to the cluster in one request for each user.
 */
import type { ClientCore } from "../../client/core.ts";
import { KvraftError } from "../../client/errors.ts";
import { keepLeasesAlive } from "../../client/leases/lease_client.ts";
import { MAX_KEEP_ALIVES } from "../../kv/leases/lease_command.ts";
import { assert } from "../../platform/assert.ts";
import { withResolvers } from "../../platform/promise.ts";
import { type EtcdContext, headerOf } from "../context.ts";
import type { LEASE_KEEP_ALIVE_REQUEST, LEASE_KEEP_ALIVE_RESPONSE } from "../messages/lease.ts";
import type { GivenOf, MessageOf } from "../protobuf/message.ts";
import { storeLeaseId } from "../revisions.ts";
import { type Call, MAX_CALL_MS, type Messages } from "../rpc/method.ts";
import { etcdError } from "../rpc/status.ts";

/** Messages of one stream that are not answered yet. The next ones are read when there are fewer. */
const MAX_UNANSWERED = 1_000;

/** The stream of one client. */
export type KeepAliveMessages = Messages<
  MessageOf<typeof LEASE_KEEP_ALIVE_REQUEST>,
  GivenOf<typeof LEASE_KEEP_ALIVE_RESPONSE>
>;

/** A lease that is to be kept alive. */
interface Wanted {
  readonly leaseId: number;
  readonly settle: Pick<PromiseWithResolvers<number>, "resolve" | "reject">;
}

/** The streams that keep leases alive, of one front end. */
export class KeepAlives {
  readonly #context: EtcdContext;
  /** The leases named in this turn, by the client of the cluster: at most MAX_KEEP_ALIVES of each. */
  readonly #waiting = new Map<ClientCore, Wanted[]>();
  #isScheduled = false;

  constructor(context: EtcdContext) {
    this.#context = context;
  }

  /**
   * Answers the messages of a stream in their order. Rejects with KvraftError or EtcdError; clients begin another stream then.
   *
   * A failure, or the stop of the front end, has to end the stream at once, though the client's next message may be minutes
   * away.
   */
  async serve(messages: KeepAliveMessages, call: Call): Promise<void> {
    const { closing } = this.#context;
    const { promise, resolve, reject } = withResolvers<void>();
    const onClosing = (): void => reject(etcdError("stopped"));
    closing.add(onClosing);
    if (closing.isClosed) onClosing();
    this.#read(messages, call, reject).then(resolve, reject);
    await promise.finally(() => closing.remove(onClosing));
  }

  async #read(
    messages: KeepAliveMessages,
    { core }: Call,
    fail: (error: unknown) => void,
  ): Promise<void> {
    let unanswered = 0;
    let last: Promise<void> = Promise.resolve();
    for (let request = await messages.read(); request !== null; request = await messages.read()) {
      const { id } = request;
      const ttlMs = this.#keepAlive(core, storeLeaseId(id));
      const before = last;
      unanswered += 1;
      last = this.#answer(messages, { id, ttlMs, before }).finally(() => unanswered -= 1);
      last.catch(fail);
      if (unanswered >= MAX_UNANSWERED) await last;
    }
    await last;
  }

  /** Answers one message, after the one before it. */
  async #answer(
    messages: KeepAliveMessages,
    { id, ttlMs, before }: {
      readonly id: bigint;
      readonly ttlMs: Promise<number>;
      readonly before: Promise<void>;
    },
  ): Promise<void> {
    const [ttl] = await Promise.all([ttlMs, before]);
    const header = headerOf(this.#context, this.#context.view().revision);
    const isTaken = messages.write({ header, id, ttl: Math.floor(ttl / 1_000) });
    if (!isTaken) await messages.whenWritable();
  }

  /** Resolves to the time to live of a lease, 0 for one that does not exist. Rejects with KvraftError. */
  #keepAlive(core: ClientCore, leaseId: number | null): Promise<number> {
    if (leaseId === null) return Promise.resolve(0);
    const { promise, ...settle } = withResolvers<number>();
    const waiting = this.#waiting.get(core) ?? [];
    waiting.push({ leaseId, settle });
    this.#waiting.set(core, waiting);
    if (waiting.length >= MAX_KEEP_ALIVES) this.#endBatch(core, waiting);
    if (this.#isScheduled) return promise;
    this.#isScheduled = true;
    this.#context.clock.endOfTurn(() => {
      this.#isScheduled = false;
      for (const [core, batch] of this.#waiting) this.#endBatch(core, batch);
    });
    return promise;
  }

  #endBatch(core: ClientCore, batch: readonly Wanted[]): void {
    this.#waiting.delete(core);
    void ask(core, batch);
  }
}

/** Keeps leases alive with one request. Never rejects. */
async function ask(core: ClientCore, batch: readonly Wanted[]): Promise<void> {
  try {
    const context = core.context({ timeoutMs: MAX_CALL_MS });
    const ttlsMs = await keepLeasesAlive(core, batch.map(({ leaseId }) => leaseId), context);
    for (const [index, { settle }] of batch.entries()) {
      const ttlMs = ttlsMs[index];
      assert(ttlMs !== undefined, "each lease has an answer");
      settle.resolve(ttlMs);
    }
  } catch (error) {
    if (batch.length > 1 && error instanceof KvraftError && error.code === "permissionDenied") {
      // The user has no right over one of them: the other ones must not end because of it.
      const middle = batch.length >> 1;
      await Promise.all([ask(core, batch.slice(0, middle)), ask(core, batch.slice(middle))]);
    } else {
      for (const { settle } of batch) settle.reject(error);
    }
  }
}
