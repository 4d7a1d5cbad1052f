/** LogClock: the log's time continues from leader to leader, is never ahead of real time, and ends leases in time. */
import { assert, assertEquals } from "@std/assert";
import { MAX_ELAPSED_MS } from "../../../../lib/kv/mod.ts";
import { SeededRandom } from "../../../support/seeded_random.ts";
import { CountingNodes } from "./counting_nodes.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

Deno.test("LogClock: with a new leader every 20 s an hour of log time is an hour, less a moment for each count", () => {
  const nodes = new CountingNodes(3);
  for (let second = 1; second <= HOUR_MS / 1_000; second++) {
    nodes.clock.advance(1_000);
    nodes.applyAll();
    if (second % 20 === 0) nodes.lead((second / 20) % 3);
  }
  assert(nodes.logTimeMs <= HOUR_MS, `${nodes.logTimeMs} ms are more than an hour`);
  assert(nodes.logTimeMs >= HOUR_MS - 2 * MINUTE_MS, `${nodes.logTimeMs} ms are less than an hour`);
  nodes.stop();
});

Deno.test("LogClock: for sessions alone a leader counts every 50 s, and not more often", () => {
  const nodes = new CountingNodes(1);
  nodes.pass(HOUR_MS, 1_000);
  assertEquals(nodes.counts, Array(72).fill(50_000));
  nodes.stop();
});

Deno.test("LogClock: log time never runs ahead of real time, under any loss, delay or change of leader", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = new SeededRandom(seed);
    const nodes = new CountingNodes(3);
    for (let step = 0; step < 400; step++) {
      nodes.clock.advance(1 + 8_000 * random.next());
      for (const node of [0, 1, 2]) if (random.chance(0.4)) nodes.apply(node);
      if (random.chance(0.2)) nodes.lead(random.below(3), random.below(2));
      assert(nodes.logTimeMs <= nodes.clock.now(), `seed ${seed}, step ${step}`);
    }
    assert(nodes.logTimeMs > nodes.clock.now() / 4, `seed ${seed}: it advances nevertheless`);
    nodes.stop();
  }
});

Deno.test("LogClock: no lease ends early, under any loss, delay, restart or change of leader", () => {
  let ends = 0;
  for (let seed = 1; seed <= 150; seed++) {
    const random = new SeededRandom(seed);
    const nodes = new CountingNodes(3);
    nodes.sessions = random.below(2);
    nodes.maxEnded = random.pick([1, 3, Infinity]);
    for (let step = 0; step < 300; step++) {
      nodes.clock.advance(random.pick([0.4, 3, 700, 9_000]) * random.next());
      for (const node of [0, 1, 2]) if (random.chance(0.4)) nodes.apply(node);
      if (random.chance(0.5)) nodes.startLease(random.below(5), 1_000 + random.below(20_000));
      if (random.chance(0.1)) nodes.restart(random.below(3));
      if (random.chance(0.15)) nodes.lead(random.chance(0.2) ? null : random.below(3), random.below(4));
      nodes.accepts = random.chance(0.9);
      for (const { leaseId, lateMs } of nodes.ends.splice(0)) {
        assert(lateMs >= 0, `seed ${seed}, step ${step}: lease ${leaseId} ended ${-lateMs} ms early`);
        ends += 1;
      }
    }
    nodes.stop();
  }
  assert(ends > 500, `${ends} leases ended`);
});

Deno.test("LogClock: a lease that starts within a millisecond ends after its whole time", () => {
  const nodes = new CountingNodes(1);
  nodes.clock.advance(0.6);
  nodes.startLease(1, 1_000);
  nodes.clock.advance(999.4);
  nodes.startLease(2, 5_000);
  nodes.applyAll();
  // Log time is 1,000 ms, and the lease has lasted for 999.4: it ends once log time is above its deadline.
  assertEquals([nodes.logTimeMs, nodes.ends], [1_000, []]);
  nodes.clock.advance(1);
  nodes.startLease(3, 5_000);
  nodes.applyAll();
  assertEquals(nodes.ends.map(({ leaseId }) => leaseId), [1]);
  nodes.stop();
});

Deno.test("LogClock: a lease ends within a second, though another node leads every 20 s", () => {
  const nodes = new CountingNodes(3);
  nodes.pass(1_000);
  const ttls = [1_000, 2_500, 30_000, 5 * MINUTE_MS, HOUR_MS];
  for (const [leaseId, ttlMs] of ttls.entries()) nodes.startLease(leaseId, ttlMs);
  for (let term = 1; term <= HOUR_MS / 20_000 + 2; term++) {
    nodes.pass(20_000, 50);
    nodes.lead(term % 3);
    nodes.applyAll();
  }
  assertEquals(nodes.ends.map(({ leaseId }) => leaseId), [0, 1, 2, 3, 4]);
  for (const { leaseId, lateMs } of nodes.ends) {
    // Each change of leader may lose the step in which a count is applied.
    const lostMs = 50 * Math.ceil((ttls[leaseId] ?? 0) / 20_000);
    assert(lateMs >= 0 && lateMs <= 1_000 + lostMs, `lease ${leaseId} ended ${lateMs} ms late`);
  }
  nodes.stop();
});

Deno.test("LogClock: a lease that no client keeps alive ends within 100 ms of its time under one leader", () => {
  const nodes = new CountingNodes(3);
  nodes.sessions = 0;
  nodes.pass(7_777);
  nodes.startLease(1, 10_000);
  nodes.pass(11_000);
  assertEquals(nodes.ends.map(({ leaseId }) => leaseId), [1]);
  assert((nodes.ends[0]?.lateMs ?? Infinity) <= 100, JSON.stringify(nodes.ends));
  nodes.stop();
});

Deno.test("LogClock: a node that restarts just before it leads loses less than a second of a lease's time", () => {
  const nodes = new CountingNodes(3);
  nodes.startLease(1, 30_000);
  for (const node of [1, 2, 0]) {
    nodes.pass(4_700);
    nodes.restart(node);
    nodes.lead(node);
    nodes.applyAll();
  }
  nodes.pass(32_000);
  const [end] = nodes.ends;
  assert(end !== undefined && end.lateMs >= 0 && end.lateMs <= 3 * 700, JSON.stringify(end));
  nodes.stop();
});

Deno.test("LogClock: a leader that is elected again counts what its lost counts had counted", () => {
  const nodes = new CountingNodes(3);
  nodes.pass(1_000);
  nodes.startLease(1, 10_000);
  nodes.applyAll();
  nodes.clock.advance(3_000);
  nodes.startLease(2, 10_000);
  nodes.lead(0, 10);
  nodes.applyAll();
  nodes.pass(7_500);
  assertEquals(nodes.ends.map(({ leaseId }) => leaseId), [1]);
  const [end] = nodes.ends;
  assert(end !== undefined && end.lateMs >= 0 && end.lateMs < 500, JSON.stringify(end));
  nodes.stop();
});

Deno.test("LogClock: the counts of a leader that was suspended cover the time, 60 s at most in each", () => {
  const nodes = new CountingNodes(1);
  nodes.startLease(1, 5 * MINUTE_MS);
  nodes.applyAll();
  const before = nodes.counts.length;
  nodes.clock.sleep(4 * MINUTE_MS + 30_000);
  nodes.applyAll();
  assertEquals(nodes.counts.slice(before), [
    MAX_ELAPSED_MS,
    MAX_ELAPSED_MS,
    MAX_ELAPSED_MS,
    MAX_ELAPSED_MS,
    30_000,
  ]);
  assertEquals(nodes.ends, []);
  nodes.clock.sleep(2 * MINUTE_MS);
  nodes.applyAll();
  assertEquals(nodes.ends, [{ leaseId: 1, lateMs: 90_000 }]);
  nodes.stop();
});

Deno.test("LogClock: a time without a leader is counted, and at most 30 minutes of it", () => {
  const nodes = new CountingNodes(2);
  nodes.startLease(1, 10 * MINUTE_MS);
  nodes.startLease(2, 10 * HOUR_MS);
  nodes.applyAll();
  nodes.lead(null);
  nodes.pass(9 * MINUTE_MS, 1_000);
  nodes.lead(1);
  nodes.pass(MINUTE_MS + 1_000);
  const [end] = nodes.ends;
  assert(end?.leaseId === 1 && end.lateMs >= 0 && end.lateMs < 1_000, JSON.stringify(end));
  const before = nodes.logTimeMs;
  nodes.lead(null);
  nodes.pass(5 * HOUR_MS, 10_000);
  nodes.lead(0);
  nodes.pass(5_020);
  const countedMs = nodes.logTimeMs - before;
  assert(countedMs >= 30 * MINUTE_MS && countedMs <= 31 * MINUTE_MS, `${countedMs} ms`);
  nodes.stop();
});

Deno.test("LogClock: while more is due than one entry ends, the leader counts again at once", () => {
  const nodes = new CountingNodes(1);
  nodes.maxEnded = 2;
  for (let leaseId = 0; leaseId < 9; leaseId++) nodes.startLease(leaseId, 2_000);
  nodes.pass(2_100);
  const before = nodes.counts.length;
  for (let round = 0; round < 4; round++) nodes.applyAll();
  assertEquals(nodes.ends.length, 9);
  assertEquals(nodes.counts.slice(before).every((elapsedMs) => elapsedMs === 0), true);
  nodes.stop();
});

Deno.test("LogClock: a leader that cannot count does not start a lease's time", () => {
  const nodes = new CountingNodes(2);
  nodes.pass(1_000);
  nodes.accepts = false;
  assertEquals(nodes.startLease(1, 5_000), false);
  assertEquals(nodes.startLease(1, 5_000), false);
  nodes.accepts = true;
  assertEquals(nodes.startLease(1, 5_000), true);
  // The next leader has not applied the entries before its term.
  nodes.lead(1);
  assertEquals(nodes.startLease(1, 5_000), false);
  nodes.applyAll();
  assertEquals(nodes.startLease(1, 5_000), true);
  nodes.stop();
});

Deno.test("LogClock: the first lease of a term follows a count, though no time is uncounted", () => {
  const nodes = new CountingNodes(2);
  nodes.sessions = 0;
  // Both have noted at their checks that there was nothing to count, node 1 earlier than node 0.
  nodes.restart(1);
  nodes.pass(5_000, 5_000);
  assertEquals(nodes.counts, []);
  assertEquals(nodes.startLease(1, 5_000), true);
  assertEquals(nodes.startLease(2, 5_000), true);
  assertEquals(nodes.counts, [0]);
  nodes.stop();
});

Deno.test("LogClock: a node estimates the log's time between counts, never above that of the leader", () => {
  const nodes = new CountingNodes(3);
  nodes.startLease(1, 5_000);
  nodes.pass(2_000);
  nodes.clock.advance(130);
  for (const node of [0, 1, 2]) {
    const estimate = nodes.estimateOf(node);
    assert(estimate <= 2_130 && estimate >= 2_050, `node ${node}: ${estimate}`);
  }
  nodes.stop();
});

Deno.test("LogClock: a cluster without sessions counts nothing, and its first session begins with no more than a moment", () => {
  const nodes = new CountingNodes(2);
  nodes.sessions = 0;
  nodes.pass(1_000_000, 1_000);
  assertEquals(nodes.logTimeMs, 0);
  nodes.sessions = 1;
  nodes.pass(100_000, 1_000);
  assert(nodes.logTimeMs > 0 && nodes.logTimeMs <= 105_000, `${nodes.logTimeMs} ms`);
  nodes.stop();
});
