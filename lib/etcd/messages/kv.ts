/** The messages of etcd's KV service (etcdserverpb of etcd's API). */
import {
  boolean,
  bytes,
  choice,
  integer,
  message,
  messages,
  type OneOf,
  oneOf,
  signedId,
} from "../protobuf/field.ts";
import { declare, type GivenOf, type Message, type MessageOf } from "../protobuf/message.ts";
import { type HeaderGiven, KEY_VALUE, RESPONSE_HEADER } from "./common.ts";

/** The numbers of sort orders. */
export const SORT_ORDER = { none: 0, ascend: 1, descend: 2 } as const;
const SORT_ORDERS = ["NONE", "ASCEND", "DESCEND"] as const;
/** The numbers of sort targets. */
export const SORT_TARGET = { key: 0, version: 1, create: 2, mod: 3, value: 4 } as const;
const SORT_TARGETS = ["KEY", "VERSION", "CREATE", "MOD", "VALUE"] as const;
/** The numbers of the comparisons of a condition. */
export const COMPARE_RESULT = { equal: 0, greater: 1, less: 2, notEqual: 3 } as const;
const COMPARE_RESULTS = ["EQUAL", "GREATER", "LESS", "NOT_EQUAL"] as const;
/** The numbers of what a condition compares. */
export const COMPARE_TARGET = { version: 0, create: 1, mod: 2, value: 3, lease: 4 } as const;
const COMPARE_TARGETS = ["VERSION", "CREATE", "MOD", "VALUE", "LEASE"] as const;

/** A read of a key, or of a range. */
export const RANGE_REQUEST = declare("etcdserverpb.RangeRequest", {
  key: bytes(1),
  rangeEnd: bytes(2),
  limit: integer(3),
  revision: integer(4),
  sortOrder: choice(5, SORT_ORDERS),
  sortTarget: choice(6, SORT_TARGETS),
  serializable: boolean(7),
  keysOnly: boolean(8),
  countOnly: boolean(9),
  minModRevision: integer(10),
  maxModRevision: integer(11),
  minCreateRevision: integer(12),
  maxCreateRevision: integer(13),
});
/** A read, as it is read. */
export type RangeRequest = MessageOf<typeof RANGE_REQUEST>;

/** The answer to a read. */
export const RANGE_RESPONSE = declare("etcdserverpb.RangeResponse", {
  header: message(1, () => RESPONSE_HEADER),
  kvs: messages(2, () => KEY_VALUE),
  more: boolean(3),
  count: integer(4),
});
/** The answer to a read, as it is written. */
export type RangeResponseGiven = GivenOf<typeof RANGE_RESPONSE>;

/** A part of the answer to a read in parts. */
export const RANGE_STREAM_RESPONSE = declare("etcdserverpb.RangeStreamResponse", {
  rangeResponse: message(1, () => RANGE_RESPONSE),
});

/** A write of a key. */
export const PUT_REQUEST = declare("etcdserverpb.PutRequest", {
  key: bytes(1),
  value: bytes(2),
  lease: signedId(3),
  prevKv: boolean(4),
  ignoreValue: boolean(5),
  ignoreLease: boolean(6),
});
/** A write of a key, as it is read. */
export type PutRequest = MessageOf<typeof PUT_REQUEST>;

/** The answer to a write of a key. */
export const PUT_RESPONSE = declare("etcdserverpb.PutResponse", {
  header: message(1, () => RESPONSE_HEADER),
  prevKv: message(2, () => KEY_VALUE),
});
/** The answer to a write of a key, as it is written. */
export type PutResponseGiven = GivenOf<typeof PUT_RESPONSE>;

/** A deletion of a key, or of a range. */
export const DELETE_RANGE_REQUEST = declare("etcdserverpb.DeleteRangeRequest", {
  key: bytes(1),
  rangeEnd: bytes(2),
  prevKv: boolean(3),
});
/** A deletion, as it is read. */
export type DeleteRangeRequest = MessageOf<typeof DELETE_RANGE_REQUEST>;

/** The answer to a deletion. */
export const DELETE_RANGE_RESPONSE = declare("etcdserverpb.DeleteRangeResponse", {
  header: message(1, () => RESPONSE_HEADER),
  deleted: integer(2),
  prevKvs: messages(3, () => KEY_VALUE),
});
/** The answer to a deletion, as it is written. */
export type DeleteRangeResponseGiven = GivenOf<typeof DELETE_RANGE_RESPONSE>;

const TARGET_UNION = {
  version: integer(4),
  createRevision: integer(5),
  modRevision: integer(6),
  value: bytes(7),
  lease: signedId(8),
};

/** A condition of a transaction. */
export const COMPARE = declare("etcdserverpb.Compare", {
  result: choice(1, COMPARE_RESULTS),
  target: choice(2, COMPARE_TARGETS),
  key: bytes(3),
  targetUnion: oneOf(TARGET_UNION),
  rangeEnd: bytes(64),
});
/** A condition, as it is read. */
export type Compare = MessageOf<typeof COMPARE>;
/** The value or number that a condition compares with. */
export type CompareUnion = OneOf<typeof TARGET_UNION>;

/** An operation of a transaction, as it is read; null where it names none. */
export type RequestUnion =
  | { readonly kind: "requestRange"; readonly value: RangeRequest }
  | { readonly kind: "requestPut"; readonly value: PutRequest }
  | { readonly kind: "requestDeleteRange"; readonly value: DeleteRangeRequest }
  | { readonly kind: "requestTxn"; readonly value: TxnRequest };

/** An operation of a transaction, as it is read. */
export interface RequestOp {
  readonly request: RequestUnion | null;
}

/** A transaction, as it is read. */
export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly RequestOp[];
  readonly failure: readonly RequestOp[];
}

/** An operation of a transaction, as it is written. */
export interface RequestOpGiven {
  readonly request?:
    | { readonly kind: "requestRange"; readonly value: GivenOf<typeof RANGE_REQUEST> }
    | { readonly kind: "requestPut"; readonly value: GivenOf<typeof PUT_REQUEST> }
    | { readonly kind: "requestDeleteRange"; readonly value: GivenOf<typeof DELETE_RANGE_REQUEST> }
    | { readonly kind: "requestTxn"; readonly value: TxnRequestGiven }
    | null
    | undefined;
}

/** A transaction, as it is written. */
export interface TxnRequestGiven {
  readonly compare?: readonly GivenOf<typeof COMPARE>[] | undefined;
  readonly success?: readonly RequestOpGiven[] | undefined;
  readonly failure?: readonly RequestOpGiven[] | undefined;
}

const REQUEST_OP: Message<RequestOp, RequestOpGiven> = declare("etcdserverpb.RequestOp", {
  request: oneOf({
    requestRange: message(1, () => RANGE_REQUEST),
    requestPut: message(2, () => PUT_REQUEST),
    requestDeleteRange: message(3, () => DELETE_RANGE_REQUEST),
    requestTxn: message(4, () => TXN_REQUEST),
  }),
});

/** A transaction. */
export const TXN_REQUEST: Message<TxnRequest, TxnRequestGiven> = declare("etcdserverpb.TxnRequest", {
  compare: messages(1, () => COMPARE),
  success: messages(2, () => REQUEST_OP),
  failure: messages(3, () => REQUEST_OP),
});

/** The answer to an operation of a transaction, as it is written. */
export interface ResponseOpGiven {
  readonly response?:
    | { readonly kind: "responseRange"; readonly value: RangeResponseGiven }
    | { readonly kind: "responsePut"; readonly value: PutResponseGiven }
    | { readonly kind: "responseDeleteRange"; readonly value: DeleteRangeResponseGiven }
    | { readonly kind: "responseTxn"; readonly value: TxnResponseGiven }
    | null
    | undefined;
}

/** The answer to a transaction, as it is written. */
export interface TxnResponseGiven {
  readonly header?: HeaderGiven | null | undefined;
  readonly succeeded?: boolean | undefined;
  readonly responses?: readonly ResponseOpGiven[] | undefined;
}

/** The answer to an operation of a transaction, as it is read. */
export interface ResponseOp {
  readonly response:
    | { readonly kind: "responseRange"; readonly value: MessageOf<typeof RANGE_RESPONSE> }
    | { readonly kind: "responsePut"; readonly value: MessageOf<typeof PUT_RESPONSE> }
    | { readonly kind: "responseDeleteRange"; readonly value: MessageOf<typeof DELETE_RANGE_RESPONSE> }
    | { readonly kind: "responseTxn"; readonly value: TxnResponse }
    | null;
}

/** The answer to a transaction, as it is read. */
export interface TxnResponse {
  readonly header: MessageOf<typeof RESPONSE_HEADER> | null;
  readonly succeeded: boolean;
  readonly responses: readonly ResponseOp[];
}

const RESPONSE_OP: Message<ResponseOp, ResponseOpGiven> = declare("etcdserverpb.ResponseOp", {
  response: oneOf({
    responseRange: message(1, () => RANGE_RESPONSE),
    responsePut: message(2, () => PUT_RESPONSE),
    responseDeleteRange: message(3, () => DELETE_RANGE_RESPONSE),
    responseTxn: message(4, () => TXN_RESPONSE),
  }),
});

/** The answer to a transaction. */
export const TXN_RESPONSE: Message<TxnResponse, TxnResponseGiven> = declare("etcdserverpb.TxnResponse", {
  header: message(1, () => RESPONSE_HEADER),
  succeeded: boolean(2),
  responses: messages(3, () => RESPONSE_OP),
});

/** A compaction of the history. */
export const COMPACTION_REQUEST = declare("etcdserverpb.CompactionRequest", {
  revision: integer(1),
  physical: boolean(2),
});

/** The answer to a compaction. */
export const COMPACTION_RESPONSE = declare("etcdserverpb.CompactionResponse", {
  header: message(1, () => RESPONSE_HEADER),
});
