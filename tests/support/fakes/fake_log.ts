/** A log without a disk, for tests of the driver and its users. */
import type { Entry } from "../../../lib/raft/mod.ts";
import type { LogStore } from "../../../lib/server/driver.ts";
import { LogFullError, type PersistBatch } from "../../../lib/storage/mod.ts";
import { settle } from "./manual_clock.ts";

/** A log whose syncs end when the test ends them; with `holdsSyncs` false, at once. */
export class FakeLog implements LogStore {
  readonly batches: PersistBatch[] = [];
  readonly syncs: PromiseWithResolvers<void>[] = [];
  /** Called with each appended batch. */
  onAppend: (batch: PersistBatch) => void = () => {};
  full = false;
  /** The error of `append` and `readEntries` while it is not null. */
  shortage: Error | null = null;
  readonly #holdsSyncs: boolean;

  constructor({ holdsSyncs = true }: { readonly holdsSyncs?: boolean } = {}) {
    this.#holdsSyncs = holdsSyncs;
  }

  get entries(): readonly Entry[] {
    return this.batches.flatMap(({ entries }) => entries);
  }

  append(batch: PersistBatch): void {
    if (this.full) throw new LogFullError("wal", { reason: "no space left on device", cause: null });
    if (this.shortage !== null) throw this.shortage;
    this.batches.push(batch);
    this.onAppend(batch);
  }

  leaveSyncMark(): void {}

  sync(): Promise<void> {
    if (!this.#holdsSyncs) return Promise.resolve();
    const sync = Promise.withResolvers<void>();
    this.syncs.push(sync);
    return sync.promise;
  }

  readEntries(): Promise<readonly Entry[]> {
    return Promise.reject(this.shortage ?? new Error("these tests read nothing back"));
  }

  /** Ends the sync in progress. */
  async endSync(): Promise<void> {
    this.syncs.at(-1)?.resolve();
    await settle();
  }
}
