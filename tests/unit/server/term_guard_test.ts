/** TermGuard: bounds on how far messages of other nodes may raise a node's term. */
import { assert, assertEquals } from "@std/assert";
import { MAX_TERM } from "../../../lib/protocol/limits.ts";
import { MAX_TERM_LEAP, TERM_WINDOW_MS, TermGuard } from "../../../lib/server/term_guard.ts";
import { ManualClock, settle } from "../../support/fakes/manual_clock.ts";
import type { ValueType } from "@std/msgpack";
import { MemoryCluster } from "../../support/fakes/memory_cluster.ts";
import { RawConnection, until } from "../../support/fakes/accepting_node.ts";

Deno.test("TermGuard: a term may be as far ahead as a node that was away can be behind, and no further", () => {
  const guard = new TermGuard(new ManualClock());
  const allowed = [4, 5, 6, 5 + MAX_TERM_LEAP, 6 + MAX_TERM_LEAP, MAX_TERM].map((term) =>
    guard.allows(term, 5)
  );
  assertEquals(allowed, [true, true, true, true, false, false]);
});

Deno.test("TermGuard: many small steps within a second count like one large step", () => {
  const clock = new ManualClock();
  const guard = new TermGuard(clock);
  let term = 1;
  for (let frame = 0; frame < 10; frame++) {
    if (guard.allows(term + MAX_TERM_LEAP / 2, term)) term += MAX_TERM_LEAP / 2;
    clock.advance(TERM_WINDOW_MS / 20);
  }
  assertEquals(term, 1 + MAX_TERM_LEAP);
  clock.advance(TERM_WINDOW_MS);
  assertEquals(guard.allows(term + MAX_TERM_LEAP, term), true);
});

Deno.test("TermGuard: a node without a term accepts any term of its cluster", () => {
  assertEquals(new TermGuard(new ManualClock()).allows(MAX_TERM, 0), true);
});

Deno.test("TermGuard: nodes whose terms a faulty node has driven apart converge again, at the same rate", () => {
  const clock = new ManualClock();
  const guard = new TermGuard(clock);
  const ahead = 1 + 3 * MAX_TERM_LEAP;
  const allowed = [0, 1, 2].map(() => {
    clock.advance(TERM_WINDOW_MS);
    return [guard.allows(ahead, 1), guard.allows(ahead, 1)];
  });
  assertEquals(allowed, [[false, false], [false, false], [true, true]]);
});

/** Each is a frame of node 9 to node 1 with this term. */
const FRAMES: Readonly<Record<string, (term: number) => ValueType>> = {
  preVote: (term) => [10, 9, 1, term, 1, 1],
  preVoteResponse: (term) => [11, 9, 1, term, true],
  requestVote: (term) => [12, 9, 1, term, 1, 1, true],
  requestVoteResponse: (term) => [13, 9, 1, term, true],
  appendEntries: (term) => [14, 9, 1, term, 0, 0, 0, []],
  appendEntriesResponse: (term) => [15, 9, 1, term, [1, 0]],
  heartbeat: (term) => [16, 9, 1, term, 0, 1],
  heartbeatResponse: (term) => [17, 9, 1, term, 1, 0],
  timeoutNow: (term) => [18, 9, 1, term],
  readIndex: (term) => [19, 9, 1, term, 1],
  readIndexResponse: (term) => [20, 9, 1, term, 1, 1],
  snapshotChunk: (term) => [32, term, 1_000, 1, 10, 0, new Uint8Array(0)],
  snapshotProgress: (term) => [33, term, 1_000, 1, 10, 0],
};

Deno.test("TermGuard: a term that is too high ends its connection for every kind of frame, and elections continue", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1, 2, 3);
  const client = await cluster.client(1, 2, 3);
  await cluster.run(client.put("key", "value"));
  const { term } = await cluster.run(client.cluster.status());
  for (const [kind, frame] of Object.entries(FRAMES)) {
    for (const leap of [MAX_TERM, Number.MAX_SAFE_INTEGER, term + 2 ** 30]) {
      const server = cluster.server(1);
      assert(server !== null);
      const caller = await RawConnection.connect(cluster.network);
      await caller.send([0, "kvraft", 1, 1, 1, server.clusterId, 9, 1, null, 109, "n9:7001"]);
      await caller.send(frame(leap));
      await until(`the connection with the ${kind} was closed`, () => caller.end !== null);
    }
  }
  await cluster.pass(2_000);
  assertEquals((await cluster.run(client.cluster.status())).term, term);
  assertEquals(cluster.logger.connectionFaults, []);
  for (const leader of [2, 1]) {
    await cluster.run(client.cluster.transferLeadership(leader));
    await cluster.run(client.put("key", `under ${leader}`));
  }
  await cluster.stop(1);
  await cluster.start(1);
  await settle();
});
