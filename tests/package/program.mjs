/**
 * What a program outside of this repository does with the client library, in Node, Bun and Deno: it writes, reads, lists
 * and compares, then counts up until another node leads. Prints one line of JSON before the leader is killed and one at
 * the end. Its arguments are the addresses of the nodes.
 */
// deno-lint-ignore-file no-console -- a program prints what it found
import process from "node:process";
import { KvClient, KvraftError } from "@kvraft/kvraft";

const textOf = (bytes) => new TextDecoder().decode(bytes);

const client = await KvClient.connect({ cluster: process.argv.slice(2), timeoutMs: 30_000 });
await client.put("package/a", "1");
const created = await client.compareAndSet("package/b", { expect: null, value: "2" });
const refused = await client.compareAndSet("package/b", { expect: null, value: "3" });
const first = await client.list({ prefix: "package/", limit: 1 });
const second = await client.list({ prefix: "package/", limit: 1, cursor: first.cursor });
const error = await client.put("", "a value without a key").catch((error) => error);
const { leader } = await client.cluster.status();
console.log(JSON.stringify({
  leader,
  a: textOf((await client.get("package/a"))?.value),
  absent: await client.get("package/absent"),
  compared: [created.succeeded, refused.succeeded, textOf(refused.current?.value)],
  keys: [...first.entries, ...second.entries].map(({ key }) => textOf(key)),
  hasMore: [first.cursor !== null, second.cursor !== null],
  error: error instanceof KvraftError ? error.code : String(error),
}));

let count = 0;
for (let now = leader; now === null || now === leader; now = (await client.cluster.status()).leader) {
  count += 1;
  await client.put("package/count", String(count));
}
const members = await client.cluster.members();
const isCounted = textOf((await client.get("package/count"))?.value) === String(count);
console.log(JSON.stringify({ isCounted, members: members.length }));
await client.close();
