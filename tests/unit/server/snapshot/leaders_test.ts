/** Transfers of snapshots when leaders and terms change, and snapshots that a leader no longer sends. */
import { assertEquals } from "@std/assert";
import { settle } from "../../../support/fakes/manual_clock.ts";
import { machineAt, storedText, storeState } from "../../../support/server_state.ts";
import { SNAPSHOTS } from "../../../support/storage.ts";

import { Bench, FOLLOWER, INTERVAL_MS, large, LEADER } from "../../../support/snapshot_bench.ts";

Deno.test("SnapshotReceiving: pieces of an earlier leader do not end a transfer of a later one", async () => {
  const { bench } = await large();
  await storeState(bench.leaderStore, machineAt(30, 100_000), { term: 2 });
  bench.start(2);
  for (let step = 0; step < 4; step++) bench.deliverChunk() || bench.deliverAnswer();
  const before = bench.answers.length;
  const late = { kind: "snapshotChunk", term: 1, index: 21, snapshotTerm: 1, totalBytes: 2_100_000 } as const;
  bench.receiving.chunk(LEADER, { ...late, offset: 0, data: new Uint8Array(10) });
  assertEquals(bench.answers.length, before, "the earlier leader is not answered");
  await bench.flow();
  assertEquals(bench.received.map(({ metadata }) => metadata.index), [30]);
  assertEquals(bench.logger.messages.filter((line) => line === "receiving a snapshot").length, 1);
  await bench.close();
});

Deno.test("SnapshotReceiving: another file for the same entry starts from the beginning, and is received completely", async () => {
  // As from a leader of another version: the same state, encoded differently.
  for (const valueBytes of [60_000, 140_000]) {
    const { bench } = await large();
    bench.start(1);
    for (let turn = 0; turn < 3; turn++) {
      bench.deliverChunk();
      bench.deliverAnswer();
      await settle();
    }
    const machine = machineAt(21, valueBytes);
    await storeState(bench.leaderStore, machine);
    bench.start(2);
    bench.chunks.splice(0, bench.chunks.length - 1);
    for (let frame = 0; frame < 200 && bench.received.length === 0; frame++) {
      if (!bench.deliverChunk()) bench.deliverAnswer();
      await settle();
    }
    const states = bench.received.map((
      { stateMachine },
    ) => [stateMachine.appliedIndex, stateMachine.stateBytes]);
    assertEquals([states, bench.failed], [[[21, machine.stateBytes]], []]);
    await bench.close();
  }
});

/** A follower that has read a snapshot back, while its leader's term ended. */
async function whereTheTermEnded(): Promise<Bench> {
  const { bench } = await large();
  const gate = Promise.withResolvers<void>();
  bench.yieldToEventLoop = () => gate.promise;
  bench.start(1);
  await bench.flow();
  bench.situation = { term: 2, appliedIndex: 0 };
  gate.resolve();
  await bench.flow();
  assertEquals(bench.received.length, 0, "its leader leads no more");
  return bench;
}

Deno.test("SnapshotReceiving: a snapshot completed at the end of a term is passed to the core once the next leader sends the same", async () => {
  const bench = await whereTheTermEnded();
  bench.start(2);
  let bytes = 0;
  while (bench.chunks.length + bench.answers.length > 0) {
    bytes += bench.chunks.reduce((sum, { data }) => sum + data.length, 0);
    if (!bench.deliverChunk()) bench.deliverAnswer();
  }
  assertEquals([bench.received.map(({ metadata }) => metadata.index), bytes], [[21], 0]);
  bench.start(2);
  await bench.flow();
  assertEquals(bench.received.length, 1, "it is shown once");
  await bench.close();
});

Deno.test("SnapshotReceiving: a snapshot completed at the end of a term is dropped when another one arrives, or the log has overtaken it", async () => {
  const bench = await whereTheTermEnded();
  await storeState(bench.leaderStore, machineAt(30, 100_000), { term: 2 });
  bench.start(2);
  await bench.flow();
  assertEquals(bench.received.map(({ metadata }) => metadata.index), [30]);
  await bench.close();
  const other = await whereTheTermEnded();
  other.receiving.applied(21);
  assertEquals(other.followerDisk.stat(`${SNAPSHOTS}/receiving.new`), null);
  await other.close();
});

Deno.test("SnapshotSender: a snapshot that is found damaged while it is sent is not sent again", async () => {
  const { bench } = await large();
  bench.leaderDisk.edit(`${SNAPSHOTS}/00000000000000000021-00000000000000000001.snap`, (bytes) => {
    bytes[1_000_000] = (bytes[1_000_000] ?? 0) ^ 1;
    return bytes;
  });
  bench.suspect = async (snapshot) => {
    using reader = await bench.leaderStore.reader(snapshot);
    for await (const _chunk of reader.chunks());
  };
  bench.start();
  for (let interval = 0; interval < 4 && bench.failed.length === 0; interval++) {
    await bench.flow();
    bench.clock.advance(INTERVAL_MS);
  }
  const damaged = bench.logger.messages.filter((line) => line === "cannot use a received snapshot");
  assertEquals([bench.failed, damaged.length, storedText(bench.leaderStore)], [[FOLLOWER], 1, [
    "21@1 damaged",
  ]]);
  await bench.close();
});

Deno.test("SnapshotSender: transfers that the log has overtaken end, and the others continue", async () => {
  const { bench } = await large();
  bench.start(1, 21);
  bench.sender.endBelow(21);
  assertEquals(bench.sender.lowestIndex, 21);
  bench.sender.endBelow(22);
  assertEquals(bench.sender.lowestIndex, null);
  bench.clock.advance(INTERVAL_MS);
  assertEquals(bench.failed, [FOLLOWER]);
  await bench.close();
});
