/**
 * A job of several steps that one process at a time does: the holder of a lock. Start it several times with different
 * names, and kill or suspend the one that holds the lock: another one continues with the next step.
 *
 *     deno run --allow-net examples/lock.ts alice
 *
 * Each step is written with `lock.check`, so that the store refuses it once the lock has ended, even if this process
 * does not know that yet. That is exact, and needs no clock. The signal `lock.lost` only ends work early that would be refused.
 */
// deno-lint-ignore-file no-console -- a program prints what it does
import { KvClient, KvraftError, type Lock } from "@kvraft/kvraft";

const NAME = "example/job-lock";
const KEY = "example/job";
const STEPS = 50;
const STEP_MS = 100;
const TTL_MS = 5_000;

const [name = "alice", ...addresses] = Deno.args;
const cluster = addresses.length > 0 ? addresses : ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"];

/** Stands for the work of a step: rejects as soon as the lock is lost. */
function work(lost: AbortSignal): Promise<void> {
  if (lost.aborted) return Promise.reject(lost.reason);
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(lost.reason);
    };
    const timer = setTimeout(() => {
      lost.removeEventListener("abort", stop);
      resolve();
    }, STEP_MS);
    lost.addEventListener("abort", stop);
  });
}

/** Does the steps that are left of the job; resolves to false when another process has the lock. */
async function finishJob(client: KvClient, lock: Lock): Promise<boolean> {
  const entry = await client.get(KEY);
  const done: number = entry === null ? 0 : JSON.parse(new TextDecoder().decode(entry.value)).step;
  for (let step = done % STEPS + 1; step <= STEPS; step++) {
    await work(lock.lost);
    const value = JSON.stringify({ step, by: name, token: lock.fencingToken });
    const { succeeded } = await client.transaction({
      checks: [lock.check],
      then: [{ kind: "put", key: KEY, value }],
    });
    if (!succeeded) return false;
    console.log(`${name} has done step ${step}`);
  }
  return true;
}

await using client = await KvClient.connect({ cluster, timeoutMs: 10_000 });
for (let isDone = false; !isDone;) {
  try {
    console.log(`${name} waits for the lock`);
    await using lock = await client.lock(NAME, { ttlMs: TTL_MS });
    console.log(`${name} holds the lock with token ${lock.fencingToken}`);
    isDone = await finishJob(client, lock);
    console.log(isDone ? `${name} has done the job` : `${name} has lost the lock: its step was refused`);
  } catch (error) {
    // A step may have been written or not. The next holder of the lock, perhaps this process, reads how far the job is.
    if (!(error instanceof KvraftError)) throw error;
    console.log(`${name} starts over: ${error.message}`);
  }
}
