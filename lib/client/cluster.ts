/** The calls on the cluster itself: {@link ClusterClient}. */
import type { Member, MembershipChange } from "../protocol/messages.ts";
import { stopError } from "./caller.ts";
import { gatherStatus, STATUS_TIMEOUT_MS } from "./cluster_status.ts";
import type { ClientCore } from "./core.ts";
import { throwIfNoNodeId, toAddresses, toMembershipChange, toTimeoutMs } from "./input.ts";
import { changeMembership } from "./membership.ts";
import { FileDownload, snapshotInfo, takeSnapshot } from "./snapshot_download.ts";
import type {
  CallOptions,
  ClusterStatus,
  MembershipOptions,
  SnapshotDownload,
  SnapshotInfo,
  SnapshotOptions,
  StateHash,
} from "./types.ts";

/**
 * The administration of a cluster: its status, its members, its snapshots, and the transfer of leadership. A
 * {@link KvClient} has one as `cluster`.
 */
export class ClusterClient {
  readonly #core: ClientCore;

  /** @ignore */
  constructor(core: ClientCore) {
    this.#core = core;
  }

  /**
   * Asks every member about itself, each directly. A node that does not answer within 2 s (or `timeoutMs`, if that is
   * less) is in the result as not reachable; this rejects only when its caller or {@link close} ends it.
   *
   * @example
   * ```ts
   * import type { KvClient } from "../mod.ts";
   *
   * export async function reachable(client: KvClient): Promise<number> {
   *   const { nodes } = await client.cluster.status();
   *   return nodes.filter((node) => node.reachable).length;
   * }
   * ```
   */
  async status(options: CallOptions = {}): Promise<ClusterStatus> {
    const { pool, caller } = this.#core;
    const timeoutMs = Math.min(toTimeoutMs(options.timeoutMs ?? this.#core.timeoutMs), STATUS_TIMEOUT_MS);
    const scope = this.#core.scope({ ...options, timeoutMs });
    const status = await gatherStatus({ pool, caller, scope });
    const stopped = scope.stopped;
    if (stopped === null || stopped === "deadline") return status;
    throw stopError(stopped, { action: "get the status", scope, outcome: "not-applied", failure: null });
  }

  /**
   * The members and what each of them is, as some node knows them, sorted by id.
   *
   * @example
   * ```ts
   * import type { KvClient } from "../mod.ts";
   *
   * export async function addresses(client: KvClient): Promise<string[]> {
   *   return (await client.cluster.members()).map((member) => member.address);
   * }
   * ```
   */
  async members(options: CallOptions = {}): Promise<readonly Member[]> {
    const note = { kind: "read", action: "list the members", scope: this.#core.scope(options) } as const;
    const { message: { status } } = await this.#core.call({ kind: "status" }, note);
    return status.members.toSorted((a, b) => a.id - b.id);
  }

  /**
   * Has the leader hand over to the node `target`, or to the best follower when null; resolves to who leads then.
   * Not repeated once it may have begun: after an error with outcome "unknown", {@link status} tells who leads.
   *
   * @example
   * ```ts
   * import type { KvClient } from "../mod.ts";
   *
   * export async function drain(client: KvClient): Promise<number> {
   *   return await client.cluster.transferLeadership(null, { timeoutMs: 10_000 });
   * }
   * ```
   */
  async transferLeadership(target: number | null, options: CallOptions = {}): Promise<number> {
    if (target !== null) throwIfNoNodeId(target);
    const request = { kind: "transferLeadership", target } as const;
    const note = { kind: "once", action: "transfer leadership", scope: this.#core.scope(options) } as const;
    return (await this.#core.call(request, note)).message.leader;
  }

  /**
   * Has the leader change who the members are, or where one is reached; resolves to the members once the change is
   * committed (a node that is to become a voter is a learner then, and a voter once it is close).
   *
   * Rejects with MembershipRefusedError, which says why, when the cluster won't: a change is under way, an id was used
   * before, an address can't be reached, too few voters would be left. It is sent once: when its answer is lost, the
   * members tell whether it was made, and when they do not until the deadline, this rejects with a TimeoutError whose
   * outcome is "unknown".
   *
   * @example
   * ```ts
   * import type { KvClient } from "../mod.ts";
   *
   * export async function grow(client: KvClient): Promise<number> {
   *   const change = { kind: "add", id: 4, address: "127.0.0.1:7004", learner: false } as const;
   *   const members = await client.cluster.changeMembership(change, { timeoutMs: 10_000 });
   *   return members.length;
   * }
   * ```
   */
  async changeMembership(
    change: MembershipChange,
    { force = false, ...options }: MembershipOptions = {},
  ): Promise<readonly Member[]> {
    const checked = toMembershipChange(change);
    const members = await changeMembership(this.#core, {
      change: checked,
      force,
      scope: this.#core.scope(options),
    });
    return members.toSorted((a, b) => a.id - b.id);
  }

  /**
   * Has a node, the leader if it can be or the one named, take a snapshot of its state now; resolves when it is on that
   * node's disk. A large state takes longer than the usual deadline.
   *
   * @example
   * ```ts
   * import type { KvClient } from "../mod.ts";
   *
   * export async function snapshotBytes(client: KvClient): Promise<number> {
   *   return (await client.cluster.takeSnapshot({ timeoutMs: 60_000 })).bytes;
   * }
   * ```
   */
  async takeSnapshot(options: SnapshotOptions = {}): Promise<SnapshotInfo> {
    return snapshotInfo(await takeSnapshot(this.#core, { keep: false, options }));
  }

  /**
   * Takes a snapshot like {@link takeSnapshot} and gives its file: a backup. `timeoutMs` is the time for taking it, and
   * then for each of its parts; `signal` ends both.
   *
   * @example
   * ```ts
   * import type { KvClient } from "../mod.ts";
   *
   * export async function backup(client: KvClient, out: WritableStreamDefaultWriter<Uint8Array>): Promise<void> {
   *   await using snapshot = await client.cluster.openSnapshot({ timeoutMs: 60_000 });
   *   for await (const chunk of snapshot.chunks()) await out.write(chunk);
   * }
   * ```
   */
  async openSnapshot(options: SnapshotOptions = {}): Promise<SnapshotDownload> {
    return new FileDownload(this.#core, await takeSnapshot(this.#core, { keep: true, options }), options);
  }

  /**
   * The hash of one node's state, for tests and tools that compare replicas.
   *
   * @example
   * ```ts
   * import type { KvClient } from "../mod.ts";
   *
   * export async function areEqual(client: KvClient): Promise<boolean> {
   *   const [a, b] = await Promise.all([client.cluster.stateHash("127.0.0.1:7001"), client.cluster.stateHash("127.0.0.1:7002")]);
   *   return a.appliedIndex === b.appliedIndex && a.hash === b.hash;
   * }
   * ```
   */
  async stateHash(address: string, options: CallOptions = {}): Promise<StateHash> {
    const [at = address] = toAddresses([address]);
    const action = `hash the state of the node at ${at}`;
    const call = {
      kind: "read",
      action,
      request: { kind: "stateHash" },
      scope: this.#core.scope(options),
    } as const;
    const { appliedIndex, revision, hash } = (await this.#core.caller.runAt(at, call)).message;
    return { appliedIndex, revision, hash };
  }
}
