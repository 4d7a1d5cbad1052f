/**
 * Reads a log back: every record of every segment in order, in bounded memory, changing nothing.
 *
 * What a crash can do to a log is lose or tear what was not yet synced, and that is always at the end of the last
 * segment: a tail to be cut. Anything else is damage, and refused: acknowledged entries are never dropped. The two are
 * told apart by `syncedOffset`: each record says up to where everything was durable when it was written, so a bad
 * place is damage when any record after it vouches for it, and a torn tail when none does. The very last batch has
 * none after it; for its sake the log leaves a sync mark behind whenever a sync has caught up (wal.ts). Damage to it
 * is taken for a torn tail only if the power failed before that mark, too, was on the disk.
 */
import { assertNever } from "../assert.ts";
import type { Entry } from "../raft/types.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { LogDamagedError, NewerFormatError } from "./errors.ts";
import { FORMAT_VERSION } from "./identity.ts";
import type { Identity } from "./identity.ts";
import { LogState } from "./log_state.ts";
import { entryRecordBytes, segmentSeed } from "./record.ts";
import type { SegmentHeader } from "./record.ts";
import { RecordScanner } from "./record_scanner.ts";
import type { ScannedRecord } from "./record_scanner.ts";
import { segmentName, segmentNumber } from "./segment.ts";
import { SlabCopier } from "./slab.ts";
import { examineRest } from "./torn_tail.ts";

/** Bytes read at a time. */
export const RECOVERY_WINDOW_BYTES = 1024 * 1024;
/** Enough for a segment's header. */
const HEADER_WINDOW_BYTES = 4096;

/** What was cut from the end of the log: written, but never known to be synced, and not whole. */
export interface CutTail {
  /** The segment's path. */
  readonly file: string;
  /** Byte from which on it was cut. */
  readonly offset: number;
  /** Bytes that stood there, without the zeros behind them. */
  readonly bytes: number;
}

/** Where the log goes on. */
export interface LastSegment {
  /** Number of the last segment. */
  readonly number: number;
  /** Where its header ends. */
  readonly begin: number;
  /** Where its records end. */
  readonly end: number;
  /** What its last record knew to be durable. */
  readonly synced: number;
  /** The torn tail to be cut before anything is written, or null. */
  readonly cut: CutTail | null;
}

/** A log as it was found. */
export interface Recovery {
  /** What it says. */
  readonly state: LogState;
  /** Its last entries, as many as fit the bound. */
  readonly tail: readonly Entry[];
  /** Its last segment, or null when there is none yet. */
  readonly last: LastSegment | null;
  /** Number of segments. */
  readonly segments: number;
  /** Bytes of all valid records. */
  readonly bytes: number;
}

/** What recovery needs. */
export interface RecoveryOptions {
  readonly disk: Disk;
  /** The log's directory. */
  readonly directory: string;
  /** Whose log it must be. */
  readonly identity: Identity;
  /** Most bytes of entries handed back. */
  readonly tailBytes: number;
}

/** Reads the log. Throws {@link LogDamagedError} or {@link NewerFormatError}; changes nothing in any case. */
export async function recover(options: RecoveryOptions): Promise<Recovery> {
  return await new Replay(options).run();
}

class Replay {
  readonly #options: RecoveryOptions;
  readonly #state = new LogState();
  readonly #tail: Tail;
  #bytes = 0;

  constructor(options: RecoveryOptions) {
    this.#options = options;
    this.#tail = new Tail(options.tailBytes);
  }

  async run(): Promise<Recovery> {
    const { disk, directory } = this.#options;
    const names = disk.list(directory).filter((name) => name.endsWith(".log"));
    const numbers = names.map((name) => this.#numberOf(name)).sort((a, b) => a - b);
    let previous: LastSegment | null = null;
    for (const [position, number] of numbers.entries()) {
      previous = await this.#segment({ number, next: numbers[position + 1] ?? null, previous });
    }
    return {
      state: this.#state,
      tail: this.#tail.entries(),
      last: previous,
      segments: numbers.length,
      bytes: this.#bytes,
    };
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
      const cut = next === null ? await this.#examineEnd(file, scanner, { number, ...scan }) : null;
      this.#bytes += scan.end;
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
    const expected = { number, previous, state: this.#state, identity: this.#options.identity };
    const reason = whyNotHeader(found.header, expected);
    if (reason !== null) throw this.#damage(number, 0, reason);
    return found.end;
  }

  /**
   * Where segment `number` ends according to the header of the segment after it, before which it was wholly synced.
   * Null when that header doesn't say: it is refused when its turn comes, and then with the right index.
   */
  async #statedEnd(number: number, next: number): Promise<number | null> {
    const file = this.#options.disk.open(this.#path(next), "read");
    try {
      const scanner = new RecordScanner({ file, seed: segmentSeed(next), windowBytes: HEADER_WINDOW_BYTES });
      const previous = (await this.#header(scanner, next))?.header.previous ?? null;
      return previous?.number === number ? previous.end : null;
    } finally {
      file.close();
    }
  }

  /** The segment's header, or null when it has no valid one. */
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

  /** Replays the records up to the stated end, or without one to the first place where none stands. */
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
        throw this.#damage(number, stop, `no valid record stands there, though the log goes on after it`);
      }
      // Nobody writes behind a mark: recovery would take what the reader of entries refuses.
      const reason = stop === end ? this.#replay(found, number) : "a record stands behind a sync mark";
      if (reason !== null) throw this.#damage(number, stop, reason);
      synced = Math.max(synced, found.syncedOffset);
      stop = found.end;
      // A mark takes no room of its own: the next batch is written over it.
      if (found.record?.kind !== "syncMark") end = stop;
    }
    return { end, synced, stop };
  }

  /** Takes in one record; returns why it can't be part of this log, or null. */
  #replay(found: ScannedRecord, segment: number): string | null {
    const { record, offset } = found;
    if (record === null) return "the record there is of a kind unknown to this version";
    switch (record.kind) {
      case "segmentHeader":
        return "a segment header stands inside a segment";
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
        this.#tail.add(record.entry);
        return null;
      }
      default:
        return assertNever(record);
    }
  }

  /** Decides whether what stands behind the last segment's records is nothing, a torn tail, or proof of damage. */
  async #examineEnd(
    file: DiskFile,
    scanner: RecordScanner,
    place: { number: number; end: number; stop: number },
  ): Promise<CutTail | null> {
    const { number, end, stop } = place;
    const rest = await examineRest({ file, scanner, from: stop });
    if (rest.vouchedBy !== null) {
      const { offset, syncedOffset } = rest.vouchedBy;
      const witness =
        `the record at byte ${offset} says that everything before byte ${syncedOffset} was synced`;
      throw this.#damage(number, stop, `no valid record stands there, though ${witness}`);
    }
    return rest.end > stop ? { file: this.#path(number), offset: end, bytes: rest.end - end } : null;
  }

  #numberOf(name: string): number {
    const number = segmentNumber(name);
    if (number !== null) return number;
    const file = `${this.#options.directory}/${name}`;
    throw new LogDamagedError({ file, offset: 0, index: 1, reason: "no segment has such a name" });
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

/** Why a segment's header doesn't fit the log before it, or null when it does. */
function whyNotHeader(
  header: SegmentHeader,
  expected: { number: number; previous: LastSegment | null; state: LogState; identity: Identity },
): string | null {
  const { number, previous, state, identity } = expected;
  if (header.number !== number) return `it is segment ${segmentName(header.number)} under another name`;
  if (header.identity.clusterId !== identity.clusterId || header.identity.nodeId !== identity.nodeId) {
    const { nodeId, clusterId } = header.identity;
    return `it belongs to node ${nodeId} of cluster ${clusterId}`;
  }
  if (previous === null && header.previous !== null) return "the segments before it are missing";
  if (header.previous?.number !== previous?.number) {
    return `segments between ${segmentName(previous?.number ?? 0)} and this one are missing`;
  }
  if (header.previous?.end !== previous?.end) return "it does not begin where the segment before it ends";
  if (header.firstIndex !== state.lastIndex + 1) {
    return `it begins with entry ${header.firstIndex}, and the segments before it end with entry ${state.lastIndex}`;
  }
  const { term, vote, commitIndex } = header.hardState;
  const found = state.hardState;
  if (term !== found.term || vote !== found.vote || commitIndex !== found.commitIndex) {
    return "the hard state at its beginning is not the one that the segments before it end with";
  }
  return null;
}

/** The last entries of the log, as many as fit the bound. */
class Tail {
  readonly #limitBytes: number;
  readonly #copier = new SlabCopier();
  readonly #entries: Entry[] = [];
  #head = 0;
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Adds an entry, which overrides those at its index and above. Its data is copied. */
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

  entries(): readonly Entry[] {
    return this.#entries.slice(this.#head);
  }

  #last(): Entry | null {
    return this.#entries.length > this.#head ? this.#entries.at(-1) ?? null : null;
  }

  #dropFirst(): void {
    const first = this.#entries[this.#head];
    if (first === undefined) return;
    this.#bytes -= entryRecordBytes(first);
    this.#head += 1;
    // Moved together now and then rather than at each drop, which would cost the whole array every time.
    if (this.#head * 2 > this.#entries.length) {
      this.#entries.splice(0, this.#head);
      this.#head = 0;
    }
  }
}
