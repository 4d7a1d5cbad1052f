/** Messages about progress: on request, and now and then. */
import { assertEquals } from "@std/assert";
import { NOTICE_INTERVAL_MS } from "../../../../lib/etcd/watch/watch_stream.ts";
import { settle } from "../../../support/fakes/manual_clock.ts";
import { ALL, PREFIX, WatchScene } from "./watch_scene.ts";

const STEP_MS = 1_000;

/** Lets much time pass, in steps that are short for connections and long for a test. */
async function passQuickly({ cluster: { clock } }: WatchScene, durationMs: number): Promise<void> {
  for (let passed = 0; passed < durationMs; passed += STEP_MS) {
    clock.advance(STEP_MS);
    await settle();
  }
}

Deno.test("Watch: a request about progress is answered at once, by one message, though nothing has happened to the keys", async () => {
  await using scene = await WatchScene.open();
  const stream = scene.stream();
  stream.askProgress();
  stream.create(PREFIX("a/"));
  stream.create({ ...PREFIX("b/"), startRevision: 1 });
  await scene.received(stream, 2);
  stream.askProgress();
  assertEquals((await scene.received(stream, 3)).slice(2), ["-1 @1"]);
  await scene.put("other", "x");
  await scene.put("other", "y");
  const askedAt = scene.cluster.clock.now();
  stream.askProgress();
  assertEquals((await scene.received(stream, 4)).slice(3), ["-1 @3"]);
  assertEquals(scene.cluster.clock.now() - askedAt < 500, true);
  await scene.put("a/1", "z");
  stream.askProgress();
  assertEquals((await scene.received(stream, 6)).slice(4), ["0 @4 put a/1=z@4", "-1 @4"]);
});

Deno.test("Watch: without watches, and for those without events alone, progress is as in etcd", async () => {
  await using scene = await WatchScene.open();
  const stream = scene.stream();
  stream.askProgress();
  await scene.settle();
  assertEquals(stream.shown, []);
  stream.create({ ...ALL, filters: [0, 1] });
  await scene.received(stream, 1);
  await scene.put("k", "x");
  stream.askProgress();
  assertEquals(await scene.received(stream, 2), ["0 @1 created", "-1 @2"]);
});

Deno.test("Watch: progress waits for a watch that is behind", async () => {
  await using scene = await WatchScene.open();
  const stream = scene.stream();
  stream.create(ALL);
  await scene.received(stream, 1);
  stream.isReading = false;
  for (let write = 0; write < 10; write++) await scene.put("k", "v".repeat(50_000));
  stream.askProgress();
  await scene.settle();
  assertEquals(stream.shown.includes("-1 @11"), false);
  stream.resume();
  await scene.cluster.until(() => stream.shown.includes("-1 @11"));
  const events = stream.responses.flatMap((response) => response.events);
  assertEquals([events.length, stream.shown.at(-1)], [10, "-1 @11"]);
});

Deno.test("Watch: notices come every ten minutes, but for those after an event, to the watches that ask for them", async () => {
  await using scene = await WatchScene.open();
  const stream = scene.stream();
  stream.create({ ...PREFIX("a/"), progressNotify: true });
  stream.create({ ...PREFIX("b/"), progressNotify: true });
  stream.create(ALL);
  await scene.received(stream, 3);
  await scene.put("a/1", "x");
  await scene.received(stream, 5);
  const interval = NOTICE_INTERVAL_MS * 1.05;
  await passQuickly(scene, interval);
  assertEquals((await scene.received(stream, 6)).slice(5), ["1 @2"]);
  await passQuickly(scene, interval);
  assertEquals((await scene.received(stream, 8)).slice(6).toSorted(), ["0 @2", "1 @2"]);
});
