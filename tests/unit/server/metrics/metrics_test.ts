/** The table of metrics: its text is what Prometheus reads, and what docs/metrics.md says. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import type { NodeCondition } from "../../../../lib/server/node_status.ts";
import { DoublingHistogram, Metrics } from "../../../../lib/server/metrics/metrics.ts";
import type { MetricSources } from "../../../../lib/server/metrics/metric.ts";
import { METRICS } from "../../../../lib/server/metrics/metric_table.ts";
import { describeMetrics, renderMetrics } from "../../../../lib/server/metrics/metrics_text.ts";
import { CHECKOUT, filesOfCheckout, readCheckout } from "../../../support/checkout.ts";
import { ManualClock, settle } from "../../../support/fakes/manual_clock.ts";
import { parseMetrics, sumOf } from "../../../support/prometheus.ts";

const LINKS: MetricSources["links"] = [
  { id: 2, isConnected: true, roundTripMs: 0.25, authenticatedBy: "secret" },
  { id: 3, isConnected: false, roundTripMs: null, authenticatedBy: null },
];
const CONNECTIONS = {
  clients: 4,
  peerLanes: 2,
  pending: 1,
  accepted: 9,
  refused: 2,
  waitingBytes: 70_000,
  overloaded: 3,
  failedProofs: { missing: 4, otherSecret: 0, wrongProof: 1, noAnswer: 0, dialled: 0 },
};

const CONDITION: NodeCondition = {
  isDiskFull: false,
  isDiskNearlyFull: true,
  logBytes: 4_096,
  waitingWrites: 3,
  holdsLease: true,
  historyBytes: 700,
  compactedRevision: 60,
  watches: { watches: 61, behind: 62, sentEvents: 63, endedByCompaction: 64 },
  snapshot: { index: 65, bytes: 66, ageMs: null, lastFailure: null },
  leases: 12,
  endedLeases: 5,
  isAuthEnabled: true,
  users: 14,
  clients: () => ({ password: 15, token: 16, certificate: 17, none: 18 }),
};

const DENOKV: MetricSources["denokv"] = {
  web: { connections: 5, requests: 6, heldBytes: 7, accepted: 8, refused: 9 },
  requests: [
    {
      database: "default",
      request: "snapshot_read",
      byStatus: new Map([[200, 10], [503, 2]]),
      totalMs: 1_500,
    },
  ],
  repeatedWrites: new Map([["default", 3]]),
  watches: [{ database: "orders", watches: 4, begun: 5, frames: 6, frameBytes: 700 }],
};

const ETCD: MetricSources["etcd"] = {
  web: { connections: 15, requests: 16, heldBytes: 17, accepted: 18, refused: 19 },
  requests: [{ service: "etcdserverpb.KV", method: "Put", byStatus: new Map([[0, 20], [14, 3]]) }],
  streams: 21,
};

function sourcesWith(metrics: Metrics): MetricSources {
  return {
    clusterId: 'of "three"\\',
    status: {
      id: 1,
      role: "leader",
      term: 7,
      leader: 1,
      commitIndex: 90,
      appliedIndex: 85,
      lastLogIndex: 100,
      firstLogIndex: 1,
      snapshotIndex: 40,
      revision: 80,
      keys: 12,
      sessions: 2,
      stateBytes: 3_000,
      version: "0.1.0",
      members: [
        { id: 1, address: "n1:7001", role: "voter" },
        { id: 2, address: "n2:7001", role: "voter" },
        { id: 3, address: "n3:7001", role: "learner" },
      ],
      peers: [
        {
          id: 2,
          matchIndex: 99,
          state: "replicate",
          lastContactMs: 20,
          snapshotSentBytes: 0,
          snapshotTotalBytes: 0,
          hasDiskSpace: true,
        },
        {
          id: 3,
          matchIndex: 0,
          state: "snapshot",
          lastContactMs: null,
          snapshotSentBytes: 5,
          snapshotTotalBytes: 50,
          hasDiskSpace: false,
        },
      ],
      disk: "ok",
      links: [],
      quotaBytes: null,
      etcdUrls: [],
      featureLevel: 2,
    },
    condition: CONDITION,
    metrics,
    connections: CONNECTIONS,
    links: LINKS,
    tls: { failures: new Map([["notTls", 3], ["certificateRefused", 1]]), daysLeft: 29 },
    denokv: DENOKV,
    etcd: ETCD,
    resources: {
      residentBytes: 5e7,
      heapUsedBytes: 1e7,
      heapTotalBytes: 2e7,
      externalBytes: 3e6,
      cpuMs: 1_500,
    },
    uptimeMs: 60_000.123,
  };
}

Deno.test("renderMetrics: the text is in Prometheus' format and has every metric of the table", async () => {
  const clock = new ManualClock();
  const metrics = new Metrics(clock);
  const first = metrics.requestBegan("write");
  const second = metrics.requestBegan("write");
  metrics.requestBegan("get");
  await settle();
  clock.advance(3);
  metrics.requestAnswered("write", "ok", first);
  metrics.requestAnswered("write", "busy", second);
  metrics.batchEntries.record(2);
  const parsed = parseMetrics(renderMetrics(sourcesWith(metrics)));
  assertEquals([...parsed.keys()], METRICS.map(({ name }) => name));
  for (const { name, type, help, labels } of METRICS) {
    const one = parsed.get(name);
    assertEquals([one?.type, one?.help], [type, help]);
    for (const sample of one?.samples ?? []) {
      const extra = sample.name.endsWith("_bucket") ? ["le"] : [];
      assertEquals(Object.keys(sample.labels), [...labels, ...extra], name);
    }
  }
  assertEquals(parsed.get("kvraft_info")?.samples[0]?.labels["cluster"], 'of "three"\\');
  assertEquals(sumOf(parsed, "kvraft_tls_handshakes_failed_total", { labels: { reason: "notTls" } }), 3);
  assertEquals(sumOf(parsed, "kvraft_tls_certificate_expiry_days"), 29);
  const write = { labels: { kind: "write" } };
  assertEquals(sumOf(parsed, "kvraft_requests_total", { labels: { kind: "write", outcome: "busy" } }), 1);
  assertEquals(sumOf(parsed, "kvraft_requests_total", write), 2);
  assertEquals(sumOf(parsed, "kvraft_requests_in_flight", { labels: { kind: "get" } }), 1);
  assertEquals(sumOf(parsed, "kvraft_request_seconds", { ...write, suffix: "_count" }), 2);
  assertEquals(sumOf(parsed, "kvraft_request_seconds", { ...write, suffix: "_sum" }), 0.006);
  assertEquals(
    ["kvraft_commit_lag_entries", "kvraft_apply_lag_entries", "kvraft_peer_lag_entries"].map((name) =>
      sumOf(parsed, name)
    ),
    [10, 5, 1 + 100],
  );
});

Deno.test("Metrics: the buckets of a histogram are cumulative, and the last has all", () => {
  const metrics = new Metrics(new ManualClock());
  for (const entries of [1, 1, 2, 500, 100_000]) metrics.batchEntries.record(entries);
  const parsed = parseMetrics(renderMetrics(sourcesWith(metrics)));
  for (const { name, type, samples } of parsed.values()) {
    if (type !== "histogram") continue;
    const buckets = samples.filter((sample) => sample.name === `${name}_bucket`);
    const bounds = buckets.map(({ labels }) => labels["le"]);
    assert(bounds.includes("+Inf"), `${name} has a last bucket`);
    const others = buckets.filter(({ labels }) => labels["le"] === "+Inf").reduce(
      (sum, { value }) => sum + value,
      0,
    );
    assertEquals(others, sumOf(parsed, name, { suffix: "_count" }));
  }
  const counts = parsed.get("kvraft_batch_entries")?.samples
    .filter((sample) => sample.name === "kvraft_batch_entries_bucket").map(({ value }) => value);
  assertEquals(counts, [2, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 5]);
});

Deno.test("Metrics: requests of one turn share one reading of the clock", () => {
  let looks = 0;
  class CountingClock extends ManualClock {
    override now(): number {
      looks += 1;
      return super.now();
    }
  }
  const metrics = new Metrics(new CountingClock());
  looks = 0;
  for (let request = 0; request < 100; request++) {
    metrics.requestAnswered("get", "ok", metrics.requestBegan("get"));
  }
  assertEquals(looks, 1);
});

Deno.test("Metrics: differences of times are right after the clock has wrapped around", () => {
  const clock = new ManualClock();
  const metrics = new Metrics(clock);
  clock.advance(2 ** 30 / 1_000 - 1);
  const begin = metrics.micros();
  clock.advance(3);
  assertEquals(metrics.microsSince(begin), 3_000);
});

Deno.test("Metrics: every metric names an existing file where it is measured", () => {
  const files = filesOfCheckout([".ts"]);
  assertEquals(METRICS.filter(({ measured }) => !files.includes(measured)), []);
  assertEquals(METRICS.filter(({ name, type }) => (type === "counter") !== name.endsWith("_total")), []);
});

/** The formatter may break lines at any blank. */
function unwrapped(text: string): string {
  return text.replaceAll(/\s+/g, " ");
}

Deno.test("docs/metrics.md: it is made from the table", () => {
  const page = describeMetrics();
  const isSame = unwrapped(readCheckout("docs/metrics.md")) === unwrapped(page);
  if (!isSame && Deno.args.includes("--update")) {
    return Deno.writeTextFileSync(join(CHECKOUT, "docs/metrics.md"), page);
  }
  assert(isSame, "docs/metrics.md is not what the table says: deno task golden writes it");
});

Deno.test("Metrics: a number counts in the first bucket that is no smaller, and in all above", () => {
  const histogram = new DoublingHistogram({ first: 1, last: 4 });
  for (const value of [0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 2 ** 30]) histogram.record(value);
  assertEquals(histogram.buckets, [
    { bound: 2, count: 3 },
    { bound: 4, count: 5 },
    { bound: 8, count: 7 },
    { bound: 16, count: 9 },
    { bound: Infinity, count: 11 },
  ]);
  assertEquals([histogram.count, histogram.sum], [11, 65 + 2 ** 30]);
});
