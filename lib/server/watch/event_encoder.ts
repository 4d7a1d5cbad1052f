/** Encodes the events of one revision for the frames of watches, once for the watches that get the same events. */
import { assert } from "../../platform/assert.ts";
import type { EventReader } from "../../kv/mod.ts";
import { WATCH_FRAME_BYTES } from "../../protocol/limits.ts";
import { MessagePackWriter } from "../../protocol/msgpack_writer.ts";
import { WATCH_EVENT, type WatchEvent } from "../../protocol/watch_event.ts";
import type { Filter } from "./watch.ts";

/** Bytes of an event besides keys and values, at most: numbers and heads, twice. */
const EVENT_ENVELOPE_BYTES = 128;
/** Size from which on the buffer is freed after a revision. */
const RETAINED_BYTES = 262_144;

/** A part of the events of a revision. */
export interface EncodedEvents {
  /** The encoded list; valid until the next call. */
  readonly events: Uint8Array;
  /** Number of the events from the first one of the revision up to the end of this part. */
  readonly end: number;
}

/** The encoder of a node. */
export class EventEncoder {
  readonly #out = new MessagePackWriter();
  /** The list that is encoded: its first event, whether it is the only one, and the array that it is a part of. */
  #first = 0;
  #isOnly = false;
  #matched: readonly number[] = [];
  #hasPrevious = false;
  #end = 0;

  /** Forgets the encoded events: others may have the same addresses from now on. */
  clear(): void {
    this.#out.clear(RETAINED_BYTES);
    this.#first = 0;
  }

  /**
   * Encodes the events of `matched` from `start` on, as many as a frame takes; or returns what it has, if that are the
   * same: for another watch of an interest, or for another interest with the same single event.
   */
  encode(reader: EventReader, matched: readonly number[], { previous }: Filter, start = 0): EncodedEvents {
    if (!this.#has(matched, previous, start)) {
      const end = this.#endOf(reader, matched, previous, start);
      this.#write(reader, { matched, previous, start, end });
    }
    return { events: this.#out.view(), end: this.#end };
  }

  /** Encodes all events of `matched` in the same way; returns null if one frame does not take them. */
  encodeWhole(reader: EventReader, matched: readonly number[], { previous }: Filter): Uint8Array | null {
    if (!this.#has(matched, previous, 0)) {
      const end = this.#endOf(reader, matched, previous, 0);
      if (end < matched.length) return null;
      this.#write(reader, { matched, previous, start: 0, end });
    }
    return this.#end === matched.length ? this.#out.view() : null;
  }

  /** Whether the events of `matched` from `start` on are encoded. */
  #has(matched: readonly number[], previous: boolean, start: number): boolean {
    const first = matched[start];
    assert(first !== undefined, "there are events to encode");
    const isSameList = matched.length === 1 ? this.#isOnly : this.#matched === matched;
    return isSameList && this.#first === first && this.#hasPrevious === previous;
  }

  #write(
    reader: EventReader,
    { matched, previous, start, end }: {
      readonly matched: readonly number[];
      readonly previous: boolean;
      readonly start: number;
      readonly end: number;
    },
  ): void {
    this.#out.clear(RETAINED_BYTES);
    this.#out.array(end - start);
    for (let position = start; position < end; position++) {
      WATCH_EVENT.write(this.#out, eventOf(reader, matched[position] ?? 0, previous));
    }
    this.#first = matched[start] ?? 0;
    this.#isOnly = matched.length === 1;
    this.#matched = matched;
    this.#hasPrevious = previous;
    this.#end = end;
  }

  /** Returns the number of events from the first one up to the end of the frame that begins with the one at `start`. */
  #endOf(reader: EventReader, matched: readonly number[], previous: boolean, start: number): number {
    if (matched.length === 1) return 1;
    let bytes = 0;
    for (let position = start; position < matched.length; position++) {
      bytes += bytesOfEvent(eventOf(reader, matched[position] ?? 0, previous));
      if (bytes > WATCH_FRAME_BYTES && position > start) return position;
    }
    return matched.length;
  }
}

/** Returns an event as watches report it. */
export function eventOf(reader: EventReader, event: number, withPrevious: boolean): WatchEvent {
  const previous = withPrevious ? { previous: reader.previous(event) } : {};
  return reader.isPut(event)
    ? { kind: "put", entry: reader.entry(event), ...previous }
    : { kind: "delete", key: reader.key(event), ...previous };
}

/** Returns the bytes of an encoded event, at most. */
export function bytesOfEvent(event: WatchEvent): number {
  const bytes = event.kind === "put" ? event.entry.key.length + event.entry.value.length : event.key.length;
  const before = event.previous ?? null;
  return EVENT_ENVELOPE_BYTES + bytes + (before === null ? 0 : before.key.length + before.value.length);
}
