/** The watches of one connection. */
import type { ServerMessage } from "../../protocol/client_frames.ts";
import type { SharedEvents } from "../../protocol/watch_event.ts";
import type { Watch } from "./watch.ts";

/** The connection to a client, as its watches use it. */
export interface WatchConnection {
  /** Whether so much waits to be sent that its watches get nothing for now. */
  readonly isHeld: () => boolean;
  /** Sends events; drops them when the connection is closed. The frame is valid during the call only. */
  readonly sendEvents: (frame: Readonly<SharedEvents>) => void;
  /** Sends a message; drops it when the connection is closed. */
  readonly send: (message: ServerMessage) => void;
}

/** A request that waits until all watches of its connection are level. */
export interface LevelWaiter {
  answer(revision: number): void;
  drop(): void;
}

/** The watches of a connection, and the requests about them that wait. */
export class ConnectionWatches {
  readonly connection: WatchConnection;
  readonly #resume: (watches: ConnectionWatches) => void;
  readonly #close: (watches: ConnectionWatches) => void;
  /** The watches by their ids. */
  readonly byId = new Map<number, Watch>();
  /** The ids of watches that wait for their read index, with the answers to requests that cancel them. */
  readonly starting = new Map<number, (() => void)[]>();
  /** Number of starting watches that are cancelled. */
  cancelledStarting = 0;
  /** The watches that wait until the connection takes more bytes. */
  readonly held = new Set<Watch>();
  /** Number of watches that are behind. */
  behind = 0;
  readonly levelWaiters: LevelWaiter[] = [];
  #isClosed = false;

  /** Makes the watches of a connection without any; `resume` and `close` are called as the connection is. */
  constructor(
    connection: WatchConnection,
    { resume, close }: {
      readonly resume: (watches: ConnectionWatches) => void;
      readonly close: (watches: ConnectionWatches) => void;
    },
  ) {
    this.connection = connection;
    this.#resume = resume;
    this.#close = close;
  }

  /** Number of watches that go on, those that are starting included. */
  get size(): number {
    return this.byId.size + this.starting.size - this.cancelledStarting;
  }

  /** Whether the connection is closed. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Goes on with held watches: the client has received some of what was queued for it. */
  resume(): void {
    if (this.held.size > 0) this.#resume(this);
  }

  /** Drops all watches: the connection is closed. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#close(this);
  }
}
