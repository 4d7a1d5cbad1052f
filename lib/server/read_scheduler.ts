/**
 * Answers reads in turns of the event loop, so that a client that reads much delays no other.
 *
 * A turn has a budget of READ_TURN_BYTES. The reads beyond it wait until a timer fires, before which everything that arrived
 * is handled. Waiting gets are answered before pages (of listings, histories, events and leases), the connections take turns,
 * and at least one page is answered a turn, so a get waits for one page at most. The gets of a connection are answered in their
 * order, and so are its pages; but a get also overtakes the pages of its own connection, which a gateway or the front end for
 * etcd shares between many clients.
 *
 * Reads also wait while the client does not receive answers (`isHeld`), before anything is built for them. A read that is
 * answered later than it was confirmed is still linearizable: the state only advances.
 */
import { assertNever } from "../platform/assert.ts";
import { entriesOfRanges } from "../kv/mod.ts";
import type { Clock, Timer } from "../platform/clock.ts";
import type { RequestFrame } from "../protocol/client_frames.ts";
import type { Reply } from "./reply.ts";
import { keyBytesOf } from "./watch/watch.ts";

/** Budget of one turn, about 5 ms of work; the read that exceeds it is answered completely. */
export const READ_TURN_BYTES = 4_194_304;
/** Cost of a read besides the bytes of its answer, and of each entry of a page, as an equivalent in bytes copied. */
const READ_BYTES = 1_024;
const ENTRY_BYTES = 512;
/** Memory of a range that waits, besides its bounds. */
const RANGE_BYTES = 64;
/** Entries up to which a read of ranges counts as one of single keys. */
const MAX_GET_ENTRIES = 10;
/** Cost of each version that a read of the past looks at. */
const VERSION_BYTES = 64;

/** The request of a read: of one key, or of a page. */
export type ReadRequest = RequestFrame<
  | "get"
  | "getAt"
  | "list"
  | "listAt"
  | "keyHistory"
  | "lease"
  | "listLeases"
  | "readAuth"
  | "readRanges"
  | "scan"
  | "listDatabases"
  | "readEvents"
>;

/** The kinds of reads that are served apart, the first one first. */
const KINDS = ["get", "page"] as const;
type ReadKind = typeof KINDS[number];

/** A read with its reply. */
export interface Read {
  readonly request: ReadRequest;
  readonly reply: Reply;
}

/** The size of an answer, and the number of versions that were looked at for it besides those in it. */
export interface ReadSize {
  readonly entries: number;
  readonly bytes: number;
  readonly looked: number;
}

/** The dependencies of the scheduler. */
export interface ReadSchedulerOptions {
  readonly clock: Clock;
  /** Answers a read from the current state. */
  readonly answer: (read: Read) => ReadSize;
  /** Refuses a read, since the node stops. */
  readonly refused: (read: Read) => void;
  /** Drops a read: its connection is closed. */
  readonly dropped: (read: Read) => void;
}

/** The reads of all connections of a node. */
export class ReadScheduler {
  readonly #options: ReadSchedulerOptions;
  /** Queues with a get, and those with a page; the one that waits longest is first. */
  readonly #gets = new Set<ReadQueue>();
  readonly #lists = new Set<ReadQueue>();
  readonly #queues = new Set<ReadQueue>();
  #leftBytes = READ_TURN_BYTES;
  #isTurnOpen = false;
  #isStopped = false;
  #timer: Timer | null = null;

  constructor(options: ReadSchedulerOptions) {
    this.#options = options;
  }

  /** Makes the queue of a connection. */
  queue(options: ReadQueueOptions): ReadQueue {
    const queue = new ReadQueue(this, options);
    this.#queues.add(queue);
    return queue;
  }

  /** Whether a read of a kind may be answered in this turn, before the waiting ones. */
  mayAnswer(kind: ReadKind): boolean {
    const waiting = kind === "get" ? this.#gets : this.#lists;
    return this.#leftBytes > 0 && waiting.size === 0;
  }

  /** Answers a read now. */
  answer(read: Read): void {
    if (this.#isStopped) return this.#options.refused(read);
    const { entries, bytes, looked } = this.#options.answer(read);
    this.#leftBytes -= READ_BYTES + entries * ENTRY_BYTES + looked * VERSION_BYTES + bytes;
    if (this.#isTurnOpen) return;
    this.#isTurnOpen = true;
    this.#options.clock.endOfTurn(this.#endTurn);
  }

  /** Schedules the reads in `queue`. */
  join(queue: ReadQueue): void {
    if (this.#isStopped) { for (const read of queue.takeAll()) this.#options.refused(read); }
    const [hasGet, hasPage] = [queue.next("get") !== null, queue.next("page") !== null];
    if (hasGet) this.#gets.add(queue);
    if (hasPage) this.#lists.add(queue);
    if (hasGet || hasPage) this.#timer ??= this.#options.clock.after(0, this.#serveWaiting);
  }

  /** Removes a queue and drops its reads. */
  leave(queue: ReadQueue, reads: readonly Read[]): void {
    this.#queues.delete(queue);
    this.#gets.delete(queue);
    this.#lists.delete(queue);
    for (const read of reads) this.#options.dropped(read);
  }

  /** Refuses all reads, waiting and future ones. */
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

  /** Serves waiting reads after a timer: with work at the end of each turn, the runtime polls for input only every 30 turns. */
  readonly #serveWaiting = (): void => {
    this.#timer = null;
    this.#leftBytes = READ_TURN_BYTES;
    let list = first(this.#lists);
    while (this.#leftBytes > 0) {
      const get = first(this.#gets);
      if (get === null) break;
      this.#serve("get", get);
    }
    while (list !== null) {
      this.#serve("page", list);
      list = this.#leftBytes > 0 ? first(this.#lists) : null;
    }
    if (this.#gets.size + this.#lists.size > 0) {
      this.#timer ??= this.#options.clock.after(0, this.#serveWaiting);
    }
  };

  /** Answers the next read of a queue unless the client is held, and moves the queue behind the others. */
  #serve(kind: ReadKind, queue: ReadQueue): void {
    (kind === "get" ? this.#gets : this.#lists).delete(queue);
    const read = queue.take(kind);
    if (read === null) return;
    this.answer(read);
    this.join(queue);
  }
}

/** The connection of a queue. */
export interface ReadQueueOptions {
  /** Whether the client receives no answers for now. */
  readonly isHeld: () => boolean;
  /** Reports how many bytes the waiting reads take. */
  readonly hold: (bytes: number) => void;
}

/** The reads of one connection, those of each kind in the order in which they became answerable. */
export class ReadQueue {
  readonly #scheduler: ReadScheduler;
  readonly #options: ReadQueueOptions;
  readonly #reads: Readonly<Record<ReadKind, Read[]>> = { get: [], page: [] };
  #bytes = 0;

  /** Made by {@link ReadScheduler.queue}. */
  constructor(scheduler: ReadScheduler, options: ReadQueueOptions) {
    this.#scheduler = scheduler;
    this.#options = options;
  }

  /** Number of waiting reads. */
  get length(): number {
    return this.#reads.get.length + this.#reads.page.length;
  }

  /** Returns the read of a kind that is answered next; null when none waits or the client is held. */
  next(kind: ReadKind): Read | null {
    return this.#options.isHeld() ? null : this.#reads[kind][0] ?? null;
  }

  /** Answers a read, now or in its turn. */
  add(read: Read): void {
    const scheduler = this.#scheduler;
    const kind = kindOf(read.request);
    const reads = this.#reads[kind];
    if (reads.length === 0 && scheduler.mayAnswer(kind) && !this.#options.isHeld()) {
      return scheduler.answer(read);
    }
    reads.push(read);
    this.#grew(requestBytes(read));
    if (reads.length === 1) scheduler.join(this);
  }

  /** Removes and returns the next read of a kind. */
  take(kind: ReadKind): Read | null {
    const read = this.next(kind);
    if (read === null) return null;
    this.#reads[kind].shift();
    this.#grew(-requestBytes(read));
    return read;
  }

  /** Removes and returns all reads. */
  takeAll(): readonly Read[] {
    const reads = KINDS.flatMap((kind) => this.#reads[kind].splice(0));
    this.#grew(-this.#bytes);
    return reads;
  }

  /**
   * Answers the waiting gets, and schedules the pages: the client may receive answers again. A page at once would fill its queue
   * before its next requests are read, and keep these waiting for all pages that were asked for before.
   */
  resume(): void {
    while (this.next("get") !== null && this.#scheduler.mayAnswer("get")) {
      const read = this.take("get");
      if (read !== null) this.#scheduler.answer(read);
    }
    this.#scheduler.join(this);
  }

  /** Drops the waiting reads: the connection is closed. */
  close(): void {
    this.#scheduler.leave(this, this.takeAll());
  }

  #grew(bytes: number): void {
    this.#bytes += bytes;
    this.#options.hold(this.#bytes);
  }
}

/** Returns the memory that a waiting read takes: its keys and a fixed amount. */
export function requestBytes({ request }: Read): number {
  switch (request.kind) {
    case "get":
    case "getAt":
      return READ_BYTES + request.key.length;
    case "keyHistory":
      return READ_BYTES + request.query.key.length;
    case "lease":
      return READ_BYTES + (request.after?.length ?? 0);
    case "listLeases":
    case "readAuth":
    case "listDatabases":
      return READ_BYTES;
    case "readEvents":
      return READ_BYTES + keyBytesOf(request.keys);
    case "readRanges": {
      let bytes = READ_BYTES;
      for (const { start, end } of request.ranges) bytes += RANGE_BYTES + start.length + (end?.length ?? 0);
      return bytes;
    }
    case "scan":
      return READ_BYTES + request.query.start.length + (request.query.end?.length ?? 0);
    case "list":
    case "listAt": {
      const { prefix, start, end, after } = request.query;
      return READ_BYTES + prefix.length + (start?.length ?? 0) + (end?.length ?? 0) + (after?.length ?? 0);
    }
    default:
      return assertNever(request);
  }
}

/** Returns the kind of a read: one of one key, or of a few, is answered before those of pages. */
function kindOf(request: ReadRequest): ReadKind {
  const { kind } = request;
  const isGet = kind === "get" || kind === "getAt" ||
    (kind === "scan" && request.revision === null && request.query.limit <= MAX_GET_ENTRIES) ||
    (kind === "readRanges" && entriesOfRanges(request.ranges) <= MAX_GET_ENTRIES);
  return isGet ? "get" : "page";
}

function first(queues: Set<ReadQueue>): ReadQueue | null {
  for (const queue of queues) return queue;
  return null;
}
