/** The conclusions of the status page: what it says about the states of a cluster. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { NodeReport } from "../../../../lib/protocol/diagnostics/report.ts";
import {
  afterView,
  bytesText,
  durationText,
  findings,
  GRACE_MS,
  lastSeen,
  linksOf,
  microsText,
  rateText,
  requestsPerSecond,
  WINDOW_MS,
} from "../../../../lib/server/status_page/page/model.js";
import type { ClusterView } from "../../../../lib/server/status_page/status_page.ts";
import { clusterView, nodeReport, reachable, unreachable } from "../../../support/fakes/member_reports.ts";

/** Returns the report of a node whose status differs. */
function withStatus(id: number, changes: Partial<NodeReport["status"]>): NodeReport {
  const report = nodeReport(id);
  return { ...report, status: { ...report.status, ...changes } };
}

/** Returns the report of a node that hears none of these. */
function deafTo(id: number, ...others: readonly number[]): NodeReport {
  const report = nodeReport(id);
  return {
    ...report,
    heardFrom: report.heardFrom.map((link) =>
      others.includes(link.id) ? { ...link, agoMs: null, connectedFrom: false, connectedTo: false } : link
    ),
  };
}

function said(view: ClusterView): readonly (readonly [string, string])[] {
  return findings(afterView(null, view, 0)).map(({ level, title }) => [level, title] as const);
}

Deno.test("findings: a healthy cluster, and how many more of it may fail", () => {
  const [first] = findings(afterView(null, clusterView(), 0));
  assertEquals(first, {
    level: "good",
    title: "All 3 members answer",
    text: "Node 2 leads in term 5. The cluster goes on working if one of them fails.",
  });
});

Deno.test("findings: a member that does not answer, and what that means for the cluster", () => {
  const [first, ...others] = findings(afterView(null, clusterView(unreachable(3)), 0));
  assertEquals([first?.level, first?.title, others], ["warn", "Node 3 does not answer", []]);
  assertStringIncludes(first?.text ?? "", "2 of 3 voters answer. That is just a majority");
});

Deno.test("findings: a node that is cut off from the majority says so, and nothing about the others", () => {
  const alone = deafTo(1, 2, 3);
  const view = clusterView(reachable(alone), unreachable(2), unreachable(3));
  assertEquals(said(view), [["bad", "Node 1 has no contact with a majority"]]);
  const [first] = findings(afterView(null, view, 0));
  assertStringIncludes(first?.text ?? "", "It hears 1 of 3 voters");
  // One that hears another is no less than a majority of three.
  assertEquals(said(clusterView(reachable(deafTo(1, 3)), unreachable(3)))[0]?.[0], "warn");
  // A connection in one direction is no contact.
  const report = nodeReport(1);
  const halves = report.heardFrom.map((link) => ({ ...link, connectedTo: false }));
  assertEquals(said(clusterView(reachable({ ...report, heardFrom: halves })))[0]?.[0], "bad");
});

Deno.test("findings: each state of a node that needs an operator has its line, the worst first", () => {
  const healthy = nodeReport(2);
  const slow = { ...healthy.latency, syncP99Micros: 240_000 };
  const cases: readonly [NodeReport, string, string][] = [
    [withStatus(2, { disk: "full" }), "warn", "The disk of node 2 is full"],
    [withStatus(2, { disk: "nearlyFull" }), "warn", "The disk of node 2 is nearly full"],
    [withStatus(2, { appliedIndex: 1 }), "warn", "Node 2 lags behind"],
    [{ ...healthy, latency: slow }, "warn", "The disk of node 2 is slow"],
    [
      { ...healthy, latency: { ...healthy.latency, loopDelayP99Micros: 500_000 } },
      "warn",
      "Node 2 is overloaded",
    ],
    [
      { ...healthy, snapshot: { ...healthy.snapshot, lastFailure: "no space" } },
      "warn",
      "Node 2 cannot take snapshots",
    ],
    [
      { ...healthy, tls: { enabled: true, certificateExpiresAtMs: healthy.wallClockMs + 3 * 86_400_000 } },
      "warn",
      "The certificate of node 2 expires in 3 days",
    ],
    [
      { ...healthy, memory: { residentBytes: 9e7, heapBytes: 95, externalBytes: 0, heapLimitBytes: 100 } },
      "warn",
      "The heap of node 2 is nearly full",
    ],
    [
      { ...healthy, connections: { clients: 15, maxClients: 16, configuredClients: 16 } },
      "warn",
      "Node 2 has few places for clients",
    ],
  ];
  for (const [report, level, title] of cases) {
    assertEquals(said(clusterView(reachable(report))), [[level, title]]);
  }
  const slowToo = { ...nodeReport(3), latency: slow };
  assertEquals(said(clusterView(reachable({ ...healthy, latency: slow }), reachable(slowToo))), [[
    "warn",
    "The disks of nodes 2 and 3 are slow",
  ]]);
  const full = withStatus(2, { disk: "full" });
  assertEquals(said(clusterView(unreachable(3), reachable(full))), [
    ["bad", "Node 3 does not answer"],
    ["bad", "The disk of node 2 is full"],
  ], "together they leave no majority");
  const [lost] = findings(afterView(null, clusterView(unreachable(3), reachable(full)), 0));
  assertEquals(
    lost?.text,
    "2 of 3 voters answer, 1 of them with a full disk. That is no majority: writes and current reads wait.",
  );
  const leader = nodeReport(2);
  for (const [usedBytes, level] of [[100, "bad"], [95, "warn"]] as const) {
    const quota = { usedBytes, limitBytes: 100 };
    assertEquals(said(clusterView(reachable({ ...leader, quota })))[0]?.[0], level);
  }
  assertEquals(said(clusterView(reachable(withStatus(1, { leader: null })))), [[
    "bad",
    "No leader",
  ]]);
});

Deno.test("findings: a wrong clock is named, also where it is that of the page's node", () => {
  const clocks = (offsetsMs: readonly number[]): readonly string[] =>
    said(clusterView(...offsetsMs.map((clockOffsetMs, position) => (
      { ...reachable(nodeReport(position + 1)), clockOffsetMs }
    )))).map(([, title]) => title);
  assertEquals(clocks([0, 0, 20_000]), ["The clock of node 3 is wrong"]);
  assertEquals(clocks([0, -20_000, -20_000]), ["The clock of node 1 is wrong"]);
  assertEquals(clocks([0, 400, -400]), ["All 3 members answer"]);
});

Deno.test("lastSeen: a member that is lost keeps its last report with its age, or is dated by the nodes that heard from it", () => {
  const seen = afterView(null, clusterView(), 1_000);
  const late = afterView(seen, clusterView(unreachable(3)), 1_000 + GRACE_MS - 1);
  assertEquals(late.members.map(({ reason }) => reason), [null, null, null], "it may only be late");
  const [said] = findings(late);
  assertEquals([said?.level, said?.title], ["good", "All 3 members answer"]);
  assert(said?.text.endsWith(" There is no answer yet from node 3: it last answered 2.5 s ago."), said?.text);
  const lost = afterView(seen, clusterView(unreachable(3)), 5_000);
  const member = lost.members.find(({ id }) => id === 3);
  assert(member !== undefined);
  assertEquals([member.report?.status.id, member.reason], [3, "node 1 has no connection to it"]);
  assertEquals(lastSeen(lost, member, 13_000), { agoMs: 12_000, by: null });

  const [, toThird] = nodeReport(2).heardFrom;
  assert(toThird !== undefined);
  const other = nodeReport(2, {
    heardFrom: [{ ...toThird, agoMs: 48_000, connectedFrom: false }],
    status: { ...nodeReport(2).status, peers: [] },
  });
  const opened = afterView(
    null,
    clusterView(reachable(deafTo(1, 3)), reachable(other), unreachable(3)),
    0,
  );
  const unknown = opened.members.find(({ id }) => id === 3);
  assert(unknown !== undefined);
  assertEquals(lastSeen(opened, unknown, 0), { agoMs: 48_000, by: 2 });
});

Deno.test("linksOf: connections of one direction differ from those of both and of none", () => {
  const report = nodeReport(1);
  const [first, second] = report.heardFrom;
  assert(first !== undefined && second !== undefined);
  assertEquals(linksOf(report), { both: [2, 3], oneWay: [], none: [] });
  assertEquals(linksOf({ ...report, heardFrom: [{ ...first, connectedTo: false }] }), {
    both: [],
    oneWay: [2],
    none: [3],
  });
  assertEquals(linksOf({ ...report, heardFrom: [first, { ...second, agoMs: 60_000 }] }), {
    both: [2],
    oneWay: [3],
    none: [],
  });
});

Deno.test("requestsPerSecond: the rate is that of one process, between two of its reports", () => {
  const before = nodeReport(1);
  const after = {
    ...before,
    uptimeMs: before.uptimeMs + 2_000,
    counters: { ...before.counters, reads: before.counters.reads + 100, writes: before.counters.writes + 20 },
  };
  assertEquals(requestsPerSecond(before, after), 60);
  assertEquals([requestsPerSecond(null, after), requestsPerSecond(after, after)], [null, null]);
  assertEquals(requestsPerSecond(before, { ...after, instance: "after a restart" }), null);
});

Deno.test("afterView: points are kept for the time that the plots show", () => {
  let model = afterView(null, clusterView(), 0);
  for (let atMs = 1_000; atMs <= 2 * WINDOW_MS; atMs += 1_000) model = afterView(model, clusterView(), atMs);
  const points = model.members[0]?.points ?? [];
  assertEquals([points.length, points[0]?.atMs], [WINDOW_MS / 1_000 + 1, WINDOW_MS]);
});

Deno.test("texts: sizes, times and rates are written with two or three digits", () => {
  assertEquals([0, 999, 1_024, 1_500_000, 2 ** 31, 150 * 2 ** 30].map((bytes) => bytesText(bytes)), [
    "0 B",
    "999 B",
    "1 KiB",
    "1.43 MiB",
    "2 GiB",
    "150 GiB",
  ]);
  assertEquals([null, 0, 999, 1_240, 99_400, 412_345, 2_345_678].map((micros) => microsText(micros)), [
    "–",
    "0 µs",
    "999 µs",
    "1.2 ms",
    "99 ms",
    "412 ms",
    "2.35 s",
  ]);
  assertEquals([0, 59_999, 60_000, 3_700_000, 200_000_000].map(durationText), [
    "0 s",
    "59 s",
    "1 min",
    "1 h 1 min",
    "2 days",
  ]);
  assertEquals([null, 0, 3.21, 1_234.5].map((rate) => rateText(rate)), ["–", "0", "3.2", "1,235"]);
});
