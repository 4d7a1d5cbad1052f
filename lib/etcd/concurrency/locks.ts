/** v3lockpb.Lock: locks for clients that leave the waiting to the server. */
import { type EtcdContext, headerOf } from "../context.ts";
import type {
  LOCK_REQUEST,
  LOCK_RESPONSE,
  UNLOCK_REQUEST,
  UNLOCK_RESPONSE,
} from "../messages/concurrency.ts";
import type { GivenOf, MessageOf } from "../protobuf/message.ts";
import type { Call } from "../rpc/method.ts";
import { etcdError } from "../rpc/status.ts";
import { contend } from "./contest.ts";
import { transact } from "./transactions.ts";
import type { WaitingCalls } from "./waiting_calls.ts";

/** The text of etcd for a client whose lease has ended while it waited. */
const EXPIRED = "mutex: session is expired";

/** The locks of one front end. */
export class Locks {
  readonly #context: EtcdContext;
  readonly #waiting: WaitingCalls;

  constructor(context: EtcdContext, waiting: WaitingCalls) {
    this.#context = context;
    this.#waiting = waiting;
  }

  /** Takes a lock, and waits for it as long as the client does. Rejects with EtcdError or KvraftError. */
  async lock(
    { name, lease }: MessageOf<typeof LOCK_REQUEST>,
    call: Call,
  ): Promise<GivenOf<typeof LOCK_RESPONSE>> {
    const contest = { name, lease, value: null, expired: EXPIRED };
    const { key, revision } = await this.#waiting.run(
      call,
      (waiting) => contend(call.core, contest, waiting),
    );
    return { header: headerOf(this.#context, revision), key };
  }

  /** Deletes the key of a lock; one that does not exist is no failure. Rejects as {@link lock} does. */
  async unlock(
    { key }: MessageOf<typeof UNLOCK_REQUEST>,
    { core, timeoutMs }: Call,
  ): Promise<GivenOf<typeof UNLOCK_RESPONSE>> {
    if (key.length === 0) throw etcdError("keyNotProvided");
    const { revision } = await transact(core, { then: [{ kind: "delete", key }] }, timeoutMs);
    return { header: headerOf(this.#context, revision) };
  }
}
