/** Watchers beside a workload: which watches they start, what they record, and how they end. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { check, CHECK_LIMITS, checkWatches, type WatchRecord } from "../../../../lib/lincheck/mod.ts";
import { DEFAULT_MIX, seededRandom, WatchedWorkload } from "../../../../lib/loadgen/mod.ts";
import type { WatchedWorkloadOptions } from "../../../../lib/loadgen/watching/watched_workload.ts";
import { ConnectionError } from "../../../../lib/client/errors.ts";
import { eventually } from "../../../support/eventually.ts";
import { ManualClock, settle } from "../../../support/fakes/manual_clock.ts";
import { WATCH_BREACHES, WatchedStore, type WatchedStoreOptions } from "../../cli/support/watched_store.ts";

type Behaviour = Omit<WatchedStoreOptions, "clock" | "random">;

/** Returns a workload of this many operations that has come to its end, and its store. */
async function finished(
  behaviour: Behaviour = {},
  options: Partial<WatchedWorkloadOptions> = {},
): Promise<{ readonly watched: WatchedWorkload; readonly store: WatchedStore }> {
  const clock = new ManualClock();
  const store = new WatchedStore({ clock, random: seededRandom(2), ...behaviour });
  const watched = await WatchedWorkload.start({
    clients: [store, store, store],
    seed: 1,
    mix: DEFAULT_MIX,
    prefix: "p/",
    keys: 15,
    timeoutMs: 1_000,
    clock,
    maxOperations: 600,
    watchers: 8,
    connect: () => Promise.resolve(store),
    leases: null,
    catchUpMs: 1_000,
    ...options,
  });
  await watched.finish();
  return { watched, store };
}

function lastRevision({ notices }: WatchRecord): number {
  return notices.at(-1)?.revision ?? 0;
}

Deno.test("WatchedWorkload: a correct store is found to be correct; all watches have shown the last writes, and ended", async () => {
  const { watched, store } = await finished();
  const { run } = watched;
  const verdict = checkWatches(run);
  assert(verdict.kind === "consistent", JSON.stringify(verdict));
  assertEquals(check(verdict.history, { ...CHECK_LIMITS, now: () => 0 }).kind, "linearizable");
  assertEquals([watched.late, store.watchCounts.open], [[], 0]);
  assert(verdict.figures.events > 1_000 && watched.events >= verdict.figures.events);
  const [first, second] = run.watches;
  assert(first !== undefined && second !== undefined);
  assertEquals([lastRevision(first), lastRevision(second)], [store.revision, store.revision]);
});

Deno.test("WatchedWorkload: watches of all kinds are started, from the past and from the present on, and again after some time", async () => {
  const { watches } = (await finished({}, { maxOperations: 2_000 })).watched.run;
  const of = (name: (record: WatchRecord) => string): readonly string[] =>
    [...new Set(watches.map(name))].sort();
  assertEquals(of(({ keys }) => keys.kind), ["key", "range"]);
  assertEquals(of(({ only }) => only ?? "all"), ["all", "deletes", "puts"]);
  assertEquals(of(({ from }) => from === null ? "present" : "past"), ["past", "present"]);
  assertEquals(of(({ resync }) => `${resync}`), ["false", "true"]);
  assertEquals(watches.filter(({ watcher }) => watcher === 0).length, 1);
  assert(watches.some(({ start }) => start > 1), "no watcher started a second watch");
});

Deno.test("WatchedWorkload: the first operation is called after every watcher has begun", async () => {
  const clock = new ManualClock();
  const store = new WatchedStore({ clock, random: seededRandom(2) });
  const connect = async (): Promise<WatchedStore> => {
    await settle();
    return store;
  };
  const { run } = (await finished({}, { clock, clients: [store, store], connect })).watched;
  const firstCall = Math.min(...run.history.map(({ calledAt }) => calledAt));
  const begun = run.watches.filter(({ start }) => start === 1).map(({ notices }) =>
    notices[0]?.receivedAt ?? Infinity
  );
  assertEquals(begun.length, 8);
  assert(Math.max(...begun) <= firstCall);
});

for (const watchBreach of WATCH_BREACHES) {
  Deno.test(`WatchedWorkload: a store whose watches are wrong (${watchBreach}) is found out`, async () => {
    const { run } = (await finished({ watchBreach })).watched;
    assertEquals(checkWatches(run).kind, "violation");
  });
}

Deno.test("WatchedWorkload: leases are granted and renewed, and keys of their own and of the workload are attached to them", async () => {
  const clock = new ManualClock();
  const store = new WatchedStore({ clock, random: seededRandom(2) });
  const options = {
    clock,
    clients: [store, store],
    connect: () => Promise.resolve(store),
    leases: store.leases,
    watchers: 2,
    maxOperations: 1_500,
  };
  const { run } = (await finished({}, options)).watched;
  assert(run.leases.some(({ kind }) => kind === "keepAlive"));
  const granted = new Set(run.leases.filter(({ kind }) => kind === "grant").map(({ leaseId }) => leaseId));
  const attached = run.history.flatMap((operation) =>
    operation.kind === "put" && operation.leaseId !== undefined ? [operation] : []
  );
  assert(attached.every(({ leaseId }) => granted.has(leaseId ?? 0)));
  const own = attached.filter(({ key }) => key.endsWith("l"));
  assert(own.length >= granted.size && attached.length > own.length);
  assertEquals(new Set(own.map(({ value }) => value)).size, own.length);
  // The fake leases do not end, so that a revoked one keeps its keys; the last writes detach all of them.
  assert([...store.entries.values()].every(({ leaseId }) => leaseId === undefined));
  assertEquals(checkWatches(run).kind, "consistent");
});

Deno.test("WatchedWorkload: a watcher goes on after it could not connect", async () => {
  const clock = new ManualClock();
  const store = new WatchedStore({ clock, random: seededRandom(2) });
  let attempts = 0;
  const connect = (): Promise<WatchedStore> =>
    (attempts += 1) % 2 === 1 ? Promise.reject(new ConnectionError("unreachable")) : Promise.resolve(store);
  const run = finished({}, { clock, clients: [store, store], connect });
  // Every watcher waits after a failure, so the test has to advance the clock.
  const { watched } = await eventually("the workload ends", async () => {
    clock.advance(20);
    return await Promise.race([run, settle().then(() => null)]);
  });
  assertEquals(checkWatches(watched.run).kind, "consistent");
  assert(attempts > 8);
});

Deno.test("WatchedWorkload: an error that is not one of the client library ends everything, and rejects", async () => {
  const connect = (): Promise<never> => Promise.reject(new TypeError("a fault of the program"));
  await assertRejects(() => finished({}, { connect }), TypeError, "a fault of the program");
});
