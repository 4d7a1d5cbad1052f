/**
 * Snapshots as one client's connection takes and reads them: for a backup, or just to have one taken.
 *
 * What is being read stays pinned until the client closes it, does not read on for a while, takes too long over it all,
 * or is gone. The client asks for each piece, so that it sets the pace and nothing gathers here.
 */
import { errorMessage } from "../../platform/errors.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import type { RequestFrame, ServerFrame } from "../../protocol/client_frames.ts";
import { MAX_SNAPSHOT_PART_BYTES } from "../../protocol/limits.ts";
import type { RawSnapshotReader, SnapshotStore } from "../../storage/mod.ts";
import { type ErrorAnswer, notApplied } from "../reply.ts";
import { SnapshotRefusedError, type Snapshots } from "./snapshots.ts";

/** Snapshots that one connection may have open. */
const MAX_OPEN = 4;
/** Pieces that may be read for one connection at a time: each is held in memory. */
const MAX_READS = 16;
/** Snapshots that all connections may have open together: each keeps a file on the disk. One more is refused as busy. */
export const MAX_OPEN_IN_ALL = 16;
/** Pieces that may be read for all connections at a time, 16 MiB. One more is refused as busy. */
export const MAX_READS_IN_ALL = 64;
/** One that is not read for so long is closed. */
const IDLE_MS = 60_000;
/** One that is open for longer than this and its bytes take at MIN_BYTES_PER_MS (1 Mbit/s) is closed when it is read. */
const MAX_OPEN_MS = 600_000;
const MIN_BYTES_PER_MS = 125;

/** A request that this is about. */
export type DownloadRequest =
  | RequestFrame<"takeSnapshot">
  | RequestFrame<"readSnapshot">
  | RequestFrame<"closeSnapshot">;

/** The answer to one. */
export type DownloadAnswer =
  | ServerFrame<"snapshotTaken">
  | ServerFrame<"snapshotPart">
  | ServerFrame<"snapshotClosed">
  | ErrorAnswer;

/** What the snapshots of all connections take. */
export interface DownloadTotals {
  /** Snapshots that are open. */
  open: number;
  /** Pieces that are being read. */
  reads: number;
}

/** What a connection's snapshots need. */
export interface SnapshotDownloadsOptions {
  readonly snapshots: Snapshots;
  readonly store: SnapshotStore;
  readonly clock: Clock;
  /** Of the node; shared by all its connections. */
  readonly totals: DownloadTotals;
}

/** One that is open. */
interface Download {
  readonly reader: RawSnapshotReader;
  /** When it has been open for too long. */
  readonly deadline: number;
  timer: Timer;
}

/** The snapshots of one connection. */
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

  /** The connection is gone. */
  close(): void {
    this.#closed = true;
    for (const id of [...this.#open.keys()]) this.#close(id);
  }

  async #take({ requestId, keep }: RequestFrame<"takeSnapshot">): Promise<DownloadAnswer> {
    const { snapshots, store, clock, totals } = this.#options;
    const refusal = keep ? this.#tooMany() : null;
    if (refusal !== null) return refusal;
    const taken = await snapshots.take();
    // Others that waited for the same one may be open by now.
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
    return { kind: "snapshotTaken", requestId, snapshotId, index, term, revision, bytes };
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

  /** Why no further snapshot may be open; null when one may. */
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
