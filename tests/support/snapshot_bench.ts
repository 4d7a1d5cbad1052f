/** A leader and a follower that transfer snapshots, for tests that deliver the frames one by one. */
import { MAX_SNAPSHOT_CHUNK_DATA_BYTES } from "../../lib/protocol/limits.ts";
import { assertEquals } from "@std/assert";
import { StateMachine } from "../../lib/kv/mod.ts";
import type { SnapshotChunk, SnapshotProgress } from "../../lib/protocol/peer_frames.ts";
import {
  type ReceivedSnapshot,
  SnapshotReceiving,
  type SnapshotReceivingOptions,
} from "../../lib/server/snapshot/receiver.ts";
import { SnapshotSender } from "../../lib/server/snapshot/sender.ts";
import type { SnapshotStore, StoredSnapshot } from "../../lib/storage/mod.ts";
import { ManualClock, settle } from "./fakes/manual_clock.ts";
import { MemoryDisk } from "./fakes/memory_disk.ts";
import { RecordingLogger } from "./fakes/recording_logger.ts";
import { machineAt, noYield, openStore, storeState } from "./server_state.ts";
import { IDENTITY, SNAPSHOTS } from "./storage.ts";

/** Ids of the leader and the follower. */
export const LEADER = 1;
export const FOLLOWER = 2;
/** Time without an answer after which the leader sends a probe. */
export const INTERVAL_MS = 100;
/** Bytes of a chunk. */
export const PIECE_BYTES = 262_144;

/** A leader and a follower; the test delivers the frames between them. */
export class Bench {
  readonly clock = new ManualClock();
  readonly logger = new RecordingLogger();
  readonly followerDisk = new MemoryDisk();
  readonly leaderDisk = new MemoryDisk();
  readonly chunks: SnapshotChunk[] = [];
  readonly answers: SnapshotProgress[] = [];
  readonly received: ReceivedSnapshot[] = [];
  readonly notNeeded: number[] = [];
  readonly suspected: number[] = [];
  readonly failed: number[] = [];
  /** State of the follower's core. */
  situation = { term: 1, appliedIndex: 0 };
  /** Whether the leader's link accepts frames. */
  isLinked = true;
  yieldToEventLoop: () => Promise<void> = noYield;
  /** Called when the follower may have found a snapshot damaged. */
  suspect: (snapshot: StoredSnapshot) => Promise<void> = noYield;
  readonly leaderStore: SnapshotStore;
  readonly followerStore: SnapshotStore;
  readonly sender: SnapshotSender;
  readonly receiving: SnapshotReceiving;

  private constructor(
    leaderStore: SnapshotStore,
    disks: { leader: MemoryDisk; follower: MemoryDisk },
    followerStore: SnapshotStore,
  ) {
    const { clock, logger } = this;
    this.leaderDisk = disks.leader;
    this.followerDisk = disks.follower;
    this.leaderStore = leaderStore;
    this.followerStore = followerStore;
    this.sender = new SnapshotSender({
      store: leaderStore,
      clock,
      logger,
      chunkBytes: MAX_SNAPSHOT_CHUNK_DATA_BYTES,
      intervalMs: INTERVAL_MS,
      send: (to, chunk) => {
        assertEquals(to, FOLLOWER);
        if (this.isLinked) this.chunks.push(chunk);
        return this.isLinked;
      },
      failed: (to) => void this.failed.push(to),
    });
    const options: SnapshotReceivingOptions = {
      store: followerStore,
      logger,
      clusterId: IDENTITY.clusterId,
      stateMachineOptions: {},
      yieldToEventLoop: () => this.yieldToEventLoop(),
      situation: () => this.situation,
      send: (to, progress) => {
        assertEquals(to, LEADER);
        this.answers.push(progress);
      },
      received: (snapshot) => void this.received.push(snapshot),
      notNeeded: ({ index }) => void this.notNeeded.push(index),
    };
    this.receiving = new SnapshotReceiving(options);
  }

  static async make(): Promise<Bench> {
    const disks = { leader: new MemoryDisk(), follower: new MemoryDisk() };
    return new Bench(await openStore(disks.leader), disks, await openStore(disks.follower));
  }

  /** Starts a transfer of the leader's newest snapshot. */
  start(term = 1, index = 0): void {
    this.sender.start(FOLLOWER, { term, index });
  }

  /** Delivers the next chunk. */
  deliverChunk(): boolean {
    const chunk = this.chunks.shift();
    if (chunk !== undefined) this.receiving.chunk(LEADER, chunk);
    return chunk !== undefined;
  }

  /** Delivers the next answer. */
  deliverAnswer(): boolean {
    const answer = this.answers.shift();
    if (answer === undefined) return false;
    const suspect = this.sender.progressed(FOLLOWER, answer);
    if (suspect !== null) {
      this.suspected.push(suspect.index);
      this.suspect(suspect).catch(() => {});
    }
    return true;
  }

  /** Delivers all frames until none is in flight. */
  async flow(): Promise<void> {
    do {
      while (this.deliverChunk() || this.deliverAnswer());
      await settle();
    } while (this.chunks.length > 0 || this.answers.length > 0);
  }

  /** Ends both sides; checks that no timer and no file is left. */
  async close(): Promise<void> {
    this.sender.close();
    await this.receiving.close();
    await settle();
    assertEquals(
      [this.clock.timerCount, this.leaderDisk.openFiles, this.followerDisk.openFiles],
      [0, 0, 0],
      "timers and files are left behind",
    );
    assertEquals(this.followerDisk.stat(`${SNAPSHOTS}/receiving.new`), null);
  }
}

/** Returns the records of a state. */
export function recordsOf(machine: StateMachine | undefined): unknown {
  return [...machine?.snapshot().records() ?? []];
}

/** Returns a leader with a snapshot of 2.1 MB: nine chunks, two more than two windows. */
export async function large(): Promise<{ bench: Bench; machine: StateMachine }> {
  const bench = await Bench.make();
  const machine = machineAt(21, 100_000);
  await storeState(bench.leaderStore, machine, { term: 1 });
  return { bench, machine };
}
