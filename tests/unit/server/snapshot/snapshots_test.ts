/** Snapshots: when they are taken, their content, and how much of the log is compacted behind them. */
import fc from "fast-check";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { encodeCommand } from "../../../../lib/protocol/command.ts";
import { decodeConfiguration } from "../../../../lib/protocol/configuration.ts";
import { EMPTY_CONFIGURATION, type Entry, type SnapshotMetadata } from "../../../../lib/raft/mod.ts";
import { StateMachine } from "../../../../lib/kv/mod.ts";
import { Replica } from "../../../../lib/server/replica.ts";
import {
  type CompactableLog,
  type SnapshotLimits,
  Snapshots,
} from "../../../../lib/server/snapshot/snapshots.ts";
import { readSnapshotState } from "../../../../lib/server/snapshot/state_codec.ts";
import { SnapshotDamagedError, type SnapshotStore } from "../../../../lib/storage/mod.ts";
import { ManualClock, settle } from "../../../support/fakes/manual_clock.ts";
import { MemoryDisk } from "../../../support/fakes/memory_disk.ts";
import { RecordingLogger } from "../../../support/fakes/recording_logger.ts";
import {
  machineAt,
  noYield,
  openStore,
  storedText,
  storeState,
  THREE,
} from "../../../support/server_state.ts";
import { IDENTITY } from "../../../support/storage.ts";

const ENTRY_BYTES = 100;
const LIMITS: SnapshotLimits = {
  logBytes: 1_000,
  logRatio: 0,
  tailEntries: 0,
  tailBytes: 0,
  sendingBytes: 1_000_000,
};

/** A log of entries of equal size, which is compacted to the entry. */
class EvenLog implements CompactableLog {
  firstIndex = 1;
  lastIndex = 0;

  bytesSince(index: number): number {
    return Math.max(0, this.lastIndex - Math.max(index, this.firstIndex - 1)) * ENTRY_BYTES;
  }

  removeBefore(index: number): void {
    assert(index <= this.lastIndex + 1, "the log is cut within itself");
    this.firstIndex = Math.max(this.firstIndex, index);
  }
}

interface BenchOptions {
  readonly limits?: Partial<SnapshotLimits>;
  readonly configuration?: SnapshotMetadata["configuration"];
  readonly turn?: { readonly position: number; readonly nodes: number };
}

/** A replica with its log and its snapshots. */
class Bench {
  readonly disk: MemoryDisk;
  readonly store: SnapshotStore;
  readonly clock = new ManualClock();
  readonly logger = new RecordingLogger();
  readonly log = new EvenLog();
  readonly replica: Replica;
  readonly snapshots: Snapshots;
  readonly compactions: { readonly index: number; readonly compactedIndex: number }[] = [];
  readonly overtaken: number[] = [];
  lowestSending: number | null = null;
  /** The compacted index of the core, where it is higher than the requested one. */
  coreBase = 0;
  /** The index up to which the core knows the log to be durable. */
  durableIndex = Number.MAX_SAFE_INTEGER;
  yieldToEventLoop: () => Promise<void> = noYield;

  endBelow(index: number): void {
    this.overtaken.push(index);
  }

  private constructor(
    disk: MemoryDisk,
    store: SnapshotStore,
    options: BenchOptions,
    stateMachine = new StateMachine(),
  ) {
    this.disk = disk;
    this.store = store;
    const { configuration = THREE, limits = {}, turn = { position: 0, nodes: 3 } } = options;
    const index = stateMachine.appliedIndex;
    this.replica = new Replica(stateMachine, { index, term: Math.min(index, 1), configuration });
    this.snapshots = new Snapshots({
      store,
      log: this.log,
      replica: this.replica,
      clock: this.clock,
      logger: this.logger,
      clusterId: IDENTITY.clusterId,
      limits: { ...LIMITS, ...limits },
      turn: () => turn,
      transfers: this,
      compact: ({ snapshot, compactedIndex }) => {
        this.compactions.push({ index: snapshot.index, compactedIndex });
        return Math.max(this.coreBase, Math.min(compactedIndex, this.durableIndex));
      },
      yieldToEventLoop: () => this.yieldToEventLoop(),
    });
  }

  static async make(options: BenchOptions = {}): Promise<Bench> {
    const disk = new MemoryDisk();
    return new Bench(disk, await openStore(disk), options);
  }

  /** Applies this many entries, one batch each, as the driver does. */
  async apply(count: number): Promise<void> {
    for (let applied = 0; applied < count; applied++) {
      this.log.lastIndex++;
      this.replica.apply([put(this.log.lastIndex)]);
      this.snapshots.consider();
    }
    await settle();
  }

  /** Applies the entry that raises the feature level. */
  async raise(): Promise<void> {
    const data = encodeCommand({ kind: "raiseFeatureLevel", level: 2 });
    this.replica.apply([{ index: ++this.log.lastIndex, term: 1, kind: "command", data }]);
    this.snapshots.consider();
    await settle();
  }

  /** Returns this bench after a restart that has applied no more of the log than the newest snapshot has. */
  restarted(): Bench {
    const again = new Bench(this.disk, this.store, {}, this.replica.stateMachine);
    Object.assign(again.log, this.log);
    return again;
  }

  /** Returns the state in the snapshot at `index`. */
  async load(index: number): Promise<readonly unknown[]> {
    const stored = this.store.list().find((snapshot) => snapshot.index === index);
    assert(stored !== undefined);
    using reader = await this.store.reader(stored);
    const options = { clusterId: IDENTITY.clusterId, stateMachineOptions: {}, yieldToEventLoop: noYield };
    const { stateMachine } = await readSnapshotState(reader, options);
    return [...stateMachine.snapshot().records()];
  }
}

/** Entries of a client's session, each write under the next number. */
function put(index: number): Entry {
  const key = new TextEncoder().encode(`key ${index % 5}`);
  const data = encodeCommand({
    kind: "transaction",
    session: { sessionId: 7, openedAt: 0, sequence: index, acknowledgedBelow: Math.max(1, index - 3) },
    checks: [],
    mutations: [{ kind: "put", key, value: key }],
  });
  return { index, term: 1, kind: "command", data };
}

Deno.test("Snapshots: one is taken once the log since the last is large enough, of all applied entries and sessions", async () => {
  const bench = await Bench.make();
  await bench.apply(9);
  assertEquals(storedText(bench.store), []);
  await bench.apply(1);
  assertEquals([storedText(bench.store), bench.snapshots.newestIndex], [["10@1"], 10]);
  assertEquals(await bench.load(10), [...bench.replica.stateMachine.snapshot().records()]);
  assertEquals(
    (await bench.load(10)).filter((record) => Array.isArray(record) && record[0] === "answer").length,
    4,
  );
  await bench.apply(9);
  assertEquals(storedText(bench.store), ["10@1"]);
  await bench.apply(1);
  assertEquals(storedText(bench.store), ["20@1", "10@1"]);
});

Deno.test("Snapshots: a large state is written once the log has its size times a ratio", async () => {
  const bench = await Bench.make({ limits: { logRatio: 1 } });
  await bench.apply(10);
  const bytes = bench.store.list()[0]?.bytes ?? 0;
  assert(bytes < 1_000, `${bytes}`);
  const patient = await Bench.make({ limits: { logBytes: 100, logRatio: 2 } });
  await patient.apply(1);
  const [first] = patient.store.list();
  assertEquals(first?.index, 1);
  const needed = Math.ceil(2 * (first?.bytes ?? 0) / ENTRY_BYTES);
  await patient.apply(needed - 1);
  assertEquals(storedText(patient.store), ["1@1"]);
  await patient.apply(1);
  assertEquals(storedText(patient.store), [`${1 + needed}@1`, "1@1"]);
});

Deno.test("Snapshots: the history in the last snapshot counts twice", async () => {
  const bench = await Bench.make({ limits: { logRatio: 1 } });
  const data = encodeCommand({ kind: "raiseFeatureLevel", level: 2 });
  bench.log.lastIndex++;
  bench.replica.apply([{ index: 1, term: 1, kind: "command", data }]);
  await bench.apply(99);
  const { historyBytes } = bench.replica.stateMachine;
  assert(historyBytes > 1_000, `${historyBytes}`);
  const { index, bytes } = await bench.snapshots.take();
  const needed = Math.ceil((bytes + historyBytes) / ENTRY_BYTES);
  await bench.apply(needed - 1);
  assertEquals(bench.snapshots.newestIndex, index);
  await bench.apply(1);
  assertEquals(bench.snapshots.newestIndex, index + needed);
});

Deno.test("Snapshots: one is taken once the feature level rises above what the earlier version knows", async () => {
  const bench = await Bench.make({ limits: { logBytes: 1_000_000 } });
  await bench.apply(3);
  assertEquals(storedText(bench.store), []);
  await bench.raise();
  assertEquals(storedText(bench.store), ["4@1"]);
  await bench.apply(20);
  assertEquals(storedText(bench.store), ["4@1"], "once");
  // A cluster that begins with the level has nothing that an earlier version wrote.
  const founded = await Bench.make({ limits: { logBytes: 1_000_000 } });
  await founded.raise();
  await founded.apply(20);
  assertEquals(storedText(founded.store), []);
});

Deno.test("Snapshots: a node that ended before it took that snapshot takes it once it has applied the log again", async () => {
  const before = await Bench.make();
  await before.apply(3);
  await before.snapshots.take();
  const again = before.restarted();
  assertEquals(storedText(again.store), ["3@1"]);
  await again.apply(1);
  assertEquals(storedText(again.store), ["3@1"]);
  await again.raise();
  assertEquals(storedText(again.store), ["5@1", "3@1"]);
  const last = again.restarted();
  await last.apply(5);
  assertEquals(storedText(last.store), ["5@1", "3@1"], "the newest snapshot is of the new format");
});

Deno.test("Snapshots: nodes with equal logs take their snapshots at different entries", async () => {
  const indexes = [];
  for (const position of [0, 1, 2]) {
    const bench = await Bench.make({ turn: { position, nodes: 3 } });
    await bench.apply(14);
    indexes.push(bench.snapshots.newestIndex);
  }
  assertEquals(indexes, [10, 12, 14]);
});

Deno.test("Snapshots: entries that are applied while a snapshot is written are not in it, and begin no second one", async () => {
  const bench = await Bench.make();
  const gate = Promise.withResolvers<void>();
  bench.yieldToEventLoop = () => gate.promise;
  // 256 records and more: the writing pauses.
  for (let key = 1; key <= 300; key++) bench.replica.apply([wide(key)]);
  bench.log.lastIndex = 300;
  const taken = bench.snapshots.take();
  const again = bench.snapshots.take();
  const before = [...bench.replica.stateMachine.snapshot().records()];
  await bench.apply(20);
  gate.resolve();
  assertEquals((await taken).index, 300);
  assertEquals(await again, await taken);
  assertEquals(await bench.load(300), before);
});

function wide(index: number): Entry {
  const key = new TextEncoder().encode(`wide ${index}`);
  const mutations = [{ kind: "put", key, value: key }] as const;
  const data = encodeCommand({ kind: "transaction", session: null, checks: [], mutations });
  return { index, term: 1, kind: "command", data };
}

Deno.test("Snapshots: a request at the index of an existing snapshot returns that one", async () => {
  const bench = await Bench.make();
  await bench.apply(3);
  const first = await bench.snapshots.take();
  assertEquals(await bench.snapshots.take(), first);
  assertEquals([first.index, first.revision, storedText(bench.store)], [3, 3, ["3@1"]]);
});

Deno.test("Snapshots: a node that does not know its members, or has applied nothing, takes none", async () => {
  const bench = await Bench.make({ configuration: EMPTY_CONFIGURATION });
  await bench.apply(20);
  assertEquals([storedText(bench.store), bench.logger.messages], [[], []]);
  await assertRejects(() => bench.snapshots.take(), Error, "has not heard from its cluster yet");
  const { snapshots } = await Bench.make();
  await assertRejects(() => snapshots.take(), Error, "has not heard from its cluster yet");
});

Deno.test("Snapshots: after a failed one, the next is tried by itself ten seconds later", async () => {
  const bench = await Bench.make();
  bench.disk.intercept = ({ kind, path }) =>
    kind === "syncData" && path.endsWith(".new") ? { code: "EIO" } : null;
  await bench.apply(12);
  assertEquals([storedText(bench.store), bench.logger.messages], [[], ["cannot take a snapshot"]]);
  assertEquals(bench.disk.list("/data/snapshots"), []);
  bench.disk.intercept = () => null;
  bench.clock.advance(9_999);
  await bench.apply(1);
  assertEquals(storedText(bench.store), []);
  bench.clock.advance(1);
  await bench.apply(1);
  assertEquals(storedText(bench.store), ["14@1"]);
});

Deno.test("Snapshots: a stop during one leaves no file and no log line, and the next request is refused", async () => {
  const bench = await Bench.make();
  const gate = Promise.withResolvers<void>();
  bench.yieldToEventLoop = () => gate.promise;
  for (let key = 1; key <= 300; key++) bench.replica.apply([wide(key)]);
  bench.log.lastIndex = 300;
  bench.snapshots.consider();
  await settle();
  const stopped = bench.snapshots.stop();
  gate.resolve();
  await stopped;
  await settle();
  assertEquals([bench.disk.list("/data/snapshots"), bench.disk.openFiles, bench.logger.messages], [
    [],
    0,
    [],
  ]);
  await assertRejects(() => bench.snapshots.take(), Error, "stopping");
});

Deno.test("Snapshots: the log is compacted behind the snapshot before the newest, and the oldest is removed", async () => {
  const bench = await Bench.make();
  await bench.apply(10);
  assertEquals([bench.compactions.at(-1), bench.log.firstIndex], [{ index: 10, compactedIndex: 0 }, 1]);
  await bench.apply(10);
  assertEquals([bench.compactions.at(-1), bench.log.firstIndex], [{ index: 20, compactedIndex: 10 }, 11]);
  await bench.apply(10);
  assertEquals([bench.compactions.at(-1), bench.log.firstIndex], [{ index: 30, compactedIndex: 20 }, 21]);
  assertEquals(storedText(bench.store), ["30@1", "20@1"]);
});

Deno.test("Snapshots: the log keeps the entries that the core keeps because they are not known to be durable", async () => {
  const bench = await Bench.make();
  await bench.apply(10);
  bench.durableIndex = 7;
  await bench.apply(10);
  assertEquals([bench.compactions.at(-1), bench.log.firstIndex], [{ index: 20, compactedIndex: 10 }, 8]);
});

Deno.test("Snapshots: one received while an older was taken is the newest: the older compacts nothing", async () => {
  const bench = await Bench.make();
  const gate = Promise.withResolvers<void>();
  bench.yieldToEventLoop = () => gate.promise;
  for (let key = 1; key <= 300; key++) bench.replica.apply([wide(key)]);
  bench.log.lastIndex = 300;
  const taken = bench.snapshots.take();
  await storeState(bench.store, machineAt(500), { term: 2 });
  bench.snapshots.received();
  Object.assign(bench.log, { firstIndex: 501, lastIndex: 500 });
  gate.resolve();
  assertEquals((await taken).index, 300);
  assertEquals([storedText(bench.store), bench.compactions], [["500@2", "300@1"], []]);
});

Deno.test("Snapshots: one that the core has received, and that is not renamed yet, compacts nothing", async () => {
  const bench = await Bench.make();
  await bench.apply(10);
  // The core's log begins behind the leader's snapshot of entry 500; on the disk there are only this node's own.
  bench.coreBase = 500;
  await bench.apply(10);
  assertEquals([bench.compactions.at(-1), bench.log.firstIndex], [{ index: 20, compactedIndex: 10 }, 11]);
  assertEquals(storedText(bench.store), ["20@1", "10@1"]);
});

Deno.test("Snapshots: the log is kept for a snapshot that is being sent up to a bound, and then the transfer is overtaken", async () => {
  const bench = await Bench.make({ limits: { sendingBytes: 3_000 } });
  await bench.apply(10);
  bench.lowestSending = 10;
  await bench.apply(30);
  assertEquals([bench.log.firstIndex, bench.overtaken.at(-1)], [11, 10], "30 entries are 3,000 bytes");
  await bench.apply(10);
  assertEquals(
    [bench.log.firstIndex, bench.overtaken.at(-1)],
    [21, 20],
    "behind the snapshot before the newest",
  );
});

Deno.test("Snapshots: the log reaches back to two undamaged snapshots", async () => {
  const bench = await Bench.make();
  await bench.apply(10);
  await bench.apply(10);
  bench.disk.edit("/data/snapshots/00000000000000000020-00000000000000000001.snap", (bytes) => {
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    return bytes;
  });
  await assertRejects(() => bench.load(20), SnapshotDamagedError);
  assertEquals(storedText(bench.store), ["20@1 damaged", "10@1"]);
  await bench.apply(1);
  assertEquals([storedText(bench.store)[0], bench.compactions.at(-1)], ["21@1", {
    index: 21,
    compactedIndex: 10,
  }]);
});

Deno.test("Snapshots: one that a follower found damaged is verified, and replaced if it is damaged", async () => {
  const bench = await Bench.make();
  await bench.apply(10);
  const [suspected] = bench.store.list();
  assert(suspected !== undefined);
  await bench.snapshots.verify(suspected);
  assertEquals(storedText(bench.store), ["10@1"]);
  bench.disk.edit("/data/snapshots/00000000000000000010-00000000000000000001.snap", (bytes) => {
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    return bytes;
  });
  bench.replica.apply([put(11)]);
  bench.log.lastIndex = 11;
  await bench.snapshots.verify(suspected);
  assertEquals(storedText(bench.store), ["11@1", "10@1 damaged"]);
});

Deno.test("Snapshots: an idle leader replaces a damaged snapshot of its current state", async () => {
  const bench = await Bench.make();
  await bench.apply(10);
  const [suspected] = bench.store.list();
  assert(suspected !== undefined);
  bench.disk.edit("/data/snapshots/00000000000000000010-00000000000000000001.snap", (bytes) => {
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    return bytes;
  });
  await bench.snapshots.verify(suspected);
  assertEquals(storedText(bench.store), ["10@1"]);
  assertEquals((await bench.load(10)).length > 0, true, "all of it can be read");
});

const anyLimits = fc.record({
  logBytes: fc.integer({ min: 100, max: 1_500 }),
  logRatio: fc.constantFrom(0, 0.5),
  tailEntries: fc.integer({ min: 0, max: 30 }),
  tailBytes: fc.integer({ min: 0, max: 2_000 }),
});
const anyStep = fc.record({
  entries: fc.integer({ min: 1, max: 20 }),
  sending: fc.option(fc.integer({ min: 0, max: 1 })),
  asks: fc.boolean(),
});

Deno.test("Snapshots: the log is kept from the snapshot before the newest, a sent one, or the tail, and compacted up to there", async () => {
  await fc.assert(
    fc.asyncProperty(anyLimits, fc.array(anyStep, { maxLength: 15 }), async (limits, steps) => {
      const bench = await Bench.make({ limits });
      for (const { entries, sending, asks } of steps) {
        await bench.apply(entries);
        bench.lowestSending = sending === null ? null : bench.store.list()[sending]?.index ?? null;
        const firstIndex = bench.log.firstIndex;
        const count = bench.compactions.length;
        if (asks) await bench.snapshots.take();
        const [newest, previous] = bench.store.list();
        if (bench.compactions.length === count || newest === undefined) continue;
        const tail = Math.min(limits.tailEntries, Math.floor(limits.tailBytes / ENTRY_BYTES));
        const lowest = Math.min(
          previous?.index ?? 0,
          bench.lowestSending ?? newest.index,
          Math.max(0, newest.index - tail),
        );
        assertEquals(bench.log.firstIndex, Math.max(firstIndex, lowest + 1));
        assertEquals(bench.compactions.at(-1), {
          index: newest.index,
          compactedIndex: bench.log.firstIndex - 1,
        });
      }
    }),
    { numRuns: 150 },
  );
});

Deno.test("Snapshots: the configuration of a snapshot is the newest up to its index", async () => {
  const bench = await Bench.make();
  await bench.apply(2);
  await bench.snapshots.take();
  using reader = await bench.store.reader({ index: 2, term: 1 });
  const { clusterId, index, term, revision, configuration } = reader.header;
  assertEquals(
    { clusterId, index, term, revision, configuration: decodeConfiguration(configuration) },
    { clusterId: IDENTITY.clusterId, index: 2, term: 1, revision: 2, configuration: THREE },
  );
});
