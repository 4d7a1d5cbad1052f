/** Watches that begin in the past or the future, and those that fall behind: no event is left out, and none comes twice. */
import { assert, assertEquals } from "@std/assert";
import { FRAGMENT_BYTES } from "../../../../lib/etcd/watch/event_message.ts";
import { MAX_UNSENT_BYTES } from "../../../../lib/etcd/watch/watch_stream.ts";
import { ALL, PREFIX, type TestStream, WatchScene } from "./watch_scene.ts";

/** The revisions of all events of a stream's watch, in order. */
function revisionsOf(stream: TestStream, watchId = 0n): readonly number[] {
  return stream.responses.filter((response) => response.watchId === watchId).flatMap(({ events }) =>
    events.map(({ kv }) => kv?.modRevision ?? 0)
  );
}

function range(first: number, last: number): readonly number[] {
  return Array.from({ length: last - first + 1 }, (_, at) => first + at);
}

Deno.test("Watch: one from the past gets the history in one message with the present revision, and then what happens", async () => {
  await using scene = await WatchScene.open();
  for (const value of ["1", "2", "3"]) await scene.put("k", value);
  const stream = scene.stream();
  stream.create({ ...ALL, startRevision: 3 });
  assertEquals(await scene.received(stream, 2), ["0 @4 created", "0 @4 put k=2@3 put k=3@4"]);
  await scene.put("k", "4");
  assertEquals((await scene.received(stream, 3)).slice(2), ["0 @5 put k=4@5"]);
  stream.create({ ...ALL, startRevision: 1, filters: [0] });
  stream.create({ ...ALL, startRevision: 6 });
  await scene.received(stream, 5);
  await scene.settle();
  assertEquals(stream.shown.slice(3), ["1 @5 created", "2 @5 created"]);
});

Deno.test("Watch: a long history comes in messages of up to 1,000 revisions", async () => {
  await using scene = await WatchScene.open();
  const writes = range(1, 2_500).map((value) => scene.client.put("k", `${value}`));
  await scene.cluster.run(Promise.all(writes));
  const stream = scene.stream();
  stream.create({ ...ALL, startRevision: 2 });
  await scene.received(stream, 4);
  assertEquals(stream.responses.map(({ events }) => events.length), [0, 1_000, 1_000, 500]);
  assertEquals(revisionsOf(stream), range(2, 2_501));
});

Deno.test("Watch: one from the future waits for its revision", async () => {
  await using scene = await WatchScene.open();
  const stream = scene.stream();
  stream.create({ ...ALL, startRevision: 4 });
  stream.create(PREFIX("other/"));
  assertEquals(await scene.received(stream, 2), ["0 @1 created", "1 @1 created"]);
  stream.askProgress();
  for (const value of ["1", "2", "3", "4"]) await scene.put("k", value);
  await scene.received(stream, 4);
  assertEquals(stream.shown.slice(2), ["0 @4 put k=3@4", "0 @5 put k=4@5"]);
  stream.askProgress();
  assertEquals((await scene.received(stream, 5)).slice(4), ["-1 @5"]);
});

Deno.test("Watch: a compacted revision cancels a watch after its first message, and its id stays taken", async () => {
  await using scene = await WatchScene.open();
  for (const value of ["1", "2", "3"]) await scene.put("k", value);
  await scene.cluster.run(scene.client.compact(2));
  const stream = scene.stream();
  stream.create({ ...ALL, startRevision: 2, watchId: 5n });
  stream.create({ ...ALL, watchId: 5n });
  stream.askProgress();
  stream.create({ ...ALL, startRevision: 4 });
  stream.askProgress();
  stream.cancel(5n);
  stream.create({ ...ALL, watchId: 5n });
  await scene.received(stream, 8);
  assertEquals(stream.shown.filter((text) => !text.startsWith("-1 @4 created")).sort(), [
    "-1 @4",
    "0 @4 created",
    "0 @4 put k=3@4",
    "5 @0 canceled compact 4",
    "5 @4 canceled",
    "5 @4 created",
    "5 @4 created",
  ]);
});

Deno.test("Watch: a client that does not read costs bounded memory and no other client waits; it gets everything later", async () => {
  await using scene = await WatchScene.open();
  const slow = scene.stream();
  const other = scene.stream();
  for (const stream of [slow, other]) stream.create({ ...ALL, prevKv: true });
  slow.create(PREFIX("k"));
  await scene.received(slow, 2);
  await scene.received(other, 1);
  slow.isReading = false;
  const value = "v".repeat(50_000);
  for (const _ of range(1, 40)) await scene.put("k", value);
  await scene.received(other, 41);
  assertEquals(revisionsOf(other), range(2, 41));
  assert(slow.unsentBytes < MAX_UNSENT_BYTES + 200_000, `${slow.unsentBytes} bytes wait`);
  slow.resume();
  await scene.cluster.until(() => revisionsOf(slow).length >= 40 && revisionsOf(slow, 1n).length >= 40);
  await scene.put("k", "last");
  await scene.cluster.until(() => revisionsOf(slow).length >= 41 && revisionsOf(slow, 1n).length >= 41);
  assertEquals([revisionsOf(slow), revisionsOf(slow, 1n)], [range(2, 42), range(2, 42)]);
});

Deno.test("Watch: one that is behind while its history is compacted is cancelled", async () => {
  await using scene = await WatchScene.open();
  const stream = scene.stream();
  stream.create(ALL);
  await scene.received(stream, 1);
  stream.isReading = false;
  for (const _ of range(1, 20)) await scene.put("k", "v".repeat(50_000));
  const seen = revisionsOf(stream).length;
  await scene.cluster.run(scene.client.compact(19));
  stream.resume();
  await scene.received(stream, seen + 2);
  assertEquals(stream.shown.at(-1), "0 @0 canceled compact 21");
  assertEquals(revisionsOf(stream), range(2, seen + 1));
});

Deno.test("Watch: watches that join while the key is written get each event once", async () => {
  await using scene = await WatchScene.open();
  const streams = range(1, 8).map(() => scene.stream());
  const writes: Promise<unknown>[] = [];
  for (const [at, stream] of streams.entries()) {
    for (const value of range(1, 30)) writes.push(scene.client.put("k", `${at} ${value}`));
    stream.create({ ...ALL, startRevision: 2 });
    await scene.cluster.pass(10);
  }
  await scene.cluster.run(Promise.all(writes));
  await scene.cluster.until(() => streams.every((stream) => revisionsOf(stream).length >= 240));
  for (const stream of streams) assertEquals(revisionsOf(stream), range(2, 241));
  assertEquals(scene.core.watches.size, 1);
});

Deno.test("Watch: large messages come in fragments where the client asks for that, else in one", async () => {
  await using scene = await WatchScene.open();
  const value = "v".repeat(90_000);
  const mutations = range(10, 59).map((key) => ({ kind: "put" as const, key: `${key}`, value }));
  const stream = scene.stream();
  stream.create({ ...ALL, fragment: true });
  stream.create(ALL);
  await scene.received(stream, 2);
  await scene.cluster.run(scene.client.transaction({ mutations }));
  await scene.received(stream, 6);
  stream.create({ ...ALL, fragment: true, startRevision: 2 });
  await scene.received(stream, 10);
  const messages = stream.responses.slice(2).map(({ watchId, fragment, events }, at) => {
    const size = stream.sizes[at + 2] ?? 0;
    return [watchId, fragment, events.length, size < FRAGMENT_BYTES];
  });
  assertEquals(messages.filter(([id]) => id === 0n), [[0n, true, 23, true], [0n, true, 23, true], [
    0n,
    false,
    4,
    true,
  ]]);
  assertEquals(messages.filter(([id]) => id === 1n), [[1n, false, 50, false]]);
  const third = messages.filter(([id, , events]) => id === 2n && events !== 0);
  assertEquals(third, [[2n, true, 23, true], [2n, true, 23, true], [2n, false, 4, true]]);
  assertEquals(revisionsOf(stream, 2n).length, 50);
});
