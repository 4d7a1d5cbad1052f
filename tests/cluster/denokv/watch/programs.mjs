/**
 * Programs on a Deno KV database as its users write them, in Deno (Deno.openKv) or in Node (@deno/kv). The argument is JSON:
 * `{ "program": "write", "url", "keys", "bytes", "pauseMs" }` writes a number to all keys in each commit, until standard
 * input ends; `{ "program": "watch", "url", "keys", "watches", "slowMs" }` prints each state that a watch
 * shows; with `"isApart": true` each watch has a key of its own.
 */
// deno-lint-ignore-file no-console -- the output of these programs
const options = JSON.parse(("Deno" in globalThis ? Deno.args : process.argv.slice(2))[0]);

const openKv = async (url) => {
  if ("Deno" in globalThis) return await Deno.openKv(url);
  const { openKv } = await import("@deno/kv");
  return await openKv(url, { accessToken: process.env.DENO_KV_ACCESS_TOKEN });
};

const sleep = (durationMs) => new Promise((resolve) => setTimeout(resolve, durationMs));

// Bytes: values that Deno has serialized cannot be read by Node.
const encode = (value) => new TextEncoder().encode(JSON.stringify(value));
const decode = (bytes) => JSON.parse(new TextDecoder().decode(bytes));

const inputEnds = async () => {
  const input = "Deno" in globalThis ? Deno.stdin.readable : process.stdin;
  for await (const _ of input) { /* nothing is written to it */ }
};

const write = async ({ url, keys, bytes, pauseMs }) => {
  const kv = await openKv(url);
  let isOver = false;
  inputEnds().then(() => isOver = true);
  const padding = "x".repeat(bytes);
  let number = 0;
  let versionstamp = "";
  while (!isOver) {
    const commit = kv.atomic();
    number++;
    for (const key of keys) commit.set(key, encode({ number, padding }));
    const result = await commit.commit();
    versionstamp = result.versionstamp;
    if (number % 10 === 0) console.log(`written ${number}`);
    await sleep(pauseMs);
  }
  console.log(`last ${JSON.stringify({ number, versionstamp })}`);
  kv.close();
};

const watch = async (kv, { keys, name, slowMs }) => {
  for await (const entries of kv.watch(keys)) {
    const numbers = entries.map(({ value }) => value === null ? null : decode(value).number);
    const versionstamps = entries.map(({ versionstamp }) => versionstamp);
    console.log(`state ${JSON.stringify({ name, numbers, versionstamps })}`);
    await sleep(slowMs);
  }
};

if (options.program === "write") await write(options);
else {
  const kv = await openKv(options.url);
  const { keys, slowMs, isApart } = options;
  await Promise.all(
    Array.from({ length: options.watches }, (_, number) => {
      return watch(kv, { keys: isApart ? [[...keys[0], number]] : keys, slowMs, name: `${number}` });
    }),
  );
}
