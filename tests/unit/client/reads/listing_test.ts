/** Listings without values, and counts, by a client and servers in one process. */
import { assertEquals, assertRejects } from "@std/assert";
import { CompactedError, type ListOptions, type ListResult } from "../../../../lib/mod.ts";
import { MemoryCluster } from "../../../support/fakes/memory_cluster.ts";

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

Deno.test("list: with keysOnly the same keys and revisions as without, page by page, and no values", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1);
  const client = await cluster.client(1);
  for (const key of ["a", "b/1", "b/2", "b/3", "c"]) await cluster.run(client.put(key, `of ${key}`));
  const below = client.prefix("b/");
  for (const reverse of [false, true]) {
    let cursor: string | null = null;
    const found: string[] = [];
    do {
      const options: ListOptions = { limit: 2, reverse, cursor };
      const whole = await cluster.run(below.list(options));
      const page: ListResult = await cluster.run(below.list({ ...options, keysOnly: true }));
      assertEquals(page, {
        ...whole,
        entries: whole.entries.map((entry) => ({ ...entry, value: new Uint8Array(0) })),
      });
      found.push(...page.entries.map(({ key }) => text(key)));
      cursor = page.cursor;
    } while (cursor !== null);
    assertEquals(found, reverse ? ["3", "2", "1"] : ["1", "2", "3"]);
  }
  const { entries } = await cluster.run(client.list({ start: "b/2", end: "c", prefix: "b", keysOnly: true }));
  assertEquals(entries.map(({ key }) => text(key)), ["b/2", "b/3"]);
});

Deno.test("count: the keys of a prefix, a range or a past revision", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1);
  const client = await cluster.client(1);
  for (const key of ["a", "b/1", "b/2"]) await cluster.run(client.put(key, ""));
  const { revision } = await cluster.run(client.delete("b/2"));
  assertEquals(await cluster.run(client.count()), { count: 2, revision });
  assertEquals(await cluster.run(client.count({ prefix: "b/" })), { count: 1, revision });
  assertEquals(await cluster.run(client.count({ start: "a", end: "b" })), { count: 1, revision });
  const before = revision - 1;
  assertEquals(await cluster.run(client.prefix("b/").count({ revision: before })), {
    count: 2,
    revision: before,
  });
  assertEquals(await cluster.run(client.count({ prefix: "z" })), { count: 0, revision });
  await cluster.run(client.compact(revision));
  await assertRejects(() => cluster.run(client.count({ revision: before })), CompactedError);
});
