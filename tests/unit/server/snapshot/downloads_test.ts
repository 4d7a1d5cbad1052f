/** SnapshotDownloads: a client reads a snapshot piece by piece while it is pinned, and within its connection's share. */
import { assert, assertEquals } from "@std/assert";
import { StateMachine } from "../../../../lib/kv/mod.ts";
import { MAX_SNAPSHOT_PART_BYTES } from "../../../../lib/protocol/limits.ts";
import { Replica } from "../../../../lib/server/replica.ts";
import {
  MAX_OPEN_IN_ALL,
  MAX_READS_IN_ALL,
  SnapshotDownloads,
} from "../../../../lib/server/snapshot/downloads.ts";
import { SNAPSHOT_LIMITS, Snapshots } from "../../../../lib/server/snapshot/snapshots.ts";
import type { SnapshotStore } from "../../../../lib/storage/mod.ts";
import { ManualClock } from "../../../support/fakes/manual_clock.ts";
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
import { IDENTITY, SNAPSHOTS } from "../../../support/storage.ts";

/** A node's snapshots and one client's connection. */
class Bench {
  readonly clock = new ManualClock();
  readonly disk: MemoryDisk;
  readonly store: SnapshotStore;
  readonly snapshots: Snapshots;
  readonly downloads: SnapshotDownloads;
  readonly totals = { open: 0, reads: 0 };

  private constructor(disk: MemoryDisk, store: SnapshotStore, machine: StateMachine) {
    this.disk = disk;
    this.store = store;
    const { clock } = this;
    this.snapshots = new Snapshots({
      store,
      log: { firstIndex: 1, bytesSince: () => 0, removeBefore: () => {} },
      replica: new Replica(machine, { index: machine.appliedIndex, term: 1, configuration: THREE }),
      clock,
      logger: new RecordingLogger(),
      clusterId: IDENTITY.clusterId,
      limits: SNAPSHOT_LIMITS,
      turn: () => ({ position: 0, nodes: 1 }),
      transfers: { lowestSending: null, endBelow: () => {} },
      compact: ({ compactedIndex }) => compactedIndex,
      yieldToEventLoop: noYield,
    });
    this.downloads = this.connection();
  }

  /** The snapshots of a connection. */
  connection(): SnapshotDownloads {
    const { snapshots, store, clock, totals } = this;
    return new SnapshotDownloads({ snapshots, store, clock, totals });
  }

  static async make(): Promise<Bench> {
    const disk = new MemoryDisk();
    return new Bench(disk, await openStore(disk), machineAt(7, 100_000));
  }

  /** Takes a snapshot; the answer as text. */
  async take(keep: boolean): Promise<string> {
    const answer = await this.downloads.handle({ kind: "takeSnapshot", requestId: 1, keep });
    if (answer.kind === "error") return `${answer.code}: ${answer.message}`;
    assert(answer.kind === "snapshotTaken");
    const { snapshotId, index, term, revision } = answer;
    return `${snapshotId}: ${index}@${term}, revision ${revision}`;
  }

  /** Reads a piece; its length as text. */
  async read(snapshotId: number, offset: number): Promise<string> {
    const answer = await this.downloads.handle({ kind: "readSnapshot", requestId: 2, snapshotId, offset });
    if (answer.kind === "error") return `${answer.code}: ${answer.message}`;
    assert(answer.kind === "snapshotPart");
    return `${answer.offset}+${answer.data.length}`;
  }

  /** Closes a snapshot. */
  async end(snapshotId: number): Promise<string> {
    return (await this.downloads.handle({ kind: "closeSnapshot", requestId: 3, snapshotId })).kind;
  }

  /** Timers and files that are open. */
  get open(): readonly number[] {
    return [this.clock.timerCount, this.disk.openFiles];
  }
}

const FILE = `${SNAPSHOTS}/00000000000000000007-00000000000000000001.snap`;

Deno.test("SnapshotDownloads: a client reads the file's bytes, piece by piece, to its end", async () => {
  const bench = await Bench.make();
  assertEquals(await bench.take(true), "1: 7@1, revision 7");
  const bytes = bench.disk.bytesOf(FILE);
  const read = new Uint8Array(bytes.length);
  for (let offset = 0;;) {
    const answer = await bench.downloads.handle({
      kind: "readSnapshot",
      requestId: 9,
      snapshotId: 1,
      offset,
    });
    assert(answer.kind === "snapshotPart" && answer.requestId === 9 && answer.offset === offset);
    read.set(answer.data, offset);
    offset += answer.data.length;
    if (answer.data.length < MAX_SNAPSHOT_PART_BYTES) break;
  }
  assertEquals(read, bytes);
  assertEquals(await bench.read(1, bytes.length), `${bytes.length}+0`);
  assertEquals([bench.open, await bench.end(1), bench.open], [[1, 1], "snapshotClosed", [0, 0]]);
  assertEquals(
    await bench.read(1, 0),
    "invalidRequest: Cannot read snapshot 1: it is not open on this connection.",
  );
});

Deno.test("SnapshotDownloads: a snapshot that is only taken, not read, keeps no file open", async () => {
  const bench = await Bench.make();
  assertEquals([await bench.take(false), bench.open], ["1: 7@1, revision 7", [0, 0]]);
  assertEquals(
    await bench.read(1, 0),
    "invalidRequest: Cannot read snapshot 1: it is not open on this connection.",
  );
  assertEquals(await bench.end(1), "snapshotClosed");
});

Deno.test("SnapshotDownloads: an open snapshot is kept beside newer ones, and removed after its close", async () => {
  const bench = await Bench.make();
  await bench.take(true);
  for (const index of [10, 11]) await storeState(bench.store, machineAt(index));
  bench.store.removeOld(2);
  assertEquals(storedText(bench.store), ["11@1", "10@1", "7@1"]);
  assertEquals(await bench.read(1, 0), `0+${MAX_SNAPSHOT_PART_BYTES}`);
  await bench.end(1);
  bench.store.removeOld(2);
  assertEquals(storedText(bench.store), ["11@1", "10@1"]);
});

Deno.test("SnapshotDownloads: a snapshot that is not read for a minute is closed; each piece counts", async () => {
  const bench = await Bench.make();
  await bench.take(true);
  bench.clock.advance(59_999);
  await bench.read(1, 0);
  bench.clock.advance(59_999);
  assertEquals(bench.open, [1, 1]);
  bench.clock.advance(1);
  assertEquals(bench.open, [0, 0]);
});

Deno.test("SnapshotDownloads: a connection has at most four open, also when it requests five at once", async () => {
  const bench = await Bench.make();
  const answers = await Promise.all([1, 2, 3, 4, 5].map(() => bench.take(true)));
  const busy = "busy: Cannot keep another snapshot: 4 are open on this connection.";
  assertEquals(answers.slice(4), [busy]);
  assertEquals(bench.open, [4, 4]);
  assertEquals(await bench.take(true), busy);
  assertEquals(await bench.take(false), "5: 7@1, revision 7");
  bench.downloads.close();
  assertEquals(bench.open, [0, 0]);
});

Deno.test("SnapshotDownloads: sixteen pieces are read at a time; one more is refused, and the file is closed after the last", async () => {
  const bench = await Bench.make();
  await bench.take(true);
  const reads = Array.from({ length: 17 }, (_, piece) => bench.read(1, piece));
  bench.downloads.close();
  const answers = await Promise.all(reads);
  assertEquals(answers.slice(15), [
    `15+${MAX_SNAPSHOT_PART_BYTES}`,
    "busy: Cannot read snapshot 1: 16 pieces are being read.",
  ]);
  assertEquals(bench.open, [0, 0]);
});

Deno.test("SnapshotDownloads: all connections together have at most sixteen open, without those of closed connections", async () => {
  const bench = await Bench.make();
  const connections = Array.from({ length: 5 }, () => bench.connection());
  const kinds: string[] = [];
  for (const downloads of connections) {
    for (let open = 0; open < 4; open++) {
      kinds.push((await downloads.handle({ kind: "takeSnapshot", requestId: 1, keep: true })).kind);
    }
  }
  assertEquals(kinds.map((kind) => kind === "error"), kinds.map((_, open) => open >= MAX_OPEN_IN_ALL));
  assertEquals(
    await bench.take(true),
    "busy: Cannot keep another snapshot: 16 are open on all connections of this node. Try again later.",
  );
  connections[0]?.close();
  assertEquals(await bench.take(true), "1: 7@1, revision 7");
  for (const downloads of connections) downloads.close();
  bench.downloads.close();
  assertEquals([bench.open, bench.totals], [[0, 0], { open: 0, reads: 0 }]);
});

Deno.test("SnapshotDownloads: all connections together have at most sixty-four pieces read at a time", async () => {
  const bench = await Bench.make();
  await bench.take(true);
  bench.totals.reads = MAX_READS_IN_ALL;
  assertEquals(
    await bench.read(1, 0),
    "busy: Cannot read snapshot 1: 64 pieces are being read for all connections.",
  );
  bench.totals.reads -= 1;
  assertEquals([await bench.read(1, 0), bench.totals.reads], [
    `0+${MAX_SNAPSHOT_PART_BYTES}`,
    MAX_READS_IN_ALL - 1,
  ]);
  bench.downloads.close();
});

Deno.test("SnapshotDownloads: a snapshot that is read slowly is closed after its deadline", async () => {
  const bench = await Bench.make();
  await bench.take(true);
  let minutes = 0;
  let answer = "";
  for (; minutes < 60; minutes++) {
    bench.clock.advance(59_000);
    answer = await bench.read(1, 0);
    if (answer !== `0+${MAX_SNAPSHOT_PART_BYTES}`) break;
  }
  assertEquals(
    answer,
    "invalidRequest: Cannot read snapshot 1: it was open for too long and is closed. Take another.",
  );
  assertEquals([minutes, bench.open, bench.totals.open], [10, [0, 0], 0]);
});

Deno.test("SnapshotDownloads: a connection that closes before the snapshot is taken keeps nothing open", async () => {
  const bench = await Bench.make();
  const taken = bench.take(true);
  bench.downloads.close();
  assertEquals([await taken, bench.open], ["1: 7@1, revision 7", [0, 0]]);
});

Deno.test("SnapshotDownloads: the refusal of a snapshot that cannot be taken has the reason", async () => {
  const bench = await Bench.make();
  bench.disk.intercept = ({ kind }) => kind === "syncData" ? { code: "EIO" } : null;
  assertEquals((await bench.take(true)).startsWith("internal: Cannot take or read the snapshot: "), true);
  await bench.snapshots.stop();
  assertEquals(await bench.take(true), "stopping: Cannot take or read the snapshot: this node is stopping");
  assertEquals(bench.open, [0, 0]);
});
