/** The service etcdserverpb.Cluster: the members, and changes of them. */
import type { ClientCore } from "../../client/core.ts";
import { changeMembership } from "../../client/cluster.ts";
import { AddressError, formatAddress, parseMemberAddress } from "../../platform/address.ts";
import type { Member, MembershipChange, NodeStatus } from "../../protocol/messages.ts";
import { type EtcdContext, headerOf } from "../context.ts";
import {
  type EtcdMember,
  MEMBER_ADD_REQUEST,
  MEMBER_ADD_RESPONSE,
  MEMBER_LIST_REQUEST,
  MEMBER_LIST_RESPONSE,
  MEMBER_PROMOTE_REQUEST,
  MEMBER_PROMOTE_RESPONSE,
  MEMBER_REMOVE_REQUEST,
  MEMBER_REMOVE_RESPONSE,
  MEMBER_UPDATE_REQUEST,
  MEMBER_UPDATE_RESPONSE,
  type MemberAdd,
} from "../messages/cluster.ts";
import { type Call, type Method, unary } from "../rpc/method.ts";
import { etcdError } from "../rpc/status.ts";
import { statusFor } from "../status.ts";
import { etcdMembers } from "./members.ts";

const SERVICE = "etcdserverpb.Cluster";
/** In place of a node's id: that of the node which answers at the address. */
const ANY_ID = 0;
/** The id of no snapshot. */
const NO_SNAPSHOT = 0;
const PEER_URL = /^https?:\/\/([^/]+)\/?$/;

/** Returns the methods of the service. */
export function clusterMethods(context: EtcdContext): readonly Method[] {
  return [
    unary(
      {
        service: SERVICE,
        name: "MemberList",
        http: ["/v3/cluster/member/list"],
        request: MEMBER_LIST_REQUEST,
        response: MEMBER_LIST_RESPONSE,
      },
      async ({ linearizable }, call) =>
        answered(context, await statusFor(call, { isLinearizable: linearizable })),
    ),
    unary(
      {
        service: SERVICE,
        name: "MemberAdd",
        http: ["/v3/cluster/member/add"],
        request: MEMBER_ADD_REQUEST,
        response: MEMBER_ADD_RESPONSE,
      },
      (request, call) => add(context, request, call),
    ),
    unary(
      {
        service: SERVICE,
        name: "MemberRemove",
        http: ["/v3/cluster/member/remove"],
        request: MEMBER_REMOVE_REQUEST,
        response: MEMBER_REMOVE_RESPONSE,
      },
      async ({ id }, call) => {
        const member = await memberOf(id, call);
        return await changed(context, { kind: "remove", id: member.id }, call);
      },
    ),
    unary(
      {
        service: SERVICE,
        name: "MemberUpdate",
        http: ["/v3/cluster/member/update"],
        request: MEMBER_UPDATE_REQUEST,
        response: MEMBER_UPDATE_RESPONSE,
      },
      async ({ id, peerUrls }, call) => {
        const address = addressOf(peerUrls);
        const member = await memberOf(id, call);
        return await changed(context, { kind: "update", id: member.id, address }, call);
      },
    ),
    unary(
      {
        service: SERVICE,
        name: "MemberPromote",
        http: ["/v3/cluster/member/promote"],
        request: MEMBER_PROMOTE_REQUEST,
        response: MEMBER_PROMOTE_RESPONSE,
      },
      async ({ id }, call) => {
        const member = await memberOf(id, call);
        if (member.role !== "learner") throw etcdError("notLearner");
        return await changed(context, { kind: "promote", id: member.id }, call);
      },
    ),
  ];
}

interface Answered {
  readonly header: ReturnType<typeof headerOf>;
  readonly members: readonly EtcdMember[];
}

/** Returns an answer with the members; etcd's has no revision. */
function answered(
  context: Pick<EtcdContext, "view" | "isTls">,
  status: Pick<NodeStatus, "members" | "etcdUrls">,
): Answered {
  return { header: headerOf(context, null), members: etcdMembers(status, context) };
}

/** Adds the node that listens at the URL, which must have been started with `--join`. */
async function add(
  context: EtcdContext,
  { peerUrls, isLearner: learner }: MemberAdd,
  call: Call,
): Promise<Answered & { readonly member: EtcdMember | undefined }> {
  const address = addressOf(peerUrls);
  await checkOperator(call);
  const { members } = await statusFor(call, { isLinearizable: true });
  if (members.some((member) => member.address === address)) throw etcdError("peerUrlExists");
  const after = await changed(context, { kind: "add", id: ANY_ID, address, learner }, call);
  const known = new Set(members.map(({ id }) => BigInt(id)));
  return { ...after, member: after.members.find(({ id = 0n }) => !known.has(id)) };
}

/** Makes a change, and returns the members after it. */
async function changed(context: EtcdContext, change: MembershipChange, call: Call): Promise<Answered> {
  const status = await statusFor(call, { isLinearizable: false });
  await using leader = await leaderCore(context, status, call);
  const { timeoutMs, signal } = call;
  const limits = leader.core.context({ timeoutMs, signal });
  const members = await changeMembership(leader.core, { change, force: false, context: limits });
  return answered(context, { members: members.toSorted((a, b) => a.id - b.id), etcdUrls: status.etcdUrls });
}

/** Returns a client that reaches the leader: the node's own client uses no other node, and changes are made there. */
async function leaderCore(
  { connectTo, core: anonymous }: EtcdContext,
  { id, leader, members }: NodeStatus,
  { core, token }: Call,
): Promise<{ readonly core: ClientCore } & AsyncDisposable> {
  const address = members.find((member) => member.id === leader)?.address;
  if (connectTo === null || id === leader) {
    return { core, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  if (address === undefined) throw etcdError("noLeader");
  // A token that was not accepted, or while there are no users, counts for nothing there either.
  const opened = await connectTo(address, core === anonymous ? null : token);
  return { core: opened, [Symbol.asyncDispose]: () => opened.pool.close() };
}

/**
 * Rejects with PermissionDeniedError unless the user of a call may change members. To close a snapshot needs the same right, and
 * does nothing where there is none.
 */
async function checkOperator({ core, timeoutMs, signal }: Call): Promise<void> {
  const context = core.context({ timeoutMs, signal });
  await core.call({ kind: "closeSnapshot", snapshotId: NO_SNAPSHOT }, {
    kind: "read",
    action: "change the membership",
    context,
  });
}

/**
 * Resolves to the member with an id, for a change of it. Rejects with EtcdError if there is none; before, as etcd does, if the
 * user of the call may not change members.
 */
async function memberOf(id: bigint, call: Call): Promise<Member> {
  await checkOperator(call);
  const { members } = await statusFor(call, { isLinearizable: true });
  const member = members.find((one) => BigInt(one.id) === id);
  if (member === undefined) throw etcdError("memberNotFound");
  return member;
}

/** Returns the address in the URLs of a member, of which kvraft has one. Throws EtcdError. */
function addressOf(urls: readonly string[]): string {
  const [, address] = urls.length === 1 ? PEER_URL.exec(urls[0] ?? "") ?? [] : [];
  if (address === undefined) throw etcdError("badPeerUrls");
  try {
    return formatAddress(parseMemberAddress(address));
  } catch (error) {
    if (error instanceof AddressError) throw etcdError("badPeerUrls");
    throw error;
  }
}
