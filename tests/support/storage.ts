/** Helpers for tests of the log: short ways to make entries, open logs, and say in one value what a log holds. */
import { DataDirectory, WriteAheadLog } from "../../lib/storage/mod.ts";
import type { Disk, PersistBatch, RecoveredLog } from "../../lib/storage/mod.ts";
import type { Entry, HardState } from "../../lib/raft/types.ts";

/** The identity of the logs in these tests. */
export const IDENTITY = { clusterId: "7f3a9c0012345678", nodeId: 1 };
/** Where they lie. */
export const WAL = "/data/wal";
/** Path of the log's first segment. */
export const FIRST_SEGMENT = `${WAL}/00000000000000000001.log`;

/** A command entry with a text or bytes as its data. */
export function entry(index: number, term: number, data: string | Uint8Array = `${index}@${term}`): Entry {
  return {
    index,
    term,
    kind: "command",
    data: typeof data === "string" ? new TextEncoder().encode(data) : data,
  };
}

/** A hard state. */
export function hardState(term: number, vote: number | null = null, commitIndex = 0): HardState {
  return { term, vote, commitIndex };
}

/** A batch. */
export function batch(state: HardState | null, ...entries: Entry[]): PersistBatch {
  return { hardState: state, entries };
}

/** What a log holds: the hard state, and each entry as text. Two logs are equal when these are. */
export interface LogContent {
  readonly hardState: HardState;
  readonly entries: readonly string[];
}

/** An entry as a short text. */
export function entryText({ index, term, kind, data }: Entry): string {
  return `${index}@${term} ${kind} ${new TextDecoder("latin1").decode(data)}`;
}

/** What recovery handed back, for a log whose tail bound holds all of it. */
export function contentOf(recovered: RecoveredLog): LogContent {
  return { hardState: recovered.hardState, entries: recovered.tail.map(entryText) };
}

/** What may be found of a log to which `last` was written and not synced: each beginning of it, from none to all. */
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

/** Whether one of `contents` is `content`. */
export function includes(contents: readonly LogContent[], content: LogContent): boolean {
  return contents.some((each) => JSON.stringify(each) === JSON.stringify(content));
}

/** Opens data directory and log. `segmentBytes` is small unless given, `tailBytes` enough for all of a test's log. */
export async function openLog(
  disk: Disk,
  options: { segmentBytes?: number; tailBytes?: number } = {},
): Promise<{ log: WriteAheadLog; recovered: RecoveredLog }> {
  const directory = await DataDirectory.open({ disk, path: "/data", identity: IDENTITY });
  try {
    return await WriteAheadLog.open({
      disk,
      directory: directory.walDirectory,
      identity: IDENTITY,
      segmentBytes: options.segmentBytes ?? 4096,
      tailBytes: options.tailBytes ?? 1 << 20,
    });
  } finally {
    directory.close();
  }
}

/** Appends batches and syncs after each. */
export async function appendSynced(log: WriteAheadLog, batches: readonly PersistBatch[]): Promise<void> {
  for (const each of batches) {
    log.append(each);
    await log.sync();
  }
}

/** The file with the highest name among the segments. */
export function lastSegmentPath(disk: Disk): string {
  const names = disk.list(WAL).filter((name) => name.endsWith(".log"));
  return `${WAL}/${names.at(-1) ?? ""}`;
}
