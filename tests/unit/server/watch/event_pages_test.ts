/** Whole servers: pages of events. */
import { assert, assertEquals } from "@std/assert";
import type { ServerFrame } from "../../../../lib/protocol/client_frames.ts";
import { PAGE_REVISIONS } from "../../../../lib/server/watch/event_pages.ts";
import { MemoryCluster } from "../../../support/fakes/memory_cluster.ts";
import { ALL_KEYS, prefixKeys, TestWatch, WatchClient } from "../../../support/frames/watch_client.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (value: Uint8Array): string => new TextDecoder().decode(value);

type Page = ServerFrame<"eventsResult">["page"];
type Query = Partial<Omit<Parameters<WatchClient["readEvents"]>[0], "from">> & {
  readonly from: number | null;
};

/** One node with a client and a connection. */
class Scene implements AsyncDisposable {
  readonly cluster: MemoryCluster;
  readonly client: Awaited<ReturnType<MemoryCluster["client"]>>;
  readonly connection: WatchClient;

  private constructor(
    cluster: MemoryCluster,
    client: Awaited<ReturnType<MemoryCluster["client"]>>,
    connection: WatchClient,
  ) {
    this.cluster = cluster;
    this.client = client;
    this.connection = connection;
  }

  static async open(): Promise<Scene> {
    const cluster = new MemoryCluster();
    await cluster.found(1);
    const client = await cluster.client(1);
    await cluster.untilHistory(client);
    const { network, clock } = cluster;
    const { address } = MemoryCluster.addressOf(1);
    return new Scene(cluster, client, await WatchClient.open({ network, clock, address }));
  }

  async answer(query: Query): Promise<Page | ServerFrame<"error">> {
    const plan = { keys: ALL_KEYS, skip: 0, puts: true, deletes: true, previous: false, ...query };
    const answer = await this.cluster.run(this.connection.readEvents(plan));
    if (answer?.kind === "error") return answer;
    assert(answer?.kind === "eventsResult");
    return answer.page;
  }

  async page(query: Query): Promise<Page> {
    const answer = await this.answer(query);
    assert(!("kind" in answer), `a page is read: ${"kind" in answer ? answer.message : ""}`);
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.connection.close();
    await this.cluster[Symbol.asyncDispose]();
  }
}

/** The events of a page as texts. */
function shown({ revisions }: Page): readonly string[] {
  return revisions.flatMap(({ revision, events }) =>
    events.map((event) => {
      const before = event.previous === undefined
        ? ""
        : event.previous === null
        ? " (was absent)"
        : ` (was ${textOf(event.previous.value)})`;
      return event.kind === "put"
        ? `${revision} put ${textOf(event.entry.key)}=${textOf(event.entry.value).slice(0, 9)}${before}`
        : `${revision} delete ${textOf(event.key)}${before}`;
    })
  );
}

Deno.test("readEvents: a page has the events of the keys that are asked for, and the present revision", async () => {
  await using scene = await Scene.open();
  const { cluster, client } = scene;
  await cluster.run(client.put("a/1", "x"));
  await cluster.run(client.put("b", "y"));
  await cluster.run(client.delete("a/1"));
  await cluster.run(client.put("c", "z"));
  const all = await scene.page({ from: 1 });
  assertEquals(shown(all), ["1 put a/1=x", "2 put b=y", "3 delete a/1", "4 put c=z"]);
  assertEquals([all.next, all.skip, all.revision], [5, 0, 4]);
  const prefix = await scene.page({ from: 2, keys: prefixKeys("a/"), previous: true });
  assertEquals(shown(prefix), ["3 delete a/1 (was x)"]);
  assertEquals([prefix.next, prefix.revision], [5, 4]);
  assertEquals(shown(await scene.page({ from: 1, puts: false })), ["3 delete a/1"]);
  assertEquals(shown(await scene.page({ from: 1, deletes: false, keys: prefixKeys("a/") })), ["1 put a/1=x"]);
  assertEquals(shown(await scene.page({ from: 1, keys: { kind: "key", key: bytes("b") } })), ["2 put b=y"]);
  assertEquals(await scene.page({ from: null }), { revisions: [], next: 5, skip: 0, revision: 4 });
  assertEquals(await scene.page({ from: 5 }), { revisions: [], next: 5, skip: 0, revision: 4 });
});

Deno.test("readEvents: what cannot be read is refused by name", async () => {
  await using scene = await Scene.open();
  const { cluster, client } = scene;
  for (const value of ["1", "2", "3"]) await cluster.run(client.put("k", value));
  await cluster.run(client.compact(2));
  const refusal = async (query: Query): Promise<readonly unknown[]> => {
    const answer = await scene.answer(query);
    assert("kind" in answer, "it is refused");
    return [answer.code, answer.compactedRevision];
  };
  assertEquals(await refusal({ from: 2 }), ["compacted", 2]);
  assertEquals(await refusal({ from: 5 }), ["futureRevision", undefined]);
  assertEquals(await refusal({ from: 1, puts: false, deletes: false }), ["invalidRequest", undefined]);
  assertEquals(shown(await scene.page({ from: 3 })), ["3 put k=3"]);
});

Deno.test("readEvents: pages are bounded in bytes, also within a revision, and none is left out or repeated", async () => {
  await using scene = await Scene.open();
  const { cluster, client } = scene;
  const value = "v".repeat(90_000);
  const mutations = Array.from(
    { length: 40 },
    (_, at) => ({ kind: "put" as const, key: `${at + 10}`, value }),
  );
  await cluster.run(client.transaction({ mutations }));
  await cluster.run(client.put("last", "x"));
  const found: string[] = [];
  const ends: number[][] = [];
  let from = 1;
  let skip = 0;
  for (;;) {
    const page = await scene.page({ from, skip });
    found.push(...shown(page));
    ends.push([page.next, page.skip]);
    if (page.next === page.revision + 1) break;
    from = page.next;
    skip = page.skip;
  }
  const expected = Array.from({ length: 40 }, (_, at) => `1 put ${at + 10}=vvvvvvvvv`);
  assertEquals(found, [...expected, "2 put last=x"]);
  assertEquals(ends, [[1, 12], [1, 24], [1, 36], [3, 0]]);
});

Deno.test("readEvents: a page has the events of 1,000 revisions at most", async () => {
  await using scene = await Scene.open();
  const { cluster, client } = scene;
  const writes = Array.from({ length: PAGE_REVISIONS + 1 }, (_, at) => client.put("k", `${at}`));
  await cluster.run(Promise.all(writes));
  const first = await scene.page({ from: 1 });
  assertEquals([first.revisions.length, first.next, first.revision], [
    PAGE_REVISIONS,
    PAGE_REVISIONS + 1,
    PAGE_REVISIONS + 1,
  ]);
  const rest = await scene.page({ from: first.next });
  assertEquals([rest.revisions.length, rest.next], [1, PAGE_REVISIONS + 2]);
});

Deno.test("watchProgress at once: names the watches that were not sent everything", async () => {
  await using scene = await Scene.open();
  const { cluster, client, connection } = scene;
  for (let write = 0; write < 40; write++) await cluster.run(client.put("k", "v".repeat(90_000)));
  const level = await cluster.run(connection.start({ keys: prefixKeys("other/") }));
  connection.pauseReading();
  const behind = connection.watch({ keys: ALL_KEYS, from: 1 });
  const starting = connection.progressAtOnce();
  await cluster.pass(50);
  connection.resumeReading();
  const watch = await cluster.run(behind);
  assert(watch instanceof TestWatch);
  const answer = await cluster.run(starting);
  assertEquals(answer, { revision: 40, behind: [watch.watchId] });
  await cluster.until(() => watch.revisions.length === 40);
  assertEquals(await cluster.run(connection.progressAtOnce()), { revision: 40, behind: [] });
  assertEquals(level.text, []);
});
