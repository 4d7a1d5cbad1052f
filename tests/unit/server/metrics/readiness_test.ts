/** Readiness: when a node can serve clients, and the reason if it can't. */
import { assertEquals } from "@std/assert";
import type { NodeStatus } from "../../../../lib/protocol/messages.ts";
import { Readiness, type Unready } from "../../../../lib/server/metrics/readiness.ts";
import { ManualClock, settle } from "../../../support/fakes/manual_clock.ts";

const STATUS: NodeStatus = {
  id: 1,
  role: "follower",
  term: 3,
  leader: 2,
  commitIndex: 20,
  appliedIndex: 10,
  lastLogIndex: 20,
  firstLogIndex: 1,
  snapshotIndex: 0,
  revision: 5,
  keys: 1,
  sessions: 0,
  stateBytes: 10,
  version: "0.1.0",
  members: [{ id: 1, address: "n1:7001", role: "voter" }, { id: 2, address: "n2:7001", role: "voter" }],
  peers: [],
  disk: "ok",
  links: [],
  quotaBytes: null,
  etcdUrls: [],
  featureLevel: 2,
};

/** A node whose answers a test decides. */
class Scene {
  readonly clock = new ManualClock();
  readonly readiness: Readiness;
  status = STATUS;
  isDiskFull = false;
  read = Promise.withResolvers<boolean>();
  reads = 0;

  constructor() {
    this.readiness = new Readiness({
      clock: this.clock,
      status: () => this.status,
      isDiskFull: () => this.isDiskFull,
      whenReadable: () => {
        this.reads += 1;
        return this.read.promise;
      },
    });
  }

  async reasons(): Promise<readonly string[]> {
    return (await this.readiness.check()).map(({ reason }: Unready) => reason);
  }
}

Deno.test("Readiness: a node that could answer a read is ready", async () => {
  const scene = new Scene();
  scene.read.resolve(true);
  assertEquals(await scene.reasons(), []);
  assertEquals(scene.clock.timerCount, 0);
});

Deno.test("Readiness: a node without a leader is not ready, and does not try to read", async () => {
  const scene = new Scene();
  scene.status = { ...STATUS, leader: null };
  assertEquals(await scene.reasons(), ["noLeader"]);
  assertEquals(scene.reads, 0);
});

Deno.test("Readiness: a node that is no member, or whose disk is full, reports that first", async () => {
  const scene = new Scene();
  scene.status = { ...STATUS, members: [], leader: null };
  scene.isDiskFull = true;
  assertEquals(await scene.reasons(), ["joining", "diskFull", "noLeader"]);
});

Deno.test("Readiness: after a refused read the node is behind, or without a leader if it has lost it", async () => {
  const scene = new Scene();
  scene.read.resolve(false);
  assertEquals(await scene.reasons(), ["behind"]);
  const checking = scene.reasons();
  scene.status = { ...STATUS, leader: null };
  assertEquals(await checking, ["noLeader"]);
});

Deno.test("Readiness: after a read that takes too long the node is behind, and concurrent requests share the read", async () => {
  const scene = new Scene();
  const first = scene.reasons();
  const second = scene.reasons();
  await settle();
  scene.clock.advance(1_000);
  assertEquals([await first, await second], [["behind"], ["behind"]]);
  const third = scene.reasons();
  assertEquals(scene.reads, 1);
  scene.read.resolve(true);
  assertEquals(await third, []);
  assertEquals(scene.clock.timerCount, 0);
});
