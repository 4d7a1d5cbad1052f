/** Transfers of snapshots: after any loss the file is received completely, or the failure is reported to the leader. */
import fc from "fast-check";
import { assert, assertEquals } from "@std/assert";
import { settle } from "../../../support/fakes/manual_clock.ts";
import { machineAt, storedText, storeState, THREE } from "../../../support/server_state.ts";
import { IDENTITY, SNAPSHOTS } from "../../../support/storage.ts";
import {
  Bench,
  FOLLOWER,
  INTERVAL_MS,
  large,
  LEADER,
  PIECE_BYTES,
  recordsOf,
} from "../../../support/snapshot_bench.ts";

Deno.test("SnapshotReceiving: a snapshot arrives in pieces, becomes a state, and is renamed once it is installed", async () => {
  const { bench, machine } = await large();
  bench.start();
  assertEquals(bench.chunks.map(({ offset, data }) => [offset, data.length]), [[0, 0]], "it asks first");
  await bench.flow();
  const [received] = bench.received;
  assertEquals(received?.metadata, { index: 21, term: 1, configuration: THREE });
  assertEquals(recordsOf(received?.stateMachine), recordsOf(machine));
  assertEquals(storedText(bench.followerStore), []);
  received?.install();
  assertEquals(storedText(bench.followerStore), ["21@1"]);
  const name = `${SNAPSHOTS}/00000000000000000021-00000000000000000001.snap`;
  assertEquals(bench.followerDisk.bytesOf(name), bench.leaderDisk.bytesOf(name));
  bench.receiving.settle();
  await bench.close();
});

Deno.test("SnapshotReceiving: installing can be repeated, since the log behind it may have met a full disk", async () => {
  const { bench } = await large();
  bench.start();
  await bench.flow();
  bench.received[0]?.install();
  bench.received[0]?.install();
  assertEquals(storedText(bench.followerStore), ["21@1"]);
  await bench.close();
});

Deno.test("SnapshotSender: four pieces are in flight at a time, and an answer sends the next one", async () => {
  const { bench } = await large();
  bench.start();
  bench.deliverChunk();
  bench.deliverAnswer();
  await settle();
  assertEquals(bench.chunks.map(({ offset }) => offset), [0, 1, 2, 3].map((piece) => piece * PIECE_BYTES));
  bench.deliverChunk();
  bench.deliverAnswer();
  await settle();
  assertEquals(bench.chunks.at(-1)?.offset, 4 * PIECE_BYTES);
  assertEquals(bench.sender.statusOf(FOLLOWER)?.sentBytes, PIECE_BYTES);
  await bench.close();
});

Deno.test("SnapshotSender: after a broken connection the transfer continues where it stopped", async () => {
  const { bench } = await large();
  bench.start();
  for (let turn = 0; turn < 3; turn++) {
    bench.deliverChunk();
    bench.deliverAnswer();
    await settle();
  }
  bench.chunks.length = 0;
  bench.clock.advance(INTERVAL_MS);
  bench.clock.advance(INTERVAL_MS);
  assertEquals(bench.chunks.map(({ offset, data }) => [offset, data.length]), [[2 * PIECE_BYTES, 0]]);
  await bench.flow();
  assertEquals(bench.received.length, 1);
  await bench.close();
});

Deno.test("SnapshotReceiving: a piece at another offset than the next changes nothing", async () => {
  const { bench } = await large();
  bench.start();
  bench.deliverChunk();
  bench.deliverAnswer();
  await settle();
  const [first, second] = bench.chunks.splice(0);
  assert(first !== undefined && second !== undefined);
  for (const chunk of [second, first, first, second]) bench.receiving.chunk(LEADER, chunk);
  assertEquals(
    bench.answers.map(({ nextOffset }) => nextOffset),
    [0, PIECE_BYTES, PIECE_BYTES, 2 * PIECE_BYTES],
  );
  await bench.close();
});

Deno.test("SnapshotReceiving: another leader with the same snapshot continues it; one with another starts from the beginning", async () => {
  const { bench } = await large();
  bench.start(1);
  for (let turn = 0; turn < 3; turn++) {
    bench.deliverChunk();
    bench.deliverAnswer();
    await settle();
  }
  bench.start(2);
  bench.chunks.splice(0, bench.chunks.length - 1);
  bench.deliverChunk();
  assertEquals(bench.answers.at(-1), {
    kind: "snapshotProgress",
    term: 2,
    index: 21,
    snapshotTerm: 1,
    nextOffset: 2 * PIECE_BYTES,
    totalBytes: bench.sender.statusOf(FOLLOWER)?.totalBytes ?? 0,
  });
  await storeState(bench.leaderStore, machineAt(30, 1_000), { term: 2 });
  bench.start(2, 30);
  bench.chunks.splice(0, bench.chunks.length - 1);
  await bench.flow();
  assertEquals(bench.received.map(({ metadata }) => metadata.index), [30]);
  await bench.close();
});

Deno.test("SnapshotReceiving: pieces of an earlier leader change nothing after those of a later one, even before the core knows it", async () => {
  const { bench } = await large();
  await storeState(bench.leaderStore, machineAt(30, 100_000), { term: 2 });
  bench.start(2);
  await bench.flow();
  const before = bench.answers.length;
  const total = bench.sender.statusOf(FOLLOWER)?.totalBytes ?? 0;
  const late = { kind: "snapshotChunk", term: 1, index: 21, snapshotTerm: 1, totalBytes: total - 1 } as const;
  bench.receiving.chunk(LEADER, { ...late, offset: 0, data: new Uint8Array(0) });
  assertEquals(bench.answers.length, before);
  await bench.close();
});

Deno.test("SnapshotReceiving: pieces of an earlier term than the core's are dropped, and an applied snapshot is not received", async () => {
  const { bench } = await large();
  bench.situation = { term: 2, appliedIndex: 0 };
  bench.start(1);
  await bench.flow();
  assertEquals([bench.received.length, bench.notNeeded], [0, []]);
  bench.situation = { term: 2, appliedIndex: 21 };
  bench.start(2);
  await bench.flow();
  assertEquals([bench.received.length, bench.notNeeded], [0, [21]]);
  await bench.close();
});

Deno.test("SnapshotReceiving: a snapshot that the log has overtaken is not received further, and its file is removed", async () => {
  const { bench } = await large();
  bench.start();
  bench.deliverChunk();
  bench.receiving.applied(20);
  assertEquals(bench.followerDisk.stat(`${SNAPSHOTS}/receiving.new`), "file");
  bench.receiving.applied(21);
  assertEquals(bench.followerDisk.stat(`${SNAPSHOTS}/receiving.new`), null);
  await bench.close();
});

Deno.test("SnapshotReceiving: a damaged file is not passed to the core, and is requested again until the leader gives up", async () => {
  const { bench } = await large();
  const name = `${SNAPSHOTS}/00000000000000000021-00000000000000000001.snap`;
  bench.leaderDisk.edit(name, (bytes) => {
    bytes[1_000_000] = (bytes[1_000_000] ?? 0) ^ 1;
    return bytes;
  });
  bench.start();
  for (let interval = 0; interval < 40 && bench.failed.length === 0; interval++) {
    await bench.flow();
    bench.clock.advance(INTERVAL_MS);
  }
  assertEquals([bench.received.length, bench.failed], [0, [FOLLOWER]]);
  const damaged = bench.logger.messages.filter((line) => line === "cannot use a received snapshot");
  assertEquals(damaged.length, 6);
  await bench.close();
});

Deno.test("SnapshotReceiving: a snapshot that can't be read back for want of a descriptor is kept, and read back later", async () => {
  const { bench, machine } = await large();
  bench.start();
  bench.deliverChunk();
  // The file is open, and no other can be opened from here on.
  bench.followerDisk.isOutOfDescriptors = true;
  await bench.flow();
  const { length } = bench.followerDisk.bytesOf(`${SNAPSHOTS}/receiving.new`);
  // In the first interval something was acknowledged.
  bench.clock.advance(INTERVAL_MS);
  for (let interval = 0; interval < 3; interval++) {
    bench.clock.advance(INTERVAL_MS);
    assertEquals(bench.chunks.map(({ data }) => data.length), [0], "it only asks");
    await bench.flow();
  }
  assertEquals([bench.received.length, bench.failed], [0, []]);
  const line = "cannot read a received snapshot for now; trying again";
  assertEquals(bench.logger.messages.filter((message) => message === line).length, 4);
  bench.followerDisk.isOutOfDescriptors = false;
  bench.clock.advance(INTERVAL_MS);
  await bench.flow();
  assertEquals(bench.followerDisk.bytesOf(`${SNAPSHOTS}/receiving.new`).length, length);
  assertEquals(recordsOf(bench.received[0]?.stateMachine), recordsOf(machine));
  await bench.close();
});

Deno.test("SnapshotReceiving: a snapshot of another cluster is not passed to the core", async () => {
  const bench = await Bench.make();
  await storeState(bench.leaderStore, machineAt(5), { clusterId: "another" });
  bench.start();
  await bench.flow();
  assertEquals(bench.received, []);
  assertEquals(bench.logger.lines.at(-1)?.fields, {
    from: LEADER,
    index: 5,
    reason: `Cannot use the snapshot at 5: it is of cluster another, not of ${IDENTITY.clusterId}.`,
  });
  await bench.close();
});

Deno.test("SnapshotSender: it waits for a slow disk: not much more than four MiB are ever to be synced at once", async () => {
  const bench = await Bench.make();
  await storeState(bench.leaderStore, machineAt(6, 1_000_000));
  const gate = Promise.withResolvers<void>();
  bench.followerDisk.syncGate = gate.promise;
  bench.start();
  await bench.flow();
  assertEquals(bench.followerDisk.bytesOf(`${SNAPSHOTS}/receiving.new`).length, 19 * PIECE_BYTES);
  gate.resolve();
  await settle();
  await bench.flow();
  assertEquals(bench.received.length, 1);
  await bench.close();
});

Deno.test("SnapshotReceiving: a disk that fails while the file is flushed ends the transfer", async () => {
  const bench = await Bench.make();
  await storeState(bench.leaderStore, machineAt(6, 1_000_000));
  bench.followerDisk.intercept = ({ kind }) => kind === "syncData" ? { code: "EIO" } : null;
  bench.start();
  await bench.flow();
  assert(bench.logger.messages.includes("cannot receive a snapshot"));
  assertEquals(bench.received, []);
  await bench.close();
});

Deno.test("SnapshotReceiving: a stop while the snapshot is read back ends the reading at its next pause", async () => {
  const { bench } = await large();
  const paused = Promise.withResolvers<void>();
  let pauses = 0;
  bench.yieldToEventLoop = () => {
    pauses++;
    return paused.promise;
  };
  bench.start();
  await bench.flow();
  assertEquals(pauses, 1);
  const closed = bench.receiving.close();
  paused.resolve();
  await closed;
  assertEquals([pauses, bench.received.length], [1, 0]);
  assertEquals(bench.logger.messages, ["sending a snapshot", "receiving a snapshot"]);
  await bench.close();
});

Deno.test("SnapshotSender: a transfer without answers ends after thirty intervals, and is reported to the core after one more", async () => {
  const { bench } = await large();
  bench.start();
  bench.clock.advance(31 * INTERVAL_MS);
  assertEquals([bench.failed, bench.sender.lowestIndex, bench.sender.targets], [[], null, [FOLLOWER]]);
  bench.clock.advance(INTERVAL_MS);
  assertEquals([bench.failed, bench.sender.targets], [[FOLLOWER], []]);
  await bench.close();
});

Deno.test("SnapshotSender: a follower that answers now and then is never given up, however long the transfer takes", async () => {
  const { bench } = await large();
  bench.start();
  for (let turns = 0; bench.received.length === 0 && turns < 100; turns++) {
    // Pieces are lost again and again; the one that is requested at last arrives, and so does one behind it.
    for (let interval = 0; interval < 20; interval++) bench.clock.advance(INTERVAL_MS);
    bench.chunks.splice(0, bench.chunks.length - 1);
    bench.deliverChunk();
    bench.deliverAnswer();
    await settle();
    bench.deliverChunk();
    bench.deliverAnswer();
    await settle();
  }
  assertEquals([bench.received.length, bench.failed, bench.sender.targets], [1, [], [FOLLOWER]]);
  await bench.close();
});

Deno.test("SnapshotSender: without a snapshot to send, the failure is reported to the core after an interval, not at once", async () => {
  const bench = await Bench.make();
  bench.start();
  assertEquals([bench.failed, bench.sender.targets], [[], [FOLLOWER]]);
  bench.clock.advance(INTERVAL_MS);
  assertEquals([bench.failed, bench.sender.targets], [[FOLLOWER], []]);
  await storeState(bench.leaderStore, machineAt(5));
  bench.leaderDisk.remove(`${SNAPSHOTS}/00000000000000000005-00000000000000000001.snap`);
  bench.start();
  bench.clock.advance(INTERVAL_MS);
  assertEquals(bench.failed, [FOLLOWER, FOLLOWER]);
  assertEquals(bench.logger.lines.map(({ fields }) => fields["reason"]), [
    "no undamaged snapshot exists",
    `ENOENT: ${SNAPSHOTS}/00000000000000000005-00000000000000000001.snap`,
  ]);
  await bench.close();
});

Deno.test("SnapshotSender: a transfer of the same term continues when the core requests it again, unless it requests a newer snapshot", async () => {
  const { bench } = await large();
  bench.start(1, 21);
  assertEquals(bench.sender.lowestIndex, 21);
  await storeState(bench.leaderStore, machineAt(30));
  bench.start(1, 21);
  assertEquals(bench.sender.lowestIndex, 21);
  bench.start(1, 30);
  assertEquals(bench.sender.lowestIndex, 30);
  await bench.close();
});

Deno.test("SnapshotReceiving: a full disk ends the transfer after a few attempts; the next one succeeds", async () => {
  const { bench } = await large();
  bench.followerDisk.capacityBytes = 600_000;
  bench.start();
  await bench.flow();
  bench.clock.advance(INTERVAL_MS);
  assertEquals([bench.received.length, bench.failed], [0, [FOLLOWER]]);
  assert(bench.logger.messages.includes("cannot receive a snapshot"));
  bench.followerDisk.capacityBytes = Number.POSITIVE_INFINITY;
  bench.start();
  await bench.flow();
  assertEquals(bench.received.length, 1);
  await bench.close();
});

/** An event during a transfer. */
const anyEvent = fc.oneof(
  { weight: 6, arbitrary: fc.constant("chunk" as const) },
  { weight: 6, arbitrary: fc.constant("answer" as const) },
  fc.constantFrom("loseChunk", "loseAnswer", "disconnect", "unlink", "link", "interval", "newLeader"),
);

Deno.test("SnapshotSender: over any faulty connection the follower gets equal bytes or the leader a failure", async () => {
  const machine = machineAt(14, 100_000);
  await fc.assert(
    fc.asyncProperty(fc.array(anyEvent, { maxLength: 60 }), async (events) => {
      const bench = await Bench.make();
      await storeState(bench.leaderStore, machine);
      let term = 1;
      bench.start(term);
      for (const event of events) {
        switch (event) {
          case "chunk":
            bench.deliverChunk();
            break;
          case "answer":
            bench.deliverAnswer();
            break;
          case "loseChunk":
            bench.chunks.shift();
            break;
          case "loseAnswer":
            bench.answers.shift();
            break;
          case "disconnect":
            bench.chunks.length = 0;
            bench.answers.length = 0;
            break;
          case "unlink":
          case "link":
            bench.isLinked = event === "link";
            break;
          case "interval":
            bench.clock.advance(INTERVAL_MS);
            break;
          case "newLeader":
            bench.start(++term);
            break;
        }
        await Promise.resolve();
      }
      bench.isLinked = true;
      for (let interval = 0; interval < 40 && bench.received.length + bench.failed.length === 0; interval++) {
        await bench.flow();
        bench.clock.advance(INTERVAL_MS);
      }
      assertEquals([bench.received.length, bench.failed], [1, []], "nothing here is beyond repair");
      assertEquals(recordsOf(bench.received[0]?.stateMachine), recordsOf(machine));
      await bench.close();
    }),
    { numRuns: 40 },
  );
});
