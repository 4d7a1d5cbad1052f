/** The lines about slow requests: what they say of each kind, how many there are, and which requests have none. */
import { assertEquals } from "@std/assert";
import { StateMachine } from "../../../../lib/kv/mod.ts";
import type { ClientRequest } from "../../../../lib/protocol/client_frames.ts";
import { ConnectionIdentity } from "../../../../lib/server/auth/connection_identity.ts";
import { BatchTimes } from "../../../../lib/server/diagnostics/batch_times.ts";
import {
  MAX_SLOW_LINES,
  SLOW_WINDOW_MS,
  type SlowRequest,
  SlowRequests,
} from "../../../../lib/server/diagnostics/slow_requests.ts";
import { Metrics } from "../../../../lib/server/metrics/metrics.ts";
import { Reply } from "../../../../lib/server/reply.ts";
import { accessTo } from "../../../support/fakes/auth.ts";
import { ManualClock, settle } from "../../../support/fakes/manual_clock.ts";
import { RecordingLogger } from "../../../support/fakes/recording_logger.ts";

const SLOW_MS = 500;
const KEY = new TextEncoder().encode("secret key");
const GET: ClientRequest = { kind: "get", requestId: 1, key: KEY, consistency: "linearizable" };
const WRITE: SlowRequest = {
  kind: "write",
  outcome: "ok",
  begin: 0,
  elapsed: 900_000,
  index: 1,
  readyAt: null,
  applyMs: 0,
  bytes: 20,
  from: { client: "10.0.0.9:5000", user: null },
};

/** The slow requests of node 1, which knows the leader 3. */
class Bench {
  readonly clock = new ManualClock();
  readonly logger = new RecordingLogger();
  readonly metrics = new Metrics(this.clock);
  readonly live: { slowMs: number | null } = { slowMs: SLOW_MS };
  readonly driver = { batches: new BatchTimes(), isLeader: false };
  readonly leadership = { current: { leader: 3, term: 1 } };
  readonly slow = new SlowRequests(this);
  readonly #identity = new ConnectionIdentity({ remote: "10.0.0.9:5000", certificate: null }, {
    wallClock: () => 0,
  });

  /** Returns the fields of the lines. */
  get lines(): readonly unknown[] {
    return this.logger.lines.map(({ level, message, fields }) => ({ level, message, ...fields }));
  }

  /** Returns how many requests of a kind were counted as slow. */
  counted(kind: string): number | undefined {
    return this.metrics.requests.find((one) => one.kind === kind)?.slow;
  }

  reply(request: ClientRequest): Reply {
    return new Reply(request, { identity: this.#identity, send: () => {}, fail: () => {} }, {
      leadership: this.leadership,
      access: accessTo(() => new StateMachine()),
      metrics: this.metrics,
      slow: this.slow,
    });
  }

  /** Passes time, and ends the turn. */
  async pass(durationMs: number): Promise<void> {
    await settle();
    this.clock.advance(durationMs);
  }
}

/** Returns the end of a get after so many milliseconds, with nothing logged before. */
async function getFor(bench: Bench, durationMs: number): Promise<void> {
  const reply = bench.reply(GET);
  await bench.pass(durationMs);
  reply.confirmed(0);
  reply.send({ kind: "getResult", requestId: 1, entry: null, revision: 0 });
  await settle();
}

Deno.test("SlowRequests: a write that this node proposed has the parts of its batch, and names the greatest", () => {
  const bench = new Bench();
  bench.driver.batches.appended(1, 1, 100_000);
  bench.driver.batches.synced(50_000);
  bench.driver.batches.committed(1, 849_990);
  bench.slow.note(WRITE);
  assertEquals(bench.lines, [{
    level: "warn",
    message: "a request was slow",
    event: "slowRequest",
    kind: "write",
    outcome: "ok",
    elapsedMs: 900,
    waitedFor: "majority",
    queuedMs: 100,
    syncMs: 50,
    majorityMs: 700,
    applyMs: 50,
    bytes: 20,
    client: "10.0.0.9:5000",
  }]);
});

Deno.test("SlowRequests: a follower names the leader that it waited for, and the leader the node that forwarded", () => {
  const bench = new Bench();
  bench.slow.note({ ...WRITE, index: null, from: { client: "10.0.0.9:5000", user: "alice" } });
  bench.slow.note({ ...WRITE, kind: "forward", from: { node: 2 } });
  const common = { level: "warn", message: "a request was slow", event: "slowRequest", outcome: "ok" };
  assertEquals(bench.lines, [
    {
      ...common,
      kind: "write",
      elapsedMs: 900,
      waitedFor: "leader",
      leaderMs: 900,
      leader: 3,
      bytes: 20,
      client: "10.0.0.9:5000",
      user: "alice",
    },
    {
      ...common,
      kind: "forward",
      elapsedMs: 900,
      waitedFor: "queued",
      queuedMs: 900,
      syncMs: 0,
      majorityMs: 0,
      applyMs: 0,
      bytes: 20,
      from: 2,
    },
  ]);
});

Deno.test("Reply: a slow read says how long it waited to be confirmed, to be applied, and to be answered; no key", async () => {
  const bench = new Bench();
  const reply = bench.reply(GET);
  await bench.pass(300);
  reply.confirmed(100);
  await bench.pass(250);
  reply.send({ kind: "getResult", requestId: 1, entry: null, revision: 0 });
  assertEquals(bench.lines, [{
    level: "warn",
    message: "a request was slow",
    event: "slowRequest",
    kind: "get",
    outcome: "ok",
    elapsedMs: 550,
    waitedFor: "answer",
    confirmMs: 200,
    applyMs: 100,
    answerMs: 250,
    client: "10.0.0.9:5000",
  }]);
  assertEquals(bench.counted("get"), 1);
});

Deno.test("Reply: requests below --slow-ms have no line, and its change applies to those in progress", async () => {
  const bench = new Bench();
  await getFor(bench, SLOW_MS - 1);
  assertEquals(bench.lines, []);
  await getFor(bench, SLOW_MS);
  assertEquals(bench.lines.length, 1);
  bench.live.slowMs = 20;
  await getFor(bench, 20);
  assertEquals(bench.lines.length, 2);
  bench.live.slowMs = null;
  await getFor(bench, 100_000);
  assertEquals([bench.lines.length, bench.counted("get")], [2, 2]);
});

Deno.test("SlowRequests: a request that waits by its nature is not slow", () => {
  const bench = new Bench();
  for (const kind of ["changeMembership", "watchProgress", "describeNode"] as const) {
    bench.slow.note({ ...WRITE, kind, index: null });
  }
  assertEquals([bench.lines, bench.counted("changeMembership")], [[], 0]);
  bench.slow.note({ ...WRITE, kind: "signIn", index: null, bytes: null });
  assertEquals(bench.lines, [{
    level: "warn",
    message: "a request was slow",
    event: "slowRequest",
    kind: "signIn",
    outcome: "ok",
    elapsedMs: 900,
    client: "10.0.0.9:5000",
  }]);
});

Deno.test("SlowRequests: ten lines in ten seconds, then the number of the others; all are counted", () => {
  const bench = new Bench();
  for (let request = 0; request < MAX_SLOW_LINES + 7; request++) bench.slow.note(WRITE);
  assertEquals(bench.lines.length, MAX_SLOW_LINES);
  bench.clock.advance(SLOW_WINDOW_MS);
  assertEquals(bench.lines.slice(MAX_SLOW_LINES), [
    { level: "warn", message: "more requests were slow", event: "slowRequest", requests: 7 },
  ]);
  bench.slow.note(WRITE);
  assertEquals(bench.lines.length, MAX_SLOW_LINES + 2);
  assertEquals(bench.counted("write"), MAX_SLOW_LINES + 8);
  bench.slow.close();
  assertEquals([bench.lines.length, bench.clock.timerCount], [MAX_SLOW_LINES + 2, 0]);
});
