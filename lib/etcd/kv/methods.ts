/** The methods of etcd's KV service. */
import type { EtcdContext } from "../context.ts";
import {
  COMPACTION_REQUEST,
  COMPACTION_RESPONSE,
  DELETE_RANGE_REQUEST,
  DELETE_RANGE_RESPONSE,
  PUT_REQUEST,
  PUT_RESPONSE,
  TXN_REQUEST,
  TXN_RESPONSE,
} from "../messages/kv.ts";
import { type Method, unary } from "../rpc/method.ts";
import { compact } from "./compact.ts";
import { rangeMethod } from "./range/range.ts";
import { rangeStreamMethod } from "./range/range_stream.ts";
import { deleteRange, put, txn } from "./writes.ts";

const SERVICE = "etcdserverpb.KV";

/** Returns the methods of the KV service. */
export function kvMethods(context: EtcdContext): readonly Method[] {
  return [
    rangeMethod(context),
    rangeStreamMethod(context),
    unary({
      service: SERVICE,
      name: "Put",
      http: ["/v3/kv/put"],
      request: PUT_REQUEST,
      response: PUT_RESPONSE,
    }, (request, call) => put(context, request, call)),
    unary({
      service: SERVICE,
      name: "DeleteRange",
      http: ["/v3/kv/deleterange"],
      request: DELETE_RANGE_REQUEST,
      response: DELETE_RANGE_RESPONSE,
    }, (request, call) => deleteRange(context, request, call)),
    unary({
      service: SERVICE,
      name: "Txn",
      http: ["/v3/kv/txn"],
      request: TXN_REQUEST,
      response: TXN_RESPONSE,
    }, (request, call) => txn(context, request, call)),
    unary({
      service: SERVICE,
      name: "Compact",
      http: ["/v3/kv/compaction"],
      request: COMPACTION_REQUEST,
      response: COMPACTION_RESPONSE,
    }, (request, call) => compact(context, request, call)),
  ];
}
