/** Short forms in which the tests of etcd's KV service are written. */
import { kvMethods } from "../../../../lib/etcd/kv/methods.ts";
import {
  COMPACTION_REQUEST,
  COMPACTION_RESPONSE,
  DELETE_RANGE_REQUEST,
  DELETE_RANGE_RESPONSE,
  PUT_REQUEST,
  PUT_RESPONSE,
  RANGE_REQUEST,
  RANGE_RESPONSE,
  RANGE_STREAM_RESPONSE,
  TXN_REQUEST,
  TXN_RESPONSE,
} from "../../../../lib/etcd/messages/kv.ts";
import { MethodsOnStore } from "../../../support/etcd/methods_on_store.ts";

/** The path of a method. */
export function path(name: keyof typeof KV): string {
  return `/etcdserverpb.KV/${name}`;
}

/** The messages of each method. */
export const KV = {
  Range: { request: RANGE_REQUEST, response: RANGE_RESPONSE },
  RangeStream: { request: RANGE_REQUEST, response: RANGE_STREAM_RESPONSE },
  Put: { request: PUT_REQUEST, response: PUT_RESPONSE },
  DeleteRange: { request: DELETE_RANGE_REQUEST, response: DELETE_RANGE_RESPONSE },
  Txn: { request: TXN_REQUEST, response: TXN_RESPONSE },
  Compact: { request: COMPACTION_REQUEST, response: COMPACTION_RESPONSE },
} as const;

/** Opens the service over a new store. */
export function openKv(): Promise<MethodsOnStore> {
  return MethodsOnStore.open(kvMethods);
}

/** The text of bytes. */
export function text(value: Uint8Array): string {
  return new TextDecoder().decode(value);
}
