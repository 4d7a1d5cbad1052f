/** The command `top`: its table, keys, and what it does without a terminal. */
import { assert, assertEquals } from "@std/assert";
import { clientCommand } from "../../../../lib/cli/client.ts";
import { NoLeaderError } from "../../../../lib/client/errors.ts";
import { findingLines, nodeTable, topRows } from "../../../../lib/cli/commands/cluster/top_view.ts";
import type { MemberReport, NodeReport } from "../../../../lib/protocol/diagnostics/report.ts";
import { settle } from "../../../support/fakes/manual_clock.ts";
import { nodeReport, reachable as answering, unreachable } from "../../../support/fakes/member_reports.ts";
import { FakeEnvironment } from "../support/fake_environment.ts";
import { FakeStore } from "../support/fake_store.ts";

const CLUSTER = ["--cluster", "127.0.0.1:7001"];

function reachable(id: number, changes: Partial<NodeReport> = {}): MemberReport {
  return answering(nodeReport(id, changes));
}

const SILENT = unreachable(3);

Deno.test("top: rates are those between two reports of one process, and there are none after a restart", () => {
  const before = [reachable(1), reachable(2)];
  const counters = { ...nodeReport(1).counters, reads: 300, writes: 60 };
  const uptimeMs = nodeReport(1).uptimeMs + 2_000;
  const restarted = { counters, uptimeMs, startedAtMs: nodeReport(2).startedAtMs + 1 };
  const rows = topRows({ members: [reachable(1, { counters, uptimeMs }), reachable(2, restarted)], before });
  assertEquals(rows.map(({ readsPerSecond, writesPerSecond }) => [readsPerSecond, writesPerSecond]), [
    [100, 5],
    [null, null],
  ]);
  assertEquals(topRows({ members: before, before: null })[0]?.readsPerSecond, null);
});

Deno.test("top: nodes are sorted by a column, and one without a report is last", () => {
  const memory = (residentBytes: number): Partial<NodeReport> => ({
    memory: { residentBytes, heapBytes: 0, externalBytes: 0, heapLimitBytes: null },
  });
  const sample = { members: [reachable(1, memory(5e7)), reachable(2, memory(9e7)), SILENT], before: null };
  const order = (sort: number): readonly string[] =>
    nodeTable(sample, sort).slice(1, 4).map((line) => line.slice(0, 2));
  assertEquals(order(0), ["n1", "n2", "n3"]);
  assertEquals(order(10), ["n2", "n1", "n3"]);
  assert(nodeTable(sample, 10)[0]?.includes("memory*"));
  assertEquals(nodeTable(sample, 0).at(-1), "n3 at 127.0.0.1:7003: node 1 has no connection to it");
});

Deno.test("top: the findings of doctor are in one line, and there is none of a healthy cluster", () => {
  const lines = (...members: readonly MemberReport[]): readonly string[] =>
    findingLines({ members, before: null });
  const all = [1, 2, 3].map((id) => reachable(id));
  assertEquals(lines(...all), []);
  const full = { ...nodeReport(1).status, disk: "full" } as const;
  const ahead = { ...answering(nodeReport(3)), clockOffsetMs: 20_000 };
  assertEquals(lines(reachable(1, { status: full }), reachable(2), ahead), [
    "doctor finds: disk-full n1, clock n3",
  ]);
  assertEquals(lines(reachable(1), reachable(2), SILENT), [], "the table has the silent node");
  assertEquals(lines(reachable(2, { heardFrom: [] }), unreachable(1), SILENT), ["doctor finds: no-quorum"]);
});

Deno.test("top: without a terminal it prints one table after one interval", async () => {
  const store = new FakeStore();
  const event = { atMs: 0, name: "leaderKnown", text: "leader known leader=2", times: 2, node: null };
  store.reports = [reachable(1, { events: [event] }), reachable(2), SILENT];
  const environment = new FakeEnvironment();
  const ended = clientCommand([...CLUSTER, "top", "--interval-ms", "500"], {
    environment,
    connect: () => Promise.resolve(store),
  });
  await settle();
  assertEquals(environment.stdout.text, "");
  environment.clock.advance(500);
  assertEquals(await ended, 0);
  const lines = environment.stdout.text.split("\n");
  assertEquals(lines[0], "2 of 3 nodes answer, leader n2, term 5, revision 80000, 10 keys");
  assert(lines[2]?.startsWith("n1     follower  5     0    -"), lines[2]);
  assertEquals(lines.slice(4), [
    "n3     silent",
    "n3 at 127.0.0.1:7003: node 1 has no connection to it",
    "00:00:00  n1  leader known leader=2 (2 times)",
    "",
  ]);
  assert(!environment.stdout.text.includes("\x1b"));
});

Deno.test("top: on a terminal it redraws, sorts by a key, survives a failure and gives the terminal back", async () => {
  const store = new FakeStore();
  store.reports = [reachable(1), reachable(2)];
  const environment = new FakeEnvironment({ input: null, terminal: true });
  let shown = "";
  environment.terminal.output.on("data", (bytes: Uint8Array) => shown += new TextDecoder().decode(bytes));
  const ended = clientCommand([...CLUSTER, "top"], { environment, connect: () => Promise.resolve(store) });
  await settle();
  assert(shown.startsWith("\x1b[?1049h\x1b[?25l"), JSON.stringify(shown));
  assert(shown.includes("node*"));
  environment.terminal.input.write("s");
  await settle();
  assert(shown.includes("role*"));
  environment.terminal.input.write("\x1b[D");
  environment.terminal.input.write("\x1b[D");
  await settle();
  assert(shown.includes("sorted by clients"), shown);
  const describe = store.describe.bind(store);
  store.describe = () =>
    Promise.reject(new NoLeaderError("Cannot describe the nodes: none answers.", { outcome: "not-applied" }));
  environment.clock.advance(1_000);
  await settle();
  assert(shown.includes("no answer; the figures are old: none answers"), shown);
  store.describe = describe;
  store.reports = [reachable(1), reachable(2), SILENT];
  shown = "";
  environment.clock.advance(1_000);
  await settle();
  assert(shown.includes("2 of 3 nodes answer") && !shown.includes("the figures are old"), shown);
  environment.terminal.input.write("q");
  assertEquals(await ended, 0);
  assert(shown.endsWith("\x1b[?25h\x1b[?1049l"), JSON.stringify(shown.slice(-40)));
  assertEquals([environment.clock.timerCount, environment.listensForSignals], [0, false]);
});
