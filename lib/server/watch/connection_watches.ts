/** The watches of one connection. */
import type { KeySet } from "../../kv/mod.ts";
import type { ServerMessage } from "../../protocol/client_frames.ts";
import type { WatchEndCode } from "../../protocol/messages.ts";
import type { SharedEvents } from "../../protocol/watch_event.ts";
import type { MayRead, Watch } from "./watch.ts";

/** The rights of the user of a connection, as its watches need them. */
export interface WatchAccess {
  /** The auth revision of the present state. */
  readonly revision: number;
  /** Whether the user has to sign in again since its time is over. */
  readonly isOver: boolean;
  /** Whether the connection is one of a front end of this node, which may have as many watches as the node. */
  readonly isInProcess: boolean;
  /** Returns why a watch of these keys ends, or null. `visibleOnly`: it leaves out the keys that may not be read. */
  refusal(keys: KeySet, visibleOnly: boolean): WatchRefusal | null;
  readonly mayRead: MayRead;
}

/** The reason why a watch ends. */
export interface WatchRefusal {
  readonly code: WatchEndCode;
  readonly message: string;
}

/** The connection to a client, as its watches use it. */
export interface WatchConnection {
  readonly access: WatchAccess;
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
  readonly #recheck: (watches: ConnectionWatches) => void;
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
  /** The auth revision by which the rights of the watches were checked last; below 0 before. */
  checkedAt = -1;
  #isClosed = false;

  /** Makes the watches of a connection without any. The functions are called as the methods of the same name are. */
  constructor(
    connection: WatchConnection,
    { resume, recheck, close }: {
      readonly resume: (watches: ConnectionWatches) => void;
      readonly recheck: (watches: ConnectionWatches) => void;
      readonly close: (watches: ConnectionWatches) => void;
    },
  ) {
    this.connection = connection;
    this.#resume = resume;
    this.#recheck = recheck;
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

  /** Whether the rights of the watches were checked by the present state. */
  get isChecked(): boolean {
    const { access } = this.connection;
    return this.checkedAt === access.revision && !access.isOver;
  }

  /** Returns the ids of the watches that are starting, or behind. */
  idsBehind(): readonly number[] {
    const ids = [...this.starting.keys()];
    if (this.behind > 0) {
      for (const { watchId, state } of this.byId.values()) if (state !== "level") ids.push(watchId);
    }
    return ids;
  }

  /** Ends the watches of keys that the user of the connection may not read: it has another one, or has lost rights. */
  recheck(): void {
    this.#recheck(this);
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
