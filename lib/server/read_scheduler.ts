/**
 * Answers reads in turns of the event loop, so that a client that asks for much holds up no other.
 *
 * A turn gives reads READ_TURN_BYTES. What is left over waits, each connection's reads in their own order, and goes on
 * after a timer, behind which everything that arrived meanwhile was handled. Of those that wait, gets are answered before
 * lists, the connections take turns, and one list at least is answered a turn: a get waits for one page at most.
 *
 * Reads whose answers the client would not take wait as well (`isHeld`), before anything is built for them. A read that is
 * answered later than it was confirmed is still linearizable: the state only goes forward.
 */
import type { Clock, Timer } from "../platform/clock.ts";
import type { RequestFrame } from "../protocol/client_frames.ts";
import type { Reply } from "./reply.ts";

/** What the reads of one turn may cost, about 5 ms of work; the one that exceeds it is answered whole. */
export const READ_TURN_BYTES = 4_194_304;
/** What a read costs beside the bytes of its answer, and what each entry of a page does: their work in bytes copied. */
const READ_BYTES = 1_024;
const ENTRY_BYTES = 512;

/** A read that this node's state may answer. */
export interface Read {
  readonly request: RequestFrame<"get"> | RequestFrame<"list">;
  readonly reply: Reply;
}

/** What came of a read: how many entries, and how many bytes of values. */
export interface ReadSize {
  readonly entries: number;
  readonly bytes: number;
}

/** What answering in turns needs. */
export interface ReadSchedulerOptions {
  readonly clock: Clock;
  /** Answers a read from the state as it is now. */
  readonly answer: (read: Read) => ReadSize;
  /** Refuses a read: the node stops. */
  readonly refused: (read: Read) => void;
  /** A read will not be answered: its client is gone. */
  readonly dropped: (read: Read) => void;
}

/** The reads of all connections of a node. */
export class ReadScheduler {
  readonly #options: ReadSchedulerOptions;
  /** Queues whose next read is a get, and those whose next is a list; the one that waits longest is first. */
  readonly #gets = new Set<ReadQueue>();
  readonly #lists = new Set<ReadQueue>();
  /** All there are. */
  readonly #queues = new Set<ReadQueue>();
  #leftBytes = READ_TURN_BYTES;
  #isTurnOpen = false;
  #isStopped = false;
  #timer: Timer | null = null;

  constructor(options: ReadSchedulerOptions) {
    this.#options = options;
  }

  /** A connection's reads. */
  queue(options: ReadQueueOptions): ReadQueue {
    const queue = new ReadQueue(this, options);
    this.#queues.add(queue);
    return queue;
  }

  /** Whether a read may be answered in this turn, before those that wait. */
  mayAnswer({ request }: Read): boolean {
    const waiting = request.kind === "get" ? this.#gets : this.#lists;
    return this.#leftBytes > 0 && waiting.size === 0;
  }

  /** Answers a read now. */
  answer(read: Read): void {
    if (this.#isStopped) return this.#options.refused(read);
    const { entries, bytes } = this.#options.answer(read);
    this.#leftBytes -= READ_BYTES + entries * ENTRY_BYTES + bytes;
    if (this.#isTurnOpen) return;
    this.#isTurnOpen = true;
    this.#options.clock.endOfTurn(this.#endTurn);
  }

  /** The reads in `queue` are to be answered in their turn. */
  join(queue: ReadQueue): void {
    if (this.#isStopped) { for (const read of queue.takeAll()) this.#options.refused(read); }
    const next = queue.next;
    if (next === null) return;
    (next.request.kind === "get" ? this.#gets : this.#lists).add(queue);
    this.#timer ??= this.#options.clock.after(0, this.#goOn);
  }

  /** A queue is not needed any more, and its reads are not to be answered. */
  leave(queue: ReadQueue, reads: readonly Read[]): void {
    this.#queues.delete(queue);
    this.#gets.delete(queue);
    this.#lists.delete(queue);
    for (const read of reads) this.#options.dropped(read);
  }

  /** Refuses what waits, and whatever comes from now on. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#timer = null;
    this.#gets.clear();
    this.#lists.clear();
    for (const queue of this.#queues) for (const read of queue.takeAll()) this.#options.refused(read);
  }

  readonly #endTurn = (): void => {
    this.#isTurnOpen = false;
    this.#leftBytes = READ_TURN_BYTES;
  };

  /**
   * Not at the end of a turn, which is no pause: with something to do at the end of each, the runtime looks for what
   * arrived only every 30 turns or so.
   */
  readonly #goOn = (): void => {
    this.#timer = null;
    this.#leftBytes = READ_TURN_BYTES;
    let list = first(this.#lists);
    while (this.#leftBytes > 0) {
      const get = first(this.#gets);
      if (get === null) break;
      this.#serve(this.#gets, get);
    }
    while (list !== null) {
      this.#serve(this.#lists, list);
      list = this.#leftBytes > 0 ? first(this.#lists) : null;
    }
    if (this.#gets.size + this.#lists.size > 0) this.#timer ??= this.#options.clock.after(0, this.#goOn);
  };

  /** Answers the next read of a queue, unless its client takes nothing; its other reads wait behind all others'. */
  #serve(waiting: Set<ReadQueue>, queue: ReadQueue): void {
    waiting.delete(queue);
    const read = queue.take();
    if (read === null) return;
    this.answer(read);
    this.join(queue);
  }
}

/** What the reads of one connection need. */
export interface ReadQueueOptions {
  /** Whether the client takes no answers for now. */
  readonly isHeld: () => boolean;
  /** The reads that wait take so many bytes. */
  readonly hold: (bytes: number) => void;
}

/** The reads of one connection, in the order in which they came to be answerable. */
export class ReadQueue {
  readonly #scheduler: ReadScheduler;
  readonly #options: ReadQueueOptions;
  #reads: Read[] = [];
  #bytes = 0;

  /** Made by {@link ReadScheduler.queue}. */
  constructor(scheduler: ReadScheduler, options: ReadQueueOptions) {
    this.#scheduler = scheduler;
    this.#options = options;
  }

  /** Reads that wait. */
  get length(): number {
    return this.#reads.length;
  }

  /** The read that is answered next, once it may be; null when there is none, or the client takes nothing. */
  get next(): Read | null {
    return this.#options.isHeld() ? null : this.#reads[0] ?? null;
  }

  /** Answers a read: now, or in its turn. */
  add(read: Read): void {
    const scheduler = this.#scheduler;
    const isFirst = this.#reads.length === 0;
    if (isFirst && scheduler.mayAnswer(read) && !this.#options.isHeld()) return scheduler.answer(read);
    this.#reads.push(read);
    this.#grew(requestBytes(read));
    if (this.#reads.length === 1) scheduler.join(this);
  }

  /** Gives the next read away. */
  take(): Read | null {
    const read = this.next;
    if (read === null) return null;
    this.#reads.shift();
    this.#grew(-requestBytes(read));
    return read;
  }

  /** Gives all of them away. */
  takeAll(): readonly Read[] {
    const reads = this.#reads;
    this.#reads = [];
    this.#grew(-this.#bytes);
    return reads;
  }

  /** The client may take answers again. */
  resume(): void {
    for (let read = this.next; read !== null; read = this.next) {
      if (!this.#scheduler.mayAnswer(read)) return this.#scheduler.join(this);
      this.take();
      this.#scheduler.answer(read);
    }
  }

  /** The client is gone: what waits is dropped. */
  close(): void {
    this.#scheduler.leave(this, this.takeAll());
  }

  #grew(bytes: number): void {
    this.#bytes += bytes;
    this.#options.hold(this.#bytes);
  }
}

/** Memory that a read takes while it waits: its keys, and about as much as a read without any. */
export function requestBytes({ request }: Read): number {
  if (request.kind === "get") return READ_BYTES + request.key.length;
  const { prefix, start, end, after } = request.query;
  return READ_BYTES + prefix.length + (start?.length ?? 0) + (end?.length ?? 0) + (after?.length ?? 0);
}

function first(queues: Set<ReadQueue>): ReadQueue | null {
  for (const queue of queues) return queue;
  return null;
}
