/**
 * What one client's connection has under way at this node: its reads, its snapshots, and whatever else waits. All of it
 * is dropped once the connection is gone, since its answers would reach no one.
 */
import type { ServerMessage } from "../protocol/messages.ts";
import type { ReadQueue, ReadScheduler } from "./read_scheduler.ts";
import type { SnapshotDownloads } from "./snapshot/downloads.ts";

/** What a connection's work is made from. */
export interface ClientWorkOptions {
  /** Sends one message to the client; drops it when the client is gone. */
  readonly send: (message: ServerMessage) => void;
  /** Something threw that nothing foresaw while the client was served: its connection is to end. */
  readonly fail: (error: unknown) => void;
  /** Whether so much waits to be sent that the client shall get no answers to reads for now. */
  readonly isHeld: () => boolean;
  /** So many bytes of requests are held for the client until it takes their answers. */
  readonly hold: (bytes: number) => void;
  readonly reads: ReadScheduler;
  readonly downloads: SnapshotDownloads;
}

/** The work of one connection. */
export class ClientWork {
  /** Sends one message to the client; drops it when the client is gone. */
  readonly send: (message: ServerMessage) => void;
  /** Something threw that nothing foresaw while the client was served: its connection is to end. */
  readonly fail: (error: unknown) => void;
  /** Its reads that may be answered. */
  readonly reads: ReadQueue;
  /** The snapshots that it reads. */
  readonly downloads: SnapshotDownloads;
  readonly #drops = new Set<() => void>();
  #isGone = false;

  constructor({ send, fail, isHeld, hold, reads, downloads }: ClientWorkOptions) {
    this.send = send;
    this.fail = fail;
    this.reads = reads.queue({ isHeld, hold });
    this.downloads = downloads;
  }

  /** Whether the connection is gone. */
  get isGone(): boolean {
    return this.#isGone;
  }

  /** Calls `drop` once the connection is gone, unless the returned function is called before. */
  onGone(drop: () => void): () => void {
    this.#drops.add(drop);
    return () => this.#drops.delete(drop);
  }

  /** The client has taken some of what waited. */
  resume(): void {
    this.reads.resume();
  }

  /** The connection is gone. */
  close(): void {
    this.#isGone = true;
    this.reads.close();
    this.downloads.close();
    for (const drop of this.#drops) drop();
    this.#drops.clear();
  }
}
