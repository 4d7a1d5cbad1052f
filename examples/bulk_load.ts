/**
 * Loads many keys quickly: 100 keys a transaction, eight transactions in flight. A transaction is applied whole or not at
 * all, so a program that was interrupted finds the last key of a batch only if it has the others.
 *
 *     deno run --allow-net examples/bulk_load.ts
 */
// deno-lint-ignore-file no-console -- a program prints its result
import { KvClient } from "@kvraft/kvraft";

const PREFIX = "example/bulk/";
const KEYS = 10_000;
const BATCH_KEYS = 100;
const IN_FLIGHT = 8;
const CLUSTER = Deno.args.length > 0 ? Deno.args : ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"];

const keyOf = (index: number): string => `${PREFIX}${String(index).padStart(6, "0")}`;

await using client = await KvClient.connect({ cluster: CLUSTER, timeoutMs: 30_000 });

/** Writes batch after batch; several of these run at the same time and share the batches. */
const batches = Array.from({ length: KEYS / BATCH_KEYS }, (_, batch) => batch * BATCH_KEYS).values();
async function work(): Promise<void> {
  for (const first of batches) {
    const mutations = Array.from({ length: BATCH_KEYS }, (_, offset) => (
      { kind: "put", key: keyOf(first + offset), value: `value ${first + offset}` } as const
    ));
    await client.transaction({ mutations });
  }
}

const startedAt = performance.now();
await Promise.all(Array.from({ length: IN_FLIGHT }, work));
const seconds = (performance.now() - startedAt) / 1_000;

let found = 0;
let cursor: string | null = null;
do {
  const page: Awaited<ReturnType<typeof client.list>> = await client.list({
    prefix: PREFIX,
    limit: 1_000,
    cursor,
  });
  found += page.entries.length;
  cursor = page.cursor;
} while (cursor !== null);
console.log(`${found} keys are there; loading them took ${seconds.toFixed(1)} s.`);
