/**
 * Reads a log back: every record of every segment in order, in bounded memory, without any change on the disk.
 *
 * A crash can lose or tear only bytes that were not synced, which are always at the end of the last segment: a torn tail,
 * which is cut. Anything else is damage, and refused: acknowledged entries are never dropped. The two are distinguished
 * by `syncedOffset`: each record has the offset before which everything was durable when it was written, so an invalid
 * record is damage if the `syncedOffset` of any record after it is beyond it, and a torn tail otherwise. No record follows
 * the last batch; therefore the log writes a sync mark after it once it is durable and no other follows (wal.ts). Damage
 * to the last batch is taken for a torn tail only if the power failed before that mark, too, was on the disk.
 *
 * A log begins with the last segment at which it was reset; the segments before that one are obsolete. Without a reset it
 * begins with the first segment that exists. If earlier ones were removed, a snapshot must reach up to its first entry
 * (log_state.ts). A snapshot that reaches beyond its end, or that the log contradicts after its commit index, was received
 * from a leader just before a crash: the log then has to be reset to it.
 *
 * A log that ends before its end at the last clean stop (log_end.ts) was shortened from outside, and is refused.
 */
import { assertNever } from "../../platform/assert.ts";
import type { Disk, DiskFile } from "../../platform/disk.ts";
import { shortened } from "../../platform/errors.ts";
import { SlabCopier } from "../../platform/memory/slab.ts";
import type { Entry, EntryId } from "../../raft/types.ts";
import { LogDamagedError, LogMissingError, NewerFormatError, SnapshotMissingError } from "../errors.ts";
import { FORMAT_VERSION, type LogOwner } from "../identity.ts";
import { INITIAL_HARD_STATE, type LogBeginning, LogState, NOTHING_COMPACTED } from "./log_state.ts";
import { readLogEnd } from "./log_end.ts";
import { entryRecordBytes, type SegmentHeader, segmentSeed } from "./record.ts";
import { RecordScanner, type ScannedRecord } from "./reader.ts";
import { segmentName, segmentNumber } from "./segment.ts";
import { examineRest } from "./torn_tail.ts";

/** Bytes read at a time. */
export const RECOVERY_WINDOW_BYTES = 1024 * 1024;
/** Bytes read at a time for a segment's header, which fits. */
const HEADER_WINDOW_BYTES = 4096;

/** The torn tail that was cut from the end of the log: written, not known to be synced, and incomplete. */
export interface CutTail {
  /** The segment's path. */
  readonly file: string;
  /** Byte from which on it was cut. */
  readonly offset: number;
  /** Its bytes, without the zeros after them. */
  readonly bytes: number;
}

/** The segment in which the log continues. */
export interface LastSegment {
  /** Number of the last segment. */
  readonly number: number;
  /** Offset at which its header ends. */
  readonly begin: number;
  /** Offset at which its records end. */
  readonly end: number;
  /** The durable offset in its last record. */
  readonly synced: number;
  /** The torn tail to be cut before anything is written, or null. */
  readonly cut: CutTail | null;
}

/** A recovered log. */
export interface Recovery {
  /** Its content without data. */
  readonly state: LogState;
  /** Its last entries, as many as fit the bound. */
  readonly cachedEntries: readonly Entry[];
  /** Its configuration entries after the snapshot. */
  readonly configurations: readonly RecoveredConfiguration[];
  /** Its last segment, or null when there is none yet. */
  readonly last: LastSegment | null;
  /** Segments before the one with which the log begins. */
  readonly dead: readonly number[];
  /** Whether the log must be reset to the snapshot before it is used. */
  readonly mustReset: boolean;
}

/** Options of {@link recover}. */
export interface RecoveryOptions {
  readonly disk: Disk;
  /** The log's directory. */
  readonly directory: string;
  /** Expected owner of the log. */
  readonly identity: LogOwner;
  /** The newest valid snapshot, or null. */
  readonly snapshot: EntryId | null;
  /** Maximum bytes of returned entries. */
  readonly entryCacheBytes: number;
}

/**
 * Reads the log; never changes it. Throws {@link LogDamagedError}, {@link NewerFormatError},
 * {@link SnapshotMissingError} or {@link LogMissingError}.
 */
export async function recover(options: RecoveryOptions): Promise<Recovery> {
  return await new Replay(options).run();
}

class Replay {
  readonly #options: RecoveryOptions;
  readonly #state = new LogState();
  readonly #cachedEntries: EntryCache;
  readonly #configurations: Configurations;

  constructor(options: RecoveryOptions) {
    this.#options = options;
    this.#cachedEntries = new EntryCache(options.entryCacheBytes);
    this.#configurations = new Configurations(options.snapshot?.index ?? 0);
  }

  async run(): Promise<Recovery> {
    const { directory, snapshot } = this.#options;
    const numbers = segmentNumbers(this.#options);
    if (numbers.length === 0 && snapshot !== null) {
      throw new LogMissingError(directory, { snapshotIndex: snapshot.index });
    }
    const first = await this.#firstAlive(numbers);
    const alive = numbers.slice(first);
    let previous: LastSegment | null = null;
    for (const [position, number] of alive.entries()) {
      previous = await this.#segment({ number, next: alive[position + 1] ?? null, previous });
    }
    await this.#requireEnd(previous);
    this.#state.endRecovery();
    return {
      state: this.#state,
      cachedEntries: this.#cachedEntries.entries(this.#state.firstIndex),
      configurations: this.#configurations.all(),
      last: previous,
      dead: numbers.slice(0, first),
      mustReset: this.#mustReset(previous?.number ?? 1),
    };
  }

  /** Refuses a log that ends before its end at the last clean stop. */
  async #requireEnd(last: LastSegment | null): Promise<void> {
    const stopped = await readLogEnd(this.#options);
    const { number, end } = last ?? { number: 0, end: 0 };
    if (stopped === null || number > stopped.segment) return;
    if (number === stopped.segment && end >= stopped.offset) return;
    throw this.#damage(
      number === 0 ? stopped.segment : number,
      end,
      `the log ends there, and everything up to byte ${stopped.offset} of ${
        segmentName(stopped.segment)
      } was durable ` +
        "when the node was last stopped: a file was shortened or removed since",
    );
  }

  /** Position of the last segment at which the log was reset; 0 without one. */
  async #firstAlive(numbers: readonly number[]): Promise<number> {
    for (let position = numbers.length - 1; position > 0; position -= 1) {
      // An unreadable segment is refused later, when its records are read, and then with the right index.
      const header = await this.#headerOf(numbers[position] ?? 1);
      if (header?.isReset === true) return position;
    }
    return 0;
  }

  /** Compares the log with the snapshot from which the state machine begins. */
  #mustReset(last: number): boolean {
    const { directory, snapshot } = this.#options;
    const { compacted, lastIndex, hardState } = this.#state;
    if (snapshot === null ? compacted.index > 0 : snapshot.index < compacted.index) {
      throw new SnapshotMissingError(directory, {
        logBegins: compacted.index + 1,
        snapshotIndex: snapshot?.index ?? null,
      });
    }
    if (snapshot === null) return false;
    if (snapshot.index > lastIndex) return true;
    const term = this.#state.termAt(snapshot.index);
    if (term === snapshot.term) return false;
    if (snapshot.index > hardState.commitIndex && snapshot.index > compacted.index) return true;
    throw this.#damage(
      last,
      0,
      `the log has entry ${snapshot.index}, which is committed, with term ${term}, and the snapshot of it has term ` +
        `${snapshot.term}: one of the two is not this node's`,
    );
  }

  async #segment(
    place: { number: number; next: number | null; previous: LastSegment | null },
  ): Promise<LastSegment> {
    const { number, next, previous } = place;
    const file = this.#options.disk.open(this.#path(number), "read");
    try {
      const scanner = new RecordScanner({
        file,
        seed: segmentSeed(number),
        windowBytes: RECOVERY_WINDOW_BYTES,
      });
      const begin = await this.#checkHeader(scanner, number, previous);
      const stated = next === null ? null : await this.#statedEnd(number, next);
      const scan = await this.#records(scanner, { number, begin, stated });
      const cut = next === null ? await this.#examineEnd(file, { number, ...scan }) : null;
      this.#state.setEnd(scan.end);
      return { number, begin, end: scan.end, synced: scan.synced, cut };
    } finally {
      file.close();
    }
  }

  /** Checks the segment's first record against the log before it; returns where the next record begins. */
  async #checkHeader(scanner: RecordScanner, number: number, previous: LastSegment | null): Promise<number> {
    const found = await this.#header(scanner, number);
    if (found === null) {
      throw this.#damage(
        number,
        0,
        "the segment has no valid header, which was synced before the segment got its name",
      );
    }
    const { header } = found;
    const reason = whyNotItsOwn(header, number, this.#options.identity) ??
      (previous === null ? this.#begin(header) : whyNotNext(header, { previous, state: this.#state }));
    if (reason !== null) throw this.#damage(number, 0, reason);
    this.#state.addSegment(number, found.end);
    return found.end;
  }

  /** Begins the log with this header; returns the reason if that is impossible, else null. */
  #begin(header: SegmentHeader): string | null {
    const { firstIndex, previousTerm, previous, hardState, isReset } = header;
    if (previous === null && !isReset) {
      this.#state.reset({ compacted: NOTHING_COMPACTED, hardState: INITIAL_HARD_STATE, isCut: false });
      return whyNotNext(header, { previous: null, state: this.#state });
    }
    if (previous === null) return "it is the log's first and says that the log was reset";
    const compacted = { index: firstIndex - 1, term: previousTerm };
    const reason = whyNotBeginning({ compacted, hardState, isCut: !isReset });
    if (reason !== null) return reason;
    this.#state.reset({ compacted, hardState, isCut: !isReset });
    return null;
  }

  /**
   * Returns the end of segment `number` according to the header of the segment after it, before which it was completely
   * synced. Null when that header has no end of it: that segment is refused later, and then with the right index.
   */
  async #statedEnd(number: number, next: number): Promise<number | null> {
    const previous = (await this.#headerOf(next))?.previous ?? null;
    return previous?.number === number ? previous.end : null;
  }

  /** Opens a segment and returns its header, or null when it has no valid one. */
  async #headerOf(number: number): Promise<SegmentHeader | null> {
    const file = this.#options.disk.open(this.#path(number), "read");
    try {
      const seed = segmentSeed(number);
      const scanner = new RecordScanner({ file, seed, windowBytes: HEADER_WINDOW_BYTES });
      return (await this.#header(scanner, number))?.header ?? null;
    } finally {
      file.close();
    }
  }

  /** Reads the segment's header; resolves to null when it has no valid one. */
  async #header(
    scanner: RecordScanner,
    number: number,
  ): Promise<{ header: SegmentHeader; end: number } | null> {
    const found = await scanner.recordAt(0);
    if (found?.record?.kind !== "segmentHeader") return null;
    const { header } = found.record;
    if (header.formatVersion > FORMAT_VERSION) {
      throw new NewerFormatError(this.#path(number), {
        reason:
          `it has format version ${header.formatVersion}, and this kvraft knows versions up to ${FORMAT_VERSION}`,
        advice: "Start the newer kvraft that wrote it.",
      });
    }
    return { header, end: found.end };
  }

  /** Replays the records up to the stated end, or without one up to the first offset without a valid record. */
  async #records(
    scanner: RecordScanner,
    place: { number: number; begin: number; stated: number | null },
  ): Promise<{ end: number; synced: number; stop: number }> {
    const { number, begin, stated } = place;
    let [end, synced, stop] = [begin, begin, begin];
    while (stop !== stated) {
      const found = scanner.recordInWindow(stop) ?? await scanner.recordAt(stop);
      if (found === null && stated === null) break;
      if (found === null || (stated !== null && found.end > stated)) {
        throw this.#damage(number, stop, `there is no valid record, though the log goes on after it`);
      }
      // Nothing is written after a mark: recovery would accept what the reader of entries refuses.
      const reason = stop === end ? this.#replay(found, number) : "a record follows a sync mark";
      if (reason !== null) throw this.#damage(number, stop, reason);
      synced = Math.max(synced, found.syncedOffset);
      stop = found.end;
      // A mark takes no space of its own: the next batch is written over it.
      if (found.record?.kind !== "syncMark") end = stop;
    }
    return { end, synced, stop };
  }

  /** Replays one record; returns the reason for which it cannot be part of this log, or null. */
  #replay(found: ScannedRecord, segment: number): string | null {
    const { record, offset } = found;
    if (record === null) return "the record there is of a kind unknown to this version";
    switch (record.kind) {
      case "segmentHeader":
        return "there is a segment header inside the segment";
      case "syncMark":
        return null;
      case "hardState": {
        const reason = this.#state.whyNotHardState(record.hardState);
        if (reason === null) this.#state.setHardState(record.hardState);
        return reason;
      }
      case "entry": {
        const reason = this.#state.whyNotEntry(record.entry);
        if (reason !== null) return reason;
        this.#state.setEntry(record.entry, { segment, offset });
        this.#cachedEntries.add(record.entry);
        this.#configurations.add(record.entry);
        return null;
      }
      default:
        return assertNever(record);
    }
  }

  /** Decides whether the bytes after the last segment's records are zeros, a torn tail, or proof of damage. */
  async #examineEnd(
    file: DiskFile,
    place: { number: number; end: number; stop: number },
  ): Promise<CutTail | null> {
    const { number, end, stop } = place;
    const rest = await examineRest({ file, seed: segmentSeed(number), from: stop });
    if (rest.vouchedBy !== null) {
      const { offset, syncedOffset } = rest.vouchedBy;
      const witness =
        `the record at byte ${offset} says that everything before byte ${syncedOffset} was synced`;
      throw this.#damage(number, stop, `there is no valid record, though ${witness}`);
    }
    return rest.end > stop ? { file: this.#path(number), offset: end, bytes: rest.end - end } : null;
  }

  #path(number: number): string {
    return `${this.#options.directory}/${segmentName(number)}`;
  }

  #damage(number: number, offset: number, reason: string): LogDamagedError {
    return new LogDamagedError({
      file: this.#path(number),
      offset,
      index: this.#state.lastIndex + 1,
      reason,
    });
  }
}

/** Returns the numbers of all segments, ascending. Throws {@link LogDamagedError} if a file has another name. */
export function segmentNumbers({ disk, directory }: { disk: Disk; directory: string }): readonly number[] {
  const names = disk.list(directory).filter((name) => name.endsWith(".log"));
  return names.map((name) => {
    const number = segmentNumber(name);
    if (number !== null) return number;
    const file = `${directory}/${name}`;
    throw new LogDamagedError({ file, offset: 0, index: 1, reason: "no segment has such a name" });
  }).sort((a, b) => a - b);
}

function whyNotItsOwn(header: SegmentHeader, number: number, owner: LogOwner): string | null {
  if (header.number !== number) return `it is segment ${segmentName(header.number)} under another name`;
  const { nodeId, clusterId } = header.identity;
  if (clusterId === owner.clusterId && nodeId === owner.nodeId) return null;
  return `it belongs to node ${nodeId} of cluster ${shortened(clusterId)}`;
}

/** Returns the reason for which a segment cannot be the first of a cut log, or null when it can. */
function whyNotBeginning({ compacted, hardState }: LogBeginning): string | null {
  if (compacted.term > hardState.term) {
    return `entry ${compacted.index} before it has a term above the node's`;
  }
  if ((compacted.term === 0) !== (compacted.index === 0)) {
    return `entry ${compacted.index} before it has term ${compacted.term}`;
  }
  if (hardState.commitIndex <= compacted.index) return null;
  return `entries up to ${hardState.commitIndex} were committed, and it begins with entry ${
    compacted.index + 1
  }`;
}

/** Returns the reason for which a segment's header does not follow the log before it, or null when it does. */
function whyNotNext(
  header: SegmentHeader,
  { previous, state }: { previous: LastSegment | null; state: LogState },
): string | null {
  if (header.previous?.number !== previous?.number) {
    return `segments between ${segmentName(previous?.number ?? 0)} and this one are missing`;
  }
  if (header.previous?.end !== previous?.end) return "it does not begin where the segment before it ends";
  if (header.firstIndex !== state.lastIndex + 1) {
    return `it begins with entry ${header.firstIndex}, and the segments before it end with entry ${state.lastIndex}`;
  }
  const term = state.termAt(state.lastIndex);
  if (term !== null && header.previousTerm !== term) {
    return `entry ${state.lastIndex} before it has term ${term}, and it says ${header.previousTerm}`;
  }
  const { vote, commitIndex } = header.hardState;
  const found = state.hardState;
  if (header.hardState.term !== found.term || vote !== found.vote || commitIndex !== found.commitIndex) {
    return "the hard state at its beginning is not the one that the segments before it end with";
  }
  return null;
}

/** The last entries of the log, as many as fit the limit. */
export class EntryCache {
  readonly #limitBytes: number;
  readonly #copier = new SlabCopier();
  readonly #entries: Entry[] = [];
  #head = 0;
  #bytes = 0;

  /** `limitBytes`: limit on the bytes of their records. */
  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Adds an entry, which overwrites those at its index and above. Its data is copied. */
  add(entry: Entry): void {
    for (let last = this.#last(); last !== null && last.index >= entry.index; last = this.#last()) {
      this.#entries.pop();
      this.#bytes -= entryRecordBytes(last);
    }
    const { index, term, kind, data } = entry;
    this.#entries.push({ index, term, kind, data: this.#copier.copy(data) });
    this.#bytes += entryRecordBytes(entry);
    while (this.#bytes > this.#limitBytes) this.#dropFirst();
  }

  /** Returns the cached entries from `firstIndex` on. */
  entries(firstIndex: number): readonly Entry[] {
    return this.#entries.slice(this.#head).filter(({ index }) => index >= firstIndex);
  }

  #last(): Entry | null {
    return this.#entries.length > this.#head ? this.#entries.at(-1) ?? null : null;
  }

  #dropFirst(): void {
    const first = this.#entries[this.#head];
    if (first === undefined) return;
    this.#bytes -= entryRecordBytes(first);
    this.#head += 1;
    // The array is compacted only once half of it is dropped, since that copies all of it.
    if (this.#head * 2 > this.#entries.length) {
      this.#entries.splice(0, this.#head);
      this.#head = 0;
    }
  }
}

/** A configuration entry of the log. */
export interface RecoveredConfiguration {
  readonly index: number;
  readonly data: Uint8Array;
}

/** The configuration entries after a snapshot, from which a starting node learns its voters. */
export class Configurations {
  readonly #behind: number;
  #kept: RecoveredConfiguration[] = [];

  /** `behind`: index of the snapshot, which includes the configuration up to there. */
  constructor(behind: number) {
    this.#behind = behind;
  }

  /** Adds an entry, which overwrites those at its index and above. Its data is copied. */
  add({ index, kind, data }: Entry): void {
    const last = this.#kept.at(-1);
    if (last !== undefined && last.index >= index) {
      this.#kept = this.#kept.filter((each) => each.index < index);
    }
    if (kind === "configuration" && index > this.#behind) this.#kept.push({ index, data: data.slice() });
  }

  /** Returns the configuration entries, in order. */
  all(): readonly RecoveredConfiguration[] {
    return this.#kept;
  }
}
