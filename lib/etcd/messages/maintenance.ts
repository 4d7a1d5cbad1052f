/** The messages of etcdserverpb.Maintenance, and those of gRPC's health service. */
import {
  boolean,
  bytes,
  choice,
  integer,
  message,
  messages,
  text,
  texts,
  uint32,
  unsignedId,
} from "../protobuf/field.ts";
import { declare, type MessageOf } from "../protobuf/message.ts";
import { RESPONSE_HEADER } from "./common.ts";

const HEADER = message(1, () => RESPONSE_HEADER);
const MEMBER_ID = { json: "memberID" } as const;

/** The actions of an {@link ALARM_REQUEST}, by number. */
export const ALARM_ACTIONS = ["GET", "ACTIVATE", "DEACTIVATE"] as const;
/** The alarms, by number. */
export const ALARM_TYPES = ["NONE", "NOSPACE", "CORRUPT"] as const;
/** The actions of a {@link DOWNGRADE_REQUEST}, by number. */
export const DOWNGRADE_ACTIONS = ["VALIDATE", "ENABLE", "CANCEL"] as const;

/** Lists, raises or ends alarms. */
export const ALARM_REQUEST = declare("etcdserverpb.AlarmRequest", {
  action: choice(1, ALARM_ACTIONS),
  memberId: unsignedId(2, MEMBER_ID),
  alarm: choice(3, ALARM_TYPES),
});
/** The content of {@link ALARM_REQUEST}. */
export type AlarmRequest = MessageOf<typeof ALARM_REQUEST>;

const ALARM_MEMBER = declare("etcdserverpb.AlarmMember", {
  memberId: unsignedId(1, MEMBER_ID),
  alarm: choice(2, ALARM_TYPES),
});

/** The answer to {@link ALARM_REQUEST}. */
export const ALARM_RESPONSE = declare("etcdserverpb.AlarmResponse", {
  header: HEADER,
  alarms: messages(2, () => ALARM_MEMBER),
});

/** Asks a node for its status. */
export const STATUS_REQUEST = declare("etcdserverpb.StatusRequest", {});

const DOWNGRADE_INFO = declare("etcdserverpb.DowngradeInfo", {
  enabled: boolean(1),
  targetVersion: text(2, { json: "targetVersion" }),
});

/** The answer to {@link STATUS_REQUEST}. */
export const STATUS_RESPONSE = declare("etcdserverpb.StatusResponse", {
  header: HEADER,
  version: text(2),
  dbSize: integer(3, { json: "dbSize" }),
  leader: unsignedId(4),
  raftIndex: integer(5, { json: "raftIndex" }),
  raftTerm: integer(6, { json: "raftTerm" }),
  raftAppliedIndex: integer(7, { json: "raftAppliedIndex" }),
  errors: texts(8),
  dbSizeInUse: integer(9, { json: "dbSizeInUse" }),
  isLearner: boolean(10, { json: "isLearner" }),
  storageVersion: text(11, { json: "storageVersion" }),
  dbSizeQuota: integer(12, { json: "dbSizeQuota" }),
  downgradeInfo: message(13, () => DOWNGRADE_INFO, { json: "downgradeInfo" }),
});

/** Asks a node to compact its file. */
export const DEFRAGMENT_REQUEST = declare("etcdserverpb.DefragmentRequest", {});
/** The answer to {@link DEFRAGMENT_REQUEST}: etcd leaves the header out. */
export const DEFRAGMENT_RESPONSE = declare("etcdserverpb.DefragmentResponse", { header: HEADER });

/** Asks for the hash of the present keys. */
export const HASH_REQUEST = declare("etcdserverpb.HashRequest", {});
/** The answer to {@link HASH_REQUEST}. */
export const HASH_RESPONSE = declare("etcdserverpb.HashResponse", { header: HEADER, hash: uint32(2) });

/** Asks for the hash of the keys at a revision; 0 for the present one. */
export const HASH_KV_REQUEST = declare("etcdserverpb.HashKVRequest", { revision: integer(1) });
/** The answer to {@link HASH_KV_REQUEST}. */
export const HASH_KV_RESPONSE = declare("etcdserverpb.HashKVResponse", {
  header: HEADER,
  hash: uint32(2),
  compactRevision: integer(3),
  hashRevision: integer(4),
});

/** Asks for a copy of the node's file. */
export const SNAPSHOT_REQUEST = declare("etcdserverpb.SnapshotRequest", {});
/** A part of the answer to {@link SNAPSHOT_REQUEST}. */
export const SNAPSHOT_RESPONSE = declare("etcdserverpb.SnapshotResponse", {
  header: HEADER,
  remainingBytes: integer(2),
  blob: bytes(3),
  version: text(4),
});

/** Transfers leadership. */
export const MOVE_LEADER_REQUEST = declare("etcdserverpb.MoveLeaderRequest", {
  targetId: unsignedId(1, { json: "targetID" }),
});
/** The answer to {@link MOVE_LEADER_REQUEST}. */
export const MOVE_LEADER_RESPONSE = declare("etcdserverpb.MoveLeaderResponse", { header: HEADER });

/** Asks for a downgrade of the cluster. */
export const DOWNGRADE_REQUEST = declare("etcdserverpb.DowngradeRequest", {
  action: choice(1, DOWNGRADE_ACTIONS),
  version: text(2),
});
/** The answer to {@link DOWNGRADE_REQUEST}. */
export const DOWNGRADE_RESPONSE = declare("etcdserverpb.DowngradeResponse", {
  header: HEADER,
  version: text(2),
});

/** The states of a service, by number. */
export const SERVING_STATUS = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"] as const;
/** One of {@link SERVING_STATUS}. */
export type ServingStatus = typeof SERVING_STATUS[number];
/** Asks whether a service is served; the empty name is that of the whole server. */
export const HEALTH_CHECK_REQUEST = declare("grpc.health.v1.HealthCheckRequest", { service: text(1) });
/** The answer to {@link HEALTH_CHECK_REQUEST}. */
export const HEALTH_CHECK_RESPONSE = declare("grpc.health.v1.HealthCheckResponse", {
  status: choice(1, SERVING_STATUS),
});
