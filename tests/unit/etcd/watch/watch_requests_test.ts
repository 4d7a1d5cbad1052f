/** The requests on a stream of watches: ids, refusals, cancels, and the messages about them. */
import { assertEquals } from "@std/assert";
import { ALL, bytes, PREFIX, WatchScene } from "./watch_scene.ts";

Deno.test("Watch: a watch from now on gets the events after its first message, each with its revision", async () => {
  await using scene = await WatchScene.open();
  await scene.put("k", "before");
  const stream = scene.stream();
  stream.create({ key: bytes("k") });
  assertEquals(await scene.received(stream, 1), ["0 @2 created"]);
  await scene.put("k", "1");
  await scene.put("other", "x");
  await scene.delete("k");
  assertEquals((await scene.received(stream, 3)).slice(1), ["0 @3 put k=1@3", "0 @5 delete k@5"]);
});

Deno.test("Watch: ids are the lowest free ones, or those that the client names, and a taken one is refused", async () => {
  await using scene = await WatchScene.open();
  const stream = scene.stream();
  for (const watchId of [0n, 2n, 0n, 0n, 2n, -1n, 0n]) stream.create({ ...ALL, watchId });
  const duplicate = '-1 @1 created canceled "mvcc: duplicate watch ID provided on the WatchStream"';
  assertEquals(await scene.received(stream, 7), [
    "0 @1 created",
    "2 @1 created",
    "1 @1 created",
    "3 @1 created",
    duplicate,
    "-1 @1 created",
    "4 @1 created",
  ]);
});

Deno.test("Watch: an empty range and a revision below 0 are refused in one message, and the stream goes on", async () => {
  await using scene = await WatchScene.open();
  const stream = scene.stream();
  stream.create({ key: bytes("z"), rangeEnd: bytes("a") });
  stream.create({ key: bytes("a"), rangeEnd: bytes("a") });
  stream.create({ ...ALL, startRevision: -1 });
  stream.send(null);
  stream.create({ key: new Uint8Array(5_000) });
  stream.create({ key: new Uint8Array(0) });
  assertEquals(await scene.received(stream, 5), [
    '-1 @1 created canceled "mvcc: watcher range is empty"',
    '-1 @1 created canceled "mvcc: watcher range is empty"',
    '-1 @1 created canceled "etcdserver: mvcc: required revision has been compacted"',
    '-1 @1 created canceled "kvraft: a key has at most 4096 bytes"',
    "0 @1 created",
  ]);
});

Deno.test("Watch: a cancelled watch is answered once and gets nothing more; an unknown id has no answer", async () => {
  await using scene = await WatchScene.open();
  const stream = scene.stream();
  stream.create(ALL);
  stream.create(ALL);
  await scene.received(stream, 2);
  for (const watchId of [0n, 0n, 9n]) stream.cancel(watchId);
  assertEquals((await scene.received(stream, 3)).slice(2), ["0 @1 canceled"]);
  await scene.put("k", "1");
  assertEquals((await scene.received(stream, 4)).slice(3), ["1 @2 put k=1@2"]);
  stream.cancel(1n);
  stream.create({ ...ALL, watchId: 0n });
  await scene.settle();
  assertEquals(stream.shown.slice(4), ["1 @2 canceled", "2 @2 created"]);
});

Deno.test("Watch: filters leave out puts or deletes, and previous values come as asked for", async () => {
  await using scene = await WatchScene.open();
  const stream = scene.stream();
  stream.create({ ...ALL, watchId: 1n, filters: [0] });
  stream.create({ ...ALL, watchId: 2n, filters: [1] });
  stream.create({ ...ALL, watchId: 3n, filters: [0, 1] });
  stream.create({ ...ALL, watchId: 4n, prevKv: true });
  await scene.received(stream, 4);
  await scene.put("k", "1");
  await scene.put("k", "2");
  await scene.delete("k");
  await scene.received(stream, 4 + 1 + 2 + 3);
  await scene.settle();
  const of = (watchId: bigint): readonly string[] =>
    stream.shown.slice(4).filter((text) => text.startsWith(`${watchId} `));
  assertEquals(of(1n), ["1 @4 delete k@4"]);
  assertEquals(of(2n), ["2 @2 put k=1@2", "2 @3 put k=2@3"]);
  assertEquals(of(3n), []);
  assertEquals(of(4n), ["4 @2 put k=1@2", "4 @3 put k=2@3 (was 1)", "4 @4 delete k@4 (was 2)"]);
});

Deno.test("Watch: the client may end its side of the stream, and watches go on; a reset ends them", async () => {
  await using scene = await WatchScene.open();
  const stream = scene.stream();
  stream.create(PREFIX("a/"));
  stream.halfClose();
  await scene.received(stream, 1);
  await scene.put("a/1", "x");
  assertEquals((await scene.received(stream, 2)).slice(1), ["0 @2 put a/1=x@2"]);
  assertEquals(stream.end, undefined);
  stream.reset();
  await scene.cluster.until(() => stream.end !== undefined);
  assertEquals([stream.end, scene.core.watches.size], [null, 0]);
});

Deno.test("Watch: a watch without a leader goes on where its client has not asked for one, and ends with 14 where it has", async () => {
  await using scene = await WatchScene.open();
  const plain = scene.stream();
  const strict = scene.stream({ needsLeader: true });
  for (const stream of [plain, strict]) stream.create(ALL);
  for (const stream of [plain, strict]) await scene.received(stream, 1);
  scene.view.leader = 0n;
  await scene.cluster.pass(2_000);
  scene.view.leader = 1n;
  await scene.cluster.pass(2_000);
  assertEquals([plain.end, strict.end], [undefined, undefined]);
  scene.view.leader = 0n;
  await scene.cluster.pass(4_000);
  assertEquals([plain.end, String(strict.end)], [undefined, "EtcdError: etcdserver: no leader"]);
  await scene.put("k", "1");
  assertEquals((await scene.received(plain, 2)).slice(1), ["0 @2 put k=1@2"]);
});

Deno.test("Watch: streams end with 14 when the front end stops, so that their clients go on elsewhere", async () => {
  await using scene = await WatchScene.open();
  const stream = scene.stream();
  stream.create(ALL);
  await scene.received(stream, 1);
  scene.closing.close();
  await scene.cluster.until(() => stream.end !== undefined);
  assertEquals([String(stream.end), scene.core.watches.size], ["EtcdError: etcdserver: server stopped", 0]);
});
