/**
 * Log and snapshots against plain values: random runs with replaced entries, syncs, snapshots, compactions, resets, full
 * disks, killed processes and losses of power, in segments so small that they roll all the time. Recovered is
 * all that was synced, and of later data only a beginning.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { LogFullError } from "../../../lib/storage/mod.ts";
import type { PersistBatch, SnapshotStore, WriteAheadLog } from "../../../lib/storage/mod.ts";
import type { Entry } from "../../../lib/raft/types.ts";
import { MemoryDisk } from "../../support/fakes/memory_disk.ts";
import { batch, entryText, openLog, openNode, resetBatch, writeSnapshot } from "../../support/storage.ts";
import {
  EMPTY_LOG,
  identified,
  lastIndexOf,
  type LogModel,
  type Possible,
  stagesOf,
  termOf,
} from "../../support/storage_model.ts";

type Step =
  | {
    kind: "append";
    back: number;
    count: number;
    bytes: number;
    newTerm: boolean;
    vote: boolean;
    commit: number;
  }
  | { kind: "sync" }
  | { kind: "full"; writtenBytes: number }
  | { kind: "read"; from: number; maxBytes: number }
  | { kind: "snapshot"; back: number; cutBack: number; keep: number }
  | { kind: "begin"; ahead: number; newTerm: boolean; count: number }
  | { kind: "restart"; how: "close" | "kill" | "crash"; seed: number };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("append" as const),
      // Number of replaced entries; rarely any.
      back: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(8)),
      count: fc.nat(4),
      bytes: fc.oneof(fc.nat(40), fc.nat(600)),
      newTerm: fc.boolean(),
      vote: fc.boolean(),
      commit: fc.nat(3),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("sync" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("full" as const), writtenBytes: fc.nat(700) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("read" as const), from: fc.nat(), maxBytes: fc.nat(1500) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("snapshot" as const),
      back: fc.nat(3),
      cutBack: fc.nat(6),
      keep: fc.integer({ min: 1, max: 2 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("begin" as const),
      // Below 0: in conflict with what the log has there.
      ahead: fc.integer({ min: -3, max: 5 }),
      newTerm: fc.boolean(),
      count: fc.nat(3),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("restart" as const),
      how: fc.constantFrom("close" as const, "kill" as const, "crash" as const),
      seed: fc.nat(),
    }),
  },
);

/** Log and snapshots beside their model. */
class Life {
  #disk = new MemoryDisk();
  #opened: { readonly log: WriteAheadLog; readonly store: SnapshotStore } | null = null;
  /** The last of the logs is the present one. */
  #possible: Possible = { logs: [EMPTY_LOG], snapshots: [null], cutTo: 0 };
  readonly #segmentBytes: number;
  #stamp = 0;

  constructor(segmentBytes: number) {
    this.#segmentBytes = segmentBytes;
  }

  async run(steps: readonly Step[]): Promise<void> {
    await this.#open();
    for (const step of steps) await this.#step(step);
    await this.#restart("crash", 1);
    await this.#log.close();
    assertEquals(this.#disk.openFiles, 0);
  }

  async #step(step: Step): Promise<void> {
    switch (step.kind) {
      case "append":
        return this.#append(this.#batch(step));
      case "sync":
        await this.#log.sync();
        return this.#settle();
      case "full": {
        this.#disk.intercept = ({ kind }) =>
          kind === "write" ? { code: "ENOSPC", writtenBytes: step.writtenBytes } : null;
        const refused = this.#batch({ back: 2, count: 3, bytes: 200, newTerm: true, vote: true, commit: 0 });
        assertThrows(() => this.#log.append(refused), LogFullError);
        this.#disk.intercept = () => null;
        return;
      }
      case "read":
        return await this.#read(step.from, step.maxBytes);
      case "snapshot":
        return await this.#snapshot(step);
      case "begin":
        return await this.#begin(step);
      case "restart":
        return await this.#restart(step.how, step.seed);
    }
  }

  async #read(from: number, maxBytes: number): Promise<void> {
    const last = lastIndexOf(this.#now);
    const { firstIndex } = this.#log;
    if (last < firstIndex) return;
    const first = firstIndex + from % (last - firstIndex + 1);
    const read = await this.#log.readEntries(first, maxBytes);
    assert(read.length >= 1);
    const at = first - this.#now.begin.index - 1;
    assertEquals(read.map(entryText), this.#now.texts.slice(at, at + read.length));
  }

  async #snapshot({ back, cutBack, keep }: Extract<Step, { kind: "snapshot" }>): Promise<void> {
    const index = this.#now.hardState.commitIndex - back;
    const term = termOf(this.#now, index);
    if (term === null || index <= this.#snapshotIndex) return;
    await writeSnapshot(this.#store, { index, term, chunks: ["state"] });
    this.#store.removeOld(keep);
    const before = Math.max(1, index + 1 - cutBack);
    const cutTo = Math.max(this.#possible.cutTo, before - 1);
    this.#possible = { ...this.#possible, snapshots: [{ index, term }], cutTo };
    this.#log.removeBefore(before);
    assert(
      this.#log.firstIndex <= Math.max(cutTo, this.#now.begin.index) + 1,
      "no more was cut than was asked for",
    );
  }

  async #begin({ ahead, newTerm, count }: Extract<Step, { kind: "begin" }>): Promise<void> {
    const { hardState } = this.#now;
    const last = lastIndexOf(this.#now);
    const index = last + 1 + ahead;
    if (index <= this.#lowest) return;
    const term = Math.max(1, hardState.term + (newTerm || ahead < 0 ? 1 : 0));
    await writeSnapshot(this.#store, { index, term, chunks: ["another's state"] });
    this.#possible = { ...this.#possible, snapshots: [{ index, term }] };
    const vote = term === hardState.term ? hardState.vote : null;
    const entries = this.#entries({ first: index + 1, term, count, bytes: 100 });
    this.#append(resetBatch({ index, term }, { ...hardState, term, vote }, ...entries));
    // It is durable as soon as it is made: the earlier logs are not possible any more.
    this.#possible = { ...this.#possible, logs: this.#possible.logs.slice(-entries.length - 2) };
  }

  async #restart(how: "close" | "kill" | "crash", seed: number): Promise<void> {
    switch (how) {
      case "close":
        await this.#log.close();
        this.#settle();
        break;
      case "kill":
        this.#disk = this.#disk.killProcess();
        this.#settle();
        break;
      case "crash": {
        let turn = seed;
        this.#disk = this.#disk.crash(() =>
          (turn = Math.imul(turn ^ turn >>> 15, 2246822519) + 40503) % 3 !== 0
        );
      }
    }
    await this.#open();
  }

  async #open(): Promise<void> {
    const opened = await openNode(this.#disk, { segmentBytes: this.#segmentBytes });
    this.#opened = opened;
    this.#possible = { ...this.#possible, logs: [identified(opened, this.#possible)] };
  }

  get #log(): WriteAheadLog {
    assert(this.#opened !== null);
    return this.#opened.log;
  }

  get #store(): SnapshotStore {
    assert(this.#opened !== null);
    return this.#opened.store;
  }

  get #now(): LogModel {
    const log = this.#possible.logs.at(-1);
    assert(log !== undefined);
    return log;
  }

  get #snapshotIndex(): number {
    return this.#possible.snapshots.at(-1)?.index ?? 0;
  }

  /** The last entry that no other may replace. */
  get #lowest(): number {
    return Math.max(this.#now.hardState.commitIndex, this.#now.begin.index, this.#snapshotIndex);
  }

  #settle(): void {
    this.#possible = { ...this.#possible, logs: [this.#now] };
  }

  #append(next: PersistBatch): void {
    this.#log.append(next);
    this.#possible = { ...this.#possible, logs: [...this.#possible.logs, ...stagesOf(this.#now, next)] };
  }

  #entries(
    { first, term, count, bytes }: { first: number; term: number; count: number; bytes: number },
  ): readonly Entry[] {
    return Array.from({ length: count }, (_, at): Entry => {
      this.#stamp += 1;
      const data = new TextEncoder().encode(`${this.#stamp} `.repeat(bytes / 4 + 1));
      return { index: first + at, term, kind: "command", data };
    });
  }

  #batch(step: Omit<Extract<Step, { kind: "append" }>, "kind">): PersistBatch {
    const { hardState } = this.#now;
    const end = lastIndexOf(this.#now);
    const first = Math.max(end + 1 - step.back, this.#lowest + 1);
    const term = Math.max(hardState.term + (step.newTerm ? 1 : 0), 1);
    const added = this.#entries({ first, term, count: step.count, bytes: step.bytes });
    const last = added.at(-1)?.index ?? end;
    const vote = term === hardState.term ? hardState.vote ?? (step.vote ? 2 : null) : step.vote ? 1 : null;
    const commitIndex = Math.max(hardState.commitIndex, last - step.commit);
    const next = { term, vote, commitIndex };
    return batch(JSON.stringify(next) === JSON.stringify(hardState) ? null : next, ...added);
  }
}

Deno.test("Storage: a log is a plain array that survives random crashes, full disks, replaced entries and snapshots", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyStep, { maxLength: 60 }),
      fc.constantFrom(512, 1000, 4096),
      async (steps, segmentBytes) => await new Life(segmentBytes).run(steps),
    ),
    { numRuns: 1500 },
  );
});

Deno.test("Storage: entries that are replaced and written again are recovered as they were written last (ABA)", async () => {
  const anyLength = fc.integer({ min: 1, max: 60 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(6), anyLength, fc.boolean()), { minLength: 3, maxLength: 25 }),
      async (rounds) => {
        const disk = new MemoryDisk();
        const { log } = await openLog(disk, { segmentBytes: 512 });
        let model: Entry[] = [];
        for (const [round, [at, length, short]] of rounds.entries()) {
          const index = Math.min(at, model.length) + 1;
          // The same bytes at the same index again and again, distinguished only by their term.
          const data = new Uint8Array(length).fill(short ? 0 : 65);
          const entry: Entry = { index, term: round + 1, kind: "command", data };
          log.append({
            snapshot: null,
            hardState: { term: round + 1, vote: null, commitIndex: 0 },
            entries: [entry],
          });
          model = [...model.slice(0, index - 1), entry];
          if (short) await log.sync();
          assertEquals(await log.readEntries(1, 10_000), model);
        }
        await log.sync();
        const { log: again, recovered } = await openLog(disk.crash(() => false), { segmentBytes: 512 });
        assertEquals(recovered.cachedEntries, model);
        assertEquals(await again.readEntries(1, 10_000), model);
        await Promise.all([log.close(), again.close()]);
      },
    ),
    { numRuns: 100 },
  );
});
