/** The messages of etcd's Watch service. */
import {
  boolean,
  bytes,
  choice,
  choices,
  integer,
  message,
  messages,
  oneOf,
  signedId,
  text,
} from "../protobuf/field.ts";
import { declare, type GivenOf, type MessageOf } from "../protobuf/message.ts";
import { KEY_VALUE, RESPONSE_HEADER } from "./common.ts";

/** The numbers of `WatchCreateRequest.FilterType`. */
export const FILTER = { noPut: 0, noDelete: 1 } as const;
/** The numbers of `Event.EventType`. */
export const EVENT_TYPE = { put: 0, delete: 1 } as const;

/** Begins a watch. */
export const WATCH_CREATE_REQUEST = declare("etcdserverpb.WatchCreateRequest", {
  key: bytes(1),
  rangeEnd: bytes(2),
  startRevision: integer(3),
  progressNotify: boolean(4),
  filters: choices(5, ["NOPUT", "NODELETE"]),
  prevKv: boolean(6),
  watchId: signedId(7),
  fragment: boolean(8),
});
/** A request for a watch, as it is read. */
export type WatchCreateRequest = MessageOf<typeof WATCH_CREATE_REQUEST>;

/** Ends a watch. */
export const WATCH_CANCEL_REQUEST = declare("etcdserverpb.WatchCancelRequest", { watchId: signedId(1) });

/** Asks how far the watches of the stream are. */
export const WATCH_PROGRESS_REQUEST = declare("etcdserverpb.WatchProgressRequest", {});

/** A message of the client on a stream of watches. */
export const WATCH_REQUEST = declare("etcdserverpb.WatchRequest", {
  request: oneOf({
    createRequest: message(1, () => WATCH_CREATE_REQUEST),
    cancelRequest: message(2, () => WATCH_CANCEL_REQUEST),
    progressRequest: message(3, () => WATCH_PROGRESS_REQUEST),
  }),
});

/** A change of a key. */
export const EVENT = declare("mvccpb.Event", {
  type: choice(1, ["PUT", "DELETE"]),
  kv: message(2, () => KEY_VALUE),
  prevKv: message(3, () => KEY_VALUE),
});
/** A change of a key, as it is written. */
export type EventGiven = GivenOf<typeof EVENT>;

/** A message of the server on a stream of watches. */
export const WATCH_RESPONSE = declare("etcdserverpb.WatchResponse", {
  header: message(1, () => RESPONSE_HEADER),
  watchId: signedId(2),
  created: boolean(3),
  canceled: boolean(4),
  compactRevision: integer(5),
  cancelReason: text(6),
  fragment: boolean(7),
  events: messages(11, () => EVENT),
});
/** A message of the server, as it is written. */
export type WatchResponseGiven = GivenOf<typeof WATCH_RESPONSE>;
