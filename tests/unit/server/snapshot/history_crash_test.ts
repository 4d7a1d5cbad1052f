/**
 * Crash consistency of a state with history: a node appends transactions that overwrite, delete and compact, takes snapshots
 * while it applies more, receives one, and cuts its log. For the moment before each operation of the disk, and every
 * content that a loss of power may leave then, a start recovers the state of the acknowledged log or a longer one: the
 * same versions, tombstones and compacted revision, in a sound structure.
 */
import { assert, assertEquals } from "@std/assert";
import { type Command, type Mutation, StateMachine } from "../../../../lib/kv/mod.ts";
import { encodeCommand } from "../../../../lib/protocol/command.ts";
import { encodeConfiguration } from "../../../../lib/protocol/configuration.ts";
import type { Entry } from "../../../../lib/raft/mod.ts";
import { Replica } from "../../../../lib/server/replica.ts";
import { writeState } from "../../../../lib/server/snapshot/state_codec.ts";
import { recoverState } from "../../../../lib/server/startup/recovered_state.ts";
import {
  DataDirectory,
  type SnapshotHeader,
  SnapshotStore,
  type WriteAheadLog,
} from "../../../../lib/storage/mod.ts";
import { type CrashPoint, outcomesOf, recordCrashPoints } from "../../../support/crash_points.ts";
import { MemoryDisk } from "../../../support/fakes/memory_disk.ts";
import { RecordingLogger } from "../../../support/fakes/recording_logger.ts";
import { SeededRandom } from "../../../support/seeded_random.ts";
import { noYield, openStore, THREE } from "../../../support/server_state.ts";
import { batch, hardState, IDENTITY, openNode, resetBatch, SNAPSHOTS } from "../../../support/storage.ts";

const RUNS = 3;
const ENTRIES = 60;
const SEGMENT_BYTES = 2_048;
const KEYS = 5;
/** Outcomes tried of a crash point that has too many to try all. */
const SAMPLES = 4;
const TERM = 1;

/** Returns a transaction on some of few keys, or a compaction. */
function randomCommand(random: SeededRandom, revision: number): Command {
  if (revision > 8 && random.chance(0.08)) return { kind: "compact", revision: revision - random.below(8) };
  const first = random.below(KEYS);
  const mutations = Array.from({ length: 1 + random.below(3) }, (_, position): Mutation => {
    const key = new TextEncoder().encode(`key ${(first + position) % KEYS}`);
    if (random.chance(0.3)) return { kind: "delete", key };
    return { kind: "put", key, value: new Uint8Array(random.below(60)).fill(random.below(256)) };
  });
  return { kind: "transaction", session: null, checks: [], mutations };
}

/** A log, and the state after each of its entries. */
class Reference {
  readonly entries: Entry[] = [];
  /** By index: the records of the state. */
  readonly states: string[] = [textOf(new StateMachine())];

  constructor(random: SeededRandom) {
    const machine = new StateMachine();
    for (let index = 1; index <= ENTRIES; index++) {
      const command: Command = index === 1
        ? { kind: "raiseFeatureLevel", level: 2 }
        : randomCommand(random, machine.revision);
      machine.apply(index, command);
      this.entries.push({ index, term: TERM, kind: "command", data: encodeCommand(command) });
      this.states.push(textOf(machine));
    }
  }

  /** Returns the entries from `first` to `last`. */
  slice(first: number, last: number): readonly Entry[] {
    return this.entries.slice(first - 1, last);
  }
}

/** Returns all records of a state as a text. */
function textOf(machine: StateMachine): string {
  using view = machine.snapshot();
  return JSON.stringify(
    [...view.records()],
    (_, value: unknown) => value instanceof Uint8Array ? [...value].join(" ") : value,
  );
}

/** The index up to which the log is acknowledged. */
interface Known {
  readonly acknowledged: number;
}

/** A node whose storage goes through a fixed sequence of steps. */
class Life {
  readonly points: CrashPoint<Known>[] = [];
  readonly #reference: Reference;
  readonly #disk = new MemoryDisk();
  #replica = new Replica(new StateMachine(), { index: 0, term: 0, configuration: THREE });
  #lastIndex = 0;
  #acknowledged = 0;

  constructor(reference: Reference) {
    this.#reference = reference;
  }

  async run(): Promise<void> {
    const { log, store } = await openNode(this.#disk, { segmentBytes: SEGMENT_BYTES });
    log.append(batch(hardState(TERM, 1)));
    await this.#append(log, 12);
    recordCrashPoints(this.#disk, {
      into: this.points,
      known: () => ({ acknowledged: this.#acknowledged }),
    });
    await this.#append(log, 14);
    await this.#snapshot({ log, store, keepFrom: 1 });
    await this.#append(log, 30);
    await this.#snapshot({ log, store, keepFrom: 15 });
    await this.#receive({ log, store, index: 44 });
    await this.#append(log, 52);
    await this.#snapshot({ log, store, keepFrom: 45 });
    await log.close();
    assertEquals(this.#disk.openFiles, 0);
  }

  /** Appends the entries up to `last`, makes them durable, and applies them. */
  async #append(log: WriteAheadLog, last: number): Promise<void> {
    while (this.#lastIndex < last) {
      const first = this.#lastIndex + 1;
      this.#lastIndex = Math.min(last, first + 2);
      const entries = this.#reference.slice(first, this.#lastIndex);
      log.append(batch(hardState(TERM, 1, first - 1), ...entries));
      await log.sync();
      this.#acknowledged = this.#lastIndex;
      this.#replica.apply(entries);
    }
  }

  /** Takes a snapshot while three more entries are applied, and cuts the log. */
  async #snapshot(
    { log, store, keepFrom }: { log: WriteAheadLog; store: SnapshotStore; keepFrom: number },
  ): Promise<void> {
    const { stateMachine } = this.#replica;
    using view = stateMachine.snapshot();
    const writer = store.create(headerOf(view));
    await this.#append(log, this.#lastIndex + 3);
    await writeState(view, { write: (chunk) => writer.write(chunk), yieldToEventLoop: noYield });
    await writer.commit();
    store.removeOld(2);
    log.removeBefore(keepFrom);
  }

  /** Installs a snapshot of another node, beyond the log's end, and resets the log to it. */
  async #receive(
    { log, store, index }: { log: WriteAheadLog; store: SnapshotStore; index: number },
  ): Promise<void> {
    const metadata = { index, term: TERM, configuration: THREE };
    const other = new Replica(new StateMachine(), { index: 0, term: 0, configuration: THREE });
    other.apply(this.#reference.slice(1, index));
    const bytes = await snapshotBytes(other.stateMachine);
    const receiver = store.receive({ index, term: TERM, totalBytes: bytes.length });
    while (receiver.nextOffset < bytes.length) {
      receiver.write(receiver.nextOffset, bytes.slice(receiver.nextOffset, receiver.nextOffset + 900));
    }
    const reader = await receiver.finish();
    for await (const _ of reader.chunks()) { /* verified by reading */ }
    receiver.install();
    log.append(resetBatch({ index, term: TERM }, hardState(TERM, 1, index)));
    await log.sync();
    this.#lastIndex = this.#acknowledged = index;
    this.#replica.restore(other.stateMachine, metadata);
  }
}

function headerOf({ appliedIndex, revision }: { appliedIndex: number; revision: number }): SnapshotHeader {
  return {
    formatVersion: 2,
    clusterId: IDENTITY.clusterId,
    index: appliedIndex,
    term: TERM,
    revision,
    configuration: encodeConfiguration(THREE),
  };
}

/** Returns the file of another node's snapshot. */
async function snapshotBytes(machine: StateMachine): Promise<Uint8Array> {
  const disk = new MemoryDisk();
  using view = machine.snapshot();
  const writer = (await openStore(disk)).create(headerOf(view));
  await writeState(view, { write: (chunk) => writer.write(chunk), yieldToEventLoop: noYield });
  await writer.commit();
  return disk.bytesOf(`${SNAPSHOTS}/${disk.list(SNAPSHOTS)[0]}`);
}

/** Starts from the remaining data, and compares the state with the reference; returns the index of the snapshot. */
async function check(disk: MemoryDisk, { states }: Reference, { acknowledged }: Known): Promise<number> {
  const directory = await DataDirectory.open({ disk, path: "/data" });
  const start = await recoverState({
    disk,
    directory,
    identity: IDENTITY,
    segmentBytes: SEGMENT_BYTES,
    entryCacheBytes: 0,
    stateMachineOptions: {},
    logger: new RecordingLogger(),
    yieldToEventLoop: noYield,
  });
  const replica = new Replica(start.stateMachine, start.metadata);
  assertEquals(textOf(start.stateMachine), states[start.metadata.index], "the state of the snapshot");
  const { lastIndex } = start.recovered;
  assert(lastIndex >= acknowledged, `${acknowledged} were acknowledged, ${lastIndex} recovered`);
  while (replica.applied.index < lastIndex) {
    replica.apply(await start.log.readEntries(replica.applied.index + 1, 1_000_000));
  }
  assertEquals(textOf(replica.stateMachine), states[lastIndex], "the state of the log");
  replica.stateMachine.checkStructure();
  await start.log.close();
  directory.close();
  return start.metadata.index;
}

Deno.test("Snapshots: a loss of power at any step of a snapshot leaves the same history", async () => {
  let outcomes = 0;
  const snapshots = new Set<number>();
  for (let seed = 1; seed <= RUNS; seed++) {
    const random = new SeededRandom(seed);
    const reference = new Reference(random);
    const life = new Life(reference);
    await life.run();
    for (const [number, { about, image, known }] of life.points.entries()) {
      for (const disk of outcomesOf(image, { random, samples: SAMPLES })) {
        outcomes += 1;
        try {
          snapshots.add(await check(disk, reference, known));
        } catch (cause) {
          throw new Error(`seed ${seed}, operation ${number} (${about}), outcome ${outcomes}`, { cause });
        }
      }
    }
  }
  assert(outcomes > 150 * RUNS, `${outcomes} outcomes`);
  assertEquals([...snapshots].sort((a, b) => a - b), [0, 14, 30, 44, 52]);
});

Deno.test("Snapshots: the history of the crash tests has every kind of record", () => {
  const kinds = new Set<string>();
  for (let seed = 1; seed <= RUNS; seed++) {
    const reference = new Reference(new SeededRandom(seed));
    for (const kind of ["key", "tombstone", "version"]) {
      for (const index of [14, 30, 44, 52]) {
        if (reference.states[index]?.includes(`["${kind}"`)) kinds.add(kind);
      }
    }
  }
  assertEquals([...kinds].sort(), ["key", "tombstone", "version"]);
});
