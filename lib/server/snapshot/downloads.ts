/**
 * Takes snapshots for clients and serves their bytes, for backups.
 *
 * An open snapshot stays pinned until the client closes it, stops reading it, takes too long, or disconnects. The client
 * requests each piece, so that nothing queues up here.
 */
import { errorMessage } from "../../platform/errors.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import type { RequestFrame, ServerFrame } from "../../protocol/client_frames.ts";
import { MAX_SNAPSHOT_PART_BYTES } from "../../protocol/limits.ts";
import type { RawSnapshotReader, SnapshotStore } from "../../storage/mod.ts";
import { type ErrorAnswer, notApplied } from "../reply.ts";
import { SnapshotRefusedError, type Snapshots } from "./snapshots.ts";

/** Maximum number of open snapshots of a connection. */
const MAX_OPEN = 4;
/** Maximum number of concurrent reads of a connection: each holds a piece in memory. */
const MAX_READS = 16;
/** Maximum number of open snapshots of all connections: each keeps a file on the disk. */
export const MAX_OPEN_IN_ALL = 16;
/** Maximum number of concurrent reads of all connections, 16 MiB together. */
export const MAX_READS_IN_ALL = 64;
/** Time without a read after which a snapshot is closed. */
const IDLE_MS = 60_000;
/** A snapshot that is open longer than this plus its size at MIN_BYTES_PER_MS (1 Mbit/s) is closed at the next read. */
const MAX_OPEN_MS = 600_000;
const MIN_BYTES_PER_MS = 125;

/** A request about snapshots. */
export type DownloadRequest =
  | RequestFrame<"takeSnapshot">
  | RequestFrame<"readSnapshot">
  | RequestFrame<"closeSnapshot">;

/** The answer to such a request. */
export type DownloadAnswer =
  | ServerFrame<"snapshotTaken">
  | ServerFrame<"snapshotPart">
  | ServerFrame<"snapshotClosed">
  | ErrorAnswer;

/** The usage of all connections. */
export interface DownloadTotals {
  /** Snapshots that are open. */
  open: number;
  /** Pieces that are being read. */
  reads: number;
}

/** The parts of a node that downloads need. */
export interface SnapshotDownloadsOptions {
  readonly snapshots: Snapshots;
  readonly store: SnapshotStore;
  readonly clock: Clock;
  /** Shared by all connections of the node. */
  readonly totals: DownloadTotals;
}

/** An open snapshot. */
interface Download {
  readonly reader: RawSnapshotReader;
  /** Time after which it is closed at the next read. */
  readonly deadline: number;
  timer: Timer;
}

/** The open snapshots of one connection. */
export class SnapshotDownloads {
  readonly #options: SnapshotDownloadsOptions;
  readonly #open = new Map<number, Download>();
  #lastId = 0;
  #reads = 0;
  #closed = false;

  constructor(options: SnapshotDownloadsOptions) {
    this.#options = options;
  }

  /** Resolves to the answer. Never rejects. */
  async handle(request: DownloadRequest): Promise<DownloadAnswer> {
    try {
      switch (request.kind) {
        case "takeSnapshot":
          return await this.#take(request);
        case "readSnapshot":
          return await this.#read(request);
        case "closeSnapshot":
          this.#close(request.snapshotId);
          return { kind: "snapshotClosed", requestId: request.requestId };
      }
    } catch (error) {
      const reason = errorMessage(error);
      const code = error instanceof SnapshotRefusedError ? error.code : "internal";
      return notApplied(code, `Cannot take or read the snapshot: ${reason}`);
    }
  }

  /** Closes all snapshots: the connection is closed. */
  close(): void {
    this.#closed = true;
    for (const id of [...this.#open.keys()]) this.#close(id);
  }

  async #take({ requestId, keep }: RequestFrame<"takeSnapshot">): Promise<DownloadAnswer> {
    const { snapshots, store, clock, totals } = this.#options;
    const refusal = keep ? this.#tooMany() : null;
    if (refusal !== null) return refusal;
    const taken = await snapshots.take();
    // Other requests that waited for the same snapshot may have opened it meanwhile.
    const lateRefusal = keep ? this.#tooMany() : null;
    if (lateRefusal !== null) return lateRefusal;
    const snapshotId = ++this.#lastId;
    if (keep && !this.#closed) {
      const reader = store.rawReader(taken);
      totals.open += 1;
      const deadline = clock.now() + MAX_OPEN_MS + taken.bytes / MIN_BYTES_PER_MS;
      this.#open.set(snapshotId, { reader, deadline, timer: this.#idleTimer(snapshotId) });
    }
    const { index, term, revision, bytes } = taken;
    return { kind: "snapshotTaken", requestId, snapshotId, index, term, revision, bytes, takenBy: null };
  }

  async #read({ requestId, snapshotId, offset }: RequestFrame<"readSnapshot">): Promise<DownloadAnswer> {
    const download = this.#open.get(snapshotId);
    if (download === undefined) {
      return notApplied(
        "invalidRequest",
        `Cannot read snapshot ${snapshotId}: it is not open on this connection.`,
      );
    }
    const { clock, totals } = this.#options;
    if (clock.now() > download.deadline) {
      this.#close(snapshotId);
      return notApplied(
        "invalidRequest",
        `Cannot read snapshot ${snapshotId}: it was open for too long and is closed. Take another.`,
      );
    }
    if (this.#reads >= MAX_READS) {
      return notApplied("busy", `Cannot read snapshot ${snapshotId}: ${MAX_READS} pieces are being read.`);
    }
    if (totals.reads >= MAX_READS_IN_ALL) {
      return notApplied(
        "busy",
        `Cannot read snapshot ${snapshotId}: ${MAX_READS_IN_ALL} pieces are being read for all connections.`,
      );
    }
    download.timer.cancel();
    download.timer = this.#idleTimer(snapshotId);
    this.#reads++;
    totals.reads++;
    try {
      const part = new Uint8Array(MAX_SNAPSHOT_PART_BYTES);
      const length = await download.reader.read(offset, part);
      return { kind: "snapshotPart", requestId, offset, data: part.subarray(0, length) };
    } finally {
      this.#reads--;
      totals.reads--;
    }
  }

  /** Returns why no further snapshot may be opened, or null. */
  #tooMany(): ErrorAnswer | null {
    if (this.#open.size >= MAX_OPEN) {
      return notApplied("busy", `Cannot keep another snapshot: ${MAX_OPEN} are open on this connection.`);
    }
    if (this.#options.totals.open < MAX_OPEN_IN_ALL) return null;
    return notApplied(
      "busy",
      `Cannot keep another snapshot: ${MAX_OPEN_IN_ALL} are open on all connections of this node. Try again later.`,
    );
  }

  #idleTimer(snapshotId: number): Timer {
    return this.#options.clock.after(IDLE_MS, () => this.#close(snapshotId));
  }

  #close(snapshotId: number): void {
    const download = this.#open.get(snapshotId);
    if (download === undefined) return;
    this.#open.delete(snapshotId);
    this.#options.totals.open -= 1;
    download.timer.cancel();
    download.reader.close();
  }
}
