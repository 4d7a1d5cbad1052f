/**
 * Crash consistency by recording: random runs of a node's storage (appends, truncations, rolls of segments, syncs during
 * appends, snapshots of its own and of others, compactions and resets of the log, clean stops, killed
 * processes, losses of power), and for the moment before each single operation of the disk every content that a loss of
 * power may leave. Acknowledged data is kept, of later data only a beginning, snapshot and log are consistent,
 * and storage can continue with them.
 *
 * `deno test … crash_consistency_test.ts -- --lives=500 --first-life=1` tries more.
 */
import { assert } from "@std/assert";
import type { Entry } from "../../../lib/raft/types.ts";
import { type PersistBatch, SnapshotStore, type WriteAheadLog } from "../../../lib/storage/mod.ts";
import type { EntryId } from "../../../lib/raft/mod.ts";
import { type CrashPoint, outcomesOf, recordCrashPoints } from "../../support/crash_points.ts";
import { MemoryDisk } from "../../support/fakes/memory_disk.ts";
import { numberOption, SeededRandom } from "../../support/seeded_random.ts";
import {
  batch,
  entry,
  hardState,
  openNode,
  resetBatch,
  SNAPSHOTS,
  writeSnapshot,
} from "../../support/storage.ts";
import {
  EMPTY_LOG,
  identified,
  lastIndexOf,
  type LogModel,
  type Possible,
  stagesOf,
  termOf,
} from "../../support/storage_model.ts";

const LIVES = 12;
const STEPS = 18;
const SEGMENT_BYTES = 512;
/** Outcomes tried of a crash point that has too many to try all. */
const SAMPLES = 8;
/** Of the recovered states, one in so many is also continued. */
const GONE_ON_WITH = 8;

/** A node's storage with random operations. */
class Life {
  readonly points: CrashPoint<Possible>[] = [];
  /** Steps of the rarer kinds that were made. */
  readonly made = { snapshots: 0, cuts: 0, beginnings: 0 };
  readonly #random: SeededRandom;
  #disk = new MemoryDisk();
  #log: WriteAheadLog | null = null;
  #store: SnapshotStore | null = null;
  #possible: Possible = { logs: [EMPTY_LOG], snapshots: [null], cutTo: 0 };
  #stamp = 0;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  async run(): Promise<void> {
    await this.#continueOn(this.#disk);
    for (let step = 0; step < STEPS; step++) await this.#step();
    await this.#log?.close();
    this.#allIsDurable();
    this.points.push({ about: "the end", image: this.#disk.killProcess(), known: this.#possible });
  }

  async #step(): Promise<void> {
    const random = this.#random;
    const log = this.#log;
    const store = this.#store;
    assert(log !== null && store !== null, "a life begins with all open");
    const dice = random.next();
    if (dice < 0.45) return this.#append(log, this.#batch());
    if (dice < 0.57) return await this.#sync(log, { appends: 0 });
    if (dice < 0.64) return await this.#sync(log, { appends: 1 + random.below(2) });
    if (dice < 0.78) return await this.#snapshot(log, store);
    if (dice < 0.85) return await this.#install(log, store);
    if (dice < 0.9) {
      await log.close();
      this.#allIsDurable();
      return await this.#continueOn(this.#disk);
    }
    if (dice < 0.95) return await this.#continueOn(this.#disk.killProcess());
    return await this.#continueOn(random.pick([...outcomesOf(this.#disk, { random, samples: SAMPLES })]));
  }

  get #now(): LogModel {
    const now = this.#possible.logs.at(-1);
    assert(now !== undefined, "something is always possible");
    return now;
  }

  /** The last entry that no other may replace: the committed one, also if only a snapshot knows it. */
  get #lowest(): number {
    const { hardState, begin } = this.#now;
    return Math.max(hardState.commitIndex, begin.index, this.#possible.snapshots.at(-1)?.index ?? 0);
  }

  #allIsDurable(): void {
    this.#possible = { ...this.#possible, logs: [this.#now] };
  }

  /** Makes durable all that is written by now; more may be written meanwhile. */
  async #sync(log: WriteAheadLog, { appends }: { readonly appends: number }): Promise<void> {
    const written = this.#possible.logs.length;
    const gate = Promise.withResolvers<void>();
    this.#disk.syncGate = gate.promise;
    const syncing = log.sync();
    for (let count = 0; count < appends; count++) this.#append(log, this.#batch());
    gate.resolve();
    this.#disk.syncGate = null;
    await syncing;
    this.#possible = { ...this.#possible, logs: this.#possible.logs.slice(written - 1) };
  }

  #append(log: WriteAheadLog, next: PersistBatch): void {
    const { logs } = this.#possible;
    const stages = stagesOf(this.#now, next);
    this.#possible = { ...this.#possible, logs: [...logs, ...stages] };
    log.append(next);
    // A reset is durable as soon as it is made.
    if (next.snapshot !== null) this.#possible = { ...this.#possible, logs: stages.slice(1) };
  }

  /** Takes a snapshot of the committed entries, durable in the log or not, and compacts the log. */
  async #snapshot(log: WriteAheadLog, store: SnapshotStore): Promise<void> {
    const random = this.#random;
    const now = this.#now;
    const newest = this.#possible.snapshots.at(-1) ?? null;
    const { commitIndex } = now.hardState;
    const first = Math.max(newest?.index ?? 0, now.begin.index) + 1;
    if (commitIndex < first) return;
    const index = commitIndex - random.below(Math.min(3, commitIndex - first + 1));
    const snapshot = { index, term: termOf(now, index) ?? 0 };
    await this.#widened(
      snapshot,
      () => writeSnapshot(store, { ...snapshot, chunks: ["state", "x".repeat(700)] }),
    );
    this.made.snapshots += 1;
    if (random.chance(0.5)) store.removeOld(1 + random.below(2));
    if (random.chance(0.3)) return;
    const before = index + 1 - random.below(3);
    this.#possible = { ...this.#possible, cutTo: Math.max(this.#possible.cutTo, before - 1) };
    const { firstIndex } = log;
    log.removeBefore(before);
    this.made.cuts += log.firstIndex > firstIndex ? 1 : 0;
  }

  /** Installs a snapshot that another node sent, beyond the log's end or in conflict with it. */
  async #install(log: WriteAheadLog, store: SnapshotStore): Promise<void> {
    const random = this.#random;
    const { hardState: now } = this.#now;
    const last = lastIndexOf(this.#now);
    const lowest = this.#lowest;
    const isConflict = last > lowest && random.chance(0.4);
    const index = isConflict ? last - random.below(last - lowest) : last + 1 + random.below(5);
    const snapshot = { index, term: isConflict || random.chance(0.5) ? now.term + 1 : Math.max(now.term, 1) };
    await this.#widened(snapshot, () => receiveSnapshot(store, snapshot));
    // Killed in between: the next start resets the log by itself.
    if (random.chance(0.2)) return await this.#continueOn(this.#disk.killProcess());
    const term = snapshot.term + random.below(2);
    const vote = term > now.term ? random.pick([null, 1]) : now.vote;
    const entries = this.#entries({ first: index + 1, term });
    const commitIndex = random.chance(0.5) ? index + random.below(entries.length + 1) : now.commitIndex;
    this.#append(log, resetBatch(snapshot, hardState(term, vote, commitIndex), ...entries));
    this.made.beginnings += 1;
    if (random.chance(0.5)) store.removeOld(1);
  }

  /** While the snapshot is being received, it or the one before is the newest; afterwards only it. */
  async #widened(snapshot: EntryId, action: () => Promise<void>): Promise<void> {
    this.#possible = { ...this.#possible, snapshots: [...this.#possible.snapshots, snapshot] };
    await action();
    this.#possible = { ...this.#possible, snapshots: [snapshot] };
  }

  /** Opens all on `disk`; the recovered state is durable from then on. */
  async #continueOn(disk: MemoryDisk): Promise<void> {
    this.#disk = disk;
    recordCrashPoints(disk, { into: this.points, known: () => this.#possible });
    const opened = await openNode(disk, { segmentBytes: SEGMENT_BYTES });
    const log = identified(opened, this.#possible);
    this.#possible = { ...this.#possible, logs: [log], snapshots: [opened.snapshot] };
    this.#log = opened.log;
    this.#store = opened.store;
  }

  #entries({ first, term }: { readonly first: number; readonly term: number }): Entry[] {
    const random = this.#random;
    return Array.from({ length: random.below(4) }, (_, at): Entry => {
      this.#stamp += 1;
      return entry(first + at, term, `${this.#stamp} `.repeat(1 + random.below(random.pick([5, 40, 150]))));
    });
  }

  #batch(): PersistBatch {
    const random = this.#random;
    const { hardState: now } = this.#now;
    const end = lastIndexOf(this.#now);
    const term = Math.max(1, now.term + (random.chance(0.3) ? 1 : 0));
    const back = random.chance(0.3) ? random.below(6) : 0;
    const lowest = Math.max(
      now.commitIndex,
      this.#now.begin.index,
      this.#possible.snapshots.at(-1)?.index ?? 0,
    );
    const added = this.#entries({ first: Math.max(lowest + 1, end + 1 - back), term });
    const last = added.at(-1)?.index ?? end;
    const vote = term > now.term ? random.pick([null, 1]) : now.vote;
    const commitIndex = Math.max(now.commitIndex, Math.min(last, lowest + random.below(3)));
    return batch(hardState(term, vote, commitIndex), ...added);
  }
}

/** Another node's snapshot, complete. */
async function receiveSnapshot(store: SnapshotStore, snapshot: EntryId): Promise<void> {
  const disk = new MemoryDisk();
  for (const path of ["/data", SNAPSHOTS]) disk.createDirectory(path);
  const sender = await SnapshotStore.open({ disk, directory: SNAPSHOTS });
  await writeSnapshot(sender, { ...snapshot, chunks: ["sent", "y".repeat(600)] });
  const bytes = disk.bytesOf(`${SNAPSHOTS}/${disk.list(SNAPSHOTS)[0]}`);
  const receiver = store.receive({ ...snapshot, totalBytes: bytes.length });
  while (receiver.nextOffset < bytes.length) {
    receiver.write(receiver.nextOffset, bytes.slice(receiver.nextOffset, receiver.nextOffset + 300));
  }
  const reader = await receiver.finish();
  for await (const _ of reader.chunks()) { /* verified by reading */ }
  receiver.install();
}

/** Opens the remaining data, and now and then continues with it and loses the power again. */
async function check(
  disk: MemoryDisk,
  { possible, goOn }: { readonly possible: Possible; readonly goOn: boolean },
): Promise<void> {
  const opened = await openNode(disk, { segmentBytes: SEGMENT_BYTES });
  const found = identified(opened, possible);
  const { log, snapshot } = opened;
  if (goOn) {
    const { term, vote, commitIndex } = found.hardState;
    const next = batch(
      hardState(term + 1, vote, commitIndex),
      entry(lastIndexOf(found) + 1, term + 1, "next"),
    );
    log.append(next);
    await log.sync();
    const again = await openNode(disk.crash(() => false));
    identified(again, { ...possible, logs: stagesOf(found, next).slice(-1), snapshots: [snapshot] });
    await again.log.close();
  }
  await log.close();
}

Deno.test("Storage: a loss of power before any operation of the disk loses nothing that was acknowledged", async () => {
  const first = numberOption("first-life") ?? 1;
  const lives = numberOption("lives") ?? LIVES;
  let outcomes = 0;
  let open = 0;
  const made = { snapshots: 0, cuts: 0, beginnings: 0 };
  for (let seed = first; seed < first + lives; seed++) {
    const random = new SeededRandom(seed);
    const life = new Life(random);
    await life.run().catch((cause) => {
      throw new Error(`life ${seed}`, { cause });
    });
    for (const [number, { about, image, known }] of life.points.entries()) {
      for (const disk of outcomesOf(image, { random, samples: SAMPLES })) {
        outcomes += 1;
        try {
          await check(disk, { possible: known, goOn: outcomes % GONE_ON_WITH === 0 });
        } catch (cause) {
          throw new Error(`life ${seed}, operation ${number} (${about}), outcome ${outcomes}`, { cause });
        }
      }
      open += known.logs.length > 1 ? 1 : 0;
    }
    made.snapshots += life.made.snapshots;
    made.cuts += life.made.cuts;
    made.beginnings += life.made.beginnings;
  }
  assert(outcomes > 200 * lives, `${outcomes} outcomes`);
  assert(open > lives, "much could be lost that had not been synced");
  const { snapshots, cuts, beginnings } = made;
  assert(snapshots > lives && cuts > lives / 3 && beginnings > lives / 2, JSON.stringify(made));
});
