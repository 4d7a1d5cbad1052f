/** Mutants of the data directory and the write-ahead log. */
import { BACKUP, FUZZ, NET, RECORDING, SERVER, SIM, STORAGE, tests } from "./checks.ts";
import { inFile, type Mutant } from "./mutant.ts";

const CHECKS = [RECORDING, STORAGE, SIM];
const LOG_END = tests("log end", "tests/unit/storage/log_end_test.ts");
const LOSSES = tests("driver", "tests/unit/server/driver_test.ts");

export const STORAGE_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/platform/deno_disk.ts", CHECKS, [
    {
      id: "M350",
      title: "standard input is opened by its path",
      failure: "a backup through a pipe is refused by the compiled program, which may not open /dev/stdin",
      from: 'if (isStandardInput(path) && mode === "read")',
      to: 'if (isStandardInput(path) && mode !== "read")',
      checks: [BACKUP],
    },
    {
      id: "M3191",
      title: "a file is created through a link with its name",
      failure: "who may write the directory of backups has a node overwrite any file of its user",
      from: 'create: "wx+"',
      to: 'create: "w+"',
      checks: [STORAGE],
    },
    {
      id: "M50",
      title: "two processes may use one data directory",
      failure: "each overwrites the other's log",
      from: "file.tryLockSync(true)",
      to: "file.statSync().isFile",
    },
    {
      id: "M56",
      title: "the rest of a short write is dropped",
      failure: "near a full disk half a batch is acknowledged as a whole one",
      from: "written += count;",
      to: "written = bytes.length;",
    },
    {
      id: "M233",
      title: "a large file that is removed is emptied",
      failure: "a backup of hard links loses its bytes",
      from: "const leaving =",
      to: "fs.truncateSync(path, 0);\n    const leaving =",
      checks: [STORAGE],
    },
    {
      id: "M346",
      title: "a start looks at a file that an earlier removal is just taking away",
      failure:
        "a node that was killed with a segment prepared does not start: its log is said to be of no use",
      from: "const isLeaving = path.endsWith(REMOVED_SUFFIX);",
      to: "const isLeaving = path.endsWith(REMOVED_SUFFIX) && fs.lstatSync(path).size > SMALL_BYTES;",
      checks: [STORAGE],
    },
  ]),
  ...inFile("lib/server/leadership_transfer.ts", [SERVER], [
    {
      id: "M351",
      title: "a leader without disk space looks for another node in each turn",
      failure:
        "the question schedules another turn: the process spins, and answers nothing until it is killed",
      from: "to === null ? NO_SPACE_RETRY_MS : DISK_RETRY_MS",
      to: "to === null ? 0 : DISK_RETRY_MS",
    },
  ]),
  ...inFile("lib/platform/system.ts", [NET], [
    {
      id: "M352",
      title: "a pass over callbacks at the end of a turn has no bound",
      failure: "callbacks that add each other block every socket and timer forever",
      from: "&& next < CALLBACKS_PER_PASS",
      to: "",
    },
    {
      id: "M828",
      title: "a delay of more than 25 days is given to the runtime as it is",
      failure: "the timer fires at once: a lease of months is kept alive a thousand times a second",
      from: "if (delayMs > MAX_DELAY_MS) return this.#afterLong(delayMs, callback);",
      to: "",
    },
  ]),
  ...inFile("lib/storage/data_directory.ts", CHECKS, [
    {
      id: "M353",
      title: "a log that has lost all of its files is created again",
      failure:
        "an operator who deletes *.log has a voter that forgot its votes and its entries, and votes on",
      from: "|| hasLostLog(disk, wal)",
      to: "",
      checks: [STORAGE],
    },
    {
      id: "M55",
      title: "another node's data directory is taken for one's own",
      failure: "a node votes with the memory of another",
      from: "owner.nodeId !== nodeId",
      to: "owner.nodeId < 1",
    },
    {
      id: "M59",
      title: "the identity is written before the log's folder is durable",
      failure: "a crash during the first start leaves a folder that no start can use",
      from: "disk.syncDirectory(path);\n    return { lock, identity };",
      to: "return { lock, identity };",
    },
    {
      id: "M238",
      title: "an unfinished restore is not marked before its snapshot has a name",
      failure: "the next start begins an empty node instead of the restored one",
      from: "if (isMarked) throw await unfinished(options);",
      to: "",
      checks: [SERVER],
    },
  ]),
  ...inFile("lib/storage/wal/wal.ts", CHECKS, [
    {
      id: "M354",
      title: "the mark that a log was never begun stays when it is",
      failure: "a log that has lost all of its files counts as one that never had any",
      from: "unmarkNotBegun(disk, directory);",
      to: "",
      checks: [STORAGE, SERVER],
    },
    {
      id: "M21",
      title: "a failed sync is tried again",
      failure: "the second one succeeds over pages that the kernel has dropped (fsyncgate)",
      from: "await segment.file.syncData();",
      to: "await segment.file.syncData().catch(() => segment.file.syncData());",
    },
    {
      id: "M22",
      title: "the folder is not synced when a segment appears in it",
      failure: "after a loss of power the newest segment is not there",
      from: "if (!this.#nameIsDue) return;",
      to: "if (this.#segment !== null) return void (this.#nameIsDue = false);",
    },
    {
      id: "M51",
      title: "a batch that was written in part is not taken back",
      failure: "entries that were refused come alive behind a shorter batch",
      from: "this.#segment.file.truncate(this.#segment.end);",
      to: "",
    },
    {
      id: "M53",
      title: "a sync covers records that were appended during it",
      failure: "records vouch for others that a crash may take: the node refuses to start",
      from: "segment.synced = Math.max(segment.synced, end);",
      to: "segment.synced = segment.end;",
    },
    {
      id: "M57",
      title: "an old segment is left before it is synced",
      failure: "the next segment's header vouches for records that a crash may take",
      from: "old.file.truncate(old.end);\n      old.file.syncNow();",
      to: "old.file.truncate(old.end);",
    },
    {
      id: "M230",
      title: "a failed sync of the zeros of a segment that is in use is passed over",
      failure: "records are called durable that the kernel has dropped",
      from: 'if (next.isInUse && step === "sync" && !this.#closed) this.#fail(error);',
      to: "",
      checks: [STORAGE],
    },
    {
      id: "M231",
      title: "a lack of file descriptors is taken for a broken disk",
      failure: "many connections end the node",
      from: "const mayRepeat = isDiskFull(error) || isOutOfDescriptors(error);",
      to: "const mayRepeat = isDiskFull(error);",
      checks: [STORAGE],
    },
  ]),
  ...inFile("lib/server/tools/inspect.ts", [SERVER], [
    {
      id: "M356",
      title: "an empty directory passes an inspection",
      failure: "a copy that failed counts as a backup without damage",
      from: "if (names.some((name) => DIRECTORY_NAMES.includes(name))) return;",
      to: "if (names.length === 0 || names.some((name) => DIRECTORY_NAMES.includes(name))) return;",
    },
  ]),
  ...inFile("lib/storage/wal/torn_tail.ts", CHECKS, [
    {
      id: "M18",
      title: "the log is cut at the first bad record though a good one follows",
      failure: "damage in the middle removes acknowledged writes without an error",
      from: "syncedOffset > from &&",
      to: "syncedOffset > fileBytes &&",
    },
  ]),
  ...inFile("lib/storage/wal/record.ts", CHECKS, [
    {
      id: "M19",
      title: "checksums are not checked",
      failure: "decayed bytes are served as data",
      from: "return view.getUint32(position) === checksum(",
      to: "return 0 <= checksum(",
    },
  ]),
  ...inFile("lib/storage/wal/active_segment.ts", CHECKS, [
    {
      id: "M20",
      title: "a torn tail stays in the file after the next records",
      failure: "records of before the crash come alive again after the next one",
      from: "if (last.cut !== null) file.truncate(end);",
      to: "",
    },
    {
      id: "M52",
      title: "records that a failed sync left in memory are not written again after a restart",
      failure: "the next loss of power takes what recovery handed back as durable",
      from: "await rewrite(file, synced, end);",
      to: "",
    },
    {
      id: "M58",
      title: "recovery does not sync the entries that it returns",
      failure: "the node builds on entries that the next loss of power takes",
      from: "preallocate(file, options.segmentBytes);\n    file.syncNow();",
      to: "preallocate(file, options.segmentBytes);",
    },
  ]),
  ...inFile("lib/storage/wal/batch.ts", CHECKS, [
    {
      id: "M23",
      title: "the term and vote of a batch are written after its entries",
      failure: "a torn batch leaves entries of a term that the node never entered",
      from: "const early = hardState === null ? null :",
      to: "const early = hardState === null || entries.length > 0 ? null :",
    },
    {
      id: "M105",
      title: "the log that starts after a snapshot keeps the hard state of the old one",
      failure: "after a crash the log is of a later term than the node",
      from: "hardState: early ?? state.hardState, isCut",
      to: "hardState: state.hardState, isCut",
    },
  ]),
  ...inFile("lib/storage/wal/reader.ts", CHECKS, [
    {
      id: "M27",
      title: "entries that are read back are views of the read buffer",
      failure: "a follower is sent other bytes than the log holds",
      from: "data: copier.copy(data)",
      to: "data",
    },
  ]),
  ...inFile("lib/storage/wal/segment.ts", CHECKS, [
    {
      id: "M54",
      title: "a segment gets its name before its header is synced",
      failure: "a crash leaves a segment without a header: the node refuses to start",
      from: "file.syncNow();\n      this.#disk.rename(",
      to: "this.#disk.rename(",
    },
  ]),
  ...inFile("lib/storage/wal/log_state.ts", CHECKS, [
    {
      id: "M33",
      title: "the log is cut beyond the snapshot",
      failure: "after a restart entries are in neither of the two: the node refuses to start",
      from: "({ firstIndex }) => firstIndex <= index",
      to: "({ firstIndex }) => firstIndex <= index + 1",
    },
    {
      id: "M107",
      title: "an entry that overrode others before the log's beginning counts as damage",
      failure: "a node whose log was cut at such a place refuses to start",
      from: "this.#reachesBack ? 1 : this.firstIndex",
      to: "this.firstIndex",
    },
  ]),
  ...inFile("lib/storage/snapshot/writer.ts", CHECKS, [
    {
      id: "M100",
      title: "the folder is not synced when a snapshot gets its name",
      failure: "a loss of power takes the snapshot behind which the log was cut",
      from: "this.#disk.syncDirectory(this.#directory);",
      to: "",
    },
  ]),
  ...inFile("lib/storage/snapshot/writer.ts", CHECKS, [
    {
      id: "M101",
      title: "a snapshot gets its name before it is synced",
      failure: "a loss of power leaves half a snapshot, and the log behind it was cut",
      from: "await this.#file.sync();\n    return this.#installed();",
      to: "return await Promise.resolve(this.#installed());",
    },
  ]),
  ...inFile("lib/storage/snapshot/reader.ts", [STORAGE, FUZZ], [
    {
      id: "M102",
      title: "the checksum of a snapshot's chunk is ignored",
      failure: "decayed bytes become the state of a node",
      from: "!chunkHolds(frame, content, { seed, offset })",
      to: "!chunkHolds(frame, content, { seed, offset }) && bytes < 0",
    },
    {
      id: "M103",
      title: "an unfinished snapshot is taken for a complete one",
      failure: "a node starts from a part of the state without an error",
      from: "if (bytes === null) throw",
      to: "if (frame.length === 0) return { chunks, contentBytes, checksum };\n    if (bytes === null) throw",
    },
    {
      id: "M239",
      title: "an error of reading is taken for damage",
      failure: "an operator discards a node whose files are intact",
      from: "throw new SnapshotUnreadableError(source.file, { offset, reason: errorMessage(cause), cause });",
      to:
        "throw new SnapshotDamagedError({ file: source.file, offset, reason: errorMessage(cause), cause });",
      checks: [STORAGE, SERVER],
    },
  ]),
  ...inFile("lib/storage/wal/segment.ts", CHECKS, [
    {
      id: "M104",
      title: "segments are removed in any order: their removals are not made durable one by one",
      failure: "a loss of power leaves a gap in the log: the node refuses to start",
      from: "this.#disk.syncDirectory(this.#directory);",
      to: "",
    },
    {
      id: "M106",
      title: "segments are removed while entries are read from them",
      failure: "a follower that is behind ends the leader",
      from: "if (this.#readers > 0) return;",
      to: "",
      checks: [STORAGE],
    },
  ]),
  ...inFile("lib/storage/wal/recovery.ts", CHECKS, [
    {
      id: "M108",
      title: "a log that the snapshot is not in is kept at the start",
      failure: "a node that died while it installed a snapshot goes on with a gap",
      from: "if (snapshot.index > lastIndex) return true;",
      to: "if (snapshot.index > lastIndex) return false;",
    },
  ]),
  ...inFile("lib/storage/snapshot/receiver.ts", [STORAGE], [
    {
      id: "M109",
      title: "a received snapshot is installed unread",
      failure: "a snapshot that was damaged in transit replaces the state",
      from: "assert(this.#isVerified,",
      to: "assert(this.#isVerified || true,",
    },
  ]),
  ...inFile("lib/storage/wal/recovery.ts", [STORAGE], [
    {
      id: "M232",
      title: "recovery keeps a configuration that a shorter log has overridden",
      failure: "after a restart members decide that were never agreed upon",
      from: "this.#kept.filter((each) => each.index < index)",
      to: "this.#kept.filter((each) => each.index !== index)",
    },
  ]),
  ...inFile("lib/storage/wal/recovery.ts", [LOG_END], [
    {
      id: "M445",
      title: "a log is accepted if its last segment exists, however short",
      failure: "a node starts without entries and a vote that it acknowledged",
      from: "if (number === stopped.segment && end >= stopped.offset) return;",
      to: "if (number === stopped.segment && end >= 0) return;",
    },
    {
      id: "M446",
      title: "a log is accepted if its newest segments were removed",
      failure: "the same",
      from: "if (stopped === null || number > stopped.segment) return;",
      to: "if (stopped === null || number !== stopped.segment) return;",
    },
  ]),
  ...inFile("lib/storage/wal/wal.ts", [LOG_END], [
    {
      id: "M447",
      title: "a clean stop does not write down where the log ends",
      failure: "a log that is shortened while the node is down is not noticed",
      from: "      this.#writeEnd();\n",
      to: "",
    },
  ]),
  ...inFile("lib/server/driver.ts", [LOSSES], [
    {
      id: "M448",
      title: "a message that proves a loss of acknowledged entries is a debug line",
      failure: "a node stays behind without a reason that an operator sees",
      from: "if (loss === undefined)",
      to: "if (loss === undefined || kind !== null)",
    },
  ]),
];
