/**
 * Crash consistency by recording: random lives of a log (appends, truncations, rolls of segments, syncs with appends
 * beside them, clean stops, deaths of the process, losses of power), and for the moment before each single operation
 * of the disk every log that a loss of power may leave. What was acknowledged is there, of what came after it only a
 * beginning, and the log can be gone on with.
 *
 * `deno test … crash_consistency_test.ts -- --lives=500 --first-life=1` tries more.
 */
import { assert, assertEquals } from "@std/assert";
import type { Entry } from "../../../lib/raft/types.ts";
import type { PersistBatch, WriteAheadLog } from "../../../lib/storage/mod.ts";
import { type CrashPoint, outcomesOf, recordCrashPoints } from "../../support/crash_points.ts";
import { MemoryDisk } from "../../support/memory_disk.ts";
import { SeededRandom } from "../../support/seeded_random.ts";
import {
  batch,
  beginningsOf,
  contentOf,
  entry,
  hardState,
  includes,
  type LogContent,
  openLog,
} from "../../support/storage.ts";

const LIVES = 12;
const STEPS = 14;
const SEGMENT_BYTES = 512;
/** Outcomes tried of a crash point that has too many for all. */
const SAMPLES = 12;
/** Of the logs found, one in so many is also gone on with. */
const GONE_ON_WITH = 8;

/** What may be found: first what is synced, then each beginning of what was written since. */
type Possible = readonly LogContent[];

/** A log that lives by chance. */
class Life {
  readonly points: CrashPoint<Possible>[] = [];
  readonly #random: SeededRandom;
  #disk = new MemoryDisk();
  #log: WriteAheadLog | null = null;
  #possible: Possible = [{ hardState: hardState(0), entries: [] }];
  #stamp = 0;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  async run(): Promise<void> {
    await this.#continueOn(this.#disk);
    for (let step = 0; step < STEPS; step++) await this.#step();
    await this.#log?.close();
    this.points.push({ about: "the end", image: this.#disk.killProcess(), known: this.#possible.slice(-1) });
  }

  async #step(): Promise<void> {
    const random = this.#random;
    const log = this.#log;
    assert(log !== null, "a life begins with an open log");
    const dice = random.next();
    if (dice < 0.55) return this.#append(log);
    if (dice < 0.75) return await this.#sync(log, { appends: 0 });
    if (dice < 0.85) return await this.#sync(log, { appends: 1 + random.below(2) });
    if (dice < 0.9) {
      await log.close();
      this.#possible = this.#possible.slice(-1);
      return await this.#continueOn(this.#disk);
    }
    if (dice < 0.95) return await this.#continueOn(this.#disk.killProcess());
    return await this.#continueOn(random.pick([...outcomesOf(this.#disk, { random, samples: SAMPLES })]));
  }

  /** Makes durable what is written by now; more may be written meanwhile. */
  async #sync(log: WriteAheadLog, { appends }: { readonly appends: number }): Promise<void> {
    const written = this.#possible.length;
    const gate = Promise.withResolvers<void>();
    this.#disk.syncGate = gate.promise;
    const syncing = log.sync();
    for (let count = 0; count < appends; count++) this.#append(log);
    gate.resolve();
    this.#disk.syncGate = null;
    await syncing;
    this.#possible = this.#possible.slice(written - 1);
  }

  #append(log: WriteAheadLog): void {
    const next = this.#batch();
    const now = this.#possible.at(-1);
    assert(now !== undefined, "something is always possible");
    this.#possible = [...this.#possible, ...beginningsOf(now, next)];
    log.append(next);
  }

  /** Opens the log on `disk`; what it finds is durable from then on. */
  async #continueOn(disk: MemoryDisk): Promise<void> {
    this.#disk = disk;
    recordCrashPoints(disk, { into: this.points, known: () => this.#possible });
    const { log, recovered } = await openLog(disk, { segmentBytes: SEGMENT_BYTES });
    assert(includes(this.#possible, contentOf(recovered)), "a restart finds what may be found");
    this.#possible = [contentOf(recovered)];
    this.#log = log;
  }

  #batch(): PersistBatch {
    const random = this.#random;
    const { hardState: now, entries } = this.#possible.at(-1) ?? { hardState: hardState(0), entries: [] };
    const term = Math.max(1, now.term + (random.chance(0.3) ? 1 : 0));
    const back = random.chance(0.3) ? random.below(4) : 0;
    const first = Math.max(now.commitIndex + 1, entries.length + 1 - back);
    const added = Array.from({ length: random.below(4) }, (_, at): Entry => {
      this.#stamp += 1;
      return entry(first + at, term, `${this.#stamp} `.repeat(1 + random.below(random.pick([5, 40, 150]))));
    });
    const last = added.at(-1)?.index ?? entries.length;
    const vote = term > now.term ? random.pick([null, 1]) : now.vote;
    const commitIndex = Math.max(now.commitIndex, Math.min(last, now.commitIndex + random.below(3)));
    return batch(hardState(term, vote, commitIndex), ...added);
  }
}

/** Opens what is left, and now and then goes on with it and loses the power again. */
async function check(
  disk: MemoryDisk,
  { possible, goOn }: { readonly possible: Possible; readonly goOn: boolean },
): Promise<void> {
  const { log, recovered } = await openLog(disk, { segmentBytes: SEGMENT_BYTES });
  const found = contentOf(recovered);
  assert(
    includes(possible, found),
    `found ${JSON.stringify(found)}, which is none of\n${
      possible.map((each) => JSON.stringify(each)).join("\n")
    }`,
  );
  if (goOn) {
    const { term, vote, commitIndex } = found.hardState;
    const next = batch(
      hardState(term + 1, vote, commitIndex),
      entry(found.entries.length + 1, term + 1, "next"),
    );
    log.append(next);
    await log.sync();
    const { log: again, recovered: after } = await openLog(disk.crash(() => false));
    assertEquals(contentOf(after), beginningsOf(found, next).at(-1));
    await again.close();
  }
  await log.close();
}

function option(name: string): number | null {
  const given = Deno.args.find((argument) => argument.startsWith(`--${name}=`));
  return given === undefined ? null : Number(given.split("=")[1]);
}

Deno.test("before every single operation of a disk, a loss of power takes nothing that was acknowledged", async () => {
  const first = option("first-life") ?? 1;
  const lives = option("lives") ?? LIVES;
  let outcomes = 0;
  let cuts = 0;
  for (let seed = first; seed < first + lives; seed++) {
    const random = new SeededRandom(seed);
    const life = new Life(random);
    await life.run();
    for (const [number, { about, image, known }] of life.points.entries()) {
      for (const disk of outcomesOf(image, { random, samples: SAMPLES })) {
        outcomes += 1;
        try {
          await check(disk, { possible: known, goOn: outcomes % GONE_ON_WITH === 0 });
        } catch (cause) {
          throw new Error(`life ${seed}, operation ${number} (${about}), outcome ${outcomes}`, { cause });
        }
      }
      cuts += known.length > 1 ? 1 : 0;
    }
  }
  assert(outcomes > 200 * lives, `${outcomes} outcomes`);
  assert(cuts > lives, "much was lost that had not been synced");
});
