/** Watches of Deno KV: first frame, completeness, sharing, pace, slow clients, and the ends of a watch. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { NoLeaderError } from "../../../../lib/client/errors.ts";
import { FRAME_INTERVAL_MS, FRAMES_AT_ONCE } from "../../../../lib/denokv/watch/frame_pace.ts";
import { PING_AFTER_MS } from "../../../../lib/denokv/watch/watch_stream.ts";
import { READ_PAUSE_MS } from "../../../../lib/denokv/watch/watched_keys.ts";
import {
  MAX_WATCHED_KEYS,
  START_TIMEOUT_MS,
  type WatchAccess,
  Watches,
} from "../../../../lib/denokv/watch/watches.ts";
import { WebError } from "../../../../lib/web/mod.ts";
import { ManualClock, settle } from "../../../support/fakes/manual_clock.ts";
import { MemoryDatabases } from "../../../support/fakes/watched_databases.ts";
import { MemoryWebRequest } from "../../../support/fakes/web_exchange.ts";

/** The content of a frame about one key: its value, null for an absent one, "unchanged". */
type Output = string | null;
const UNCHANGED = "unchanged";
const PING = "ping";

/** A front end with watches over a store in memory. */
class Bench {
  readonly clock = new ManualClock();
  readonly databases = new MemoryDatabases();
  readonly removed = new Set<number>();
  readonly watches = new Watches({
    databases: this.databases,
    clock: this.clock,
    isAllowed: ({ credentialId }) => !this.removed.has(credentialId),
  });

  /** Begins a watch; its first frame has left when this resolves, if it can. */
  async watch(
    keys: readonly string[],
    { credentialId = 1, databaseId = 0, isStalled = false }:
      & Partial<WatchAccess>
      & { readonly isStalled?: boolean } = {},
  ): Promise<Watcher> {
    const watcher = new Watcher(new MemoryWebRequest({ isStalled }));
    const bytes = keys.map((key) => new TextEncoder().encode(key));
    watcher.serving = this.watches.serve(watcher.request, { databaseId, credentialId }, bytes)
      .catch((error: unknown) => void (watcher.refusal = error));
    await settle();
    return watcher;
  }

  /** Writes keys and lets the frames leave that may leave at once. */
  async write(values: Readonly<Record<string, string | null>>): Promise<void> {
    this.databases.write(values);
    await settle();
  }

  async pass(durationMs: number): Promise<void> {
    this.clock.advance(durationMs);
    await settle();
  }

  /** Ends everything; fails if something is left. */
  async finish(): Promise<void> {
    this.watches.stop();
    await settle();
    assertEquals(this.clock.timerCount, 0);
    assertEquals(this.databases.watchCount, 0);
  }
}

/** A client's side of a watch. */
class Watcher {
  readonly request: MemoryWebRequest;
  serving: Promise<void> = Promise.resolve();
  refusal: unknown = null;

  constructor(request: MemoryWebRequest) {
    this.request = request;
  }

  /** The stream of the answer. */
  get stream(): NonNullable<MemoryWebRequest["answer"]> {
    const { answer } = this.request;
    assert(answer !== null, "the request was answered");
    return answer;
  }

  /** The frames so far. */
  get frames(): (readonly Output[] | typeof PING)[] {
    return this.stream.written.map(decodeFrame);
  }

  /** The frames that have a state. */
  get states(): (readonly Output[])[] {
    return this.frames.filter((frame) => frame !== PING);
  }
}

function decodeFrame(frame: Uint8Array): readonly Output[] | typeof PING {
  const length = new DataView(frame.buffer, frame.byteOffset).getUint32(0, true);
  assertEquals(length, frame.length - 4);
  if (length === 0) return PING;
  const outputs: Output[] = [];
  for (const [field, value] of decodeFields(frame.subarray(4))) {
    if (field === 1) assertEquals(value, 1);
    else outputs.push(decodeOutput(value));
  }
  return outputs;
}

function decodeOutput(message: Uint8Array | number): Output {
  const fields = new Map(decodeFields(message));
  if (fields.get(1) !== 1) return UNCHANGED;
  const entry = fields.get(2);
  if (entry === undefined) return null;
  const { 2: value, 3: encoding, 4: versionstamp } = Object.fromEntries(decodeFields(entry));
  assertEquals(encoding, 3);
  assert(value instanceof Uint8Array && versionstamp instanceof Uint8Array);
  assertEquals(versionstamp.length, 10);
  return new TextDecoder().decode(value);
}

function decodeFields(message: Uint8Array | number): [number, Uint8Array | number][] {
  assert(message instanceof Uint8Array);
  const reader = new BinaryReader(message);
  const fields: [number, Uint8Array | number][] = [];
  while (reader.pos < message.length) {
    const [field, wireType] = reader.tag();
    fields.push([field, wireType === 2 ? reader.bytes() : reader.uint32()]);
  }
  return fields;
}

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
