/**
 * A list of the services that run. Each instance registers itself on a lease, so that it disappears from the list when it ends
 * or is killed; any process can watch the list.
 *
 *     deno run --allow-net examples/service_registry.ts watch
 *     deno run --allow-net examples/service_registry.ts serve web-1 10.0.0.1:80
 *
 * An instance that is killed stays in the list until its lease ends, and one that cannot reach the cluster disappears though
 * it runs. So the list is a hint where to connect, and not a proof that an instance runs, or that it does not.
 */
// deno-lint-ignore-file no-console -- a program prints what it does
import { KvClient, KvraftError } from "@kvraft/kvraft";
import { liveEntries } from "./live_entries.ts";

const TTL_MS = 5_000;

const [role = "watch", ...rest] = Deno.args;
const [name = "web-1", address = "10.0.0.1:80"] = rest;
const addresses = role === "serve" ? rest.slice(2) : rest;
const cluster = addresses.length > 0 ? addresses : ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"];

await using client = await KvClient.connect({ cluster, timeoutMs: 10_000 });
const services = client.prefix("example/services/");

/** Resolves when the signal is aborted. */
function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** Keeps this instance in the list until the program ends. */
async function serve(): Promise<void> {
  const ending = new AbortController();
  Deno.addSignalListener("SIGINT", () => ending.abort());
  while (!ending.signal.aborted) {
    try {
      await using lease = await client.lease({ ttlMs: TTL_MS });
      // Moves the key to this lease if it is on an older one, as after a restart: the end of that one does not remove it.
      await services.put(name, address, { leaseId: lease.leaseId });
      console.log(`${name} is registered`);
      await aborted(AbortSignal.any([lease.lost, ending.signal]));
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      console.log(`${name} tries again: ${error.message}`);
    }
  }
}

/** Prints the list whenever it changes. */
async function watch(): Promise<void> {
  for await (const { revision, entries } of liveEntries(services)) {
    const list = [...entries].toSorted(([a], [b]) => a < b ? -1 : 1).map(([key, value]) => `${key}=${value}`);
    console.log(`revision ${revision}: ${list.length === 0 ? "no service" : list.join(" ")}`);
  }
}

if (role === "serve") await serve();
else await watch();
