/** The messages that several services of etcd use (etcdserverpb and mvccpb of etcd's API). */
import { bytes, integer, signedId, unsignedId } from "../protobuf/field.ts";
import { declare, type GivenOf, type MessageOf } from "../protobuf/message.ts";

/** The header of an answer. */
export const RESPONSE_HEADER = declare("etcdserverpb.ResponseHeader", {
  clusterId: unsignedId(1),
  memberId: unsignedId(2),
  revision: integer(3),
  raftTerm: integer(4),
});
/** The header of an answer, as it is written. */
export type HeaderGiven = GivenOf<typeof RESPONSE_HEADER>;

/** A key with its value. */
export const KEY_VALUE = declare("mvccpb.KeyValue", {
  key: bytes(1),
  createRevision: integer(2),
  modRevision: integer(3),
  version: integer(4),
  value: bytes(5),
  lease: signedId(6),
});
/** A key with its value, as it is written. */
export type EtcdKeyValueGiven = GivenOf<typeof KEY_VALUE>;
/** A key with its value, as it is read. */
export type EtcdKeyValue = MessageOf<typeof KEY_VALUE>;
