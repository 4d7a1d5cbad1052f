/** WatchHub: what each watch is sent equals the events of the log, in every order of writes, holds and restores. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { KeySet } from "../../../../lib/kv/mod.ts";
import type { ServerFrame } from "../../../../lib/protocol/client_frames.ts";
import { WATCH_FRAME_BYTES } from "../../../../lib/protocol/limits.ts";
import { EventEncoder } from "../../../../lib/server/watch/event_encoder.ts";
import { FEED_PROGRESS_MS } from "../../../../lib/server/watch/history_feed.ts";
import type { Filter } from "../../../../lib/server/watch/watch.ts";
import { LEVEL_TURN_BYTES, PROGRESS_INTERVAL_MS } from "../../../../lib/server/watch/watch_hub.ts";
import { settle } from "../../../support/fakes/manual_clock.ts";
import { ALL_KEYS, prefixKeys, TestWatch } from "../../../support/frames/watch_client.ts";
import { ALL, Bench, bytes, key, LEADERLESS_MS, textsOf } from "./watch_bench.ts";

const KEYS = ["a", "a/b", "a/c", "b", "ba", "c"];
const keySet: fc.Arbitrary<KeySet> = fc.oneof(
  fc.constantFrom(...KEYS, "n").map(key),
  fc.constantFrom("a", "a/", "b").map(prefixKeys),
  fc.constant(ALL_KEYS),
  fc.constantFrom(["a/b", "ba"] as const, ["a", "a/c"] as const, ["b", "z"] as const)
    .map(([start, end]) => ({ kind: "range" as const, start: bytes(start), end: bytes(end) })),
);
const filter: fc.Arbitrary<Filter> = fc.constantFrom(
  ALL,
  { puts: true, deletes: false, previous: false },
  { puts: false, deletes: true, previous: true },
  { puts: true, deletes: true, previous: true },
);
const value = fc.oneof(
  { weight: 30, arbitrary: fc.nat(99).map((number) => bytes(`v${number}`)) },
  { weight: 1, arbitrary: fc.nat(99).map((number) => new Uint8Array(600_000).fill(number)) },
);
const changes = fc.array(fc.tuple(fc.constantFrom(...KEYS), fc.option(value)), { minLength: 1, maxLength: 4 })
  .map((list) => new Map(list));
const at = fc.nat(2);

type Step = (bench: Bench) => void;
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.tuple(changes, fc.nat(9)).map(([some, chance]): Step => (bench) =>
      bench.log.write(some, chance === 0)
    ),
  },
  { weight: 6, arbitrary: fc.constant<Step>((bench) => bench.follow()) },
  { weight: 1, arbitrary: fc.constant<Step>((bench) => bench.restore()) },
  {
    weight: 4,
    arbitrary: fc.tuple(keySet, filter, at, fc.nat(8)).map(([keys, filter, at, back]): Step => (bench) => {
      const { compactedRevision, revision } = bench.machine;
      bench.watch(keys, { filter, at, from: Math.max(compactedRevision + 1, revision + 1 - back) });
    }),
  },
  { weight: 2, arbitrary: at.map((at): Step => (bench) => bench.hold(at)) },
  { weight: 2, arbitrary: at.map((at): Step => (bench) => bench.release(at)) },
  { weight: 3, arbitrary: fc.constant<Step>((bench) => bench.clock.sleep(0)) },
  {
    weight: 1,
    arbitrary: fc.nat(3).map((back): Step => (bench) => {
      bench.log.append({ kind: "compact", revision: Math.max(0, bench.log.machine.revision - back) });
    }),
  },
  {
    // A write of a database has a revision even if it changes nothing, and a watch of all keys is not sent what it does.
    weight: 2,
    arbitrary: fc.boolean().map((changes): Step => (bench) => {
      const one = { key: bytes("k"), value: bytes("\x03v"), expiresAtMs: null, versionstampedKey: false };
      const mutation = changes
        ? { kind: "set" as const, ...one }
        : { kind: "delete" as const, key: bytes("absent") };
      const ids = { session: null, databaseId: 0, credentialId: 0 };
      bench.log.append({ kind: "databaseWrite", ...ids, checks: [], mutations: [mutation] });
    }),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(at, fc.nat()).map(([at, position]): Step => (bench) => {
      const connection = bench.connection(at);
      const watch = connection.open[position % Math.max(1, connection.open.length)];
      if (watch === undefined) return;
      bench.hub.cancel(connection.watches, watch.watchId);
      connection.got.delete(watch.watchId);
    }),
  },
);

Deno.test("WatchHub: what random watches are sent equals the log, under compactions, holds and restores", () => {
  let ended = 0;
  let fed = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 150 }), (steps) => {
      const bench = new Bench();
      for (const step of steps) {
        step(bench);
        fed = Math.max(fed, bench.hub.behind);
      }
      bench.feed();
      bench.check();
      for (const position of bench.connections.keys()) bench.release(position);
      bench.follow();
      bench.feed();
      bench.check();
      assertEquals(bench.hub.behind, 0, "every watch is level in the end");
      const all = bench.connections.flatMap(({ got }) => [...got.values()]);
      ended += all.filter((watch) => watch.ended !== null).length;
      for (const { watches } of bench.connections) watches.close();
      assertEquals([bench.hub.size, bench.hub.keyBytes, bench.clock.timerCount], [0, 0, 0]);
    }),
    { numRuns: 300 },
  );
  assert(ended > 0 && fed > 0, "some watches were ended by compaction, and some fell behind");
});

Deno.test("WatchHub: an entry that compacts its predecessor's revision takes no event from a watch that is level", () => {
  const bench = new Bench();
  const watch = bench.watch(ALL_KEYS);
  bench.log.write(new Map([["a", bytes("1")]]), false);
  bench.log.append({ kind: "compact", revision: 1 });
  bench.follow();
  assertEquals(textsOf(watch), ["1 put a=1"]);
});

Deno.test("WatchHub: a revision of many events comes in frames of about a mebibyte, of which all but the last have more", () => {
  const bench = new Bench();
  const watch = bench.watch(ALL_KEYS);
  const before = bench.watch(key("k3"), { at: 1 });
  bench.log.write(
    new Map(Array.from({ length: 7 }, (_, n) => [`k${n}`, new Uint8Array(400_000).fill(n)])),
    false,
  );
  bench.follow();
  bench.feed();
  const frames = bench.connection(0).messages.filter((message) => message.kind === "watchEvents");
  assertEquals(frames.map(({ events, more }) => [events.length, more]), [[2, true], [2, true], [2, true], [
    1,
    false,
  ]]);
  assertEquals([textsOf(watch), textsOf(before)], [bench.expected(watch), bench.expected(before)]);
});

Deno.test("WatchHub: a watch that is held within a revision continues with its next frame", () => {
  const bench = new Bench(1);
  const watch = bench.watch(ALL_KEYS);
  const connection = bench.connection(0);
  const large = (n: number): [string, Uint8Array] => [`k${n}`, new Uint8Array(WATCH_FRAME_BYTES).fill(n)];
  bench.log.write(new Map([large(1), large(2), large(3)]), false);
  connection.isHeld = true;
  bench.follow();
  for (let round = 0; round < 3; round++) {
    assertEquals(watch.frames, round);
    const take = TestWatch.prototype.take;
    // Held again after one frame.
    watch.take = (frame): void => {
      take.call(watch, frame);
      connection.isHeld = true;
    };
    bench.release(0);
    bench.feed();
  }
  assertEquals(textsOf(watch), bench.expected(watch));
});

Deno.test("WatchHub: nothing is queued for a connection that does not read, however many writes it misses", () => {
  const bench = new Bench(2);
  for (const at of [0, 1]) for (let n = 0; n < 10; n++) bench.watch(ALL_KEYS, { at });
  bench.hold(0);
  for (let n = 0; n < 50; n++) bench.log.write(new Map([["a", new Uint8Array(10_000).fill(n)]]), false);
  bench.follow();
  bench.feed();
  assertEquals([bench.connection(0).messages.length, bench.hub.behind], [0, 10]);
  assertEquals(bench.connection(1).messages.length, 500);
  bench.release(0);
  bench.feed();
  bench.check();
  assertEquals(bench.hub.behind, 0);
});

Deno.test("WatchHub: one turn sends a bounded number of bytes; the other watches get the revision in later turns", async () => {
  const bench = new Bench(40);
  for (const at of bench.connections.keys()) bench.watch(key("a"), { at });
  const size = 1_000_000;
  bench.log.write(new Map([["a", new Uint8Array(size)]]), false);
  bench.follow();
  const served = (): number => bench.connections.filter(({ queuedBytes }) => queuedBytes > 0).length;
  assertEquals(served(), Math.ceil(LEVEL_TURN_BYTES / size));
  bench.clock.sleep(0);
  assert(served() < 40, "nor does a turn of the feed send all");
  bench.feed();
  assertEquals([served(), bench.hub.behind], [40, 0]);
  await settle();
  bench.check();
});

/** Returns distinct ranges that all contain the keys from "b" to "z". */
const overlapping = (count: number): readonly KeySet[] =>
  Array.from({ length: count }, (_, n) => ({ kind: "range", start: bytes(`a${n}`), end: bytes("zz") }));

Deno.test("WatchHub: events are encoded only for watches that are sent them at once", () => {
  const { encodeWhole } = EventEncoder.prototype;
  let encoded = 0;
  EventEncoder.prototype.encodeWhole = function (...list): ReturnType<typeof encodeWhole> {
    encoded++;
    return encodeWhole.apply(this, list);
  };
  try {
    const held = new Bench(2);
    for (const keys of overlapping(100)) held.watch(keys);
    held.watch(ALL_KEYS, { at: 1 });
    held.hold(0);
    held.log.write(new Map([["y", bytes("1")], ["z", bytes("2")]]), false);
    held.follow();
    assertEquals([encoded, held.hub.behind], [1, 100]);
    encoded = 0;
    const large = new Bench(1);
    for (const keys of overlapping(40)) large.watch(keys);
    const size = 1_000_000;
    large.log.write(new Map([["z", new Uint8Array(size)]]), false);
    large.follow();
    assertEquals(encoded, Math.ceil(LEVEL_TURN_BYTES / size));
  } finally {
    EventEncoder.prototype.encodeWhole = encodeWhole;
  }
});

Deno.test("WatchHub: one turn encodes a bounded number of events", async () => {
  const bench = new Bench(1);
  const watches = overlapping(200).map((keys) => bench.watch(keys));
  bench.log.write(new Map(Array.from({ length: 1_000 }, (_, n) => [`b${n}`, bytes("v")])), false);
  bench.follow();
  const served = watches.filter(({ frames }) => frames > 0).length;
  assert(served > 10 && served < 100, `${served} watches are sent 1,000 events each in one turn`);
  bench.feed();
  await settle();
  bench.check();
  assertEquals(bench.hub.behind, 0);
});

Deno.test("WatchHub: a turn of the feed reads fewer revisions the more interests their events match", () => {
  const bench = new Bench(2);
  for (const keys of overlapping(300)) bench.watch(keys);
  bench.hold(0);
  const revisions = 1_000;
  for (let n = 0; n < revisions; n++) bench.log.write(new Map([["z", bytes("v")]]), false);
  bench.follow();
  const fed = bench.watch(key("z"), { from: 1, at: 1 });
  bench.clock.sleep(0);
  assert(fed.frames > 0 && fed.frames < revisions / 2, `${fed.frames} revisions are sent in one turn`);
  bench.feed();
  assertEquals(fed.frames, revisions);
});

Deno.test("WatchHub: watches without events get a notice of progress, those with events do not", () => {
  const bench = new Bench(2);
  const idle = bench.watch(key("a"));
  const busy = bench.watch(key("b"));
  const held = bench.watch(key("a"), { at: 1 });
  bench.hold(1);
  bench.log.write(new Map([["b", bytes("1")]]), false);
  bench.follow();
  bench.clock.advance(PROGRESS_INTERVAL_MS);
  assertEquals([idle.progressed, busy.progressed, held.progressed], [1, 0, 0]);
  bench.clock.advance(PROGRESS_INTERVAL_MS);
  assertEquals([idle.progressed, busy.progressed], [1, 1]);
});

Deno.test("WatchHub: no progress is reported for a watch that is not fed yet", () => {
  const bench = new Bench(1);
  bench.log.write(new Map([["a", bytes("1")]]), false);
  bench.follow();
  const level = bench.watch(key("b"));
  const behind = bench.watch(key("a"), { from: 1 });
  // Each timer fires once, in the order in which they were set: that of progress notices first.
  bench.clock.sleep(PROGRESS_INTERVAL_MS);
  assertEquals([level.progressed, behind.progressed, textsOf(behind)], [1, 0, ["1 put a=1"]]);
});

Deno.test("WatchHub: a watch that lacks revisions before a pass in progress gets them, and those of the pass once", () => {
  const bench = new Bench(3);
  const large = (n: number): ReadonlyMap<string, Uint8Array> =>
    new Map([["a", new Uint8Array(1_000_000).fill(n)]]);
  for (let n = 0; n < 12; n++) bench.log.write(large(n), false);
  bench.follow();
  const first = bench.watch(key("a"), { from: 1 });
  bench.clock.sleep(0);
  assert(first.frames > 2 && first.frames < 10, "the pass is in progress");
  const before = bench.watch(key("a"), { from: 2, at: 1 });
  const within = bench.watch(key("a"), { from: 11, at: 2 });
  bench.feed();
  for (const watch of [first, before, within]) assertEquals(textsOf(watch), bench.expected(watch));
});

Deno.test("WatchHub: while the history is read, watches without events get notices of progress", () => {
  const bench = new Bench(3);
  const revisions = 60_000;
  for (let n = 0; n < revisions; n++) bench.log.write(new Map([["a", bytes("v")]]), false);
  bench.log.write(new Map([["b", bytes("v")]]), false);
  bench.follow();
  const quiet = bench.watch(key("b"), { from: 1 });
  const busy = bench.watch(key("a"), { from: 1, at: 1 });
  bench.clock.sleep(0);
  const waiting = bench.watch(key("b"), { from: 2, at: 2 });
  const ahead = bench.watch(key("b"), { from: revisions - 5, at: 2 });
  const turn = (): void => {
    bench.clock.sleep(FEED_PROGRESS_MS);
    assertEquals([waiting.progressed, ahead.progressed], [1, revisions - 6]);
    assertEquals(quiet.progressed, busy.revisions.at(-1)?.revision ?? 0, "all that was read, and no more");
  };
  turn();
  const { progressed } = quiet;
  turn();
  assert(quiet.progressed > progressed && quiet.progressed < revisions, "it goes on");
  assertEquals([busy.progressed, quiet.frames], [0, 0]);
  bench.feed();
  for (const watch of [quiet, busy, waiting, ahead]) assertEquals(textsOf(watch), bench.expected(watch));
});

Deno.test("WatchHub: no progress is reported to a watch that was sent a part of a revision", () => {
  const bench = new Bench(2);
  const large = (n: number): [string, Uint8Array] => [`k${n}`, new Uint8Array(WATCH_FRAME_BYTES).fill(n)];
  bench.log.write(new Map([["a", bytes("v")]]), false);
  bench.log.write(new Map([large(1), large(2), large(3)]), false);
  for (let n = 0; n < 60_000; n++) bench.log.write(new Map([["a", bytes("v")]]), false);
  bench.follow();
  const watch = bench.watch(prefixKeys("k"), { from: 1 });
  const other = bench.watch(key("none"), { from: 1, at: 1 });
  const take = TestWatch.prototype.take;
  watch.take = (frame): void => {
    take.call(watch, frame);
    bench.hold(0);
  };
  bench.clock.sleep(0);
  watch.take = take;
  bench.release(0);
  // The first notices are not for watches that had an event before, the second ones are.
  for (let round = 0; round < 2; round++) bench.clock.sleep(FEED_PROGRESS_MS);
  assertEquals([watch.frames, watch.progressed, bench.hub.behind], [1, 0, 2]);
  assert(other.progressed > 2);
  bench.feed();
  bench.check();
});

Deno.test("WatchHub: a pass does not read revisions that only a watch lacked which has left it", () => {
  const bench = new Bench(2);
  const revisions = 60_000;
  for (let n = 0; n < revisions; n++) bench.log.write(new Map([["a", bytes("v")]]), false);
  bench.follow();
  const slow = bench.watch(key("a"), { from: 1 });
  const take = TestWatch.prototype.take;
  slow.take = (frame): void => {
    take.call(slow, frame);
    bench.hold(0);
  };
  const recent = bench.watch(key("a"), { from: revisions, at: 1 });
  // One turn for the first part of the history, one for its end.
  bench.clock.sleep(0);
  bench.clock.sleep(0);
  assertEquals([slow.frames, recent.frames, bench.hub.behind], [1, 1, 1]);
});

Deno.test("WatchHub: watches that are held cost a pass nothing", () => {
  const bench = new Bench(2);
  for (let n = 0; n < 500; n++) bench.watch(ALL_KEYS);
  bench.hold(0);
  const revisions = 1_000;
  for (let n = 0; n < revisions; n++) bench.log.write(new Map([["a", bytes("v")]]), false);
  bench.follow();
  assertEquals(bench.hub.behind, 500);
  const fed = bench.watch(ALL_KEYS, { from: 1, at: 1 });
  // If the 500 were looked at for each revision, they would use up the budget of the turn.
  bench.clock.sleep(0);
  assertEquals([fed.frames, bench.hub.behind], [revisions, 500]);
});

Deno.test("WatchHub: a compaction during a pass ends the watches whose next revision it drops, and no others", () => {
  const bench = new Bench(2);
  for (let n = 0; n < 12; n++) bench.log.write(new Map([["a", new Uint8Array(1_000_000).fill(n)]]), false);
  bench.follow();
  const early = bench.watch(key("a"), { from: 1 });
  const late = bench.watch(key("a"), { from: 10, at: 1 });
  bench.clock.sleep(0);
  bench.log.append({ kind: "compact", revision: 9 });
  bench.follow();
  bench.feed();
  assertEquals([codeOf(early.ended), late.ended], ["compacted", null]);
  assertEquals(textsOf(late), bench.expected(late));
});

Deno.test("WatchHub: a request for progress is answered once all watches of its connection are level", () => {
  const bench = new Bench(2);
  bench.watch(ALL_KEYS);
  bench.watch(ALL_KEYS, { at: 1 });
  bench.hold(0);
  bench.log.write(new Map([["a", bytes("1")]]), false);
  bench.follow();
  const answers: string[] = [];
  for (const at of [0, 1]) {
    bench.hub.whenLevel(bench.connection(at).watches, {
      answer: (revision) => void answers.push(`${at}: ${revision}`),
      drop: () => void answers.push(`${at}: dropped`),
    });
  }
  assertEquals(answers, ["1: 1"]);
  bench.log.write(new Map([["a", bytes("2")]]), false);
  bench.follow();
  bench.release(0);
  bench.feed();
  assertEquals(answers, ["1: 1", "0: 2"]);
});

Deno.test("WatchHub: watches end when no leader is known for a while, not when one is known before", () => {
  const bench = new Bench(1);
  const watch = bench.watch(ALL_KEYS);
  bench.hub.leaderChanged(null);
  bench.clock.advance(LEADERLESS_MS - 1);
  bench.hub.leaderChanged(2);
  bench.clock.advance(LEADERLESS_MS);
  assertEquals(watch.ended, null);
  bench.hub.leaderChanged(null);
  bench.hub.leaderChanged(null);
  bench.clock.advance(LEADERLESS_MS);
  assertEquals(codeOf(watch.ended), "noLeader");
  assertEquals([bench.hub.size, bench.clock.timerCount], [0, 0]);
});

Deno.test("WatchHub: a node that stops ends its watches, also held ones, by name", () => {
  const bench = new Bench(2);
  const watches = [bench.watch(ALL_KEYS), bench.watch(ALL_KEYS, { at: 1 })];
  bench.hold(1);
  bench.log.write(new Map([["a", bytes("1")]]), false);
  bench.follow();
  bench.hub.stop();
  assertEquals(watches.map(({ ended }) => codeOf(ended)), ["stopping", "stopping"]);
  assertEquals([bench.hub.size, bench.clock.timerCount], [0, 0]);
});

Deno.test("WatchHub: a watch whose missing events are compacted ends with the compacted revision", () => {
  const bench = new Bench(1);
  const watch = bench.watch(ALL_KEYS);
  bench.hold(0);
  for (const text of ["1", "2", "3"]) bench.log.write(new Map([["a", bytes(text)]]), false);
  bench.log.append({ kind: "compact", revision: 2 });
  bench.follow();
  bench.release(0);
  bench.feed();
  assertEquals([codeOf(watch.ended), watch.ended?.compactedRevision, watch.revisions], ["compacted", 2, []]);
});

Deno.test("WatchHub: a compaction below the next revision of a watch that is behind does not end it", () => {
  const bench = new Bench(1);
  const watch = bench.watch(ALL_KEYS);
  const write = (text: string): void => bench.log.write(new Map([["a", bytes(text)]]), false);
  for (const text of ["1", "2"]) write(text);
  bench.follow();
  bench.hold(0);
  for (const text of ["3", "4"]) write(text);
  bench.log.append({ kind: "compact", revision: 2 });
  bench.follow();
  bench.release(0);
  bench.feed();
  assertEquals([watch.ended, textsOf(watch)], [null, bench.expected(watch)]);
});

function codeOf(ended: ServerFrame<"watchEnded"> | null): string | null {
  return ended?.code ?? null;
}
