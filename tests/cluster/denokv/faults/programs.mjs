/**
 * Programs on a Deno KV database as its users write them, in Deno (Deno.openKv) or in Node (@deno/kv): each sets keys,
 * counts, and watches another one's key, until standard input ends. Then they read back all that was acknowledged and wait
 * for the last state in every watch, and print one line of JSON: see Result in programs.ts.
 *
 * Arguments: a name that no other process has, the number of programs, and the URLs of the nodes, which the programs
 * take in turn. A commit may be sent again by the client when its node dies, and then its check fails although it was
 * made. So a commit that counts writes a marker too, which is read back.
 */
// deno-lint-ignore-file no-console -- a program prints what it found
import process from "node:process";

const [name, count, ...urls] = process.argv.slice(2);
const PROGRAMS = Number(count);
/** It is installed where this runs in Node, and unknown to a check of types here. */
const CLIENT = "@deno/kv";
/** A line is printed after so many acknowledged writes. */
const WRITES_PER_LINE = 20;
/** Node's client does not call again when a connection breaks. */
const RETRY_MS = 100;
/** Pauses of Deno's watches grow to some twelve seconds, those of Node's to a minute. */
const LAST_STATE_MS = 120_000;

const openKv = async (url) => {
  if ("Deno" in globalThis) return await Deno.openKv(url);
  const { openKv } = await import(CLIENT);
  return await openKv(url, { accessToken: process.env.DENO_KV_ACCESS_TOKEN });
};

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let isEnding = false;
/** Errors of calls by their texts. */
const errors = {};
const problems = [];
const acknowledged = Array.from({ length: PROGRAMS }, () => 0);

/** Repeats a call that may be made twice until it is answered. */
const untilAnswered = async (call) => {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      errors[String(error)] = (errors[String(error)] ?? 0) + 1;
      await pause(RETRY_MS);
    }
  }
};

/** Counts an acknowledged write of a program. */
const acknowledge = (program) => {
  acknowledged[program]++;
  const all = acknowledged.reduce((sum, one) => sum + one, 0);
  if (all % WRITES_PER_LINE === 0) console.log(`acknowledged ${all}, least ${Math.min(...acknowledged)}`);
};

let isOver = false;

/** Notes the state that a watch showed last. */
const see = (watched, { value, versionstamp }) => {
  if (versionstamp === null) return;
  if (versionstamp < watched.versionstamp) {
    problems.push(`a watch showed versionstamp ${versionstamp} after ${watched.versionstamp}`);
  }
  if (value < watched.value) problems.push(`a watch showed ${value} after ${watched.value}`);
  watched.states++;
  watched.value = value;
  watched.versionstamp = versionstamp;
};

/** Watches a key to the end. The clients begin again by themselves in most cases. */
const watch = async (kv, key, watched) => {
  while (!isOver) {
    watched.begun++;
    try {
      const reader = kv.watch([key], { raw: true }).getReader();
      for (let next = await reader.read(); !next.done; next = await reader.read()) {
        see(watched, next.value[0]);
      }
    } catch (error) {
      if (!isOver) errors[`watch: ${error}`] = (errors[`watch: ${error}`] ?? 0) + 1;
    }
    if (!isOver) await pause(RETRY_MS);
  }
};

/** One program: its own connection, its own keys. */
const runProgram = async (kv, program) => {
  let next = 0;
  for (; !isEnding; next++) {
    await untilAnswered(() => kv.set(["set", name, program, next], next));
    await untilAnswered(() => kv.set(["last", name, program], next));
    acknowledge(program);
    await countOnce(kv, program, next);
    acknowledge(program);
    const { value } = await untilAnswered(() => kv.get(["last", name, program]));
    if (value !== next) problems.push(`program ${program} read ${value} after it had set ${next}`);
  }
  return next;
};

/** Adds one to a counter that all programs share, exactly once. */
const countOnce = async (kv, program, next) => {
  const marker = ["marker", name, program, next];
  const committed = await untilAnswered(() =>
    kv.atomic().check({ key: marker, versionstamp: null }).set(marker, true).sum(["counter", name], 1n)
      .commit()
  );
  if (committed.ok) return;
  const { versionstamp } = await untilAnswered(() => kv.get(marker));
  if (versionstamp === null) problems.push(`a check of ${marker.join("/")} failed, but there is no such key`);
};

/** Returns the keys below a prefix with their values. */
const listed = async (kv, prefix) => {
  return await untilAnswered(async () => {
    const entries = [];
    for await (const { key, value } of kv.list({ prefix }, { batchSize: 500 })) entries.push({ key, value });
    return entries;
  });
};

/** Reads back all that one program was acknowledged. */
const verify = async (kv, program, written) => {
  const values = (await listed(kv, ["set", name, program])).map(({ value }) => value);
  const expected = Array.from({ length: written }, (_, number) => number);
  if (values.join() !== expected.join()) {
    const lost = expected.filter((one) => !values.includes(one));
    problems.push(
      `program ${program} was acknowledged ${written} sets, and lost ${
        lost.slice(0, 10).join() || "their order"
      }`,
    );
  }
  const markers = (await listed(kv, ["marker", name, program])).length;
  if (markers !== written) problems.push(`program ${program} counted ${written} times, ${markers} are there`);
};

const kvs = await Promise.all(
  Array.from({ length: PROGRAMS }, (_, program) => untilAnswered(() => openKv(urls[program % urls.length]))),
);
const watches = kvs.map((kv, program) => {
  const watched = { value: null, versionstamp: "", states: 0, begun: 0 };
  watch(kv, ["last", name, (program + 1) % PROGRAMS], watched);
  return watched;
});
process.stdin.on("end", () => isEnding = true).resume();
const written = await Promise.all(kvs.map(runProgram));

await Promise.all(kvs.map((kv, program) => verify(kv, program, written[program])));
const counter = (await untilAnswered(() => kvs[0].get(["counter", name]))).value?.value ?? 0n;
const sets = written.reduce((sum, one) => sum + one, 0);
if (counter !== BigInt(sets)) problems.push(`the counter is ${counter} after ${sets} sums`);

const lastOf = (program) => written[(program + 1) % PROGRAMS] - 1;
const late = () => watches.flatMap(({ value }, program) => value === lastOf(program) ? [] : [program]);
const endsAt = performance.now() + LAST_STATE_MS;
while (late().length > 0 && performance.now() < endsAt) await pause(RETRY_MS);
for (const program of late()) {
  problems.push(
    `the watch of program ${program} shows ${watches[program].value}, not ${lastOf(program)}`,
  );
}
isOver = true;
const states = watches.reduce((sum, one) => sum + one.states, 0);
const begun = watches.reduce((sum, one) => sum + one.begun, 0);
console.log(JSON.stringify({ sets, states, begun, errors, problems }));
process.exit(0);
