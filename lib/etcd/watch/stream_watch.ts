/**
 * One watch of a client, on its stream.
 *
 * Invariant: the client was sent, or will be by what is written already, every event below {@link StreamWatch.nextRevision},
 * and the first events of that revision that are kept in the partial one; and none beyond. A watch is level while it is a
 * reader of a source; otherwise it reads pages of the history, at the pace at which its client takes them. It joins a source
 * before it reads a page, and keeps what the source gives meanwhile: so no event is between the two.
 */
import { FutureRevisionError } from "../../client/errors.ts";
import { type EventPage, readEvents } from "../../client/watch/event_pages.ts";
import { type EtcdContext, headerOf } from "../context.ts";
import type { HeaderGiven } from "../messages/common.ts";
import type { CoreWatches } from "./core_watches.ts";
import { EventMessage, idField, type RevisionEvents, type WatchedEvent } from "./event_message.ts";
import type { Source, SourceReader } from "./source.ts";
import type { WatchPlan } from "./watch_plan.ts";

/** Messages of a source, and their bytes, that a watch keeps while it reads a page. With more it reads a further page. */
const MAX_EARLY_MESSAGES = 256;
const MAX_EARLY_BYTES = 1_048_576;
/** Bytes of events of one revision that are gathered for one message; a larger revision is sent in several. */
export const MAX_REVISION_BYTES = 8_388_608;

/** The stream of a watch, as the watch uses it. */
export interface WatchOutput {
  /** Whether the client is behind, so that nothing more is written for now. */
  readonly isHeld: boolean;
  /** Sends events of a watch. */
  sendEvents(watch: StreamWatch, message: EventMessage): void;
  /** Has a watch read the history from {@link StreamWatch.nextRevision} on. `isFailed`: after its source has failed. */
  fallBehind(watch: StreamWatch, options: { readonly isFailed: boolean }): void;
  /** A watch may be further, or level. */
  watchProgressed(): void;
}

/** Options of {@link StreamWatch}. */
export interface StreamWatchOptions {
  readonly watchId: bigint;
  readonly plan: WatchPlan;
  readonly isFragmented: boolean;
  readonly isNotified: boolean;
  readonly context: Pick<EtcdContext, "view">;
  readonly watches: CoreWatches;
  readonly output: WatchOutput;
}

/** A watch. */
export class StreamWatch implements SourceReader {
  readonly watchId: bigint;
  /** The encoded field of the id. */
  readonly idField: Uint8Array;
  readonly plan: WatchPlan;
  /** Whether large messages are sent in fragments. */
  readonly isFragmented: boolean;
  /** Whether it is notified now and then while it has no events. */
  readonly isNotified: boolean;
  /** Whether it was sent an event since the last notice. */
  hadEvent = false;
  /** The first revision that it was not sent completely. */
  nextRevision = 0;
  readonly #options: StreamWatchOptions;
  /** The first revision that the client has named, 0 for none; no event before it is sent. */
  #firstRevision = 0;
  #source: Source | null = null;
  /** Messages of the source while a page is read; null while none is. */
  #early: EventMessage[] | null = null;
  #earlyBytes = 0;
  /** Events of {@link nextRevision} that were read, in several pages, and how many were read in all. */
  #partial: WatchedEvent[] = [];
  #skip = 0;
  #isEnded = false;

  constructor(options: StreamWatchOptions) {
    const { watchId, plan, isFragmented, isNotified } = options;
    this.#options = options;
    this.watchId = watchId;
    this.idField = idField(watchId);
    this.plan = plan;
    this.isFragmented = isFragmented;
    this.isNotified = isNotified;
  }

  /** Whether it never has an event. */
  get isSilent(): boolean {
    return !this.plan.puts && !this.plan.deletes;
  }

  /** Whether it was ended. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** The revision up to which the client was sent everything; null while it is behind, Infinity without events. */
  get completeTo(): number | null {
    if (this.isSilent) return Infinity;
    return this.#source === null || this.#early !== null ? null : this.#source.revision;
  }

  /** Whether its client has named a revision after `present` as the first one. */
  beginsAfter(present: number): boolean {
    return this.#firstRevision > present;
  }

  /**
   * Begins with the first revision that the client wants, null for that after the present one: calls `begun` with the present
   * revision, sends the first page, and is level or has fallen behind then. Rejects with a KvraftError.
   */
  async begin(first: number | null, begun: (revision: number) => void): Promise<void> {
    const page = await this.#firstPage(first);
    if (this.#isEnded) return;
    begun(page.revision);
    this.#firstRevision = first ?? 0;
    if (!this.isSilent && this.#takePage(page) === "behind") {
      this.#options.output.fallBehind(this, { isFailed: false });
    }
  }

  /** Reads and sends one page; resolves to whether it is level then. Rejects with a KvraftError. */
  async catchUp(): Promise<"level" | "behind" | "ended"> {
    this.#joinEarly();
    try {
      const page = await this.#read({ from: this.nextRevision, skip: this.#skip });
      return this.#isEnded ? "ended" : this.#takePage(page);
    } catch (error) {
      this.#leave();
      throw error;
    }
  }

  take(message: EventMessage): void {
    if (this.#early === null) return this.#send(message);
    this.#early.push(message);
    this.#earlyBytes += message.bytes;
    if (this.#early.length > MAX_EARLY_MESSAGES || this.#earlyBytes > MAX_EARLY_BYTES) this.#leave();
  }

  progressed(): void {
    if (this.#early === null) this.#options.output.watchProgressed();
  }

  ended(): void {
    const isLevel = this.#early === null;
    // The history before that may be compacted, and this watch lacks nothing of it.
    if (isLevel) this.nextRevision = Math.max(this.nextRevision, (this.#source?.revision ?? 0) + 1);
    this.#source = null;
    this.#early = null;
    if (isLevel) this.#options.output.fallBehind(this, { isFailed: true });
  }

  /** Ends the watch. */
  end(): void {
    this.#isEnded = true;
    this.#leave();
    this.#partial = [];
  }

  async #firstPage(first: number | null): Promise<EventPage> {
    if (first !== null) {
      this.nextRevision = Math.max(1, first);
      this.#joinEarly();
      try {
        return await this.#read({ from: this.nextRevision, skip: 0 });
      } catch (error) {
        if (!(error instanceof FutureRevisionError)) throw error;
      }
    }
    this.#joinEarly();
    return await this.#read({ from: null, skip: 0 });
  }

  #read({ from, skip }: { readonly from: number | null; readonly skip: number }): Promise<EventPage> {
    const { watches: { core }, plan: { keys, puts, deletes, previous } } = this.#options;
    // A watch without events needs the rights to its keys, too.
    return readEvents(core, { keys, from, skip, puts: puts || this.isSilent, deletes, previous }, {});
  }

  /** Sends a page, and is level if it was the last one and the source has lost nothing meanwhile. */
  #takePage(page: EventPage): "level" | "behind" {
    const { next, skip, revision } = page;
    this.#sendPage(page);
    this.nextRevision = next;
    this.#skip = skip;
    if (next <= revision) {
      this.#leave();
      return "behind";
    }
    if (this.#source === null && !this.#joinAfter(next)) return "behind";
    const early = this.#early ?? [];
    this.#early = null;
    this.#earlyBytes = 0;
    for (const message of early) this.#send(message);
    this.#options.output.watchProgressed();
    return this.#source === null ? "behind" : "level";
  }

  /** Sends the events of a page in one message; keeps those of a revision that is not complete. */
  #sendPage({ revisions, next, skip, revision: present }: EventPage): void {
    const parts: RevisionEvents[] = [];
    let partial = this.#partial;
    const [first] = revisions;
    if (partial.length > 0 && first?.revision !== this.nextRevision && next > this.nextRevision) {
      parts.push({ revision: this.nextRevision, events: partial });
      partial = [];
    }
    for (const { revision, events } of revisions) {
      if (revision < this.#firstRevision) continue;
      parts.push({ revision, events: partial.length === 0 ? events : [...partial, ...events] });
      partial = [];
    }
    const last = parts.at(-1);
    if (skip > 0 && last?.revision === next) {
      parts.pop();
      const message = new EventMessage(this.#header(present), [last]);
      if (message.bytes > MAX_REVISION_BYTES) parts.push(last);
      else partial = [...last.events];
    }
    this.#partial = partial;
    if (parts.length === 0) return;
    this.#options.output.sendEvents(this, new EventMessage(this.#header(present), parts));
    this.hadEvent = true;
  }

  /** Sends the events of a revision, or falls behind. */
  #send(message: EventMessage): void {
    const { revision } = message;
    if (this.#source === null || revision < this.nextRevision || revision < this.#firstRevision) return;
    const { output } = this.#options;
    if (output.isHeld) {
      this.nextRevision = revision;
      this.#leave();
      return output.fallBehind(this, { isFailed: false });
    }
    output.sendEvents(this, message);
    this.hadEvent = true;
    this.nextRevision = revision + 1;
    output.watchProgressed();
  }

  /** Joins the source of its plan, if there is one, and keeps what it gives from now on. */
  #joinEarly(): void {
    if (this.isSilent || this.#early !== null) return;
    this.#source = this.#options.watches.source(this.plan);
    this.#source?.add(this);
    if (this.#source !== null) this.#early = [];
  }

  /** Joins a source that has not delivered `next` yet; returns false if the source of its plan has. */
  #joinAfter(next: number): boolean {
    const { watches } = this.#options;
    const known = watches.source(this.plan);
    if (known !== null && known.revision >= next) return false;
    known?.add(this);
    this.#source = known ?? watches.begin(this.plan, { from: next, reader: this });
    return true;
  }

  #leave(): void {
    this.#source?.remove(this);
    this.#source = null;
    this.#early = null;
    this.#earlyBytes = 0;
  }

  #header(revision: number): HeaderGiven {
    return headerOf(this.#options.context, revision);
  }
}
