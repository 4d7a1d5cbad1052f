/** `kvraft client check`: what it says of stores that keep their promises and of stores that don't. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { FakeStore } from "./fake_store.ts";
import { FakeSystem, type FakeSystemOptions } from "./fake_system.ts";
import { type UnrulyOptions, UnrulyStore } from "./unruly_store.ts";
import { clientCommand } from "../../../lib/cli/client.ts";
import { ConnectionError, NoLeaderError } from "../../../lib/client/errors.ts";
import { seededRandom } from "../../../lib/loadgen/mod.ts";
import { eventually } from "../../support/eventually.ts";
import { settle } from "../../support/fakes/manual_clock.ts";

const SHORT = ["--duration", "300ms", "--keys", "4", "--seed", "7"];

type Behaviour = Omit<UnrulyOptions, "clock" | "random">;

interface Scene {
  readonly system: FakeSystem;
  readonly store: FakeStore;
  readonly code: Promise<number>;
}

/** Starts the command against a store that behaves so. */
function begin(args: readonly string[], behaviour: Behaviour, options: FakeSystemOptions = {}): Scene {
  const system = new FakeSystem(options);
  const store = new UnrulyStore({ clock: system.clock, random: seededRandom(3), ...behaviour });
  return { system, store, code: start(args, { system, store }) };
}

function start(
  args: readonly string[],
  { system, store }: { system: FakeSystem; store: FakeStore },
): Promise<number> {
  const connect = (): Promise<FakeStore> => Promise.resolve(store);
  return clientCommand(["--cluster", "127.0.0.1:7001", "check", ...args], { system, connect });
}

Deno.test("a store that keeps its promises is linearizable: the command says so, ends with 0, leaves nothing", async () => {
  const { system, store, code } = begin(SHORT, {});
  assertEquals(await code, 0);
  assertMatch(system.stdout.text, /^LINEARIZABLE: /);
  assertMatch(system.stdout.text, /operations in 0\.3 s \(.*\/s\), 8 clients, 4 keys, seed 7\n/);
  assertMatch(system.stdout.text, /\nerrors: none\nlongest time without a successful write: 0\.\d s\n$/);
  assertEquals([system.stderr.text, store.entries.size, store.closed], ["", 0, 9]);
  assertEquals([system.clock.timerCount, system.listensForSignals, system.written.size], [0, false, 0]);
});

Deno.test("failed calls, applied or not, are no violation, and are counted", async () => {
  const { system, code } = begin([...SHORT, "--output", "json"], { failing: 0.2 });
  // Where every client waits after a failure, nothing but this moves the clock on.
  const exitCode = await eventually("the command ends", async () => {
    system.clock.advance(10);
    return await Promise.race([code, settle().then(() => null)]);
  });
  const document = JSON.parse(system.stdout.text);
  assertEquals([exitCode, document.verdict, document.report], [0, "linearizable", null]);
  assert(document.unknown > 0 && document.notApplied > 0, system.stdout.text);
  assertEquals(document.errors.timeout, document.unknown);
  assertEquals(document.errors.noLeader, document.notApplied);
});

for (const breach of ["lostWrite", "staleRead", "doubledWrite"] as const) {
  Deno.test(`a store that breaks its promise (${breach}) is found out: exit code 1, report and page under ./data`, async () => {
    const { system, code } = begin(SHORT, { breach });
    assertEquals(await code, 1, system.stdout.text);
    assertMatch(
      system.stdout.text,
      /^NOT LINEARIZABLE: .*\nThe report data\/check\.json has the history\.\nThe page data\/check\.html shows where/,
    );
    assertEquals([...system.written.keys()], ["data/check.json", "data/check.html"]);
    const page = system.written.get("data/check.html") ?? "";
    assertMatch(page, /^\s*<!DOCTYPE html>[^]*✗ Not linearizable[^]*8 clients, 4 keys, seed 7\./);
  });
}

Deno.test("the page lies beside the report, wherever that is, and never takes its place", async () => {
  const table = { "data/bad/run.json": "data/bad/run.html", "data/run.html": "data/run.html.html" };
  for (const [report, page] of Object.entries(table)) {
    const args = [...SHORT, "--report", report, "--output", "json"];
    const { system, code } = begin(args, { breach: "staleRead" });
    assertEquals(await code, 1);
    const document = JSON.parse(system.stdout.text);
    assertEquals([document.report, document.page], [report, page]);
    assertEquals([...system.written.keys()], [report, page]);
  }
});

Deno.test("a report that can't be written takes nothing from the verdict", async () => {
  const { system, code } = begin([...SHORT, "--output", "json"], { breach: "staleRead" }, {
    isDiskFull: true,
  });
  assertEquals(await code, 1);
  const document = JSON.parse(system.stdout.text);
  const { verdict, report, page } = document;
  assertEquals([verdict, report, page, system.written.size], ["violation", null, null, 0]);
});

Deno.test("the document has the figures, by kind as the commands are called", async () => {
  const { system, code } = begin(
    [...SHORT, "--mix", "put=1,cas=1", "--prefix", "mine/", "--output=json"],
    {},
  );
  assertEquals(await code, 0);
  const document = JSON.parse(system.stdout.text);
  const { operations, ranMs, longestWithoutWriteMs, byKind, ...rest } = document;
  const none = { operations: 0, answered: 0, notApplied: 0, unknown: 0 };
  assertEquals(rest, {
    verdict: "linearizable",
    report: null,
    page: null,
    end: "duration",
    answered: operations,
    notApplied: 0,
    unknown: 0,
    errors: {},
    clients: 8,
    keys: 4,
    seed: 7,
    prefix: "mine/",
    cleared: true,
  });
  assertEquals(byKind, { ...byKind, get: none, delete: none, transaction: none, list: none });
  assertEquals(byKind.put.operations + byKind.cas.operations, operations);
  assert(operations > 20 && ranMs >= 300 && longestWithoutWriteMs < ranMs, system.stdout.text);
});

Deno.test("Ctrl-C ends the run early, and the verdict comes all the same", async () => {
  const { system, code } = begin(["--duration", "1h"], {}, { terminal: true });
  await eventually(
    "operations were counted",
    () => /[1-9]\d* operations/.test(system.stderr.text) ? true : null,
  );
  assert(system.listensForSignals);
  system.signal();
  assertEquals([await code, system.listensForSignals, system.clock.timerCount], [0, false, 0]);
  assertMatch(system.stdout.text, /^LINEARIZABLE: [^]*; ended by Ctrl-C\n/);
  assert(system.stderr.text.endsWith("\r\x1b[2K"), "the line that told how far it was is gone");
});

Deno.test("the line on the terminal tells since when no write succeeds", async () => {
  const { system, store, code } = begin(["--duration", "10s", "--mix", "put=1"], { failing: 1 }, {
    terminal: true,
  });
  await eventually("it is told", () => {
    system.clock.advance(100);
    return /no write succeeds since 2\.\d s/.test(system.stderr.text) ? true : null;
  });
  system.signal();
  assertEquals([await code, store.closed], [3, 9]);
  assertMatch(system.stdout.text, /^NOTHING DONE: /);
});

Deno.test("a cluster that can't be reached, or refuses the first look, ends with 3", async () => {
  const system = new FakeSystem();
  const refused = (): Promise<FakeStore> => Promise.reject(new ConnectionError("nothing listens there"));
  const args = ["--cluster", "127.0.0.1:7001", "check"];
  assertEquals(await clientCommand(args, { system, connect: refused }), 3);
  const store = new FakeStore();
  store.before = () => Promise.reject(new NoLeaderError("no leader"));
  assertEquals(await start([], { system, store }), 3);
  assertEquals(system.stdout.text, "");
});

Deno.test("what makes no sense is refused with 2 before anything is written", async () => {
  const table: readonly (readonly [readonly string[], RegExp])[] = [
    [["--duration", "10"], /--duration must be a time from 1ms to 1h/],
    [["--duration", "2h"], /--duration must be/],
    [["--clients", "0"], /--clients must be an integer from 1 to 64/],
    [["--keys", "1001"], /--keys must be an integer from 1 to 1000/],
    [["--mix", "put=1,watch=2"], /no kind of operation "watch"; there are put, get, delete, cas/],
    [["--mix", "put=0"], /leaves nothing to do/],
    [["--mix", "put"], /--mix: put must be an integer/],
    [["--report", "../check.json"], /--report: cannot write .* only \.\/data/],
    [["--prefix", "x".repeat(1_025)], /--prefix has 1025 bytes/],
    [["--prefix", "used/"], /there are keys already, used\/key for one/],
  ];
  for (const [args, says] of table) {
    const [system, store] = [new FakeSystem(), new FakeStore()];
    await store.put("used/key", "value");
    store.calls.length = 0;
    assertEquals(await start(args, { system, store }), 2, args.join(" "));
    assertMatch(system.stderr.text, says);
    assert(!store.calls.some((call) => JSON.stringify(call).includes("put")), args.join(" "));
  }
});
