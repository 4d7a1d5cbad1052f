/** The service etcdserverpb.Maintenance, and gRPC's service for health. */
import type { NodeStatus } from "../../protocol/messages.ts";
import { type EtcdContext, headerOf } from "../context.ts";
import { alarmsOf } from "../health.ts";
import {
  ALARM_ACTIONS,
  ALARM_REQUEST,
  ALARM_RESPONSE,
  ALARM_TYPES,
  type AlarmRequest,
  DEFRAGMENT_REQUEST,
  DEFRAGMENT_RESPONSE,
  DOWNGRADE_ACTIONS,
  DOWNGRADE_REQUEST,
  DOWNGRADE_RESPONSE,
  HASH_KV_REQUEST,
  HASH_KV_RESPONSE,
  HASH_REQUEST,
  HASH_RESPONSE,
  HEALTH_CHECK_REQUEST,
  HEALTH_CHECK_RESPONSE,
  MOVE_LEADER_REQUEST,
  MOVE_LEADER_RESPONSE,
  SERVING_STATUS,
  SNAPSHOT_REQUEST,
  SNAPSHOT_RESPONSE,
  STATUS_REQUEST,
  STATUS_RESPONSE,
} from "../messages/maintenance.ts";
import type { GivenOf } from "../protobuf/message.ts";
import { etcdRevision, storeRevision } from "../revisions.ts";
import { type Call, type Method, streaming, unary } from "../rpc/method.ts";
import { EtcdError, etcdError } from "../rpc/status.ts";
import { statusFor } from "../status.ts";
import { ETCD_VERSION } from "../version.ts";
import { Hashes } from "./hash.ts";
import { healthWatchMethod } from "./health_watch.ts";

const SERVICE = "etcdserverpb.Maintenance";
/** A version as clients write it: `3.6` or `3.6.0`. */
const VERSION = /^v?[0-9]+\.[0-9]+(\.[0-9]+)?$/;
/** The compacted revision of a store that was never compacted. */
const NEVER_COMPACTED = -1;

/** Returns the methods of the services. */
export function maintenanceMethods(context: EtcdContext): readonly Method[] {
  return [
    ...nodeMethods(context),
    ...hashMethods(context),
    snapshotMethod(),
    healthMethod(context),
    healthWatchMethod(context),
  ];
}

function nodeMethods(context: EtcdContext): readonly Method[] {
  return [
    unary(
      {
        service: SERVICE,
        name: "Alarm",
        http: ["/v3/maintenance/alarm"],
        request: ALARM_REQUEST,
        response: ALARM_RESPONSE,
      },
      (request, call) => alarm(context, request, call),
    ),
    unary(
      {
        service: SERVICE,
        name: "Status",
        http: ["/v3/maintenance/status"],
        request: STATUS_REQUEST,
        response: STATUS_RESPONSE,
      },
      async (_, call) => statusAnswer(context, await statusFor(call, { isLinearizable: false })),
    ),
    unary(
      {
        service: SERVICE,
        name: "Defragment",
        http: ["/v3/maintenance/defragment"],
        request: DEFRAGMENT_REQUEST,
        response: DEFRAGMENT_RESPONSE,
      },
      async (_, call) => {
        // There is nothing to do: the store is in memory, and old files of the log are deleted.
        await statusFor(call, { isLinearizable: false });
        return {};
      },
    ),
    unary(
      {
        service: SERVICE,
        name: "MoveLeader",
        http: ["/v3/maintenance/transfer-leadership"],
        request: MOVE_LEADER_REQUEST,
        response: MOVE_LEADER_RESPONSE,
      },
      ({ targetId }, call) => moveLeader(context, targetId, call),
    ),
    unary(
      {
        service: SERVICE,
        name: "Downgrade",
        http: ["/v3/maintenance/downgrade"],
        request: DOWNGRADE_REQUEST,
        response: DOWNGRADE_RESPONSE,
      },
      async ({ action, version }, call) => {
        await statusFor(call, { isLinearizable: false });
        if (DOWNGRADE_ACTIONS[action] === "CANCEL") throw etcdError("noDowngrade");
        throw etcdError(VERSION.test(version) ? "badDowngradeTarget" : "badDowngradeVersion");
      },
    ),
  ];
}

function hashMethods(context: EtcdContext): readonly Method[] {
  const hashes = new Hashes();
  return [
    unary(
      {
        service: SERVICE,
        name: "Hash",
        http: ["/v3/maintenance/hash"],
        request: HASH_REQUEST,
        response: HASH_RESPONSE,
      },
      async (_, { core, signal }) => {
        const { hash, revision } = await hashes.compute(core, null, signal);
        return { header: headerOf(context, revision), hash };
      },
    ),
    unary(
      {
        service: SERVICE,
        name: "HashKV",
        http: ["/v3/maintenance/hashkv"],
        request: HASH_KV_REQUEST,
        response: HASH_KV_RESPONSE,
      },
      async ({ revision: asked }, { core, signal, timeoutMs }) => {
        const at = asked <= 0 ? null : storeRevision(asked);
        const { hash, revision, present } = await hashes.compute(core, at, signal);
        const query = { key: ANY_KEY, limit: 1, before: null };
        const { message: { page: { compactedRevision } } } = await core.call(
          { kind: "keyHistory", query, consistency: "stale" },
          { kind: "read", action: "read the history", context: core.context({ timeoutMs, signal }) },
        );
        return {
          header: headerOf(context, present),
          hash,
          compactRevision: compactedRevision === 0 ? NEVER_COMPACTED : etcdRevision(compactedRevision),
          hashRevision: etcdRevision(revision),
        };
      },
    ),
  ];
}

/** A key whose value does not matter. */
const ANY_KEY = Uint8Array.of(0);

function snapshotMethod(): Method {
  return streaming(
    {
      service: SERVICE,
      name: "Snapshot",
      http: ["/v3/maintenance/snapshot"],
      request: SNAPSHOT_REQUEST,
      response: SNAPSHOT_RESPONSE,
    },
    async (_, call) => {
      await statusFor(call, { isLinearizable: false });
      throw new EtcdError(
        "unimplemented",
        "kvraft: there is no file of etcd to copy. Back up with: kvraft client --cluster <nodes> snapshot save > <file>",
      );
    },
  );
}

function healthMethod({ isReadable }: EtcdContext): Method {
  return unary(
    {
      service: "grpc.health.v1.Health",
      name: "Check",
      request: HEALTH_CHECK_REQUEST,
      response: HEALTH_CHECK_RESPONSE,
    },
    async ({ service }) => {
      if (service !== "") throw new EtcdError("notFound", "unknown service");
      return { status: SERVING_STATUS.indexOf(await isReadable() ? "SERVING" : "NOT_SERVING") };
    },
  );
}

/** Lists the alarms of the node. One that is ended is raised again for as long as its reason lasts. */
async function alarm(
  context: EtcdContext,
  { action, memberId, alarm: wanted }: AlarmRequest,
  call: Call,
): Promise<GivenOf<typeof ALARM_RESPONSE>> {
  const status = await statusFor(call, { isLinearizable: false });
  const header = headerOf(context, status.revision);
  switch (ALARM_ACTIONS[action]) {
    case "GET": {
      const own = BigInt(status.id);
      const alarms = alarmsOf(status).map((name) => ({ memberId: own, alarm: ALARM_TYPES.indexOf(name) }));
      const isAsked = wanted === 0 ? () => true : (one: { readonly alarm: number }) => one.alarm === wanted;
      return { header, alarms: memberId === 0n || memberId === own ? alarms.filter(isAsked) : [] };
    }
    case "DEACTIVATE":
      return { header };
    default:
      throw new EtcdError("unimplemented", "kvraft: an alarm is raised by the quota and by the disk alone");
  }
}

function statusAnswer(context: EtcdContext, status: NodeStatus): GivenOf<typeof STATUS_RESPONSE> {
  const { id, leader, term, revision, commitIndex, appliedIndex, stateBytes, quotaBytes, members } = status;
  const alarms = alarmsOf(status).map((name) => `memberID:${id} alarm:${name}`);
  return {
    header: { ...headerOf(context, revision), memberId: BigInt(id), raftTerm: term },
    version: ETCD_VERSION,
    // Clients take 0 for a node without a store.
    dbSize: Math.max(1, stateBytes),
    leader: BigInt(leader ?? 0),
    raftIndex: commitIndex,
    raftTerm: term,
    raftAppliedIndex: appliedIndex,
    errors: leader === null ? [...alarms, "etcdserver: no leader"] : alarms,
    dbSizeInUse: Math.max(1, stateBytes),
    isLearner: members.some((member) => member.id === id && member.role === "learner"),
    storageVersion: ETCD_VERSION,
    dbSizeQuota: quotaBytes ?? 0,
    downgradeInfo: {},
  };
}

/** Transfers leadership to a voter; as in etcd, the leader is asked for it. */
async function moveLeader(
  context: EtcdContext,
  target: bigint,
  call: Call,
): Promise<GivenOf<typeof MOVE_LEADER_RESPONSE>> {
  const { core, timeoutMs, signal } = call;
  const { id, leader, members } = await statusFor(call, { isLinearizable: false });
  const member = members.find((one) => BigInt(one.id) === target);
  if (context.connectTo !== null && leader !== id) throw etcdError("notLeader");
  if (member?.role !== "voter") throw etcdError("badTransferee");
  await core.call({ kind: "transferLeadership", target: member.id }, {
    kind: "once",
    action: "transfer leadership",
    context: core.context({ timeoutMs, signal }),
  });
  return { header: headerOf(context, context.view().revision) };
}
