/**
 * A queue of tasks for any number of workers. Add tasks, start workers with different names, and kill or suspend one in the
 * middle of a task: another one takes the task over once the lease of the first has ended.
 *
 *     deno run --allow-net examples/work_queue.ts add 10
 *     deno run --allow-net examples/work_queue.ts work alice
 *
 * A task is a key without a lease, so it is there until it is done. The claim of a worker is a second key, on the worker's
 * lease. The transaction that completes a task checks the claim: of two workers that have done the same task, because the
 * first was suspended, one records a result.
 */
// deno-lint-ignore-file no-console -- a program prints what it does
import { type KeyValue, KvClient, KvraftError, type Lease } from "@kvraft/kvraft";

/** A task that this worker has claimed. */
interface Claim {
  readonly id: string;
  readonly task: string;
  /** The revision of the claim: greater for each later claim of a task, so it serves as a fencing token. */
  readonly token: number;
}

const WORK_MS = 500;
const TTL_MS = 5_000;
/** Workers must be fewer than this, so that a page of tasks has one that is not claimed. */
const PAGE = 1_000;

const [role = "work", name = "alice", ...addresses] = Deno.args;
const cluster = addresses.length > 0 ? addresses : ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"];
await using client = await KvClient.connect({ cluster, timeoutMs: 10_000 });
const queue = client.prefix("example/queue/");

/** Returns the tasks without a claim, the oldest first, and a revision up to which the claims were seen. */
async function freeTasks(): Promise<{ readonly free: readonly KeyValue[]; readonly revision: number }> {
  const claims = await queue.list({ prefix: "claim/", limit: PAGE });
  const tasks = await queue.list({ prefix: "task/", limit: PAGE });
  const claimed = new Set(claims.entries.map(idOf));
  const free = tasks.entries
    .filter((task) => !claimed.has(idOf(task)))
    .toSorted((a, b) => a.createRevision - b.createRevision);
  return { free, revision: claims.revision };
}

function idOf({ key }: KeyValue): string {
  return new TextDecoder().decode(key).replace(/^\w+\//, "");
}

/** Claims a task; null if another worker was faster. */
async function claim(task: KeyValue, { leaseId }: Lease): Promise<Claim | null> {
  const id = idOf(task);
  const { succeeded, results } = await queue.transaction({
    checks: [{ key: task.key, modRevision: task.modRevision }, { key: `claim/${id}`, exists: false }],
    then: [{ kind: "put", key: `claim/${id}`, value: name, leaseId }],
  });
  if (!succeeded) return null;
  return { id, task: new TextDecoder().decode(task.value), token: results[0].createRevision };
}

/** Waits for a task that this worker can claim. */
async function nextClaim(lease: Lease): Promise<Claim> {
  for (;;) {
    const { free, revision } = await freeTasks();
    for (const task of free) {
      const claimed = await claim(task, lease);
      if (claimed !== null) return claimed;
    }
    // From the revision of the read, so that no change since then is missed.
    for await (const _ of queue.watch({ from: revision + 1, resync: true, signal: lease.lost })) break;
  }
}

/** Stands for the work; rejects as soon as the lease is lost. */
function perform({ task }: Claim, { lost }: Lease): Promise<string> {
  if (lost.aborted) return Promise.reject(lost.reason);
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(lost.reason);
    };
    const timer = setTimeout(() => {
      lost.removeEventListener("abort", stop);
      resolve(task.toUpperCase());
    }, WORK_MS);
    lost.addEventListener("abort", stop);
  });
}

/** Records the result in place of the task and its claim; false if this worker has the claim no more. */
async function complete({ id, token }: Claim, result: string): Promise<boolean> {
  const { succeeded } = await queue.transaction({
    checks: [{ key: `claim/${id}`, createRevision: token }],
    then: [
      { kind: "put", key: `done/${id}`, value: JSON.stringify({ result, by: name, token }) },
      { kind: "delete", key: `task/${id}` },
      { kind: "delete", key: `claim/${id}` },
    ],
  });
  return succeeded;
}

async function work(): Promise<void> {
  for (;;) {
    try {
      await using lease = await client.lease({ ttlMs: TTL_MS });
      for (;;) {
        const claimed = await nextClaim(lease);
        console.log(`${name} works on ${claimed.task}`);
        const isDone = await complete(claimed, await perform(claimed, lease));
        console.log(
          isDone ? `${name} has done ${claimed.task}` : `${name} was too late with ${claimed.task}`,
        );
      }
    } catch (error) {
      // The lease is lost, or the cluster did not answer in time: the next lease claims what is still to be done.
      if (!(error instanceof KvraftError)) throw error;
      console.log(`${name} starts over: ${error.message}`);
    }
  }
}

if (role === "add") {
  for (let number = 1; number <= Number(name); number++) {
    await queue.put(`task/${crypto.randomUUID()}`, `task ${number}`);
  }
  console.log(`${name} tasks are in the queue.`);
} else {
  await work();
}
