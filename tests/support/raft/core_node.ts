/** A node of the bare core in tests: the production core and a disk in memory. The test decides when something happens. */
import { assert } from "@std/assert";
import {
  type Entry,
  type EntryRead,
  type Message,
  type NodeId,
  type Persist,
  Raft,
  type RaftConfig,
  type Ready,
  type SnapshotMetadata,
} from "../../../lib/raft/mod.ts";
import { TEXT_CODEC } from "./configuration.ts";
import type { RaftDisk } from "./disk.ts";

/** One node. */
export class CoreNode {
  readonly id: NodeId;
  disk: RaftDisk;
  /** Null while crashed. */
  raft: Raft | null = null;
  /** Reads of entries in progress, with the content of the disk when they began. */
  readonly entryReads: { readonly read: EntryRead; readonly entries: readonly Entry[] }[] = [];

  constructor(id: NodeId, disk: RaftDisk) {
    this.id = id;
    this.disk = disk;
  }

  /** Starts a process from the disk, with the payloads of the last `cachedEntries` in memory. */
  start(
    config: Omit<RaftConfig, "id" | "configurationCodec" | "recovered">,
    cachedEntries?: number,
  ): Raft {
    const recovered = this.disk.recovered(cachedEntries);
    this.raft = new Raft({ ...config, id: this.id, configurationCodec: TEXT_CODEC, recovered });
    return this.raft;
  }

  /** Ends the process; only the first `keptRecords` records of the write in progress are kept. */
  crash(keptRecords = 0): void {
    this.raft = null;
    this.entryReads.length = 0;
    this.disk.crash(keptRecords);
  }

  /** Takes a Ready, and begins its write and its reads of entries. */
  takeReady(): Ready | null {
    const ready = this.raft?.takeReady() ?? null;
    if (ready === null) return null;
    if (ready.persist !== null) this.disk.begin(ready.persist);
    for (const read of ready.entryReads) this.entryReads.push({ read, entries: this.disk.read(read) });
    return ready;
  }

  /** Returns the snapshots that a Ready requests, each as one message that arrives completely or not at all. */
  snapshotMessages({ snapshots }: Ready): readonly Message[] {
    const { id: from, disk: { snapshot } } = this;
    const term = this.raft?.term ?? 0;
    return snapshots.map(({ to }) => ({ kind: "installSnapshot", from, to, term, snapshot }));
  }

  /** Ends the write in progress, and returns it: its messages may be sent now. */
  endWrite(): Persist {
    const persist = this.disk.complete();
    this.raft?.persisted(persist.lastIndex, persist.lastTerm);
    return persist;
  }

  /** Ends one of the reads of entries in progress. */
  endEntryRead(position = 0): void {
    const [ended] = this.entryReads.splice(position, 1);
    if (ended !== undefined) this.raft?.entriesRead(ended.read, ended.entries);
  }

  /** Makes a snapshot durable, and cuts the log up to `compactedIndex`. */
  keepSnapshot(snapshot: SnapshotMetadata, compactedIndex: number): void {
    const { disk, raft } = this;
    assert(raft !== null, "a running node takes snapshots");
    disk.keepSnapshot(snapshot);
    raft.compact({ snapshot, compactedIndex });
    disk.removeUpTo(raft.status().firstIndex - 1);
  }
}
