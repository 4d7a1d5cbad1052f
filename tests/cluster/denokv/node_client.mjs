/**
 * Calls of @deno/kv in Node, one of each kind and some that exceed a limit, which this client does not check: prints the
 * outcome of each as a line of JSON. The argument is the URL of a database.
 */
// deno-lint-ignore-file no-console -- a program prints what it found
import process from "node:process";

// It is installed where this runs, and unknown to a check of types here.
const CLIENT = "@deno/kv";
const { openKv } = await import(CLIENT);
const [url] = process.argv.slice(2);
const kv = await openKv(url, { accessToken: process.env.DENO_KV_ACCESS_TOKEN });

/** Prints the result of a call, or the words of the server in its error. */
const show = async (name, call) => {
  let outcome;
  try {
    outcome = await call();
  } catch (error) {
    outcome = `throws ${error.message.replace(/^Unexpected response status: /, "")}`;
  }
  console.log(JSON.stringify([name, outcome], (_, value) => typeof value === "bigint" ? `${value}n` : value));
};

const listed = async (selector, options) => {
  const keys = [];
  for await (const { key } of kv.list(selector, options)) keys.push(key.at(-1));
  return keys;
};
const many = (count, add) => {
  const operation = kv.atomic();
  for (let number = 0; number < count; number++) add(operation, ["many", number]);
  return operation.commit();
};

await show("set", async () => (await kv.set(["users", "ada"], { name: "Ada" })).ok);
await show("get", async () => (await kv.get(["users", "ada"])).value);
await show("get of an absent key before others", async () => (await kv.get(["users"])).value);
await show("getMany of 11 keys", async () => {
  const keys = Array.from({ length: 11 }, (_, number) => ["users", number === 5 ? "ada" : number]);
  return (await kv.getMany(keys)).map(({ value }) => value?.name ?? null);
});
await show(
  "check of another versionstamp",
  async () =>
    (await kv.atomic().check({ key: ["users", "ada"], versionstamp: null }).set(["users", "ada"], 1).commit())
      .ok,
);
await show("sum", async () => {
  await kv.atomic().sum(["count"], 2n).sum(["count"], 3n).commit();
  await kv.atomic().max(["count"], 9n).min(["count"], 7n).commit();
  return (await kv.get(["count"])).value.value;
});
await show("sum on a bigint", async () => {
  await kv.set(["bigint"], 7n);
  return await kv.atomic().set(["bigint", "before"], 1).sum(["bigint"], 1n).commit();
});
await show("get after a commit that failed", async () => (await kv.get(["bigint", "before"])).value);
await show("list of 250 keys", async () => {
  await many(250, (operation, key) => operation.set(key, key[1]));
  const all = await listed({ prefix: ["many"] });
  const reverse = await listed({ prefix: ["many"] }, { reverse: true, limit: 3, batchSize: 2 });
  return [all.length, all[0], all[249], reverse];
});
await show("empty commits", async () => {
  const stamps = [await kv.atomic().commit(), await kv.atomic().commit()].map(({ versionstamp }) =>
    versionstamp
  );
  return stamps.map((stamp) => /^[0-9a-f]{20}$/.test(stamp));
});
await show("delete", async () => {
  await kv.delete(["users", "ada"]);
  return (await kv.get(["users", "ada"])).value;
});
await show("watch", async () => {
  const reader = kv.watch([["watched"]], { raw: true }).getReader();
  const seen = [];
  await kv.set(["watched"], 1);
  for (let value = 1; value <= 3; value++) {
    if (value > 1) await kv.set(["watched"], value);
    while (seen.at(-1) !== value) seen.push((await reader.read()).value[0].value);
  }
  await reader.cancel();
  return seen.filter((value) => value !== null);
});
await show("a value of 65,537 bytes", () => kv.set(["large"], new Uint8Array(65_537)));
await show("a key of 2,049 bytes", () => kv.set([new Uint8Array(2_047)], 1));
await show("101 checks", () => many(101, (operation, key) => operation.check({ key, versionstamp: null })));
await show("1,001 mutations", () => many(1_001, (operation, key) => operation.delete(key)));
await show(
  "a commit of 851,968 bytes",
  () => many(13, (operation, key) => operation.set(key, new Uint8Array(65_536))),
);
await show(
  "keys of 84,000 bytes",
  () => many(42, (operation, key) => operation.set([...key, new Uint8Array(1_980).fill(1)], 1)),
);
await show("enqueue", () => kv.enqueue("message"));
await show(
  "a versionstamp of one byte",
  () => kv.atomic().check({ key: ["users"], versionstamp: "00" }).set(["users"], 1).commit(),
);
process.exit(0);
