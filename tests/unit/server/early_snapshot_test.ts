/** No snapshot is taken before a node knows whose state it has (found by the simulator). */
import { assertEquals, assertRejects } from "@std/assert";
import { StateMachine } from "../../../lib/kv/mod.ts";
import { encodeConfiguration } from "../../../lib/net/configuration_codec.ts";
import { type Configuration, EMPTY_CONFIGURATION, type Entry } from "../../../lib/raft/mod.ts";
import { foundingConfiguration } from "../../../lib/server/members.ts";
import { Replica } from "../../../lib/server/replica.ts";
import { SNAPSHOT_LIMITS, SnapshotRefusedError, Snapshots } from "../../../lib/server/snapshots.ts";
import { SnapshotStore } from "../../../lib/storage/mod.ts";
import { ManualClock } from "../../support/manual_clock.ts";
import { MemoryDisk } from "../../support/memory_disk.ts";
import { RecordingLogger } from "../../support/recording_logger.ts";

const FOUNDED = foundingConfiguration([{ id: 1, address: "h:1" }]);

function noop(index: number): Entry {
  return { index, term: 1, kind: "noop", data: new Uint8Array(0) };
}

async function snapshotsOf(
  configuration: Configuration,
): Promise<{ snapshots: Snapshots; replica: Replica; store: SnapshotStore }> {
  const disk = new MemoryDisk();
  disk.createDirectory("/snapshots");
  const store = await SnapshotStore.open({ disk, directory: "/snapshots" });
  const replica = new Replica(new StateMachine(), { index: 0, term: 0, configuration });
  const snapshots = new Snapshots({
    store,
    replica,
    log: { firstIndex: 1, bytesSince: () => 1, removeBefore: () => {} },
    clock: new ManualClock(),
    logger: new RecordingLogger(),
    clusterId: "cluster",
    limits: { ...SNAPSHOT_LIMITS, logBytes: 1, logRatio: 0 },
    turn: () => ({ position: 0, nodes: 1 }),
    lowestSending: () => null,
    compact: () => {},
    pause: () => Promise.resolve(),
  });
  return { snapshots, replica, store };
}

Deno.test("before its first entry a node has nothing to take a snapshot of", async () => {
  const { snapshots, replica, store } = await snapshotsOf(FOUNDED);
  await assertRejects(() => snapshots.take(), SnapshotRefusedError);
  assertEquals(store.list(), []);
  replica.apply([noop(1)]);
  assertEquals((await snapshots.take()).index, 1);
});

Deno.test("a node that was added takes none before it has the entry that says who its cluster is", async () => {
  const { snapshots, replica, store } = await snapshotsOf(EMPTY_CONFIGURATION);
  replica.apply([noop(1)]);
  snapshots.consider();
  await assertRejects(() => snapshots.take(), SnapshotRefusedError);
  assertEquals(store.list(), []);
  replica.apply([{ index: 2, term: 1, kind: "configuration", data: encodeConfiguration(FOUNDED) }]);
  assertEquals((await snapshots.take()).index, 2);
});
