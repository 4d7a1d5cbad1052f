/** Watches of Deno KV: first frame, completeness, sharing, pace, slow clients, and the ends of a watch. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { NoLeaderError } from "../../../../lib/client/errors.ts";
import { FRAME_INTERVAL_MS, FRAMES_AT_ONCE } from "../../../../lib/denokv/watch/frame_pace.ts";
import { PING_AFTER_MS } from "../../../../lib/denokv/watch/watch_stream.ts";
import { READ_PAUSE_MS } from "../../../../lib/denokv/watch/watched_keys.ts";
import {
  KEY_COST_BYTES,
  MAX_WATCHED_BYTES,
  MAX_WATCHED_KEYS,
  START_TIMEOUT_MS,
} from "../../../../lib/denokv/watch/watches.ts";
import { WebError } from "../../../../lib/web/mod.ts";
import { settle } from "../../../support/fakes/manual_clock.ts";
import { MemoryWebRequest } from "../../../support/fakes/web_exchange.ts";
import { Bench, PING, UNCHANGED, Watcher } from "./watch_bench.ts";

Deno.test("watch: the first frame has all keys as changed, missing ones too, and is of the type of a stream", async () => {
  const bench = new Bench();
  bench.databases.write({ a: "1" });
  const watcher = await bench.watch(["a", "b", "a"]);
  assertEquals(watcher.request.head, {
    status: 200,
    headers: { "content-type": "application/octet-stream" },
  });
  assertEquals(watcher.frames, [["1", null, "1"]]);
  await bench.finish();
});

Deno.test("watch: a frame reports the keys that have changed, all of one revision", async () => {
  const bench = new Bench();
  const watcher = await bench.watch(["a", "b"]);
  await bench.write({ a: "1" });
  await bench.write({ a: "2", b: "2" });
  await bench.write({ b: null, other: "x" });
  await bench.write({ other: "y" });
  assertEquals(watcher.frames, [[null, null], ["1", UNCHANGED], ["2", "2"], [UNCHANGED, null]]);
  await bench.finish();
});

Deno.test("watch: a change between the start of the events and the first read is in the first frame", async () => {
  const bench = new Bench();
  bench.databases.isStarting = false;
  const watcher = await bench.watch(["a"]);
  assertEquals(watcher.request.answer, null);
  assertEquals(bench.databases.reads, [], "no read before the events have begun");
  bench.databases.startWatches();
  bench.databases.write({ a: "1" });
  await settle();
  assertEquals(watcher.frames, [["1"]]);
  await bench.finish();
});

Deno.test("watch: a change during the first read follows the first frame", async () => {
  const bench = new Bench();
  const { promise, resolve } = Promise.withResolvers<void>();
  bench.databases.staleBehind = null;
  const read = bench.databases.read.bind(bench.databases);
  let held = true;
  bench.databases.read = async (...asked) => {
    const result = await read(...asked);
    if (held) await promise;
    return result;
  };
  const watcher = await bench.watch(["a"]);
  await bench.write({ a: "1" }); // after the state of the first frame was read
  held = false;
  resolve();
  await settle();
  assertEquals(watcher.frames, [[null], ["1"]]);
  await bench.finish();
});

Deno.test("watch: there is no frame for changes that have left the keys as they were", async () => {
  const bench = new Bench();
  const watcher = await bench.watch(["a"]);
  bench.databases.write({ a: "1" });
  await bench.write({ a: null });
  assertEquals(watcher.frames, [[null]]);
  await bench.finish();
});

Deno.test("watch: the first read is linearizable, later ones need no leader", async () => {
  const bench = new Bench();
  await bench.watch(["a"]);
  await bench.write({ a: "1" });
  await bench.write({ a: "2" });
  assertEquals(bench.databases.reads.map(({ consistency }) => consistency), [
    "linearizable",
    "stale",
    "stale",
  ]);
  await bench.finish();
});

Deno.test("watch: a stale read older than the event is not believed", async () => {
  const bench = new Bench();
  const watcher = await bench.watch(["a"]);
  bench.databases.staleBehind = { revision: 1 };
  await bench.write({ a: "1" });
  assertEquals(watcher.frames, [[null], ["1"]]);
  assertEquals(bench.databases.reads.at(-1)?.consistency, "linearizable");
  await bench.finish();
});

Deno.test("watch: watches of the same keys of one database share the events, the reads and the frames", async () => {
  const bench = new Bench();
  const first = await bench.watch(["a", "b"]);
  const second = await bench.watch(["a", "b"], { credentialId: 2 });
  await bench.watch(["ab"]);
  await bench.watch(["a", "b"], { databaseId: 7 });
  assertEquals(bench.databases.started, [["a", "b"], ["ab"], ["a", "b"]]);
  const readsBefore = bench.databases.reads.length;
  await bench.write({ b: "1" });
  const reads = bench.databases.reads.slice(readsBefore);
  assertEquals(reads.filter(({ databaseId }) => databaseId === 0).length, 1);
  assertEquals(first.frames, [[null, null], [UNCHANGED, "1"]]);
  assertEquals(second.frames, first.frames);
  assert(second.stream.written[1] === first.stream.written[1], "the same bytes");
  first.request.giveUp();
  await bench.write({ b: "2" });
  assertEquals(second.states.at(-1), [UNCHANGED, "2"], "the other watch goes on");
  await bench.finish();
});

Deno.test("watch: many that begin while a read is made share the next one, which contains what they have seen", async () => {
  const bench = new Bench();
  await bench.watch(["a"]);
  const { promise, resolve } = Promise.withResolvers<void>();
  bench.databases.readHold = promise;
  const before = bench.databases.reads.length;
  const first = await bench.watch(["a"]);
  const others = await Promise.all(Array.from({ length: 50 }, () => bench.watch(["a"])));
  bench.databases.readHold = null;
  resolve();
  await settle();
  assertEquals(bench.databases.reads.length - before, 2);
  for (const { frames } of [first, ...others]) assertEquals(frames, [[null]]);
  await bench.finish();
});

Deno.test("watch: changes in quick succession get frames at the pace, the last one the last state", async () => {
  const bench = new Bench();
  const watcher = await bench.watch(["a"]);
  for (let number = 1; number <= 100; number++) await bench.write({ a: `${number}` });
  assertEquals(watcher.states.length, 1 + FRAMES_AT_ONCE);
  assertEquals(bench.databases.reads.length, 1 + FRAMES_AT_ONCE);
  await bench.pass(FRAME_INTERVAL_MS - 1);
  assertEquals(watcher.states.length, 1 + FRAMES_AT_ONCE);
  await bench.pass(1);
  assertEquals(watcher.states.length, 2 + FRAMES_AT_ONCE);
  assertEquals(watcher.states.at(-1), ["100"]);
  await bench.pass(10 * FRAME_INTERVAL_MS);
  assertEquals(watcher.states.length, 2 + FRAMES_AT_ONCE);
  await bench.finish();
});

Deno.test("watch: many watches of the same keys get a state in turns of the event loop", async () => {
  const bench = new Bench();
  const watchers = await Promise.all(Array.from({ length: 1_200 }, () => bench.watch(["a"])));
  const served = (): number => watchers.filter(({ frames }) => frames.length === 2).length;
  await bench.write({ a: "1" });
  assertEquals(served(), 500);
  await bench.pass(0);
  assertEquals(served(), 1_000);
  await bench.pass(0);
  assertEquals(served(), 1_200);
  await bench.finish();
});

Deno.test("watch: a client that does not read has one unsent frame, costs no reads, and gets the last state later", async () => {
  const bench = new Bench();
  const slow = await bench.watch(["a"], { isStalled: true });
  const readsBefore = bench.databases.reads.length;
  for (let number = 1; number <= 20; number++) await bench.write({ a: `${number}` });
  await bench.pass(10 * PING_AFTER_MS);
  assertEquals(slow.frames, [[null]], "not even an empty frame");
  assertEquals(bench.databases.reads.length, readsBefore);
  slow.stream.drain();
  await settle();
  assertEquals(slow.frames, [[null], ["20"]]);
  await bench.finish();
});

Deno.test("watch: a client that receives frames and does not read them is sent no more, and gets the last state later", async () => {
  const bench = new Bench();
  const watcher = await bench.watch(["a"]);
  watcher.stream.stopReading();
  await bench.write({ a: "1" });
  await bench.write({ a: "2" });
  await bench.write({ a: "3" });
  assertEquals(watcher.frames, [[null], ["1"]]);
  watcher.stream.readOn();
  await settle();
  assertEquals(watcher.frames, [[null], ["1"], ["3"]]);
  await bench.finish();
});

Deno.test("watch: a slow client holds up no other one of the same keys", async () => {
  const bench = new Bench();
  const slow = await bench.watch(["a"], { isStalled: true });
  const quick = await bench.watch(["a"]);
  await bench.write({ a: "1" });
  await bench.write({ a: "2" });
  assertEquals(quick.frames, [[null], ["1"], ["2"]]);
  assertEquals(slow.frames, [[null]]);
  slow.request.giveUp();
  await bench.finish();
});

Deno.test("watch: an idle one is sent an empty frame every five to ten seconds", async () => {
  const bench = new Bench();
  const watcher = await bench.watch(["a"]);
  let frames = watcher.frames.length;
  let gapMs = 0;
  for (let passedMs = 0; passedMs < 60_000; passedMs += 100) {
    await bench.pass(100);
    gapMs += 100;
    if (watcher.frames.length === frames) continue;
    assert(gapMs >= 5_000 && gapMs <= 10_000, `${gapMs} ms`);
    frames = watcher.frames.length;
    gapMs = 0;
  }
  assert(watcher.frames.slice(1).every((frame) => frame === PING));
  await bench.finish();
});

Deno.test("watch: a read that fails for a while is made again, and the stream stays open", async () => {
  const bench = new Bench();
  const watcher = await bench.watch(["a"]);
  bench.databases.readError = new NoLeaderError("No leader.");
  await bench.write({ a: "1" });
  assertEquals(watcher.frames, [[null]]);
  await bench.pass(READ_PAUSE_MS);
  assertEquals(watcher.frames, [[null], ["1"]]);
  assertEquals(watcher.stream.isEnded, false);
  await bench.finish();
});

Deno.test("watch: without a leader the request is refused after a while with status 503", async () => {
  const bench = new Bench();
  bench.databases.isStarting = false;
  const watcher = await bench.watch(["a"]);
  await bench.pass(START_TIMEOUT_MS - 1);
  assertEquals(watcher.refusal, null);
  await bench.pass(1);
  assert(watcher.refusal instanceof WebError);
  assertEquals(watcher.refusal.status, 503);
  assertEquals(watcher.request.answer, null);
  await bench.finish();
});

Deno.test("watch: a client that gives up before the first frame leaves nothing", async () => {
  const bench = new Bench();
  bench.databases.isStarting = false;
  const watcher = await bench.watch(["a"]);
  watcher.request.giveUp();
  await settle();
  assertEquals(bench.databases.watchCount, 0);
  assertEquals(bench.clock.timerCount, 0);
  assertEquals(watcher.refusal, null);
});

Deno.test("watch: a client that goes away leaves nothing", async () => {
  const bench = new Bench();
  const watcher = await bench.watch(["a"]);
  watcher.request.giveUp();
  await watcher.serving;
  await settle();
  assertEquals(bench.databases.watchCount, 0);
  assertEquals(bench.clock.timerCount, 0);
  assertEquals(bench.watches.counts(), [{
    databaseId: 0,
    watches: 0,
    begun: 1,
    frames: 1,
    frameBytes: 4 + 6,
  }]);
});

Deno.test("watch: removing an access token ends its watches only, also one that is about to begin", async () => {
  const bench = new Bench();
  const removed = await bench.watch(["a"], { credentialId: 1, isStalled: true });
  const other = await bench.watch(["a"], { credentialId: 2 });
  bench.databases.isStarting = false;
  const starting = await bench.watch(["b"], { credentialId: 1 });
  bench.removed.add(1);
  bench.watches.recheck();
  bench.databases.startWatches();
  await settle();
  assertEquals([removed.stream.isEnded, other.stream.isEnded], [true, false]);
  assert(starting.refusal instanceof WebError);
  assertEquals(starting.refusal.status, 401);
  await bench.write({ a: "1" });
  removed.stream.drain();
  await settle();
  assertEquals(removed.frames.length, 1, "nothing is sent after the end");
  assertEquals([other.frames.length, other.stream.isEnded], [2, false]);
  await bench.finish();
});

Deno.test("watch: access that ends without a notice, as when authentication is enabled, ends its watches soon", async () => {
  const bench = new Bench();
  const watcher = await bench.watch(["a"]);
  const other = await bench.watch(["a"], { credentialId: 2 });
  bench.removed.add(1);
  await bench.pass(PING_AFTER_MS);
  await bench.write({ a: "secret" });
  assertEquals([watcher.stream.isEnded, other.stream.isEnded], [true, false]);
  assertEquals([watcher.states.length, other.states.length], [1, 2]);
  await bench.finish();
});

Deno.test("watch: stop ends all of them and refuses those that begin", async () => {
  const bench = new Bench();
  const open = await bench.watch(["a"]);
  bench.databases.isStarting = false;
  const starting = await bench.watch(["b"]);
  bench.watches.stop();
  await open.serving;
  await settle();
  assertEquals(open.stream.isEnded, true);
  assert(starting.refusal instanceof WebError);
  assertEquals(starting.refusal.status, 503);
  const late = await bench.watch(["a"]);
  assert(late.refusal instanceof WebError);
  await bench.finish();
});

Deno.test("watch: an error of the store that does not pass ends the streams, and the next request begins again", async () => {
  const bench = new Bench();
  const watcher = await bench.watch(["a"], { isStalled: true });
  bench.databases.endWatches(new Error("The user may not read the keys any more."));
  await settle();
  assertEquals(watcher.stream.isEnded, true);
  const next = await bench.watch(["a"]);
  await bench.write({ a: "1" });
  assertEquals(next.frames, [[null], ["1"]]);
  watcher.stream.drain();
  await bench.finish();
});

Deno.test("watch: no keys, more than the limit, and keys that are too long are refused with Deno's words", async () => {
  const bench = new Bench();
  const access = { databaseId: 0, credentialId: 1 };
  const serve = (keys: readonly Uint8Array[]): Promise<void> =>
    bench.watches.serve(new MemoryWebRequest(), access, keys);
  await assertRejects(() => serve([]), WebError, "A watch needs at least one key");
  const many = Array.from({ length: MAX_WATCHED_KEYS + 1 }, () => new Uint8Array(1));
  await assertRejects(() => serve(many), WebError, `Too many keys (max ${MAX_WATCHED_KEYS})`);
  await assertRejects(
    () => serve([new Uint8Array(2_050)]),
    WebError,
    "Key too large for read (max 2049 bytes)",
  );
  const most = await bench.watch(Array.from({ length: MAX_WATCHED_KEYS }, (_, number) => `${number}`));
  assertEquals(most.states[0]?.length, MAX_WATCHED_KEYS);
  await bench.finish();
});

Deno.test("watch: the bytes of all watched keys have a bound, and those of watches that have ended are free again", async () => {
  const bench = new Bench();
  const keyBytes = 2_000;
  const watchBytes = MAX_WATCHED_KEYS * (keyBytes + KEY_COST_BYTES);
  const keys = Array.from({ length: MAX_WATCHED_KEYS }, (_, number) => `${number}`.padStart(keyBytes, "k"));
  const most = Math.floor(MAX_WATCHED_BYTES / watchBytes);
  // Of the same keys: what many clients may send counts, not what the front end makes of it.
  const watchers = [];
  for (let number = 0; number < most; number++) watchers.push(await bench.watch(keys));
  assertEquals(watchers.map(({ refusal }) => refusal), watchers.map(() => null));
  const { refusal } = await bench.watch(keys);
  assert(refusal instanceof WebError);
  assertEquals([refusal.status, refusal.message.includes(`${MAX_WATCHED_BYTES} bytes`)], [503, true]);
  watchers[0]?.request.giveUp();
  await settle();
  assertEquals((await bench.watch(keys)).refusal, null);
  await bench.finish();
});

Deno.test("watch: the keys are copied, so that the body of the request is not kept", async () => {
  const bench = new Bench();
  const body = new TextEncoder().encode("key and much else");
  const watcher = new Watcher(new MemoryWebRequest());
  watcher.serving = bench.watches.serve(watcher.request, { databaseId: 0, credentialId: 1 }, [
    body.subarray(0, 3),
  ]);
  body.fill(0);
  await settle();
  await bench.write({ key: "value" });
  assertEquals(watcher.states, [[null], ["value"]]);
  await bench.finish();
});
