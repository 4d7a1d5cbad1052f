/** Helpers for tests of the log, which make entries, open logs, and return the content of a log as one value. */
import { DataDirectory, SnapshotStore, WriteAheadLog } from "../../lib/storage/mod.ts";
import type { EntryId } from "../../lib/raft/mod.ts";
import type { Disk, Identity, PersistBatch, RecoveredLog } from "../../lib/storage/mod.ts";
import type { Entry, HardState } from "../../lib/raft/types.ts";

/** The identity of the logs in these tests. */
export const IDENTITY: Identity = {
  clusterId: "7f3a9c0012345678",
  clusterName: "test",
  nodeId: 1,
  dataId: 4711,
  founders: [{ id: 1, address: "n1:7001" }, { id: 2, address: "n2:7001" }],
};
/** The folder of the log. */
export const WAL = "/data/wal";
/** The folder of snapshots. */
export const SNAPSHOTS = "/data/snapshots";
/** Path of the log's first segment. */
export const FIRST_SEGMENT = `${WAL}/00000000000000000001.log`;

/** Returns a command entry with a text or bytes as its data. */
export function entry(index: number, term: number, data: string | Uint8Array = `${index}@${term}`): Entry {
  return {
    index,
    term,
    kind: "command",
    data: typeof data === "string" ? new TextEncoder().encode(data) : data,
  };
}

/** Returns a hard state. */
export function hardState(term: number, vote: number | null = null, commitIndex = 0): HardState {
  return { term, vote, commitIndex };
}

/** Returns a batch. */
export function batch(state: HardState | null, ...entries: Entry[]): PersistBatch {
  return { snapshot: null, hardState: state, entries };
}

/** A batch that resets the log behind a snapshot. */
export function resetBatch(snapshot: EntryId, state: HardState | null, ...entries: Entry[]): PersistBatch {
  return { snapshot, hardState: state, entries };
}

/** The content of a log: the hard state, and each entry as text. Logs are equal when these are. */
export interface LogContent {
  readonly hardState: HardState;
  readonly entries: readonly string[];
}

/** Returns an entry as a short text. */
export function entryText({ index, term, kind, data }: Entry): string {
  return `${index}@${term} ${kind} ${new TextDecoder("latin1").decode(data)}`;
}

/** Returns the recovered content of a log that fits into its tail bound. */
export function contentOf(recovered: RecoveredLog): LogContent {
  return { hardState: recovered.hardState, entries: recovered.cachedEntries.map(entryText) };
}

/** Returns all possible contents of a log to which `last` was written and not synced: each prefix of it. */
export function beginningsOf(before: LogContent, last: PersistBatch): readonly LogContent[] {
  const state = last.hardState ?? before.hardState;
  const first = last.entries[0]?.index ?? Number.POSITIVE_INFINITY;
  const early = { ...state, commitIndex: Math.min(state.commitIndex, first - 1) };
  const beginnings = [before];
  for (let count = 0; count <= last.entries.length; count += 1) {
    const entries = [...before.entries.slice(0, first - 1), ...last.entries.slice(0, count).map(entryText)];
    beginnings.push({ hardState: early, entries: count === 0 ? before.entries : entries });
  }
  beginnings.push({ hardState: state, entries: beginnings.at(-1)?.entries ?? [] });
  return beginnings;
}

/** Returns whether one of `contents` equals `content`. */
export function includes(contents: readonly LogContent[], content: LogContent): boolean {
  return contents.some((each) => JSON.stringify(each) === JSON.stringify(content));
}

/** Options of {@link openNode}. */
export interface NodeOptions {
  /** Small unless given. */
  readonly segmentBytes?: number;
  /** Enough for all of a test's log unless given. */
  readonly entryCacheBytes?: number;
}

/** Opens data directory, snapshots and log as a node does: the log gets the newest readable snapshot. */
export async function openNode(
  disk: Disk,
  options: NodeOptions = {},
): Promise<{ log: WriteAheadLog; recovered: RecoveredLog; store: SnapshotStore; snapshot: EntryId | null }> {
  const directory = await DataDirectory.open({ disk, path: "/data" });
  try {
    if (directory.identity === null) directory.found(IDENTITY);
    const store = await SnapshotStore.open({ disk, directory: directory.snapshotDirectory });
    const snapshot = await newestReadable(store);
    const { log, recovered } = await WriteAheadLog.open({
      disk,
      directory: directory.walDirectory,
      identity: IDENTITY,
      snapshot,
      segmentBytes: options.segmentBytes ?? 4096,
      entryCacheBytes: options.entryCacheBytes ?? 1 << 20,
    });
    return { log, recovered, store, snapshot };
  } finally {
    directory.close();
  }
}

/** Opens a node and returns only its log. */
export async function openLog(
  disk: Disk,
  options: NodeOptions = {},
): Promise<{ log: WriteAheadLog; recovered: RecoveredLog }> {
  const { log, recovered } = await openNode(disk, options);
  return { log, recovered };
}

/** Returns the newest undamaged snapshot. */
export async function newestReadable(store: SnapshotStore): Promise<EntryId | null> {
  for (const stored of store.list()) {
    const { index, term } = stored;
    if (await snapshotText(store, stored).then(() => true, () => false)) return { index, term };
  }
  return null;
}

/** Returns all content of a snapshot as text. */
export async function snapshotText(store: SnapshotStore, snapshot: EntryId): Promise<string> {
  const reader = await store.reader(snapshot);
  const decoder = new TextDecoder("latin1");
  let text = "";
  for await (const chunk of reader.chunks()) text += decoder.decode(chunk);
  return text;
}

/** Writes a snapshot with these chunks as its content. */
export async function writeSnapshot(
  store: SnapshotStore,
  { index, term, chunks }: EntryId & { readonly chunks: readonly string[] },
): Promise<void> {
  const configuration = new TextEncoder().encode(`configuration at ${index}`);
  const writer = store.create({
    formatVersion: 1,
    clusterId: IDENTITY.clusterId,
    index,
    term,
    revision: index * 10,
    configuration,
  });
  for (const chunk of chunks) writer.write(new TextEncoder().encode(chunk));
  await writer.commit();
}

/** Appends batches and syncs after each. */
export async function appendSynced(log: WriteAheadLog, batches: readonly PersistBatch[]): Promise<void> {
  for (const each of batches) {
    log.append(each);
    await log.sync();
  }
}

/** Returns the segment with the highest name. */
export function lastSegmentPath(disk: Disk): string {
  const names = disk.list(WAL).filter((name) => name.endsWith(".log"));
  return `${WAL}/${names.at(-1) ?? ""}`;
}
