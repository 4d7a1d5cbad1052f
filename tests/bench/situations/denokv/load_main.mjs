/**
 * Callers of a Deno KV database through the stock client of the Deno that runs this, without packages, so that other
 * versions of Deno can run it. The argument is an Assignment of denokv.ts as JSON; prints its Answer as JSON.
 */
// deno-lint-ignore-file no-console -- the output of this program

const { url, work, callers, handles, seconds, warmupSeconds, keys } = JSON.parse(Deno.args[0]);
const VALUE = new Uint8Array(256).fill(7);
/** Mutations of one commit that writes the keys before they are read. */
const FILL = 250;

const kvs = await Promise.all(Array.from({ length: handles }, () => Deno.openKv(url)));
const keyOf = (number) => ["bench", work, number];
const randomKey = () => keyOf(Math.floor(Math.random() * keys));
const calls = {
  set: (kv) => kv.set(randomKey(), VALUE),
  get: (kv) => kv.get(randomKey()),
  sum: (kv) => kv.atomic().sum(randomKey(), 1n).commit(),
};
const call = calls[work];

if (work === "get") {
  for (let first = 0; first < keys; first += FILL) {
    const commit = kvs[0].atomic();
    for (let number = first; number < Math.min(first + FILL, keys); number++) {
      commit.set(keyOf(number), VALUE);
    }
    await commit.commit();
  }
}

const begunAt = performance.now();
const countsFrom = begunAt + warmupSeconds * 1_000;
const endsAt = countsFrom + seconds * 1_000;
const timesMs = [];
/** Whether the first call was answered. */
let isBegun = false;
let answered = 0;
/** The longest time without an answer of each caller. */
const pausesMs = await Promise.all(Array.from({ length: callers }, async (_, caller) => {
  const kv = kvs[caller % handles];
  let longest = 0;
  for (let calledAt = performance.now(); calledAt < endsAt;) {
    await call(kv);
    answered++;
    const now = performance.now();
    if (now >= countsFrom && now < endsAt) timesMs.push(now - calledAt);
    if (now >= countsFrom) longest = Math.max(longest, now - calledAt);
    if (!isBegun) console.error("begun");
    isBegun = true;
    calledAt = now;
  }
  return longest;
}));
timesMs.sort((a, b) => a - b);
console.log(JSON.stringify({
  perSecond: timesMs.length / seconds,
  calls: answered,
  p50Ms: timesMs[Math.floor(timesMs.length / 2)] ?? null,
  pausesMs,
}));
Deno.exit(0);
