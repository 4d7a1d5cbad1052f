/** Watches while nodes stop, lead or lose users: they go on, or end as etcd ends them. */
import { assertEquals } from "@std/assert";
import { ALL, PREFIX, type TestStream, WatchScene } from "./watch_scene.ts";

function eventsOf(stream: TestStream): readonly string[] {
  return stream.responses.flatMap(({ events }) =>
    events.map(({ kv }) => `${new TextDecoder().decode(kv?.value)}@${kv?.modRevision}`)
  );
}

Deno.test("Watch: it goes on over the death of its node, without a gap and without repetition", async () => {
  await using scene = await WatchScene.open([1, 2, 3]);
  const { cluster } = scene;
  const stream = scene.stream();
  stream.create(PREFIX("k"));
  await scene.received(stream, 1);
  const expected: string[] = [];
  for (const round of [1, 2, 3]) {
    expected.push(`${round}a@${await scene.put("k", `${round}a`)}`);
    await cluster.until(() => eventsOf(stream).length === expected.length);
    await cluster.stop(round);
    expected.push(`${round}b@${await scene.put("k", `${round}b`)}`);
    await cluster.start(round);
    await cluster.until(() => eventsOf(stream).length >= expected.length);
  }
  assertEquals(eventsOf(stream), expected);
});

Deno.test("Watch: it goes on after all nodes have stopped, with all that was written first", async () => {
  await using scene = await WatchScene.open();
  const { cluster } = scene;
  const stream = scene.stream();
  stream.create(ALL);
  await scene.received(stream, 1);
  await scene.put("k", "before");
  await cluster.stop(1);
  await cluster.pass(5_000);
  await cluster.start(1);
  await scene.put("k", "after");
  await cluster.until(() => eventsOf(stream).length >= 2);
  assertEquals([eventsOf(stream), stream.end], [["before@2", "after@3"], undefined]);
});

Deno.test("Watch: it is cancelled if what it lacks is compacted while it is lost", async () => {
  await using scene = await WatchScene.open([1, 2, 3]);
  const { cluster } = scene;
  const stream = scene.stream();
  stream.create(PREFIX("k"));
  stream.create(PREFIX("other"));
  await scene.received(stream, 2);
  stream.isReading = false;
  for (let write = 0; write < 8; write++) await scene.put("k", "v".repeat(90_000));
  const before = eventsOf(stream).length;
  await cluster.run(scene.client.compact(7));
  await cluster.stop(1);
  stream.resume();
  await cluster.until(() => stream.shown.includes("0 @0 canceled compact 9"));
  assertEquals(eventsOf(stream).length, before);
  await scene.put("other", "x");
  await cluster.until(() => stream.shown.at(-1)?.startsWith("1 ") === true);
  assertEquals(stream.shown.at(-1), "1 @10 put other=x@10");
});
