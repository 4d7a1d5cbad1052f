/**
 * The log against a plain array: random lives with overrides, syncs, full disks, deaths of the process and losses of
 * power, in segments so small that they roll all the time. What comes back is what was synced, and of what was
 * written after it only a beginning.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { LogFullError } from "../../../lib/storage/mod.ts";
import type { PersistBatch, WriteAheadLog } from "../../../lib/storage/mod.ts";
import type { Entry, HardState } from "../../../lib/raft/types.ts";
import { MemoryDisk } from "../../support/memory_disk.ts";
import { entryText, openLog } from "../../support/storage.ts";

/** What a log holds, as plain values. */
interface State {
  readonly hardState: HardState;
  readonly entries: readonly Entry[];
}

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
  | { kind: "restart"; how: "close" | "kill" | "crash"; seed: number };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("append" as const),
      // How many entries are overridden; rarely any.
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
      kind: fc.constant("restart" as const),
      how: fc.constantFrom("close" as const, "kill" as const, "crash" as const),
      seed: fc.nat(),
    }),
  },
);

/** A log beside its model. */
class Life {
  #disk = new MemoryDisk();
  #log: WriteAheadLog | null = null;
  /** What is synced, then what was after each record written since. The last is what the log holds now. */
  #states: State[] = [{ hardState: { term: 0, vote: null, commitIndex: 0 }, entries: [] }];
  readonly #segmentBytes: number;
  #stamp = 0;

  constructor(segmentBytes: number) {
    this.#segmentBytes = segmentBytes;
  }

  async run(steps: readonly Step[]): Promise<void> {
    await this.#open();
    for (const step of steps) await this.#step(step);
    await this.#restart("crash", 1);
    await this.#log?.close();
    assertEquals(this.#disk.openFiles, 0);
  }

  async #step(step: Step): Promise<void> {
    switch (step.kind) {
      case "append": {
        const batch = this.#batch(step);
        this.#open_().append(batch);
        this.#note(batch);
        return;
      }
      case "sync":
        await this.#open_().sync();
        this.#states = [this.#now];
        return;
      case "full": {
        this.#disk.intercept = ({ kind }) =>
          kind === "write" ? { code: "ENOSPC", writtenBytes: step.writtenBytes } : null;
        const batch = this.#batch({ back: 2, count: 3, bytes: 200, newTerm: true, vote: true, commit: 0 });
        assertThrows(() => this.#open_().append(batch), LogFullError);
        this.#disk.intercept = () => null;
        return;
      }
      case "read":
        return await this.#read(step.from, step.maxBytes);
      case "restart":
        return await this.#restart(step.how, step.seed);
    }
  }

  async #read(from: number, maxBytes: number): Promise<void> {
    const { entries } = this.#now;
    if (entries.length === 0) return;
    const first = from % entries.length;
    const read = await this.#open_().readEntries(first + 1, maxBytes);
    assert(read.length >= 1);
    assertEquals(read.map(entryText), entries.slice(first, first + read.length).map(entryText));
  }

  async #restart(how: "close" | "kill" | "crash", seed: number): Promise<void> {
    switch (how) {
      case "close":
        await this.#log?.close();
        this.#states = [this.#now];
        break;
      case "kill":
        this.#disk = this.#disk.killProcess();
        this.#states = [this.#now];
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
    const { log, recovered } = await openLog(this.#disk, { segmentBytes: this.#segmentBytes });
    this.#log = log;
    const found = { hardState: recovered.hardState, entries: recovered.tail };
    const state = this.#states.findLast((each) => textOf(each) === textOf(found));
    assert(
      state !== undefined,
      `found ${textOf(found)}, which is none of\n${this.#states.map(textOf).join("\n")}`,
    );
    this.#states = [state];
    const terms = recovered.tail.map(({ index }) =>
      recovered.termRuns.findLast((run) => run.firstIndex <= index)?.term
    );
    assertEquals(terms, state.entries.map(({ term }) => term));
  }

  get #now(): State {
    const state = this.#states.at(-1);
    assert(state !== undefined);
    return state;
  }

  #open_(): WriteAheadLog {
    assert(this.#log !== null);
    return this.#log;
  }

  #batch(step: Omit<Extract<Step, { kind: "append" }>, "kind">): PersistBatch {
    const { hardState, entries } = this.#now;
    const first = Math.max(entries.length + 1 - step.back, hardState.commitIndex + 1);
    const term = Math.max(hardState.term + (step.newTerm ? 1 : 0), 1);
    const added = Array.from({ length: step.count }, (_, at): Entry => {
      this.#stamp += 1;
      const data = new TextEncoder().encode(`${this.#stamp} `.repeat(step.bytes / 4 + 1));
      return { index: first + at, term, kind: "command", data };
    });
    const last = added.at(-1)?.index ?? entries.length;
    const vote = term === hardState.term ? hardState.vote ?? (step.vote ? 2 : null) : step.vote ? 1 : null;
    const commitIndex = Math.max(hardState.commitIndex, last - step.commit);
    const next = { term, vote, commitIndex };
    const isNew = JSON.stringify(next) !== JSON.stringify(hardState);
    return { snapshot: null, hardState: isNew ? next : null, entries: added };
  }

  /** Adds what the log may be found as from now on: after each record of the batch. */
  #note({ hardState, entries }: PersistBatch): void {
    let { hardState: state, entries: log } = this.#now;
    const limit = (entries[0]?.index ?? Number.POSITIVE_INFINITY) - 1;
    if (hardState !== null) state = { ...hardState, commitIndex: Math.min(hardState.commitIndex, limit) };
    this.#states.push({ hardState: state, entries: log });
    for (const entry of entries) {
      log = [...log.slice(0, entry.index - 1), entry];
      this.#states.push({ hardState: state, entries: log });
    }
    this.#states.push({ hardState: hardState ?? state, entries: log });
  }
}

function textOf({ hardState, entries }: State): string {
  const { term, vote, commitIndex } = hardState;
  return `${term} ${vote} ${commitIndex} | ${entries.map(entryText).join(" ")}`;
}

Deno.test("a log is a plain array that survives: random lives with crashes, full disks and overrides", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyStep, { maxLength: 60 }),
      fc.constantFrom(512, 1000, 4096),
      async (steps, segmentBytes) => await new Life(segmentBytes).run(steps),
    ),
    { numRuns: 1500 },
  );
});

Deno.test("ABA: entries that are overridden and written again come back as they were written last", async () => {
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
          // The same bytes at the same index again and again, told apart by their term alone.
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
        assertEquals(recovered.tail, model);
        assertEquals(await again.readEntries(1, 10_000), model);
        await Promise.all([log.close(), again.close()]);
      },
    ),
    { numRuns: 100 },
  );
});
