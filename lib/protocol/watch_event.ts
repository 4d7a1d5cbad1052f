/**
 * The bytes of events, which watches report.
 *
 * The frame `watchEvents` can be written from events that are encoded already ({@link encodeSharedEvents}), so that a node
 * encodes events only once if many watches get the same ones.
 */
import type { KeyValue } from "../kv/command.ts";
import { bytes, copiedOnce, type Field, integer, list, nullable, omittable } from "./field.ts";
import { KEY_VALUE } from "./key_value.ts";
import type { MessagePackWriter } from "./msgpack_writer.ts";
import { frame, group, record, type UnionOf, variants } from "./schema.ts";

/** The number of the frame `watchEvents`. */
export const WATCH_EVENTS_NUMBER = 86;

/** The key-value before the event, null for an absent key; only if the watch asks for it. */
const PREVIOUS: Field<KeyValue | null | undefined> = omittable(nullable(KEY_VALUE), undefined);

const EVENTS = {
  put: frame(1, { entry: KEY_VALUE, previous: PREVIOUS }),
  delete: frame(2, { key: bytes(), previous: PREVIOUS }),
};

/** A change of one key. */
export type WatchEvent = UnionOf<typeof EVENTS>;

/** A change of one key. */
export const WATCH_EVENT: Field<WatchEvent> = variants("event", EVENTS);

/** The changes of one revision, in the order in which they were made. */
export const WATCH_EVENT_LIST: Field<readonly WatchEvent[]> = copiedOnce(list(WATCH_EVENT));

/**
 * The events of each revision that has some, in ascending order. The page goes up to the revision `next` (excluded), and has
 * the first `skip` events of `next`; the last page has the `next` after `revision`, the present one.
 */
export const EVENT_PAGE = group({
  revisions: list(record("revision", { revision: integer(1), events: WATCH_EVENT_LIST })),
  next: integer(1),
  skip: integer(),
  revision: integer(),
});

/** The fields of a frame `watchEvents` with its events as {@link WATCH_EVENT_LIST} writes them. */
export interface SharedEvents {
  watchId: number;
  revision: number;
  events: Uint8Array;
  more: boolean;
}

/** Writes the payload of a frame `watchEvents` from encoded events: the same bytes as the frame table writes. */
export function encodeSharedEvents(
  out: MessagePackWriter,
  { watchId, revision, events, more }: Readonly<SharedEvents>,
): void {
  out.array(5);
  out.integer(WATCH_EVENTS_NUMBER);
  out.integer(watchId);
  out.integer(revision);
  out.raw(events);
  out.boolean(more);
}
