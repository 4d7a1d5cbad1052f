/** Reports of nodes: through client and server, and what the asking node adds to them. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { MemberReport, NodeReport } from "../../../../lib/protocol/diagnostics/report.ts";
import type { PeerMessage } from "../../../../lib/protocol/peer_frames.ts";
import { Diagnostics } from "../../../../lib/server/diagnostics/diagnostics.ts";
import { ManualClock, settle } from "../../../support/fakes/manual_clock.ts";
import { MemoryCluster } from "../../../support/fakes/memory_cluster.ts";

/** Returns the reports by id; null of a member that did not answer. */
function byId(members: readonly MemberReport[]): ReadonlyMap<number, NodeReport | null> {
  return new Map(members.map((one) => [one.id, one.kind === "reachable" ? one.report : null]));
}

Deno.test("describe: every member reports itself and its links, and one that is down is unreachable", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1, 2, 3);
  const client = await cluster.client(1, 2, 3);
  await cluster.run(client.put("key", "value"));
  await cluster.pass(2_000);
  const { leader } = await cluster.run(client.cluster.status());
  const all = byId(await cluster.run(client.cluster.describe()));
  assertEquals([...all.keys()], [1, 2, 3]);
  for (const [id, report] of all) {
    assert(report !== null);
    const { status, heardFrom, knownFeatureLevel, featureLevel } = report;
    assertEquals([status.id, status.leader, featureLevel], [id, leader, knownFeatureLevel]);
    assertEquals(heardFrom.map(({ id }) => id), [1, 2, 3].filter((other) => other !== id));
    for (const { agoMs, connectedFrom, connectedTo } of heardFrom) {
      assertEquals([connectedFrom, connectedTo], [true, true]);
      assert(agoMs !== null && agoMs <= 1_100, `${agoMs} ms since the last ping`);
    }
  }
  const events = all.get(leader ?? 0)?.events.map(({ name }) => name);
  assert(events?.includes("becameLeader"), `the events ${events} say that the node leads`);

  const down = [1, 2, 3].find((id) => id !== leader) ?? 0;
  await cluster.stop(down);
  await cluster.pass(100);
  const members = await cluster.run(client.cluster.describe());
  const silent = members.find(({ id }) => id === down);
  assert(silent?.kind === "unreachable");
  assertMatch(silent.reason, /has no connection to it/);
  const link = byId(members).get(leader ?? 0)?.heardFrom.find(({ id }) => id === down);
  assertEquals([link?.agoMs, link?.connectedFrom, link?.connectedTo], [null, false, false]);
});

Deno.test("describe: a member that has just been suspended delays the answer of the others, and does not prevent it", async () => {
  await using cluster = new MemoryCluster();
  for (const id of [1, 2]) await cluster.start(id, { founders: [1, 2, 3] });
  const client = await cluster.client(1, 2);
  await cluster.run(client.put("key", "value"));
  const { connections } = cluster.network;
  const begun = connections.length;
  await cluster.start(3, { founders: [1, 2, 3] });
  await cluster.pass(2_000);
  assertEquals([...byId(await cluster.run(client.cluster.describe())).values()].includes(null), false);
  for (const connection of connections.slice(begun)) connection.stall();
  const members = await cluster.run(client.cluster.describe({ timeoutMs: 3_000 }));
  assertEquals([...byId(members)].map(([id, report]) => [id, report !== null]), [[1, true], [2, true], [
    3,
    false,
  ]]);
});

Deno.test("describe: the scope self asks no other node", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1, 2, 3);
  const client = await cluster.client(2);
  const [only, ...others] = await cluster.run(client.cluster.describe({ scope: "self" }));
  assert(only?.kind === "reachable");
  assertEquals([only.id, only.address, others], [2, "n2:7001", []]);
});

Deno.test("describe: requests are counted by their group, and a report has the settings that should agree", async () => {
  await using cluster = new MemoryCluster();
  await cluster.start(1, { founders: [1], changes: { http: { host: "n1", port: 80 }, quotaBytes: 5_000 } });
  const client = await cluster.client(1);
  await cluster.run(client.put("key", "value"));
  await cluster.run(client.get("key"));
  await cluster.run(client.get("key"));
  const [only] = await cluster.run(client.cluster.describe());
  assert(only?.kind === "reachable");
  const { counters, quota, config, latency } = only.report;
  assertEquals(counters.reads, 2);
  assert(counters.writes >= 1 && counters.proposals >= 1);
  assertEquals([quota.usedBytes > 0, quota.limitBytes], [true, 5_000]);
  assertEquals(config.find(({ name }) => name === "quota-bytes")?.value, "5000");
  assertEquals(config.map(({ name }) => name), config.map(({ name }) => name).toSorted());
  assert(latency.syncP99Micros !== null && latency.loopDelayP99Micros !== null);
});

/** Node 1 with its diagnostics; the test is node 2, whose clock is `aheadMs` ahead. */
class Bench {
  readonly clock = new ManualClock();
  readonly sent: PeerMessage[] = [];
  readonly diagnostics: Diagnostics;
  /** The report of node 1; what a node says about itself is not looked at here. */
  readonly report = { wallClockMs: 0, status: { id: 1 } } as NodeReport;

  constructor({ members = [1, 2] }: { readonly members?: readonly number[] } = {}) {
    this.diagnostics = new Diagnostics({
      self: 1,
      clock: this.clock,
      wallClock: () => 1_000_000 + this.clock.now(),
      report: () => this.report,
      members: () => members.map((id) => ({ id, address: `n${id}:7001`, role: "voter" })),
      send: (message) => this.sent.push(message) > 0,
    });
  }

  /** Returns the id of the last question. */
  get askId(): number {
    const last = this.sent.at(-1);
    assert(last?.kind === "describe");
    return last.askId;
  }
}

Deno.test("Diagnostics: the difference of clocks is that to the middle of the exchange", async () => {
  for (const aheadMs of [0, 7_000, -7_000]) {
    const bench = new Bench();
    const answer = bench.diagnostics.describe("all");
    bench.clock.advance(40);
    const wallClockMs = 1_000_000 + bench.clock.now() - 20 + aheadMs;
    bench.diagnostics.receive(2, {
      kind: "described",
      askId: bench.askId,
      report: { ...bench.report, wallClockMs },
    });
    const two = (await answer)[1];
    assert(two?.kind === "reachable");
    assertEquals([two.roundTripMicros, two.clockOffsetMs], [40_000, aheadMs]);
    assertEquals(bench.clock.timerCount, 0);
  }
});

Deno.test("Diagnostics: concurrent requests share one question, and silence ends after a second", async () => {
  const bench = new Bench();
  const answers = Promise.all([bench.diagnostics.describe("all"), bench.diagnostics.describe("all")]);
  assertEquals(bench.sent.length, 1);
  // An answer of another node than the one that was asked is none.
  bench.diagnostics.receive(3, { kind: "described", askId: bench.askId, report: bench.report });
  bench.clock.advance(1_000);
  const [first, second] = await answers;
  assertEquals(first, second);
  const two = first?.[1];
  assert(two?.kind === "unreachable");
  assertMatch(two.reason, /^it has not answered within 1000 ms/);
  // Too late: the next collection has a question of its own.
  bench.diagnostics.receive(2, { kind: "described", askId: bench.askId, report: bench.report });
  const next = bench.diagnostics.describe("all");
  assertEquals(bench.sent.length, 2);
  bench.diagnostics.close();
  assertEquals((await next)[1]?.kind, "unreachable");
  await settle();
  assertEquals(bench.clock.timerCount, 0);
});

Deno.test("Diagnostics: a node that is no member gets no report", () => {
  const bench = new Bench();
  bench.diagnostics.receive(9, { kind: "describe", askId: 5 });
  assertEquals(bench.sent, []);
  bench.diagnostics.receive(2, { kind: "describe", askId: 5 });
  assertEquals(bench.sent, [{ kind: "described", askId: 5, report: bench.report }]);
});
