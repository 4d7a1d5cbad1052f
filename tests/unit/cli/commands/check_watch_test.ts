/** `kvraft client check --mix watch`: its verdict on watches that are right, and on wrong ones. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { clientCommand } from "../../../../lib/cli/client.ts";
import { seededRandom } from "../../../../lib/loadgen/mod.ts";
import { eventually } from "../../../support/eventually.ts";
import { settle } from "../../../support/fakes/manual_clock.ts";
import { FakeEnvironment } from "../support/fake_environment.ts";
import { FakeStore } from "../support/fake_store.ts";
import type { Breach } from "../support/unruly_store.ts";
import { WATCH_BREACHES, type WatchBreach, WatchedStore } from "../support/watched_store.ts";

const SHORT = ["--duration", "300ms", "--keys", "4", "--seed", "7"];

/** Runs the command against a store with these mistakes. */
async function run(
  args: readonly string[],
  breaches: { readonly breach?: Breach; readonly watchBreach?: WatchBreach } = {},
): Promise<{ readonly environment: FakeEnvironment; readonly store: WatchedStore; readonly code: number }> {
  const environment = new FakeEnvironment();
  const store = new WatchedStore({ clock: environment.clock, random: seededRandom(3), ...breaches });
  const connect = (): Promise<WatchedStore> => Promise.resolve(store);
  const code = await clientCommand(["--cluster", "127.0.0.1:7001", "check", ...args], {
    environment,
    connect,
  });
  return { environment, store, code };
}

Deno.test("check --mix watch: right watches end with 0 and a sentence on what they saw", async () => {
  const { environment, store, code } = await run([...SHORT, "--mix", "watch"]);
  assertEquals([code, environment.stderr.text, store.entries.size], [0, "", 0], environment.stdout.text);
  assertMatch(
    environment.stdout.text,
    /^LINEARIZABLE: .*\nWATCHES RIGHT: 12 watchers saw every change of their keys once and in order: [\d ]+ events in \d+ watches\.\n/,
  );
  assertEquals([store.watchCounts.open, environment.clock.timerCount, environment.written.size], [0, 0, 0]);
});

Deno.test("check --mix watch: the JSON document has the figures of the watches", async () => {
  const { environment, code } = await run([
    ...SHORT,
    "--mix",
    "watch,put=1,get=1",
    "--watchers",
    "3",
    "--output",
    "json",
  ]);
  const { verdict, watching, byKind } = JSON.parse(environment.stdout.text);
  assertEquals([code, verdict, byKind.delete.operations], [0, "linearizable", 0]);
  const { events, watches, ...rest } = watching;
  assertEquals(rest, { watchers: 3, resets: 0, resolved: 0, leaseEnds: 0, late: 0 });
  assert(events > 50 && watches >= 3, environment.stdout.text);
});

for (const watchBreach of WATCH_BREACHES) {
  Deno.test(`check --mix watch: wrong watches (${watchBreach}) end with 1, a report and a page`, async () => {
    const { environment, code } = await run([...SHORT, "--mix", "watch"], { watchBreach });
    assertEquals(code, 1, environment.stdout.text);
    assertMatch(
      environment.stdout.text,
      /^WATCHES WRONG: [^]*\nThe report data\/check\.json has the history\.\nThe page data\/check\.html shows where/,
    );
    assertEquals([...environment.written.keys()], ["data/check.json", "data/check.html"]);
    const document = JSON.parse(environment.written.get("data/check.json") ?? "");
    assertEquals(Object.keys(document), ["verdict", "run"]);
    assertMatch(
      environment.written.get("data/check.html") ?? "",
      /✗ Watches are wrong[^]*8 clients, 4 keys, seed 7\./,
    );
  });
}

Deno.test("check --mix watch: a store that reads stale values is found out by its answers", async () => {
  const { environment, code } = await run([...SHORT, "--mix", "watch", "--output", "json"], {
    breach: "staleRead",
  });
  const { verdict, explanation } = JSON.parse(environment.stdout.text);
  assertEquals([code, verdict, typeof explanation], [1, "violation", "string"]);
});

Deno.test("check --mix watch: a lost write is found out by the watches, which do not show it", async () => {
  const { environment, code } = await run([...SHORT, "--mix", "watch", "--output", "json"], {
    breach: "lostWrite",
  });
  const { verdict, explanation, contradictions } = JSON.parse(environment.stdout.text);
  assertEquals([code, verdict], [1, "watchViolation"]);
  assertMatch(explanation, /shows no change of/);
  assert(contradictions > 0);
});

Deno.test("check --mix watch: without a watch there is no verdict on watches", async () => {
  const environment = new FakeEnvironment();
  const { clock } = environment;
  const store = new WatchedStore({ clock, random: seededRandom(3), refusesWatches: true });
  const connect = (): Promise<WatchedStore> => Promise.resolve(store);
  const code = clientCommand(["--cluster", "127.0.0.1:7001", "check", ...SHORT, "--mix", "watch"], {
    environment,
    connect,
  });
  // Every watcher waits after a failure, so the test has to advance the clock.
  const exitCode = await eventually("the command ends", async () => {
    clock.advance(100);
    return await Promise.race([code, settle().then(() => null)]);
  });
  assertEquals(exitCode, 3, environment.stdout.text);
  assertMatch(environment.stdout.text, /^NOTHING WATCHED: /);
});

Deno.test("check --mix watch: wrong options are refused", async () => {
  const table: readonly (readonly [readonly string[], RegExp])[] = [
    [["--watchers", "3"], /--watchers: there are none without watch in --mix/],
    [["--mix", "put=1", "--watchers", "3"], /there are none without watch/],
    [["--mix", "watch", "--watchers", "65"], /--watchers must be an integer from 1 to 64/],
    [["--mix", "watch=2"], /"watch" is not one of put, get/],
    [["--mix", "watch,put=0"], /all weights in "put=0" are 0/],
  ];
  for (const [args, says] of table) {
    const environment = new FakeEnvironment();
    const connect = (): Promise<FakeStore> => Promise.resolve(new FakeStore());
    const code = await clientCommand(["--cluster", "127.0.0.1:7001", "check", ...args], {
      environment,
      connect,
    });
    assertEquals(code, 2, args.join(" "));
    assertMatch(environment.stderr.text, says);
  }
});
