/**
 * What a program outside of this repository does with the client library, in Node, Bun and Deno: it writes, reads, lists,
 * compares, locks and signs in, then counts up until another node leads, and watches the count meanwhile. Prints one line of JSON
 * before the leader is killed and one at the end. Its arguments are the addresses of the nodes.
 */
// deno-lint-ignore-file no-console -- a program prints what it found
import process from "node:process";
import { KvClient, KvraftError } from "@kvraft/kvraft";

const textOf = (bytes) => new TextDecoder().decode(bytes);

const client = await KvClient.connect({ cluster: process.argv.slice(2), timeoutMs: 30_000 });

/** Waits until every node is known to have leases and a history. */
const untilReady = async () => {
  for (;;) {
    try {
      return await client.history("package");
    } catch (error) {
      if (error.code !== "invalidRequest") throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
};

/** Writes with the check of a lock, twice: while it is held, and once it is released. */
const writeFenced = async () => {
  const lock = await client.lock("package/lock", { ttlMs: 10_000 });
  const then = [{ kind: "put", key: "package/fenced", value: `${lock.fencingToken}` }];
  const held = await client.transaction({ checks: [lock.check], then });
  await lock.release();
  const released = await client.transaction({ checks: [lock.check], then });
  return [held.succeeded, released.succeeded, lock.lost.aborted];
};

/** Watches the count until it is "end"; resolves to all its values. `onBegun` is called once the watch has begun. */
const watchCount = async (onBegun) => {
  const values = [];
  for await (const batch of client.watch({ key: "package/count", progress: true })) {
    if (batch.kind === "progress") onBegun();
    else for (const { entry } of batch.events) values.push(textOf(entry.value));
    if (values.at(-1) === "end") break;
  }
  return values;
};

/** Signs in by a password, by a token, and by a wrong password. */
const signIn = async () => {
  const user = "ada";
  await client.auth.addUser(user, { password: "correct horse" });
  const { token } = await client.auth.createToken(user, { name: "package" });
  const ways = [{ user, password: "correct horse" }, { token: () => Promise.resolve(token) }, {
    user,
    password: "wrong",
  }];
  const ends = [];
  for (const way of ways) {
    try {
      const signedIn = await KvClient.connect({ cluster: process.argv.slice(2), timeoutMs: 30_000, ...way });
      const { user, via } = await signedIn.auth.status();
      await signedIn.close();
      ends.push(`${user} ${via}`);
    } catch (error) {
      ends.push(`${error.code} ${error.reason}`);
    }
  }
  return ends;
};

await untilReady();
await client.put("package/a", "1");
const created = await client.compareAndSet("package/b", { expect: null, value: "2" });
const refused = await client.compareAndSet("package/b", { expect: null, value: "3" });
const first = await client.list({ prefix: "package/", limit: 1 });
const second = await client.list({ prefix: "package/", limit: 1, cursor: first.cursor });
const error = await client.put("", "a value without a key").catch((error) => error);
const fenced = await writeFenced();
const signedIn = await signIn();
let watched;
await new Promise((resolve) => watched = watchCount(resolve));
const { leader } = await client.cluster.status();
console.log(JSON.stringify({
  leader,
  a: textOf((await client.get("package/a"))?.value),
  absent: await client.get("package/absent"),
  compared: [created.succeeded, refused.succeeded, textOf(refused.current?.value)],
  keys: [...first.entries, ...second.entries].map(({ key }) => textOf(key)),
  hasMore: [first.cursor !== null, second.cursor !== null],
  fenced,
  signedIn,
  error: error instanceof KvraftError ? error.code : String(error),
}));

let count = 0;
for (let now = leader; now === null || now === leader; now = (await client.cluster.status()).leader) {
  count += 1;
  await client.put("package/count", String(count));
}
const members = await client.cluster.members();
const isCounted = textOf((await client.get("package/count"))?.value) === String(count);
await client.put("package/count", "end");
const values = await watched;
const isWatched = values.length === count + 1 &&
  values.every((value, at) => at === count || value === String(at + 1));
console.log(JSON.stringify({ isCounted, isWatched, members: members.length }));
await client.close();
