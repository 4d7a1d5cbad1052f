/** `kvraft client check`: its verdict on correct stores and on faulty ones. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { FakeStore } from "./support/fake_store.ts";
import { FakeEnvironment, type FakeEnvironmentOptions } from "./support/fake_environment.ts";
import { BREACHES, type UnrulyOptions, UnrulyStore } from "./support/unruly_store.ts";
import { clientCommand } from "../../../lib/cli/client.ts";
import { ConnectionError, NoLeaderError } from "../../../lib/client/errors.ts";
import { seededRandom } from "../../../lib/loadgen/mod.ts";
import { eventually } from "../../support/eventually.ts";
import { settle } from "../../support/fakes/manual_clock.ts";

const SHORT = ["--duration", "300ms", "--keys", "4", "--seed", "7"];

type Behaviour = Omit<UnrulyOptions, "clock" | "random">;

interface Scene {
  readonly environment: FakeEnvironment;
  readonly store: FakeStore;
  readonly code: Promise<number>;
}

/** Starts the command against a store with this behaviour. */
function begin(args: readonly string[], behaviour: Behaviour, options: FakeEnvironmentOptions = {}): Scene {
  const environment = new FakeEnvironment(options);
  const store = new UnrulyStore({ clock: environment.clock, random: seededRandom(3), ...behaviour });
  return { environment, store, code: start(args, { environment, store }) };
}

function start(
  args: readonly string[],
  { environment, store }: { environment: FakeEnvironment; store: FakeStore },
): Promise<number> {
  const connect = (): Promise<FakeStore> => Promise.resolve(store);
  return clientCommand(["--cluster", "127.0.0.1:7001", "check", ...args], { environment, connect });
}

Deno.test("check: a correct store is linearizable; the command ends with 0 and removes its keys", async () => {
  const { environment, store, code } = begin(SHORT, {});
  assertEquals(await code, 0);
  assertMatch(environment.stdout.text, /^LINEARIZABLE: /);
  assertMatch(environment.stdout.text, /operations in 0\.3 s \(.*\/s\), 8 clients, 4 keys, seed 7\n/);
  assertMatch(environment.stdout.text, /\nerrors: none\nlongest time without a successful write: 0\.\d s\n$/);
  assertEquals([environment.stderr.text, store.entries.size, store.closed], ["", 0, 9]);
  assertEquals([environment.clock.timerCount, environment.listensForSignals, environment.written.size], [
    0,
    false,
    0,
  ]);
});

Deno.test("check: failed operations, applied or not, are not a violation, and are counted", async () => {
  const { environment, code } = begin([...SHORT, "--output", "json"], { failing: 0.2 });
  // Every client waits after a failure, so the test has to advance the clock.
  const exitCode = await eventually("the command ends", async () => {
    environment.clock.advance(10);
    return await Promise.race([code, settle().then(() => null)]);
  });
  const document = JSON.parse(environment.stdout.text);
  assertEquals([exitCode, document.verdict, document.report], [0, "linearizable", null]);
  assert(document.unknown > 0 && document.notApplied > 0, environment.stdout.text);
  assertEquals(document.errors.timeout, document.unknown);
  assertEquals(document.errors.noLeader, document.notApplied);
});

for (const breach of BREACHES) {
  Deno.test(`check: a store that violates linearizability (${breach}) is found out: exit code 1, report and page under ./data`, async () => {
    const { environment, code } = begin(SHORT, { breach });
    assertEquals(await code, 1, environment.stdout.text);
    assertMatch(
      environment.stdout.text,
      /^NOT LINEARIZABLE: .*\nThe report data\/check\.json has the history\.\nThe page data\/check\.html shows where/,
    );
    assertEquals([...environment.written.keys()], ["data/check.json", "data/check.html"]);
    const page = environment.written.get("data/check.html") ?? "";
    assertMatch(page, /^\s*<!DOCTYPE html>[^]*✗ Not linearizable[^]*8 clients, 4 keys, seed 7\./);
  });
}

Deno.test("check: the page is written beside the report, and never over it", async () => {
  const table = { "data/bad/run.json": "data/bad/run.html", "data/run.html": "data/run.html.html" };
  for (const [report, page] of Object.entries(table)) {
    const args = [...SHORT, "--report", report, "--output", "json"];
    const { environment, code } = begin(args, { breach: "staleRead" });
    assertEquals(await code, 1);
    const document = JSON.parse(environment.stdout.text);
    assertEquals([document.report, document.page], [report, page]);
    assertEquals([...environment.written.keys()], [report, page]);
  }
});

Deno.test("check: a report that cannot be written leaves the verdict unchanged", async () => {
  const { environment, code } = begin([...SHORT, "--output", "json"], { breach: "staleRead" }, {
    isDiskFull: true,
  });
  assertEquals(await code, 1);
  const document = JSON.parse(environment.stdout.text);
  const { verdict, report, page } = document;
  assertEquals([verdict, report, page, environment.written.size], ["violation", null, null, 0]);
});

Deno.test("check: the JSON document has the figures by command name", async () => {
  const { environment, code } = begin(
    [...SHORT, "--mix", "put=1,cas=1", "--prefix", "mine/", "--output=json"],
    {},
  );
  assertEquals(await code, 0);
  const document = JSON.parse(environment.stdout.text);
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
  assert(operations > 20 && ranMs >= 300 && longestWithoutWriteMs < ranMs, environment.stdout.text);
});

Deno.test("check: Ctrl-C ends the run early with a verdict", async () => {
  const { environment, code } = begin(["--duration", "1h"], {}, { terminal: true });
  await eventually(
    "operations were counted",
    () => /[1-9]\d* operations/.test(environment.stderr.text) ? true : null,
  );
  assert(environment.listensForSignals);
  environment.signal();
  assertEquals([await code, environment.listensForSignals, environment.clock.timerCount], [0, false, 0]);
  assertMatch(environment.stdout.text, /^LINEARIZABLE: [^]*; ended by Ctrl-C\n/);
  assert(environment.stderr.text.endsWith("\r\x1b[2K"), "the progress line is cleared");
});

Deno.test("check: the progress line shows how long no write has succeeded", async () => {
  const { environment, store, code } = begin(["--duration", "10s", "--mix", "put=1"], { failing: 1 }, {
    terminal: true,
  });
  await eventually("the line is shown", () => {
    environment.clock.advance(100);
    return /no write succeeds since 2\.\d s/.test(environment.stderr.text) ? true : null;
  });
  environment.signal();
  assertEquals([await code, store.closed], [3, 9]);
  assertMatch(environment.stdout.text, /^NOTHING DONE: /);
});

Deno.test("check: an unreachable cluster, or one that refuses the first read, ends with 3", async () => {
  const environment = new FakeEnvironment();
  const refused = (): Promise<FakeStore> => Promise.reject(new ConnectionError("nothing listens there"));
  const args = ["--cluster", "127.0.0.1:7001", "check"];
  assertEquals(await clientCommand(args, { environment, connect: refused }), 3);
  const store = new FakeStore();
  store.before = () => Promise.reject(new NoLeaderError("no leader"));
  assertEquals(await start([], { environment, store }), 3);
  assertEquals(environment.stdout.text, "");
});

Deno.test("check: wrong options are refused with 2 before anything is written", async () => {
  const table: readonly (readonly [readonly string[], RegExp])[] = [
    [["--duration", "10"], /--duration must be a time from 1ms to 1h/],
    [["--duration", "2h"], /--duration must be/],
    [["--clients", "0"], /--clients must be an integer from 1 to 64/],
    [["--keys", "1001"], /--keys must be an integer from 1 to 1000/],
    [["--mix", "put=1,watch=2"], /"watch" is not one of put, get, delete, cas/],
    [["--mix", "put=0"], /all weights in "put=0" are 0/],
    [["--mix", "put"], /--mix: put must be an integer/],
    [["--report", "/srv/check.json"], /--report: cannot write .* exclude it/],
    [["--prefix", "x".repeat(1_025)], /--prefix has 1025 bytes/],
    [["--prefix", "used/"], /there are keys already, used\/key for one/],
  ];
  for (const [args, says] of table) {
    const [environment, store] = [new FakeEnvironment(), new FakeStore()];
    await store.put("used/key", "value");
    store.calls.length = 0;
    assertEquals(await start(args, { environment, store }), 2, args.join(" "));
    assertMatch(environment.stderr.text, says);
    assert(!store.calls.some((call) => JSON.stringify(call).includes("put")), args.join(" "));
  }
});
