/**
 * The events of one or more revisions as messages of watches. Watches of the same keys get the same bytes, which are encoded
 * once; the id of each watch is put before them, since the fields of a protobuf message may come in any order.
 */
import type { KeyValue } from "../../kv/command.ts";
import type { HeaderGiven } from "../messages/common.ts";
import { EVENT_TYPE, type EventGiven, WATCH_RESPONSE, type WatchResponseGiven } from "../messages/watch.ts";
import { etcdKeyRevision, etcdKeyValue } from "../revisions.ts";

/** Bytes of a message from which on it is sent in fragments, if its watch asks for that: etcd's `--max-request-bytes`. */
export const FRAGMENT_BYTES = 2_097_152;
/** Bytes of a message beside those of its events, at most: header, id of the watch, `fragment`. */
const MESSAGE_OVERHEAD_BYTES = 64;
const NO_BYTES = new Uint8Array(0);
/** Memory of an event beside its keys and values. */
const EVENT_OVERHEAD_BYTES = 256;

/** A change of a key, as watches and pages of events report it. */
export type WatchedEvent =
  | { readonly kind: "put"; readonly entry: KeyValue; readonly previous?: KeyValue | null }
  | { readonly kind: "delete"; readonly key: Uint8Array; readonly previous?: KeyValue | null };

/** Events with their revision. */
export interface RevisionEvents {
  readonly revision: number;
  readonly events: readonly WatchedEvent[];
}

/** Events that are sent to one or more watches. */
export class EventMessage {
  /** The last revision of the events. */
  readonly revision: number;
  /** Memory of the events. */
  readonly bytes: number;
  readonly #parts: readonly RevisionEvents[];
  readonly #header: HeaderGiven;
  #whole: readonly Uint8Array[] | null = null;
  #fragments: readonly Uint8Array[] | null = null;

  /** `parts` has at least one event. */
  constructor(header: HeaderGiven, parts: readonly RevisionEvents[]) {
    this.#header = header;
    this.#parts = parts;
    this.revision = parts.at(-1)?.revision ?? 0;
    this.bytes = bytesOf(parts);
  }

  /** Returns the messages without the id of a watch: one, or several if they are large and `inFragments`. */
  bodies(inFragments: boolean): readonly Uint8Array[] {
    this.#whole ??= [WATCH_RESPONSE.encode({ header: this.#header, events: this.#events() })];
    const [whole] = this.#whole;
    const isSmall = whole === undefined || whole.length + MESSAGE_OVERHEAD_BYTES < FRAGMENT_BYTES;
    if (!inFragments || isSmall) return this.#whole;
    this.#fragments ??= this.messages(true).map((message) => WATCH_RESPONSE.encode(message));
    return this.#fragments;
  }

  /** Returns the same messages before they are encoded. */
  messages(inFragments: boolean): readonly WatchResponseGiven[] {
    const header = this.#header;
    const groups = inFragments ? inGroups(this.#events()) : [this.#events()];
    return groups.map((events, at) => ({ header, events, fragment: at + 1 < groups.length }));
  }

  #events(): readonly EventGiven[] {
    return this.#parts.flatMap(({ revision, events }) => events.map((event) => eventOf(event, revision)));
  }
}

/** Fields with the ids that most watches have: the lowest ones. */
const ID_FIELDS: Uint8Array[] = [NO_BYTES];
const MAX_ID_FIELDS = 1_024;

/** Returns the field with the id of a watch; no bytes for 0. The same object for the same low id. */
export function idField(watchId: bigint): Uint8Array {
  const isLow = watchId >= 0n && watchId < MAX_ID_FIELDS;
  const known = isLow ? ID_FIELDS[Number(watchId)] : undefined;
  if (known !== undefined) return known;
  // A copy: it is kept as long as its watch.
  const field = WATCH_RESPONSE.encode({ watchId }).slice();
  if (isLow) ID_FIELDS[Number(watchId)] = field;
  return field;
}

function eventOf(event: WatchedEvent, revision: number): EventGiven {
  const { previous = null } = event;
  const prevKv = previous === null ? null : etcdKeyValue(previous);
  return event.kind === "put"
    ? { type: EVENT_TYPE.put, kv: etcdKeyValue(event.entry), prevKv }
    : { type: EVENT_TYPE.delete, kv: { key: event.key, modRevision: etcdKeyRevision(revision) }, prevKv };
}

/** Divides events into groups that fit a fragment each; an event that does not is a group of its own. */
function inGroups(events: readonly EventGiven[]): readonly (readonly EventGiven[])[] {
  const groups: EventGiven[][] = [];
  let left = 0;
  for (const event of events) {
    const bytes = WATCH_RESPONSE.encode({ events: [event] }).length;
    const group = groups.at(-1);
    if (group !== undefined && bytes < left) {
      group.push(event);
      left -= bytes;
    } else {
      groups.push([event]);
      left = FRAGMENT_BYTES - MESSAGE_OVERHEAD_BYTES - bytes;
    }
  }
  return groups;
}

function bytesOf(parts: readonly RevisionEvents[]): number {
  let bytes = 0;
  for (const { events } of parts) {
    for (const event of events) {
      const { previous = null } = event;
      bytes += EVENT_OVERHEAD_BYTES + (previous === null ? 0 : previous.key.length + previous.value.length) +
        (event.kind === "put" ? event.entry.key.length + event.entry.value.length : event.key.length);
    }
  }
  return bytes;
}
