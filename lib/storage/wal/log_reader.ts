/** Reads entries back from the disk, for peers that are too far behind to be served from memory. */
import type { Entry } from "../../raft/types.ts";
import type { Disk, DiskFile } from "../../platform/disk.ts";
import { LogDamagedError } from "../errors.ts";
import type { Checkpoint } from "./log_state.ts";
import { entryRecordBytes, segmentSeed } from "./record.ts";
import { RecordScanner } from "./record_scanner.ts";
import { segmentName } from "./segment.ts";
import { SlabCopier } from "../../platform/slab.ts";

const READ_WINDOW_BYTES = 256 * 1024;

/** Which entries to read, and from what log. */
export interface ReadRequest {
  readonly disk: Disk;
  /** The log's directory. */
  readonly directory: string;
  /** Where entries stand; not changed while the reading goes on, except that later entries may be added. */
  readonly checkpoints: readonly Checkpoint[];
  /** The first entry to read; it must exist. */
  readonly firstIndex: number;
  /** The last entry that may be read. */
  readonly lastIndex: number;
  /** Most bytes of all records read together, unless the first alone is larger. */
  readonly maxBytes: number;
}

/** Reads consecutive entries, at least one. Their data is owned by the caller. Throws {@link LogDamagedError}. */
export async function readEntries(request: ReadRequest): Promise<readonly Entry[]> {
  const { checkpoints, firstIndex, lastIndex, maxBytes } = request;
  const entries: Entry[] = [];
  const copier = new SlabCopier();
  let bytes = 0;
  let at = checkpoints.findLastIndex((checkpoint) => checkpoint.index <= firstIndex);
  let open: OpenSegment | null = null;
  try {
    for (let checkpoint = checkpoints[at]; checkpoint !== undefined; checkpoint = checkpoints[++at]) {
      if (checkpoint.index > lastIndex) break;
      if (open?.number !== checkpoint.segment) {
        open?.file.close();
        open = null;
        open = openSegment(request, checkpoint.segment);
      }
      // Behind the last entry before the next checkpoint there may be entries that were overridden since.
      const end = Math.min(checkpoints[at + 1]?.index ?? lastIndex + 1, lastIndex + 1);
      for await (const entry of entriesFrom(checkpoint, end, open)) {
        if (entry.index < firstIndex) continue;
        bytes += entryRecordBytes(entry);
        if (entries.length > 0 && bytes > maxBytes) return entries;
        const { index, term, kind, data } = entry;
        entries.push({ index, term, kind, data: copier.copy(data) });
      }
    }
    return entries;
  } finally {
    open?.file.close();
  }
}

interface OpenSegment {
  readonly number: number;
  readonly path: string;
  readonly file: DiskFile;
  readonly scanner: RecordScanner;
}

function openSegment(request: ReadRequest, number: number): OpenSegment {
  const path = `${request.directory}/${segmentName(number)}`;
  const file = request.disk.open(path, "read");
  const scanner = new RecordScanner({ file, seed: segmentSeed(number), windowBytes: READ_WINDOW_BYTES });
  return { number, path, file, scanner };
}

/** The entries from a checkpoint up to, not including, index `end`. Their data is a view, valid until the next. */
async function* entriesFrom(
  checkpoint: Checkpoint,
  end: number,
  segment: OpenSegment,
): AsyncGenerator<Entry> {
  let { index, offset } = checkpoint;
  while (index < end) {
    const found = segment.scanner.recordInWindow(offset) ?? await segment.scanner.recordAt(offset);
    const record = found?.record ?? null;
    const expected = record?.kind === "hardState" ||
      (record?.kind === "entry" && record.entry.index === index);
    if (found === null || record === null || !expected) {
      const reason = `a valid record stood there when it was last read or written`;
      throw new LogDamagedError({ file: segment.path, offset, index, reason });
    }
    offset = found.end;
    if (record.kind !== "entry") continue;
    yield record.entry;
    index += 1;
  }
}
