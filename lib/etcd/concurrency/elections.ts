/** v3electionpb.Election: elections for clients that leave the waiting to the server. */
import { CompactedError } from "../../client/errors.ts";
import { Keyspace } from "../../client/keyspace.ts";
import { watchKeys } from "../../client/watch/watch.ts";
import type { KeyValue } from "../../kv/command.ts";
import { compareKeys } from "../../kv/keys.ts";
import { type EtcdContext, headerOf } from "../context.ts";
import type {
  CAMPAIGN_REQUEST,
  CAMPAIGN_RESPONSE,
  LEADER_REQUEST,
  LEADER_RESPONSE,
  LeaderKey,
  PROCLAIM_REQUEST,
  PROCLAIM_RESPONSE,
  RESIGN_REQUEST,
  RESIGN_RESPONSE,
} from "../messages/concurrency.ts";
import type { GivenOf, MessageOf } from "../protobuf/message.ts";
import { etcdKeyValue, etcdRevision, existingLeaseId, storeRevision } from "../revisions.ts";
import type { Call, Messages } from "../rpc/method.ts";
import { EtcdError, etcdError } from "../rpc/status.ts";
import { contend } from "./contest.ts";
import { type Place, Queue } from "./queue.ts";
import { proclaim, withdraw } from "./transactions.ts";
import type { WaitingCalls } from "./waiting_calls.ts";

/** The texts of etcd. */
const NOT_LEADER = "election: not leader";
const NO_LEADER = "election: no leader";
const LEADER_MISSING = '"leader" field must be provided';
/** The least revision of etcd in which a key can have been created. */
const FIRST_REVISION = 2;

/** The stream of an observer. */
type Observer = Messages<MessageOf<typeof LEADER_REQUEST>, GivenOf<typeof LEADER_RESPONSE>>;

/** The elections of one front end. */
export class Elections {
  readonly #context: EtcdContext;
  readonly #waiting: WaitingCalls;

  constructor(context: EtcdContext, waiting: WaitingCalls) {
    this.#context = context;
    this.#waiting = waiting;
  }

  /** Joins an election, and waits as long as the client does until it leads. Rejects with EtcdError or KvraftError. */
  async campaign(
    { name, lease, value }: MessageOf<typeof CAMPAIGN_REQUEST>,
    call: Call,
  ): Promise<GivenOf<typeof CAMPAIGN_RESPONSE>> {
    const contest = { name, lease, value, expired: NOT_LEADER };
    const { key, createRevision, leaseId, revision } = await this.#waiting.run(
      call,
      (waiting) => contend(call.core, contest, waiting),
    );
    const leader = { name, key, rev: etcdRevision(createRevision), lease: BigInt(leaseId) };
    return { header: headerOf(this.#context, revision), leader };
  }

  /** Changes the value of a leader. Rejects as {@link campaign} does. */
  async proclaim(
    { leader, value }: MessageOf<typeof PROCLAIM_REQUEST>,
    { core, timeoutMs }: Call,
  ): Promise<GivenOf<typeof PROCLAIM_RESPONSE>> {
    const place = placeOf(leader);
    if (place === null || leader === null) throw new EtcdError("unknown", NOT_LEADER);
    const leaseId = leader.lease === 0n ? "keep" : existingLeaseId(leader.lease);
    const revision = await proclaim(core, place, { value, leaseId, timeoutMs });
    if (revision === null) throw new EtcdError("unknown", NOT_LEADER);
    return { header: headerOf(this.#context, revision) };
  }

  /** Returns the leader. Rejects as {@link campaign} does; for an election without a leader too. */
  async leader(
    { name }: MessageOf<typeof LEADER_REQUEST>,
    { core, signal }: Call,
  ): Promise<GivenOf<typeof LEADER_RESPONSE>> {
    const { leader, revision } = await new Queue(core, name).first(signal);
    if (leader === null) throw new EtcdError("unknown", NO_LEADER);
    return { header: headerOf(this.#context, revision), kv: etcdKeyValue(leader) };
  }

  /** Sends the leader, each value that it proclaims, and its successors. Rejects as {@link campaign} does. */
  async observe(messages: Observer, call: Call): Promise<void> {
    const request = await messages.read();
    if (request === null) throw new EtcdError("internal", "grpc: a request with one message was expected");
    await this.#waiting.run(call, ({ signal }) => this.#observe(request.name, messages, { ...call, signal }));
  }

  async #observe(
    name: Uint8Array,
    messages: Observer,
    { core, signal }: Pick<Call, "core" | "signal">,
  ): Promise<never> {
    const queue = new Queue(core, name);
    let sent: KeyValue | null = null;
    const send = async (leader: KeyValue, revision: number): Promise<void> => {
      // The same state is read again when the history of its watch was compacted.
      if (
        sent !== null && sent.modRevision === leader.modRevision && compareKeys(sent.key, leader.key) === 0
      ) {
        return;
      }
      sent = leader;
      const isTaken = messages.write({ header: headerOf(this.#context, revision), kv: etcdKeyValue(leader) });
      if (!isTaken) await messages.whenWritable();
    };
    for (;;) {
      signal.throwIfAborted();
      const { leader, revision } = await queue.first(signal);
      if (leader === null) {
        await queue.untilJoined(revision + 1, signal);
        continue;
      }
      await send(leader, revision);
      await this.#follow(core, { key: leader.key, from: revision + 1, signal }, send);
    }
  }

  /** Reports the values of a leader until its key is deleted, or that cannot be known any more. */
  async #follow(
    core: Call["core"],
    watched: { readonly key: Uint8Array; readonly from: number; readonly signal: AbortSignal },
    report: (leader: KeyValue, revision: number) => Promise<void>,
  ): Promise<void> {
    try {
      for await (const batch of watchKeys(core, Keyspace.ALL, watched)) {
        if (batch.kind !== "events") continue;
        for (const event of batch.events) {
          if (event.kind === "delete") return;
          await report(event.entry, batch.revision);
        }
      }
    } catch (error) {
      if (!(error instanceof CompactedError)) throw error;
    }
  }

  /** Ends a leadership; one that has ended already is no failure. Rejects as {@link campaign} does. */
  async resign(
    { leader }: MessageOf<typeof RESIGN_REQUEST>,
    { core, timeoutMs }: Call,
  ): Promise<GivenOf<typeof RESIGN_RESPONSE>> {
    const place = placeOf(leader);
    const revision = place === null ? this.#context.view().revision : await withdraw(core, place, timeoutMs);
    return { header: headerOf(this.#context, revision) };
  }
}

/** Returns the place of a leader; null if no key can have been created in its revision. Throws EtcdError. */
function placeOf(leader: LeaderKey | null): Place | null {
  if (leader === null) throw new EtcdError("unknown", LEADER_MISSING);
  const { key, rev } = leader;
  if (key.length === 0) throw etcdError("keyNotProvided");
  return rev < FIRST_REVISION ? null : { key, createRevision: storeRevision(rev) };
}
