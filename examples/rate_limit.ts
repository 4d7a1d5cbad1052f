/**
 * A limit on requests that any number of processes share: at most five in a window of two seconds. Start it several times.
 *
 *     deno run --allow-net examples/rate_limit.ts alice
 *
 * A window is a counter on a lease that is not kept alive: the first request creates it, and the end of the lease removes it.
 * So the cluster's time decides, not the clocks of the processes, and a window ends though the process that opened it was
 * killed. A request is checked and counted in one transaction.
 */
// deno-lint-ignore-file no-console -- a program prints what it does
import { counterBytes, KvClient, KvraftError } from "@kvraft/kvraft";

const REQUESTS = 10;
const LIMIT = 5;
const WINDOW_MS = 2_000;
/** The counter of the present window. Each request writes it once, so its version is the number of requests. */
const WINDOW = "window";
/** Written whenever a window is opened. */
const OPENED = "opened";

const [name = "alice", ...addresses] = Deno.args;
const cluster = addresses.length > 0 ? addresses : ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"];
await using client = await KvClient.connect({ cluster, timeoutMs: 10_000 });
const limiter = client.prefix("example/limit/");

/** Takes a permit: resolves to its number in the window. Waits for the next window when this one has none left. */
async function takePermit(): Promise<number> {
  for (;;) {
    const { succeeded, results, revision } = await limiter.transaction({
      checks: [
        { key: WINDOW, version: 0, comparison: ">" },
        { key: WINDOW, version: LIMIT, comparison: "<" },
      ],
      then: [{ kind: "sum", key: WINDOW, operand: 1 }], // keeps the lease
      else: [{ kind: "get", key: WINDOW }],
    });
    if (succeeded) return results[0].version;
    if (results[0].entry === null) {
      if (await openWindow(revision)) return 1;
    } else {
      await windowEnd(revision);
    }
  }
}

/**
 * Opens a window with this process's own request in it; resolves to false if another process was faster. There was no window
 * at revision `seen`.
 */
async function openWindow(seen: number): Promise<boolean> {
  const { leaseId } = await client.leases.grant({ ttlMs: WINDOW_MS });
  const { succeeded } = await limiter.transaction({
    checks: [
      { key: WINDOW, exists: false },
      // A process that was suspended since it looked has a lease that is almost over: no window since then may have come
      // and gone, or this one would be too short.
      { key: OPENED, modRevision: seen + 1, comparison: "<" },
    ],
    then: [
      { kind: "put", key: WINDOW, value: counterBytes(1), leaseId },
      { kind: "put", key: OPENED, value: name },
    ],
  });
  if (!succeeded) await client.leases.revoke(leaseId);
  return succeeded;
}

/** Waits until a window that was there at revision `seen` has ended. */
async function windowEnd(seen: number): Promise<void> {
  for await (const _ of limiter.watch({ key: WINDOW, only: "deletes", from: seen + 1, resync: true })) break;
}

for (let request = 1; request <= REQUESTS;) {
  try {
    const permit = await takePermit();
    console.log(`${name} sends request ${request} with permit ${permit} of ${LIMIT}`);
    request++;
  } catch (error) {
    // Not allowed: without an answer of the cluster there is no permit. It may have been counted nevertheless.
    if (!(error instanceof KvraftError)) throw error;
    console.log(`${name} tries again: ${error.message}`);
  }
}
