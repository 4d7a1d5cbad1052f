/** The rules of doctor: what each finds in built reports, and that a healthy cluster has no finding. */
import { assert, assertEquals } from "@std/assert";
import type { NodeDescription } from "../../../lib/client/types.ts";
import { diagnose, RULES } from "../../../lib/diagnosis/diagnose.ts";
import type { NodeReport, NotableEvent } from "../../../lib/protocol/diagnostics/report.ts";
import { readCheckout } from "../../support/checkout.ts";
import {
  answersOf,
  answersWith,
  type Change,
  nodeReport,
  NOW_MS,
} from "../../support/fakes/member_reports.ts";

/** Returns the findings as `severity rule node`. */
function found(descriptions: readonly NodeDescription[]): readonly string[] {
  return diagnose(descriptions).map(({ severity, rule, node }) =>
    `${severity} ${rule}${node === null ? "" : ` n${node}`}`
  );
}

/** Changes parts of a report that are objects. */
function changed(changes: { readonly [K in keyof NodeReport]?: Partial<NodeReport[K]> }): Change {
  return (own) => {
    const parts = Object.entries(changes).map(([name, part]) => {
      const before: unknown = Reflect.get(own, name);
      const isObject = typeof part === "object" && part !== null && !Array.isArray(part);
      return [name, isObject ? { ...Object(before), ...part } : part];
    });
    return { ...own, ...Object.fromEntries(parts) };
  };
}

function event(
  name: string,
  { node = null, agoMs = 60_000 }: Partial<NotableEvent> & { agoMs?: number } = {},
): NotableEvent {
  return { atMs: NOW_MS - agoMs, name, text: name, times: 1, node };
}

Deno.test("diagnose: a healthy cluster has no finding", () => {
  assertEquals(diagnose(answersWith({})), []);
});

/** The findings about a cluster in which one thing is wrong. */
const CASES: Readonly<Record<string, readonly [Parameters<typeof answersWith>[0], readonly string[]]>> = {
  "a node is down": [{ 3: null }, ["problem silent-node n3"]],
  "a majority is down": [{ 1: null, 3: null }, [
    "critical no-quorum",
    "problem silent-node n1",
    "problem silent-node n3",
  ]],
  "no node leads": [{ 2: changed({ status: { role: "follower", leader: null } }) }, ["critical no-leader"]],
  "an old leader has not noticed that it was replaced": [
    { 1: changed({ status: { term: 6, leader: null, role: "candidate" } }) },
    ["critical no-leader"],
  ],
  "the disk is nearly full": [{ 1: changed({ status: { disk: "nearlyFull" } }) }, ["problem disk-full n1"]],
  "the disk is full": [{ 1: changed({ status: { disk: "full" } }) }, ["critical disk-full n1"]],
  "syncs are slow": [{ 1: changed({ latency: { syncP99Micros: 100_000 } }) }, ["warning slow-disk n1"]],
  "syncs take half of the election timeout": [
    { 1: changed({ latency: { syncP99Micros: 500_000 } }) },
    ["problem slow-disk n1"],
  ],
  "the event loop is late": [{ 3: changed({ latency: { loopDelayP99Micros: 250_000 } }) }, [
    "warning slow-loop n3",
  ]],
  "the event loop is late during a start": [
    { 3: changed({ latency: { loopDelayP99Micros: 250_000 }, uptimeMs: 29_999 }) },
    [],
  ],
  "the heap is nearly full": [
    { 1: changed({ memory: { heapBytes: 3_700_000_000, heapLimitBytes: 4_000_000_000 } }) },
    ["problem memory n1"],
  ],
  "few descriptors are left": [{ 1: changed({ descriptors: { free: 127 } }) }, ["problem descriptors n1"]],
  "fewer clients than configured fit": [
    { 1: changed({ connections: { maxClients: 100 } }) },
    ["warning descriptors n1"],
  ],
  "most clients that fit are connected": [
    { 1: changed({ connections: { clients: 3_700 } }) },
    ["warning connections n1"],
  ],
  "a version differs": [{ 1: changed({ status: { version: "0.1.9" } }) }, ["warning versions"]],
  "a setting differs": [
    { 1: changed({ config: [{ name: "quota-bytes", value: "5" }] }) },
    ["warning settings"],
  ],
  "a certificate ends in 29 days": [
    { 1: changed({ tls: { certificateExpiresAtMs: NOW_MS + 29.5 * 86_400_000 } }) },
    ["warning certificate n1"],
  ],
  "a certificate ends in two days": [
    { 1: changed({ tls: { certificateExpiresAtMs: NOW_MS + 2.5 * 86_400_000 } }) },
    ["problem certificate n1"],
  ],
  "a certificate has ended": [
    { 1: changed({ tls: { certificateExpiresAtMs: NOW_MS - 1 } }) },
    ["critical certificate n1"],
  ],
  "a snapshot failed": [
    { 3: changed({ snapshot: { lastFailure: "No space left on device." } }) },
    ["problem snapshot-fails n3"],
  ],
  "a backup failed": [
    {
      2: changed({
        backup: { everyMs: 60_000, lastSuccessAtMs: null, lastFailure: "No space left on device." },
      }),
    },
    ["problem backup-fails n2"],
  ],
  "a backup is late": [
    {
      2: changed({
        uptimeMs: 1e9,
        backup: { everyMs: 60_000, lastSuccessAtMs: NOW_MS - 180_000, lastFailure: null },
      }),
    },
    ["warning backup-fails n2"],
  ],
  "a backup is of two intervals ago": [
    {
      2: changed({
        uptimeMs: 1e9,
        backup: { everyMs: 60_000, lastSuccessAtMs: NOW_MS - 120_000, lastFailure: null },
      }),
    },
    [],
  ],
  "four fifths of the quota are used": [{ 2: changed({ quota: { usedBytes: 800 } }) }, ["warning quota n2"]],
  "the quota is used": [{ 2: changed({ quota: { usedBytes: 950 } }) }, ["problem quota n2"]],
  "watches were cancelled": [{ 1: changed({ counters: { compactedWatches: 2 } }) }, ["warning history n1"]],
  "watches are behind and the history is full": [
    { 1: changed({ watches: { behind: 1 }, history: { bytes: 67_000_000 } }) },
    ["warning history n1"],
  ],
  "a process restarts": [
    {
      1: changed({
        events: [1, 2, 3, 4].map((minute) => event("peerConnected", { node: 3, agoMs: minute * 60_000 })),
      }),
    },
    ["warning restarts n3"],
  ],
  "the leader changes": [
    {
      1: changed({
        events: [1, 2, 3, 4, 5].map((minute) => event("leaderKnown", { agoMs: minute * 60_000 })),
      }),
    },
    ["warning leader-changes"],
  ],
  "two processes have one id": [{ 1: changed({ events: [event("twoProcesses", { node: 3 })] }) }, [
    "critical two-processes n3",
  ]],
  "what happened long ago is over": [
    { 1: changed({ events: [event("twoProcesses", { node: 3, agoMs: 700_000 })] }) },
    [],
  ],
};

for (const [what, [changes, expected]] of Object.entries(CASES)) {
  Deno.test(`diagnose: ${what}`, () => assertEquals(found(answersWith(changes)), expected));
}

/** Marks a link of a report as down. */
function link(id: number, differences: Partial<NodeReport["heardFrom"][number]>): Change {
  return (own) => ({
    ...own,
    heardFrom: own.heardFrom.map((one) => one.id === id ? { ...one, ...differences } : one),
  });
}

Deno.test("diagnose: a link that is down in one direction is named with its direction, from either end", () => {
  const what = (changes: Parameters<typeof answersWith>[0]): string | undefined => {
    const [first, ...others] = diagnose(answersWith(changes));
    assertEquals(others, []);
    return first?.what;
  };
  const oneWay = "The link from n1 to n3 is down, and works in the other direction.";
  assertEquals(what({ 1: link(3, { connectedTo: false }) }), oneWay);
  assertEquals(what({ 3: link(1, { connectedFrom: false, agoMs: null }) }), oneWay);
  assertEquals(what({ 3: link(1, { agoMs: 4_000 }) }), oneWay);
  assertEquals(
    what({ 1: link(3, { connectedTo: false }), 3: link(1, { connectedTo: false }) }),
    "n1 and n3 do not reach each other, though both answer.",
  );
});

Deno.test("diagnose: a node that other nodes hear from is silent for this client only", () => {
  const answers = answersWith({}).map((one): NodeDescription =>
    one.id === 3
      ? { kind: "silent", id: 3, address: one.address, state: "notAnswering", reason: "no answer" }
      : one
  );
  const [finding] = diagnose(answers);
  assertEquals(finding?.rule, "silent-node");
  assert(finding?.what.endsWith("n1 and n2 still hear from it."));
});

Deno.test("diagnose: a silent node matters by what is left: a margin, just a majority, or none", () => {
  const silent = (ids: readonly number[], count = 3): readonly (readonly [string, string])[] => {
    const reports = withVoters(count);
    for (const id of ids) reports.set(id, null);
    return diagnose(answersOf(reports)).filter(({ rule }) => rule === "silent-node")
      .map(({ why, remedy }) => [why.split(/[,:]/)[0] ?? "", remedy.slice(0, remedy.indexOf(".") + 1)]);
  };
  const replace = "Start it again.";
  const wait = "Start it again with its data directory.";
  assertEquals(silent([3], 5), [["The cluster tolerates fewer further failures", replace]]);
  assertEquals(silent([3]), [["The cluster stops if one more voter fails", replace]]);
  const missing = "It is one of the voters that are missing for a majority";
  assertEquals(silent([1, 3]), [[missing, wait], [missing, wait]]);
  assertEquals(silent([1, 3], 4), [[missing, wait], [missing, wait]], "half of the voters is no majority");
});

/** Returns the reports of a cluster of so many voters without connections. */
function withVoters(count: number): Map<number, NodeReport | null> {
  const ids = Array.from({ length: count }, (_, position) => position + 1);
  const members = ids.map((id) => ({ id, address: `127.0.0.1:700${id}`, role: "voter" as const }));
  return new Map(ids.map((id) => {
    const own = nodeReport(id);
    return [id, { ...own, heardFrom: [], status: { ...own.status, members, peers: [] } }];
  }));
}

Deno.test("diagnose: a leader and voters that only other nodes reach are neither missing nor dead", () => {
  const answers = answersWith({}).map((one): NodeDescription =>
    one.id === 1
      ? one
      : { kind: "silent", id: one.id, address: one.address, state: "unreachable", reason: "refused" }
  );
  assertEquals(diagnose(answers).map(({ rule, node, why }) => [rule, node, why]), [
    ["silent-node", 2, "Clients that use the node have to find another one."],
    ["silent-node", 3, "Clients that use the node have to find another one."],
  ]);
});

Deno.test("diagnose: a node that only other nodes reach is looked at by their reports of it", () => {
  const answers = answersWith({ 3: changed({ status: { disk: "full" } }) }).map((one): NodeDescription =>
    one.id === 3
      ? { kind: "silent", id: 3, address: one.address, state: "unreachable", reason: "too many clients" }
      : one
  );
  assertEquals(found(answers), ["critical disk-full n3", "problem silent-node n3"]);
});

/** Returns the findings where the leader, n2, measures these differences of clocks. */
function withOffsets(
  offsetsMs: Readonly<Record<number, number>>,
  roundTripMicros = 400,
  answers = answersWith({}),
): readonly string[] {
  return found(answers.map((one) =>
    one.kind === "answered" && one.id === 2
      ? {
        ...one,
        members: one.members.map((member) =>
          member.id === 2 ? member : { ...member, clockOffsetMs: offsetsMs[member.id] ?? 0, roundTripMicros }
        ),
      }
      : one
  ));
}

Deno.test("diagnose: clocks are compared with the one in the middle, beside half of the round trips", () => {
  assertEquals(withOffsets({ 3: 600 }), ["warning clock n3"]);
  assertEquals(withOffsets({ 3: -600 }), ["warning clock n3"]);
  assertEquals(withOffsets({ 3: 600 }, 400_000), []);
  assertEquals(withOffsets({ 3: -11_000 }), ["problem clock n3"]);
  assertEquals(withOffsets({ 1: 20_000, 3: 20_000 }), ["problem clock n2"], "the leader's clock is wrong");
  assertEquals(withOffsets({ 1: 2_000, 3: 20_000 }), ["problem clock n3", "warning clock n2"]);
  const ofTwo = answersWith({ 3: null });
  assertEquals(
    withOffsets({ 1: 600 }, 400, ofTwo),
    ["warning clock n1", "problem silent-node n3"].toReversed(),
  );
});

Deno.test("diagnose: a node that was connected often restarted, or has run since before these connections", () => {
  const remedy = (uptimeMs: number | null): string | undefined => {
    const events = [1, 2, 3, 4].map((minute) => event("peerConnected", { node: 3, agoMs: minute * 60_000 }));
    const answers = answersWith({
      1: changed({ events }),
      3: uptimeMs === null ? null : changed({ uptimeMs }),
    });
    return diagnose(answers).find(({ rule }) => rule === "restarts")?.remedy.split(" ", 3).join(" ");
  };
  assertEquals(remedy(239_000), "Read the end");
  assertEquals(remedy(null), "Read the end", "it may be between two starts");
  assertEquals(remedy(241_000), "Look for a");
});

Deno.test("diagnose: lag counts from 1,000 entries on, and a learner has a finding of its own", () => {
  const withLag = (lag: number, role: "voter" | "learner"): readonly string[] => {
    const members = nodeReport(1).status.members.map((member) =>
      member.id === 3 ? { ...member, role } : member
    );
    const all = new Map([1, 2, 3].map((id) => {
      const own = nodeReport(id);
      const peers = own.status.peers.map((peer) =>
        peer.id === 3 ? { ...peer, matchIndex: 90_000 - lag } : peer
      );
      return [id, { ...own, status: { ...own.status, members, peers } }];
    }));
    return found(answersOf(all));
  };
  assertEquals(
    found(answersWith({
      2: (own) => {
        const peers = own.status.peers.map((peer) => peer.id === 3 ? { ...peer, matchIndex: 0 } : peer);
        return { ...own, status: { ...own.status, peers } };
      },
      3: null,
    })),
    ["problem silent-node n3"],
  );
  assertEquals(withLag(999, "voter"), []);
  assertEquals(withLag(1_000, "voter"), ["warning lagging-node n3"]);
  assertEquals(withLag(1_000, "learner"), ["warning learner-behind n3"]);
});

Deno.test("diagnose: an older node and the feature level that it holds back", () => {
  const answers = answersWith({ 1: changed({ featureLevel: 1 }), 2: changed({ featureLevel: 1 }) }).map((
    one,
  ): NodeDescription =>
    one.id === 3 ? { kind: "older", id: 3, address: one.address, reason: "unknown" } : one
  );
  assertEquals(found(answers), ["warning versions", "warning feature-level"]);
  assert(diagnose(answers)[1]?.what.includes("held back by n3"));
});

Deno.test("diagnose: nodes that are all of a version without reports are no mixture", () => {
  const answers = answersWith({}).map((one): NodeDescription => ({
    kind: "older",
    id: one.id,
    address: one.address,
    reason: "unknown",
  }));
  const [finding, ...others] = diagnose(answers);
  assertEquals([finding?.rule, others], ["versions", []]);
  assertEquals(finding?.what, "No node that answers has a version with reports (n1, n2, and n3).");
});

Deno.test("diagnose: addresses beyond this machine without TLS are reported, with TLS they are not", () => {
  const all = (enabled: boolean): readonly string[] =>
    found(answersOf(
      new Map([1, 2, 3].map((id) => {
        const own = nodeReport(id);
        const members = own.status.members.map((member) => ({
          ...member,
          address: `10.0.0.${member.id}:7001`,
        }));
        return [id, {
          ...own,
          status: { ...own.status, members },
          tls: { enabled, certificateExpiresAtMs: null },
        }];
      })),
    ));
  assertEquals(all(false), ["warning no-tls"]);
  assertEquals(all(true), []);
});

Deno.test("diagnose: without any answer there is one finding about the cluster", () => {
  assertEquals(found([]), ["critical no-node"]);
});

Deno.test("RULES: each has a name of its own and a section in docs/operations.md", () => {
  const names = RULES.map(({ name }) => name);
  assertEquals(new Set(names).size, names.length);
  const section =
    readCheckout("docs/operations.md").split("## What is wrong: doctor")[1]?.split("\n## ")[0] ?? "";
  assertEquals([...section.matchAll(/^### (.+)$/gm)].map(([, name]) => name), names);
});
