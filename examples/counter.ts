/**
 * A counter that stays exact across failures: the client repeats a write until it is answered, and the cluster applies it
 * once. Only when the deadline passes first is the outcome unknown; then the program reads before it decides. Kill nodes
 * meanwhile: `./cluster.sh kill 1`, `./cluster.sh restart 1`.
 *
 *     deno run --allow-net examples/counter.ts
 */
// deno-lint-ignore-file no-console -- a program prints its result
import { KvClient, KvraftError } from "@kvraft/kvraft";

const KEY = `example/counter/${crypto.randomUUID()}`;
const ROUNDS = 200;
const CLUSTER = Deno.args.length > 0 ? Deno.args : ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"];

async function read(client: KvClient): Promise<number> {
  const entry = await client.get(KEY);
  return entry === null ? 0 : Number(new TextDecoder().decode(entry.value));
}

/** Writes `next` where the counter is one less; nothing else writes this key. */
async function count(client: KvClient, next: number): Promise<void> {
  for (;;) {
    try {
      const expect = next === 1 ? null : String(next - 1);
      const { succeeded } = await client.compareAndSet(KEY, { expect, value: String(next) });
      if (!succeeded) throw new Error(`The counter is not ${next - 1}: a write was lost or applied twice.`);
      return;
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      console.log(error.message);
      // "not-applied": nothing changed, so the next round writes again. "unknown": it may have been applied.
      if (error.outcome === "unknown" && await read(client) === next) return;
    }
  }
}

await using client = await KvClient.connect({ cluster: CLUSTER });
for (let next = 1; next <= ROUNDS; next++) await count(client, next);
console.log(`The counter is ${await read(client)} after ${ROUNDS} rounds.`);
await client.delete(KEY);
