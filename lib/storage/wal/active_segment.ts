/** The segment that the log writes to: a new one, or the last one of the process before. */
import type { Disk, DiskFile } from "../../platform/disk.ts";
import type { LogOwner } from "../identity.ts";
import type { EntryId } from "../../raft/types.ts";
import type { LogBeginning, LogState } from "./log_state.ts";
import { type SegmentHeader, segmentSeed } from "./record.ts";
import { type LastSegment, type Recovery, RECOVERY_WINDOW_BYTES } from "./recovery.ts";
import { type ActiveSegment, NextSegment, preallocate, segmentName } from "./segment.ts";

/** Options of new segments. */
export interface SegmentOptions {
  readonly disk: Disk;
  /** The log's directory. */
  readonly directory: string;
  /** Owner of the log. */
  readonly identity: LogOwner;
  /** Size to which each segment is preallocated. */
  readonly segmentBytes: number;
}

/** The log that a new segment continues. */
export interface SegmentPlace {
  /** The log so far; the new segment is added to it. */
  readonly state: LogState;
  /** The segment before, or null for the very first. */
  readonly previous: SegmentHeader["previous"];
  /** The prepared segment, or null. */
  readonly next: NextSegment | null;
  /** The beginning to which the log is reset in it, or null when the log continues. */
  readonly beginning: LogBeginning | null;
}

/** Creates the log's next segment under its name, which is not durable yet. Throws the disk's errors. */
export function createSegment(options: SegmentOptions, place: SegmentPlace): ActiveSegment {
  const { disk, directory, identity, segmentBytes } = options;
  const { state, previous, beginning } = place;
  const last = beginning?.compacted ?? { index: state.lastIndex, term: state.termAt(state.lastIndex) ?? 0 };
  const firstIndex = last.index + 1;
  const number = Math.max(firstIndex, (previous?.number ?? 0) + 1);
  const next = place.next ?? new NextSegment({ disk, directory, bytes: segmentBytes });
  try {
    const segment = next.complete({
      number,
      firstIndex,
      previousTerm: last.term,
      isReset: beginning !== null,
      previous,
      hardState: beginning?.hardState ?? state.hardState,
      identity,
    });
    if (beginning !== null) state.reset(beginning);
    state.addSegment(number, segment.begin);
    return segment;
  } catch (error) {
    next.discard();
    throw error;
  }
}

/** Opens the segment with which a recovered log continues; also returns the segments that are obsolete then, oldest first. */
export async function firstSegment(
  options: SegmentOptions & { readonly snapshot: EntryId | null },
  recovery: Recovery,
): Promise<{ segment: ActiveSegment; left: readonly number[] }> {
  const { state, last, dead, mustReset } = recovery;
  const { snapshot } = options;
  if (last === null) {
    const place = { state, previous: null, next: null, beginning: null };
    return { segment: createSegment(options, place), left: [] };
  }
  if (!mustReset || snapshot === null) {
    return { segment: await reopenSegment(options, last), left: dead };
  }
  const left = [...dead, ...state.segments];
  const previous = { number: last.number, end: last.end };
  const beginning = beginningBehind(snapshot, state);
  return { segment: createSegment(options, { state, previous, next: null, beginning }), left };
}

/** Opens the last segment to continue it: cuts the torn tail, and makes all the rest durable. */
async function reopenSegment(options: SegmentOptions, last: LastSegment): Promise<ActiveSegment> {
  const { number, begin, end, synced } = last;
  const file = options.disk.open(`${options.directory}/${segmentName(number)}`, "write");
  try {
    if (last.cut !== null) file.truncate(end);
    await rewrite(file, synced, end);
    preallocate(file, options.segmentBytes);
    file.syncNow();
  } catch (error) {
    file.close();
    throw error;
  }
  return { number, seed: segmentSeed(number), file, begin, end, synced: end, markedAt: null };
}

/**
 * Writes a part of a file again, unchanged. If the previous process ended after a failed sync, the operating system may
 * have these bytes in memory and consider them written; only rewritten bytes are certainly synced.
 */
async function rewrite(file: DiskFile, from: number, to: number): Promise<void> {
  for (let offset = from; offset < to; offset += RECOVERY_WINDOW_BYTES) {
    const bytes = new Uint8Array(Math.min(RECOVERY_WINDOW_BYTES, to - offset));
    await file.read(bytes, offset);
    file.write(bytes, offset);
  }
}

/** Returns the beginning of a log after `snapshot`. A snapshot of a later term than the node's sets the term, without a vote. */
function beginningBehind(snapshot: EntryId, { hardState }: LogState): LogBeginning {
  const { term, commitIndex } = hardState;
  const isLater = snapshot.term > term;
  return {
    compacted: snapshot,
    hardState: isLater ? { term: snapshot.term, vote: null, commitIndex } : hardState,
    isCut: false,
  };
}
