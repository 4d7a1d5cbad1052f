/**
 * Snapshots as one client's connection takes and reads them: for a backup, or just to have one taken.
 *
 * What is being read stays pinned until the client closes it, does not read on for a while, or is gone. The client
 * asks for each piece, so that it sets the pace and nothing gathers here.
 */
import type { Clock, Timer } from "../net/clock.ts";
import type {
  CloseSnapshotRequest,
  ReadSnapshotRequest,
  SnapshotClosedResponse,
  SnapshotPartResponse,
  SnapshotTakenResponse,
  TakeSnapshotRequest,
} from "../net/client_messages.ts";
import { MAX_SNAPSHOT_PART_BYTES } from "../net/limits.ts";
import type { RawSnapshotReader, SnapshotStore } from "../storage/mod.ts";
import { notApplied, type Refusal } from "./answers.ts";
import { SnapshotRefusedError, type Snapshots } from "./snapshots.ts";

/** Snapshots that one connection may have open. */
const MAX_OPEN = 4;
/** Pieces that may be read for one connection at a time: each is held in memory. */
const MAX_READS = 16;
/** One that is not read for so long is closed. */
const IDLE_MS = 60_000;

/** A request that this is about. */
export type SnapshotRequest = TakeSnapshotRequest | ReadSnapshotRequest | CloseSnapshotRequest;

/** The answer to one. */
export type SnapshotAnswer = SnapshotTakenResponse | SnapshotPartResponse | SnapshotClosedResponse | Refusal;

/** What a connection's snapshots need. */
export interface SnapshotDownloadsOptions {
  readonly snapshots: Snapshots;
  readonly store: SnapshotStore;
  readonly clock: Clock;
}

/** One that is open. */
interface Download {
  readonly reader: RawSnapshotReader;
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
  async handle(request: SnapshotRequest): Promise<SnapshotAnswer> {
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
      const reason = error instanceof Error ? error.message : String(error);
      const code = error instanceof SnapshotRefusedError ? error.code : "internal";
      return notApplied(code, `Cannot take or read the snapshot: ${reason}`);
    }
  }

  /** The connection is gone. */
  close(): void {
    this.#closed = true;
    for (const id of [...this.#open.keys()]) this.#close(id);
  }

  async #take({ requestId, keep }: TakeSnapshotRequest): Promise<SnapshotAnswer> {
    const { snapshots, store } = this.#options;
    if (keep && this.#open.size >= MAX_OPEN) return tooMany();
    const taken = await snapshots.take();
    // Others that waited for the same one may be open by now.
    if (keep && this.#open.size >= MAX_OPEN) return tooMany();
    const snapshotId = ++this.#lastId;
    if (keep && !this.#closed) {
      const reader = store.rawReader(taken);
      this.#open.set(snapshotId, { reader, timer: this.#idleTimer(snapshotId) });
    }
    const { index, term, revision, bytes } = taken;
    return { kind: "snapshotTaken", requestId, snapshotId, index, term, revision, bytes };
  }

  async #read({ requestId, snapshotId, offset }: ReadSnapshotRequest): Promise<SnapshotAnswer> {
    const download = this.#open.get(snapshotId);
    if (download === undefined) {
      return notApplied(
        "invalidRequest",
        `Cannot read snapshot ${snapshotId}: it is not open on this connection.`,
      );
    }
    if (this.#reads >= MAX_READS) {
      return notApplied("busy", `Cannot read snapshot ${snapshotId}: ${MAX_READS} pieces are being read.`);
    }
    download.timer.cancel();
    download.timer = this.#idleTimer(snapshotId);
    this.#reads++;
    try {
      const part = new Uint8Array(MAX_SNAPSHOT_PART_BYTES);
      const length = await download.reader.read(offset, part);
      return { kind: "snapshotPart", requestId, offset, data: part.subarray(0, length) };
    } finally {
      this.#reads--;
    }
  }

  #idleTimer(snapshotId: number): Timer {
    return this.#options.clock.after(IDLE_MS, () => this.#close(snapshotId));
  }

  #close(snapshotId: number): void {
    const download = this.#open.get(snapshotId);
    if (download === undefined) return;
    this.#open.delete(snapshotId);
    download.timer.cancel();
    download.reader.close();
  }
}

function tooMany(): Refusal {
  return notApplied("busy", `Cannot keep another snapshot: ${MAX_OPEN} are open on this connection.`);
}
