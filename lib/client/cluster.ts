/** The administration of a cluster: status, members, snapshots, transfer of leadership. */
import { assertNever } from "../platform/assert.ts";
import { NetworkError } from "../platform/errors.ts";
import type { MemberReport } from "../protocol/diagnostics/report.ts";
import type { Member, MembershipChange } from "../protocol/messages.ts";
import type { CallContext } from "./call_context.ts";
import { type Answered, type Call, type CallRunner, stopError } from "./calls.ts";
import type { ClientCore } from "./core.ts";
import {
  AuthenticationError,
  KvraftError,
  PermissionDeniedError,
  TimeoutError,
  VersionMismatchError,
} from "./errors.ts";
import { checkBoolean, checkChoice, checkObject } from "./argument_checks.ts";
import { throwIfNoNodeId, toAddresses, toMembershipChange, toTimeoutMs } from "./input.ts";
import type { ConnectionPool } from "./pool.ts";
import { backoffMs, reasonOf } from "./retry.ts";
import { FileDownload, snapshotInfo, takeSnapshot } from "./snapshot_download.ts";
import type {
  CallOptions,
  ClusterStatus,
  DescribeOptions,
  MembershipOptions,
  NodeDescription,
  NodeView,
  SnapshotDownload,
  SnapshotInfo,
  SnapshotOptions,
  StateHash,
} from "./types.ts";

/** The end of the reason for which a node did not answer, where a gateway gives it. */
const NOTHING_CHANGED = /\.( Nothing was changed\.)?$/;
/** The longest that a status waits for the nodes to answer. */
const STATUS_TIMEOUT_MS = 2_000;
/** The same of reports, for which each node waits a second for the others. */
const DESCRIBE_TIMEOUT_MS = 3_000;

/** Calls the private constructor of {@link ClusterClient}, for this library's own modules. */
export let clusterOn: (core: ClientCore) => ClusterClient;

/**
 * The administration of a cluster: its status, its members, its snapshots, and the transfer of leadership. A
 * {@link KvClient} has one as `cluster`.
 */
export class ClusterClient {
  readonly #core: ClientCore;

  static {
    clusterOn = (core) => new ClusterClient(core);
  }

  private constructor(core: ClientCore) {
    this.#core = core;
  }

  /**
   * Asks every member for its status, each directly. A node that does not answer within 2 s (or `timeoutMs`, if that is
   * less) is in the result as not reachable, and is no reason to reject.
   *
   * @throws {AuthenticationError} when this client has to sign in, or was refused
   * @throws {KvraftError} else AbortError or ClosedError only
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function reachable(client: KvClient): Promise<number> {
   *   const { nodes } = await client.cluster.status();
   *   return nodes.filter((node) => node.reachable).length;
   * }
   * ```
   */
  async status(options: CallOptions = {}): Promise<ClusterStatus> {
    const { timeoutMs: givenMs = this.#core.timeoutMs } = checkObject(options, "the options of a call");
    const { pool, runner } = this.#core;
    const timeoutMs = Math.min(toTimeoutMs(givenMs), STATUS_TIMEOUT_MS);
    const context = this.#core.context({ ...options, timeoutMs });
    const status = await gatherStatus({ pool, runner, context });
    const stopped = context.stopped;
    if (stopped === null || stopped === "deadline") return status;
    throw stopError(stopped, { action: "get the status", context, outcome: "not-applied", failure: null });
  }

  /**
   * Returns the members with their roles, as one node knows them, sorted by id.
   *
   * @throws {KvraftError} one of its classes; a read changes nothing
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function addresses(client: KvClient): Promise<string[]> {
   *   return (await client.cluster.members()).map((member) => member.address);
   * }
   * ```
   */
  async members(options: CallOptions = {}): Promise<readonly Member[]> {
    const note = { kind: "read", action: "list the members", context: this.#core.context(options) } as const;
    const { message: { status } } = await this.#core.call({ kind: "status" }, note);
    return status.members.toSorted((a, b) => a.id - b.id);
  }

  /**
   * Returns reports about all members, or about the node that answers: figures of this moment for diagnosis, and the newest
   * notable events. Needs no leader. A member that does not answer is in the result as unreachable.
   *
   * @throws {KvraftError} one of its classes; a read changes nothing
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function slowestSyncMicros(client: KvClient): Promise<number> {
   *   const members = await client.cluster.describe();
   *   return Math.max(0, ...members.map((one) => one.kind === "reachable" ? one.report.latency.syncP99Micros ?? 0 : 0));
   * }
   * ```
   */
  async describe(options: DescribeOptions = {}): Promise<readonly MemberReport[]> {
    const { scope = "all" } = checkObject(options, "the options of a call");
    const checked = checkChoice(scope, ["self", "all"], "a scope");
    const note = {
      kind: checked === "all" ? "collection" : "read",
      action: "describe the nodes",
      context: this.#core.context(options),
    } as const;
    return (await this.#core.call({ kind: "describeNode", scope: checked }, note)).message.members;
  }

  /**
   * Asks every member for reports about all of them, each directly: what each knows of the others shows links that work in
   * one direction only. A node that does not answer within 3 s (or `timeoutMs`, if that is less) is in the result as
   * silent, and is no reason to reject. Sorted by id.
   *
   * @throws {AuthenticationError} when this client has to sign in, or was refused
   * @throws {KvraftError} else AbortError or ClosedError only
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function silentNodes(client: KvClient): Promise<number[]> {
   *   return (await client.cluster.describeEach()).filter((one) => one.kind === "silent").map(({ id }) => id);
   * }
   * ```
   */
  async describeEach(options: CallOptions = {}): Promise<readonly NodeDescription[]> {
    const { timeoutMs: givenMs = this.#core.timeoutMs } = checkObject(options, "the options of a call");
    const { pool, runner } = this.#core;
    const timeoutMs = Math.min(toTimeoutMs(givenMs), DESCRIBE_TIMEOUT_MS);
    const context = this.#core.context({ ...options, timeoutMs });
    if (pool.gateway !== null) return throughGateway(await this.describe(options));
    await context.within(context.remainingMs / 3).waitFor(pool.identify());
    const nodes = await Promise.all(pool.members.map((one) => describeFrom(one, { pool, runner, context })));
    const stopped = context.stopped;
    if (stopped === null || stopped === "deadline") return nodes.sort((a, b) => a.id - b.id);
    throw stopError(stopped, {
      action: "describe the nodes",
      context,
      outcome: "not-applied",
      failure: null,
    });
  }

  /**
   * Transfers leadership to the node `target`, or to the best follower when null; resolves to the id of the new leader.
   * Not retried once it may have begun: after an error with outcome "unknown", {@link status} shows the leader.
   *
   * @throws {KvraftError} one of its classes; `outcome` says whether the transfer may have begun
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function drain(client: KvClient): Promise<number> {
   *   return await client.cluster.transferLeadership(null, { timeoutMs: 10_000 });
   * }
   * ```
   */
  async transferLeadership(target: number | null, options: CallOptions = {}): Promise<number> {
    if (target !== null) throwIfNoNodeId(target);
    const request = { kind: "transferLeadership", target } as const;
    const note = {
      kind: "once",
      action: "transfer leadership",
      context: this.#core.context(options),
    } as const;
    return (await this.#core.call(request, note)).message.leader;
  }

  /**
   * Changes the members, or the address of one; resolves to the members once the change is committed. (A node that is to
   * become a voter is a learner then, and a voter once it has caught up.)
   *
   * The change is sent once. If its answer is lost, the client reads the members until they show the change.
   *
   * @throws {MembershipRefusedError} when the cluster refuses: another change is in progress, the id was used before, the
   * address cannot be reached, or too few voters would be left
   * @throws {TimeoutError} when the answer was lost and the members do not show the change; its outcome is "unknown"
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
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
    options: MembershipOptions = {},
  ): Promise<readonly Member[]> {
    const { force = false } = checkObject(options, "the options of a call");
    const checked = toMembershipChange(change);
    const members = await changeMembership(this.#core, {
      change: checked,
      force: checkBoolean(force, "force"),
      context: this.#core.context(options),
    });
    return members.toSorted((a, b) => a.id - b.id);
  }

  /**
   * Takes a snapshot of the state on one node, the leader by default; resolves when it is on that node's disk. A large
   * state takes longer than the default deadline.
   *
   * @throws {KvraftError} one of its classes
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
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
   * Takes a snapshot like {@link takeSnapshot} and returns its file: a backup. `timeoutMs` is the time for taking it, and
   * then for each of its parts; `signal` ends both.
   *
   * @throws {KvraftError} one of its classes
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
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
   * Returns the hash of one node's state, for tests and tools that compare replicas.
   *
   * @throws {KvraftError} one of its classes; a read changes nothing
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
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
      context: this.#core.context(options),
    } as const;
    const { appliedIndex, revision, hash } = (await this.#core.runner.runAt(at, call)).message;
    return { appliedIndex, revision, hash };
  }
}

/** The parts of a client that a status needs. */
interface Tools {
  readonly pool: ConnectionPool;
  readonly runner: CallRunner;
  readonly context: CallContext;
}

/** Asks every member directly for its status; a member that cannot be reached is in the result as such. */
export async function gatherStatus(tools: Tools): Promise<ClusterStatus> {
  const { pool, context } = tools;
  // An address that does not answer must leave time for the others.
  await context.within(context.remainingMs / 2).waitFor(pool.identify());
  const nodes = await Promise.all(pool.members.map((member) => viewNode(member, tools)));
  let term = 0;
  let leader: number | null = null;
  for (const node of nodes) {
    if (!node.reachable || node.term < term) continue;
    leader = node.term > term ? node.leader : leader ?? node.leader;
    term = node.term;
  }
  return { leader, term, nodes };
}

async function viewNode(member: Member, tools: Tools): Promise<NodeView> {
  const { id, address } = member;
  // A gateway asks the node in place of this client.
  const request = tools.pool.gateway === null
    ? { kind: "status" } as const
    : { kind: "memberStatus", node: id } as const;
  const answered = await askNode(member, { request, wanted: "its status" }, tools);
  if ("silence" in answered) {
    const { state, reason } = answered.silence;
    return { reachable: false, address, id, state, reason };
  }
  const { members: _, ...view } = answered.message.status;
  return { reachable: true, address, ...view };
}

/**
 * Returns the answers as one node has collected them. The gateway chooses that node, so the others were not asked directly, and
 * the differences of clocks, which are those to that node, are left out.
 */
function throughGateway(members: readonly MemberReport[]): readonly NodeDescription[] {
  return members.map((member): NodeDescription => {
    const { kind, id, address } = member;
    return kind === "reachable"
      ? { kind: "answered", id, address, members: [{ ...member, clockOffsetMs: 0 }] }
      : { kind: "silent", id, address, state: "notAnswering", reason: member.reason };
  });
}

async function describeFrom(member: Member, tools: Tools): Promise<NodeDescription> {
  const { id, address } = member;
  const call = { request: { kind: "describeNode", scope: "all" }, wanted: "reports" } as const;
  const answered = await askNode(member, call, tools);
  if (!("silence" in answered)) return { kind: "answered", id, address, members: answered.message.members };
  const { isOlder, ...silence } = answered.silence;
  if (isOlder) return { kind: "older", id, address, reason: silence.reason };
  return { kind: "silent", id, address, ...silence };
}

/** Asks one node directly, at each of its addresses until one answers. */
async function askNode<K extends "status" | "memberStatus" | "describeNode">(
  { id }: Member,
  { request, wanted }: { readonly request: Call<K>["request"]; readonly wanted: string },
  { pool, runner, context }: Tools,
): Promise<Answered<K> | { readonly silence: Silence }> {
  const candidates = pool.gateway === null ? pool.addressesOf(id) : [pool.gateway];
  let silence: Silence = { state: "unreachable", reason: "there is no address for it", isOlder: false };
  for (const [position, candidate] of candidates.entries()) {
    const share = context.within(context.remainingMs / (candidates.length - position));
    const action = `ask node ${id} at ${candidate} for ${wanted}`;
    try {
      return await runner.runAt<K>(candidate, { kind: "read", action, request, context: share });
    } catch (error) {
      const isOwnFault = error instanceof AuthenticationError || error instanceof PermissionDeniedError;
      if (!(error instanceof KvraftError) || isOwnFault) throw error;
      silence = silenceOf(error, share);
    }
  }
  return { silence };
}

/** The reason why a node did not return its status. */
type Silence = Pick<NodeView & { readonly reachable: false }, "state" | "reason"> & {
  /** Whether it answered that it does not know the question. */
  readonly isOlder: boolean;
};

function silenceOf(error: KvraftError, { timeoutMs }: CallContext): Silence {
  if (error instanceof TimeoutError) {
    return { state: "notAnswering", reason: `no answer within ${Math.ceil(timeoutMs)} ms`, isOlder: false };
  }
  const isTimedOut = error.cause instanceof NetworkError && error.cause.code === "timedOut";
  return {
    state: isTimedOut ? "notAnswering" : "unreachable",
    reason: reasonOf(error.message).replace(NOTHING_CHANGED, ""),
    isOlder: error instanceof VersionMismatchError,
  };
}

/**
 * Resolves to whether nodes give this client their status. To ask for it without a user would be a refusal in their audit logs,
 * twice a second from each gateway.
 */
export async function mayAskStatus(core: ClientCore, context: CallContext): Promise<boolean> {
  const note = { kind: "read", action: "get the status", context } as const;
  const { enabled, user } = (await core.call({ kind: "authStatus" }, note)).message;
  return !enabled || user !== null;
}

/** A change of the members, and the limits of its call. */
export interface MembershipCall {
  readonly change: MembershipChange;
  readonly force: boolean;
  readonly context: CallContext;
}

/** Sends the change to the leader; resolves to the members after it. */
export async function changeMembership(core: ClientCore, call: MembershipCall): Promise<readonly Member[]> {
  const { change, force, context } = call;
  const action = describe(change);
  try {
    const request = { kind: "changeMembership", change, force } as const;
    return (await core.call(request, { kind: "once", action, context })).message.members;
  } catch (error) {
    if (!(error instanceof KvraftError) || error.outcome === "not-applied" || context.stopped !== null) {
      throw error;
    }
    return await untilMade(core, call, error);
  }
}

/** Returns whether the members are as the change leaves them. */
export function isMade(change: MembershipChange, members: readonly Member[]): boolean {
  const member = members.find(({ id }) => id === change.id);
  switch (change.kind) {
    case "add":
    case "replace":
    case "update":
      return member !== undefined && member.address === change.address && member.role !== "leaving";
    case "remove":
      return member === undefined;
    case "promote":
      return member?.role === "voter";
    case "demote":
      return member?.role === "learner";
    default:
      return assertNever(change);
  }
}

/** Reads the members until they show the change, or the deadline of the call passes. */
async function untilMade(
  core: ClientCore,
  { change, context }: MembershipCall,
  cause: KvraftError,
): Promise<readonly Member[]> {
  const action = describe(change);
  for (let round = 0; context.stopped === null; round++) {
    try {
      const { message } = await core.call({ kind: "status" }, { kind: "read", action, context });
      if (isMade(change, message.status.members)) return message.status.members;
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error; // the reason to stop is reported below
    }
    await context.pause(backoffMs(round, core.random));
  }
  if (context.stopped !== "deadline") {
    throw stopError(context.stopped, { action, context, outcome: "unknown", failure: null });
  }
  throw new TimeoutError(
    `Cannot ${action} within ${context.timeoutMs} ms: the answer was lost, and the members do not show the change. ` +
      "It may be made yet: look at the members before trying again.",
    { outcome: "unknown", cause },
  );
}

/** Returns the action of a change, for messages. */
function describe(change: MembershipChange): string {
  switch (change.kind) {
    case "add":
      return `add node ${change.id}`;
    case "remove":
      return `remove node ${change.id}`;
    case "promote":
      return `promote node ${change.id}`;
    case "demote":
      return `demote node ${change.id}`;
    case "replace":
      return `replace node ${change.dead} by node ${change.id}`;
    case "update":
      return `change the address of node ${change.id}`;
    default:
      return assertNever(change);
  }
}
