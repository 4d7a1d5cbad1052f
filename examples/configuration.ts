/**
 * A shared configuration, changed with compare-and-set: each writer reads the current value, changes one field, and
 * writes only if nothing else was written since. Run it several times, also at the same time.
 *
 *     deno run --allow-net examples/configuration.ts
 */
// deno-lint-ignore-file no-console -- a program prints its result
import { KvClient } from "@kvraft/kvraft";

interface Configuration {
  readonly maxUsers: number;
  readonly changes: number;
}

const KEY = "example/configuration";
const CLUSTER = Deno.args.length > 0 ? Deno.args : ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"];

/** Applies `change` to the newest configuration, as often as other writers come between. */
async function update(
  client: KvClient,
  change: (current: Configuration) => Configuration,
): Promise<Configuration> {
  let expect = (await client.get(KEY))?.value ?? null;
  for (;;) {
    const current: Configuration = expect === null
      ? { maxUsers: 100, changes: 0 }
      : JSON.parse(new TextDecoder().decode(expect));
    const changed = change(current);
    const result = await client.compareAndSet(KEY, { expect, value: JSON.stringify(changed) });
    if (result.succeeded) return changed;
    expect = result.current?.value ?? null;
  }
}

await using client = await KvClient.connect({ cluster: CLUSTER });
// Ten writers at the same time: none overwrites the change of another.
const writers = Array.from({ length: 10 }, () =>
  update(client, ({ maxUsers, changes }) => ({
    maxUsers: maxUsers + 10,
    changes: changes + 1,
  })));
const results = await Promise.all(writers);
const newest = results.reduce((a, b) => a.changes > b.changes ? a : b);
console.log(`The configuration is ${JSON.stringify(newest)}.`);
