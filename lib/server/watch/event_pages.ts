/** Answers reads of the events of keys: pages of the history, for clients that watch more slowly than it grows. */
import {
  compareKeys,
  type EventReader,
  keysBelowReserved,
  type KeySet,
  type StateMachine,
} from "../../kv/mod.ts";
import type { RequestFrame, ServerFrame } from "../../protocol/client_frames.ts";
import { WATCH_FRAME_BYTES } from "../../protocol/limits.ts";
import type { WatchEvent } from "../../protocol/watch_event.ts";
import type { ReadSize } from "../read_scheduler.ts";
import { bytesOfEvent, eventOf } from "./event_encoder.ts";

/** Revisions of one page, as many as etcd has in one message. */
export const PAGE_REVISIONS = 1_000;
/** Events that are looked at for one page, about 2 ms of work. */
export const PAGE_LOOKED = 16_384;

type Page = ServerFrame<"eventsResult">["page"];

/** Returns the answer by a state in whose history the read begins, and its size. */
export function answerEvents(
  request: RequestFrame<"readEvents">,
  stateMachine: StateMachine,
): { readonly answer: ServerFrame<"eventsResult">; readonly size: ReadSize } {
  const { requestId, from } = request;
  const { revision } = stateMachine;
  if (from === null || from > revision) {
    const page = { revisions: [], next: revision + 1, skip: 0, revision };
    return {
      answer: { kind: "eventsResult", requestId, page },
      size: { entries: 0, bytes: 0, looked: 0 },
    };
  }
  const reading = new PageOfEvents({ ...request, keys: keysBelowReserved(request.keys), from });
  const page = reading.read(stateMachine.events, revision);
  return { answer: { kind: "eventsResult", requestId, page }, size: reading.size };
}

/** A page while it is read. */
class PageOfEvents {
  readonly #request: Omit<RequestFrame<"readEvents">, "from"> & { readonly from: number };
  readonly #revisions: { readonly revision: number; readonly events: WatchEvent[] }[] = [];
  /** Matching events of the revision that is read, and those that are still to be skipped. */
  #matched = 0;
  #skip: number;
  #events = 0;
  #bytes = 0;
  #looked = 0;

  constructor(request: Omit<RequestFrame<"readEvents">, "from"> & { readonly from: number }) {
    this.#request = request;
    this.#skip = request.skip;
  }

  get size(): ReadSize {
    return { entries: this.#events, bytes: this.#bytes, looked: this.#looked };
  }

  /** Reads until the page is full, or up to the present revision. */
  read(reader: EventReader, revision: number): Page {
    let position = this.#request.from;
    for (let number = reader.seek(position); number < reader.end; number++) {
      const event = reader.at(number);
      const next = reader.revision(event);
      if (next !== position) {
        if (this.#isFull()) return this.#page(position + 1, 0, revision);
        position = next;
        this.#matched = 0;
        this.#skip = 0;
      }
      this.#looked++;
      if (!this.#matches(reader, event)) continue;
      this.#matched++;
      if (this.#matched <= this.#skip) continue;
      // A page takes one event of any size.
      if (this.#events > 0 && this.#bytes >= WATCH_FRAME_BYTES) {
        return this.#page(position, this.#matched - 1, revision);
      }
      this.#take(eventOf(reader, event, this.#request.previous), position);
    }
    return this.#page(revision + 1, 0, revision);
  }

  #isFull(): boolean {
    return this.#bytes >= WATCH_FRAME_BYTES || this.#looked >= PAGE_LOOKED ||
      this.#revisions.length >= PAGE_REVISIONS;
  }

  #matches(reader: EventReader, event: number): boolean {
    const { puts, deletes, keys } = this.#request;
    return (reader.isPut(event) ? puts : deletes) && isIn(keys, reader.key(event));
  }

  #take(event: WatchEvent, revision: number): void {
    const last = this.#revisions.at(-1);
    if (last?.revision === revision) last.events.push(event);
    else this.#revisions.push({ revision, events: [event] });
    this.#events++;
    this.#bytes += bytesOfEvent(event);
  }

  #page(next: number, skip: number, revision: number): Page {
    return { revisions: this.#revisions, next, skip, revision };
  }
}

function isIn(keys: KeySet, key: Uint8Array): boolean {
  if (keys.kind === "key") return compareKeys(keys.key, key) === 0;
  return compareKeys(keys.start, key) <= 0 && (keys.end === null || compareKeys(key, keys.end) < 0);
}
