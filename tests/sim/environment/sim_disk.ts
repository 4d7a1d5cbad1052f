/**
 * The disk of one machine in virtual time: tests/support/fakes/memory_disk.ts decides what a crash keeps; this file adds
 * durations, faults, and the death of processes, after which they write nothing.
 */
import type { Disk, DiskFile, DiskLock, OpenMode } from "../../../lib/platform/disk.ts";
import { MemoryDisk, MemoryDiskError } from "../../support/fakes/memory_disk.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";
import type { Process } from "./process.ts";
import type { Scheduled } from "./scheduler.ts";

/** The faults of a disk, which a campaign changes; a healthy disk has null or 0 everywhere. */
export interface DiskTrouble {
  /** Factor on the time of each sync. */
  slowness: number;
  /** The next operation of a kind fails with EIO. */
  failNext: "write" | "syncData" | null;
  /** The process dies in the middle of so many operations from now on. */
  operationsToDeath: number | null;
  /** No file can be opened. */
  lacksDescriptors: boolean;
}

/** The effects of a disk on a process. */
export type DriveFault = "failed" | "died" | "exhausted";

/** A machine's disk, which outlives its processes. */
export class SimDrive {
  readonly trouble: DiskTrouble = {
    slowness: 1,
    failNext: null,
    operationsToDeath: null,
    lacksDescriptors: false,
  };
  readonly #random: SeededRandom;
  readonly #syncMs: number;
  /** Completions of the syncs in flight. */
  readonly #syncs = new Map<() => void, { readonly process: Process; readonly due: Scheduled }>();
  #memory = new MemoryDisk();
  #fullBytes: number | null = null;
  /** Called when a failure was injected, and when a process has to die within an operation. */
  onFault: (fault: DriveFault) => void = () => {};

  /** `syncMs`: the usual time of a sync. */
  constructor({ random, syncMs }: { readonly random: SeededRandom; readonly syncMs: number }) {
    this.#random = random;
    this.#syncMs = syncMs;
    this.#adopt(this.#memory);
  }

  /** Its content. */
  get memory(): MemoryDisk {
    return this.#memory;
  }

  /** Whether its free space is limited. */
  get isFull(): boolean {
    return this.#fullBytes !== null;
  }

  /** Whether it is slow, or full, or opens nothing. */
  get isTroubled(): boolean {
    return this.trouble.slowness > 1 || this.isFull || this.trouble.lacksDescriptors;
  }

  /** Keeps all unsynced writes: the process died, the machine did not. */
  processDied(): void {
    this.#adopt(this.#memory.killProcess());
  }

  /** Applies a loss of power: each unsynced part survives or not. */
  powerLost(): void {
    const keptShare = this.#random.pick([0, 0.1, 0.5, 0.9, 1]);
    this.#adopt(this.#memory.crash(() => this.#random.chance(keptShare)));
  }

  /** Replaces it by an empty disk. */
  replace(): void {
    this.#adopt(new MemoryDisk());
  }

  /** Limits its free space to `bytes`, or ends the limit (null). */
  setFreeBytes(bytes: number | null): void {
    this.#fullBytes = bytes;
    const used = this.#usedBytes();
    this.#memory.capacityBytes = bytes === null ? Number.POSITIVE_INFINITY : used + bytes;
  }

  /** Begins a sync for `process`; `done` is called when the device has finished it. */
  sync(process: Process, done: () => void): void {
    const finish = (): void => {
      if (this.#syncs.delete(finish)) done();
    };
    const delayMs = this.#syncMs * this.trouble.slowness * (0.2 + 2 * this.#random.next() ** 3);
    this.#syncs.set(finish, { process, due: process.scheduler.after(delayMs, process, finish) });
  }

  /** Ends its slowness; syncs in flight complete. */
  speedUp(): void {
    this.trouble.slowness = 1;
    for (const [finish, { process, due }] of this.#syncs) {
      due.cancel();
      process.scheduler.after(0, process, finish);
    }
  }

  /** Returns the files that are not empty. */
  get files(): readonly string[] {
    return [...this.#memory.contents()].filter(([, text]) => text.length > 0 && text !== "directory")
      .map(([path]) => path);
  }

  /** Flips one bit of one of these files; returns its place. */
  flipBit(paths: readonly string[]): string {
    const path = this.#random.pick(paths);
    let place = "";
    this.#memory.edit(path, (bytes) => {
      const offset = this.#random.below(bytes.length);
      place = `${path} at ${offset}`;
      bytes[offset] = (bytes[offset] ?? 0) ^ (1 << this.#random.below(8));
      return bytes;
    });
    return place;
  }

  #usedBytes(): number {
    let used = 0;
    for (const text of this.#memory.contents().values()) used += text.length;
    return used;
  }

  /** Decides whether the process that begins an operation dies in it. */
  diesNow(): boolean {
    const { trouble } = this;
    if (trouble.operationsToDeath === null) return false;
    trouble.operationsToDeath -= 1;
    if (trouble.operationsToDeath >= 0) return false;
    trouble.operationsToDeath = null;
    this.onFault("died");
    return true;
  }

  /** Returns how many bytes are written by a process that dies in a write. */
  tornBytes(length: number): number {
    return this.#random.below(length + 1);
  }

  #adopt(memory: MemoryDisk): void {
    this.#memory = memory;
    if (this.#fullBytes !== null) this.setFreeBytes(this.#fullBytes);
    memory.intercept = ({ kind }): { code: string; writtenBytes: number } | null => {
      if (this.trouble.failNext !== kind) return null;
      this.trouble.failNext = null;
      this.onFault("failed");
      return { code: "EIO", writtenBytes: this.#random.below(2_048) };
    };
  }
}

/** A machine's disk as one process of it sees it. */
export class SimDisk implements Disk {
  readonly #memory: MemoryDisk;
  readonly #drive: SimDrive;
  readonly #process: Process;

  constructor(drive: SimDrive, process: Process) {
    this.#drive = drive;
    this.#memory = drive.memory;
    this.#process = process;
  }

  stat(path: string): ReturnType<Disk["stat"]> {
    this.#assertAlive(path);
    return this.#memory.stat(path);
  }

  isPrivate(path: string): boolean {
    return this.#memory.isPrivate(path);
  }

  open(path: string, mode: OpenMode): DiskFile {
    this.#assertAlive(path);
    if (this.#drive.trouble.lacksDescriptors) {
      this.#drive.onFault("exhausted");
      throw new MemoryDiskError("EMFILE", path);
    }
    return new SimFile(this.#memory.open(path, mode), {
      memory: this.#memory,
      drive: this.#drive,
      process: this.#process,
      path,
    });
  }

  list(path: string): readonly string[] {
    this.#assertAlive(path);
    return this.#memory.list(path);
  }

  createDirectory(path: string): void {
    this.#begin(path);
    this.#memory.createDirectory(path);
  }

  syncDirectory(path: string): void {
    this.#begin(path);
    this.#memory.syncDirectory(path);
  }

  rename(from: string, to: string): void {
    this.#begin(from);
    this.#memory.rename(from, to);
  }

  remove(path: string): void {
    this.#begin(path);
    this.#memory.remove(path);
  }

  lock(path: string): DiskLock | null {
    this.#assertAlive(path);
    return this.#memory.lock(path);
  }

  #assertAlive(path: string): void {
    if (this.#process.isDead) throw new MemoryDiskError("STOPPED", path);
  }

  /** Called before each change; the process may die just before it. */
  #begin(path: string): void {
    this.#assertAlive(path);
    if (this.#drive.diesNow()) throw new MemoryDiskError("STOPPED", path);
  }
}

interface FileOptions {
  readonly memory: MemoryDisk;
  readonly drive: SimDrive;
  readonly process: Process;
  readonly path: string;
}

/** Duration of a read of a few blocks. */
const READ_MS = 0.1;

class SimFile implements DiskFile {
  readonly #file: DiskFile;
  readonly #options: FileOptions;

  constructor(file: DiskFile, options: FileOptions) {
    this.#file = file;
    this.#options = options;
  }

  size(): number {
    this.#assertAlive();
    return this.#file.size();
  }

  write(bytes: Uint8Array, offset: number): void {
    this.#assertAlive();
    const { drive, path } = this.#options;
    if (drive.diesNow()) {
      this.#file.write(bytes.subarray(0, drive.tornBytes(bytes.length)), offset);
      throw new MemoryDiskError("STOPPED", path);
    }
    this.#options.process.scheduler.noteBytes(bytes);
    this.#file.write(bytes, offset);
  }

  async read(into: Uint8Array, offset: number): Promise<number> {
    await this.#wait(READ_MS);
    this.#assertAlive();
    return await this.#file.read(into, offset);
  }

  truncate(size: number): void {
    this.#begin();
    this.#file.truncate(size);
  }

  /** Makes all earlier writes durable at the end of the wait, or never when the machine dies before. */
  async syncData(): Promise<void> {
    this.#begin();
    const { memory, drive } = this.#options;
    const gate = Promise.withResolvers<void>();
    memory.syncGate = gate.promise;
    const synced = this.#file.syncData();
    memory.syncGate = null;
    drive.sync(this.#options.process, () => gate.resolve());
    await synced;
    if (this.#options.process.isDead) await new Promise(() => {});
  }

  syncNow(): void {
    this.#begin();
    this.#file.syncNow();
  }

  close(): void {
    if (!this.#options.process.isDead) this.#file.close();
  }

  #wait(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.#onDevice(delayMs, resolve));
  }

  /** Completes after `delayMs`; the process continues when it can run. */
  #onDevice(delayMs: number, done: () => void): void {
    const { process } = this.#options;
    process.scheduler.after(delayMs, process, done);
  }

  #assertAlive(): void {
    if (this.#options.process.isDead) throw new MemoryDiskError("STOPPED", this.#options.path);
  }

  #begin(): void {
    this.#assertAlive();
    const { drive, path } = this.#options;
    if (drive.diesNow()) throw new MemoryDiskError("STOPPED", path);
  }
}
