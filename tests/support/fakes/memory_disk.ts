/**
 * A disk in memory that distinguishes written from synced data, and can crash.
 *
 * The model is no kinder than real disks: until it is synced, every 512-byte sector of a write may or may not survive a
 * crash, independently of the other sectors; so may every truncation of a file and every new, renamed or removed name.
 * Synced data survives. After a failed sync the file reads as written, but that part of it never becomes durable, even
 * by a later sync (as on Linux). A sector is never torn; a test that needs a torn one calls `edit`.
 */
import type { Disk, DiskFile, DiskLock, OpenMode } from "../../../lib/platform/disk.ts";

const SECTOR_BYTES = 512;

/** One operation about to happen, for {@link MemoryDisk.intercept}. */
export interface DiskOperation {
  /** Its number, from 1 since the disk was made. Reads and look-ups are not counted: they change nothing. */
  readonly number: number;
  /** The kind of operation. */
  readonly kind:
    | "open"
    | "write"
    | "truncate"
    | "syncData"
    | "syncNow"
    | "createDirectory"
    | "syncDirectory"
    | "rename"
    | "remove";
  /** The path that it acts on. */
  readonly path: string;
}

/** A fault that replaces the operation. */
export interface DiskFault {
  /** The code of its error; `STOPPED` for a machine that halts at this operation. */
  readonly code: string;
  /** Of a write: bytes that are written nevertheless. */
  readonly writtenBytes?: number;
}

/** An unsynced change, which a crash may keep or lose. */
export type Unsynced =
  | { readonly kind: "sector"; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: "truncate"; readonly size: number }
  | { readonly kind: "name"; readonly path: string };

/** An error of a failed operation, with the operating system's `code`. */
export class MemoryDiskError extends Error {
  override readonly name = "MemoryDiskError";
  /** As the operating system would name it. */
  readonly code: string;

  constructor(code: string, path: string) {
    super(`${code}: ${path}`);
    this.code = code;
  }
}

/** A change of names in a directory: `path` becomes `node` (null: is removed), and `from`, of a rename, goes. */
interface NameChange {
  readonly path: string;
  readonly node: Node | null;
  readonly from: string | null;
}
type Node = "directory" | Inode;

/** A disk in memory. */
export class MemoryDisk implements Disk {
  /** Asked before every operation that changes or syncs something; a fault it returns happens instead. */
  intercept: (operation: DiskOperation) => DiskFault | null = () => null;
  /** While not null, no `syncData` ends before it is resolved. */
  syncGate: Promise<void> | null = null;
  /** While true, no file and no folder can be opened, so that a folder can't be synced either. */
  isOutOfDescriptors = false;
  /** Files that users other than the owner may open. */
  readonly exposed = new Set<string>();
  /** Bytes that all files together may have. */
  capacityBytes = Number.POSITIVE_INFINITY;
  /** Operations so far. */
  operations = 0;
  /** Files open now. */
  openFiles = 0;
  #names = new Map<string, Node>([["/", "directory"]]);
  #durableNames = new Map<string, Node>([["/", "directory"]]);
  #nameChanges: NameChange[] = [];
  #locks = new Set<string>();
  #stopped = false;

  /** Returns the disk after a loss of power: of unsynced changes, only those that `keep` selects. */
  crash(keep: (unsynced: Unsynced) => boolean): MemoryDisk {
    const after = new MemoryDisk();
    const names = new Map(this.#durableNames);
    for (const change of this.#nameChanges) {
      if (keep({ kind: "name", path: change.path })) applyTo(names, change);
    }
    const inodes = new Map<Inode, Inode>();
    for (const [path, node] of [...names].sort(([a], [b]) => a < b ? -1 : 1)) {
      if (path !== "/" && !after.#names.has(parentOf(path))) continue;
      const survivor = node === "directory" ? node : inodes.get(node) ?? node.crash(keep);
      if (node !== "directory" && survivor !== "directory") inodes.set(node, survivor);
      after.#names.set(path, survivor);
    }
    after.#durableNames = new Map(after.#names);
    return after;
  }

  /** Returns the disk as the next process finds it when only the process died: with all changes, still unsynced. */
  killProcess(): MemoryDisk {
    const after = new MemoryDisk();
    const inodes = new Map<Inode, Inode>();
    const copy = (node: Node): Node => {
      if (node === "directory") return node;
      const known = inodes.get(node) ?? node.copy();
      inodes.set(node, known);
      return known;
    };
    after.#names = new Map([...this.#names].map(([path, node]) => [path, copy(node)]));
    after.#durableNames = new Map([...this.#durableNames].map(([path, node]) => [path, copy(node)]));
    after.#nameChanges = this.#nameChanges.map(({ path, node, from }) => ({
      path,
      node: node === null ? null : copy(node),
      from,
    }));
    return after;
  }

  /** Changes a file's bytes as bit rot does: it is no operation, and durable at once. */
  edit(path: string, change: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>): void {
    const inode = this.#inode(path);
    inode.content = change(inode.content.slice());
    inode.durable = inode.content.slice();
    inode.pending = [];
  }

  /** Returns a copy of a file's bytes. */
  bytesOf(path: string): Uint8Array {
    return this.#inode(path).content.slice();
  }

  /** Returns every file with its bytes, by path. */
  contents(): ReadonlyMap<string, string> {
    const all = [...this.#names].map(([path, node]): [string, string] => [
      path,
      node === "directory" ? "directory" : new TextDecoder("latin1").decode(node.content),
    ]);
    return new Map(all.sort(([a], [b]) => a < b ? -1 : 1));
  }

  stat(path: string): "file" | "directory" | null {
    this.#refuseWhenStopped(path);
    const node = this.#names.get(path);
    if (node === undefined) return null;
    return node === "directory" ? "directory" : "file";
  }

  isPrivate(path: string): boolean {
    return !this.exposed.has(path);
  }

  open(path: string, mode: OpenMode): DiskFile {
    this.#requireDescriptor(path);
    if (mode === "create") {
      this.#operation("open", path);
      const existing = this.#names.get(path);
      if (existing === "directory") throw new MemoryDiskError("EISDIR", path);
      if (existing === undefined) this.#addFile(path);
      else existing.truncate(0);
    }
    this.#refuseWhenStopped(path);
    const inode = this.#inode(path);
    this.openFiles += 1;
    return new MemoryFile(this, path, inode);
  }

  list(path: string): readonly string[] {
    this.#refuseWhenStopped(path);
    if (this.#names.get(path) !== "directory") throw new MemoryDiskError("ENOTDIR", path);
    const prefix = path === "/" ? "/" : `${path}/`;
    return [...this.#names.keys()].filter((name) => name.startsWith(prefix) && name !== path)
      .map((name) => name.slice(prefix.length)).filter((name) => !name.includes("/")).sort();
  }

  createDirectory(path: string): void {
    this.#operation("createDirectory", path);
    if (this.#names.get(parentOf(path)) !== "directory") throw new MemoryDiskError("ENOENT", path);
    if (this.#names.has(path)) throw new MemoryDiskError("EEXIST", path);
    this.#changeNames({ path, node: "directory", from: null });
  }

  syncDirectory(path: string): void {
    this.#operation("syncDirectory", path);
    this.#requireDescriptor(path);
    if (this.#names.get(path) !== "directory") throw new MemoryDiskError("ENOTDIR", path);
    for (const change of this.#nameChanges) {
      if (parentOf(change.path) === path) applyTo(this.#durableNames, change);
    }
    this.#nameChanges = this.#nameChanges.filter((change) => parentOf(change.path) !== path);
  }

  rename(from: string, to: string): void {
    this.#operation("rename", from);
    const node = this.#names.get(from);
    if (node === undefined) throw new MemoryDiskError("ENOENT", from);
    if (node === "directory" && this.#names.has(to)) throw new MemoryDiskError("EEXIST", to);
    this.#changeNames({ path: to, node, from });
  }

  remove(path: string): void {
    this.#operation("remove", path);
    this.#inode(path);
    this.#changeNames({ path, node: null, from: null });
  }

  lock(path: string): DiskLock | null {
    this.#refuseWhenStopped(path);
    this.#requireDescriptor(path);
    if (this.#locks.has(path)) return null;
    if (!this.#names.has(path)) this.#addFile(path);
    this.#locks.add(path);
    return { release: () => this.#locks.delete(path) };
  }

  /** Counts an operation and lets a fault happen instead. For {@link MemoryFile}. */
  refuse(kind: DiskOperation["kind"], path: string): DiskFault | null {
    this.#refuseWhenStopped(path);
    this.operations += 1;
    const fault = this.intercept({ number: this.operations, kind, path });
    if (fault?.code === "STOPPED") this.#stopped = true;
    return fault;
  }

  /** Bytes that a file may grow by. */
  get freeBytes(): number {
    let used = 0;
    for (const node of new Set(this.#names.values())) used += node === "directory" ? 0 : node.content.length;
    return this.capacityBytes - used;
  }

  #operation(kind: DiskOperation["kind"], path: string): void {
    const fault = this.refuse(kind, path);
    if (fault !== null) throw new MemoryDiskError(fault.code, path);
  }

  #requireDescriptor(path: string): void {
    if (this.isOutOfDescriptors) throw new MemoryDiskError("EMFILE", path);
  }

  #refuseWhenStopped(path: string): void {
    if (this.#stopped) throw new MemoryDiskError("STOPPED", path);
  }

  #inode(path: string): Inode {
    const node = this.#names.get(path);
    if (node === undefined) throw new MemoryDiskError("ENOENT", path);
    if (node === "directory") throw new MemoryDiskError("EISDIR", path);
    return node;
  }

  #addFile(path: string): void {
    if (this.#names.get(parentOf(path)) !== "directory") throw new MemoryDiskError("ENOENT", path);
    this.#changeNames({ path, node: new Inode(), from: null });
  }

  #changeNames(change: NameChange): void {
    applyTo(this.#names, change);
    this.#nameChanges.push(change);
  }
}

function applyTo(names: Map<string, Node>, { path, node, from }: NameChange): void {
  if (from !== null) {
    names.delete(from);
    // What is in a directory moves with it.
    for (const [name, inner] of [...names]) {
      if (!name.startsWith(`${from}/`)) continue;
      names.delete(name);
      names.set(path + name.slice(from.length), inner);
    }
  }
  if (node === null) names.delete(path);
  else names.set(path, node);
}

/** A file: its current bytes, its durable bytes, and the unsynced changes between them. */
class Inode {
  content = new Uint8Array(0);
  durable = new Uint8Array(0);
  pending: (Unsynced & { readonly number: number })[] = [];
  #count = 0;

  write(bytes: Uint8Array, offset: number): void {
    this.content = written(this.content, bytes, offset);
    for (let at = 0; at < bytes.length;) {
      const end = Math.min(bytes.length, at + SECTOR_BYTES - (offset + at) % SECTOR_BYTES);
      this.#note({ kind: "sector", offset: offset + at, bytes: bytes.slice(at, end) });
      at = end;
    }
  }

  truncate(size: number): void {
    this.content = resized(this.content, size);
    this.#note({ kind: "truncate", size });
  }

  /** Number of the last change so far, for {@link sync}. */
  get changes(): number {
    return this.#count;
  }

  /** Makes the changes up to `number` durable. */
  sync(number: number): void {
    for (const change of this.pending) {
      if (change.number <= number) this.durable = applied(this.durable, change);
    }
    this.pending = this.pending.filter((change) => change.number > number);
  }

  /** Applies a failed sync: the changes stay readable, but count as clean, so that no later sync writes them. */
  forget(number: number): void {
    this.pending = this.pending.filter((change) => change.number > number);
  }

  crash(keep: (unsynced: Unsynced) => boolean): Inode {
    const after = new Inode();
    after.durable = this.durable.slice();
    for (const change of this.pending) {
      if (keep(change)) after.durable = applied(after.durable, change);
    }
    after.content = after.durable.slice();
    return after;
  }

  copy(): Inode {
    const copy = new Inode();
    copy.content = this.content.slice();
    copy.durable = this.durable.slice();
    copy.pending = [...this.pending];
    copy.#count = this.#count;
    return copy;
  }

  #note(change: Unsynced): void {
    this.#count += 1;
    this.pending.push({ ...change, number: this.#count });
  }
}

class MemoryFile implements DiskFile {
  readonly #disk: MemoryDisk;
  readonly #path: string;
  readonly #inode: Inode;
  #open = true;

  constructor(disk: MemoryDisk, path: string, inode: Inode) {
    this.#disk = disk;
    this.#path = path;
    this.#inode = inode;
  }

  size(): number {
    this.#assertOpen();
    return this.#inode.content.length;
  }

  write(bytes: Uint8Array, offset: number): void {
    this.#assertOpen();
    const fault = this.#disk.refuse("write", this.#path);
    const growth = Math.max(0, offset + bytes.length - this.#inode.content.length);
    const free = growth > this.#disk.freeBytes
      ? bytes.length - growth + Math.max(0, this.#disk.freeBytes)
      : bytes.length;
    const taken = Math.min(bytes.length, fault === null ? bytes.length : fault.writtenBytes ?? 0, free);
    if (taken > 0) this.#inode.write(bytes.subarray(0, taken), offset);
    if (fault !== null) throw new MemoryDiskError(fault.code, this.#path);
    if (taken < bytes.length) throw new MemoryDiskError("ENOSPC", this.#path);
  }

  async read(into: Uint8Array, offset: number): Promise<number> {
    await Promise.resolve();
    this.#assertOpen();
    const bytes = this.#inode.content.subarray(offset, offset + into.length);
    into.set(bytes);
    return bytes.length;
  }

  truncate(size: number): void {
    this.#assertOpen();
    const fault = this.#disk.refuse("truncate", this.#path);
    if (fault !== null) throw new MemoryDiskError(fault.code, this.#path);
    this.#inode.truncate(size);
  }

  async syncData(): Promise<void> {
    this.#assertOpen();
    const changes = this.#inode.changes;
    const fault = this.#disk.refuse("syncData", this.#path);
    await this.#disk.syncGate;
    this.#endSync(changes, fault);
  }

  syncNow(): void {
    this.#assertOpen();
    this.#endSync(this.#inode.changes, this.#disk.refuse("syncNow", this.#path));
  }

  close(): void {
    this.#assertOpen();
    this.#open = false;
    this.#disk.openFiles -= 1;
  }

  #endSync(changes: number, fault: DiskFault | null): void {
    if (fault === null) return this.#inode.sync(changes);
    this.#inode.forget(changes);
    throw new MemoryDiskError(fault.code, this.#path);
  }

  #assertOpen(): void {
    if (!this.#open) throw new MemoryDiskError("EBADF", this.#path);
  }
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

function applied(bytes: Uint8Array<ArrayBuffer>, change: Unsynced): Uint8Array<ArrayBuffer> {
  switch (change.kind) {
    case "sector":
      return written(bytes, change.bytes, change.offset);
    case "truncate":
      return resized(bytes, change.size);
    case "name":
      return bytes;
  }
}

/** Returns `bytes` with others at `offset`; writes in place where they fit. */
function written(
  bytes: Uint8Array<ArrayBuffer>,
  others: Uint8Array,
  offset: number,
): Uint8Array<ArrayBuffer> {
  const grown = offset + others.length > bytes.length ? resized(bytes, offset + others.length) : bytes;
  grown.set(others, offset);
  return grown;
}

/** Returns `bytes` truncated or extended by zeros. A grown buffer has spare capacity, all zeros, for the next growth. */
function resized(bytes: Uint8Array<ArrayBuffer>, size: number): Uint8Array<ArrayBuffer> {
  const { buffer, byteOffset, length } = bytes;
  if (size >= length && byteOffset === 0 && size <= buffer.byteLength) return new Uint8Array(buffer, 0, size);
  const capacityBytes = size > length ? Math.ceil(size * 1.5) : size;
  const next = new Uint8Array(new ArrayBuffer(capacityBytes), 0, size);
  next.set(bytes.subarray(0, size));
  return next;
}
