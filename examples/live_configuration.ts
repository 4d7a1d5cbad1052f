/**
 * A configuration that a program reloads while it runs: it uses each change of the keys below `example/settings/` as soon as
 * it is made, in order, and keeps what it has when a change is not valid. Change it meanwhile:
 *
 *     deno run --allow-net examples/live_configuration.ts
 *     ./cluster.sh client put example/settings/max-users 200
 *     ./cluster.sh client txn 'put example/settings/max-users 300; put example/settings/greeting hi'
 *
 * Keys that a transaction changes together are used together. A program that cannot reach the cluster goes on with the
 * configuration that it has. configuration.ts shows how several writers change one value.
 */
// deno-lint-ignore-file no-console -- a program prints what it does
import { KvClient } from "@kvraft/kvraft";
import { liveEntries } from "./live_entries.ts";

interface Configuration {
  readonly maxUsers: number;
  readonly greeting: string;
}

const CLUSTER = Deno.args.length > 0 ? Deno.args : ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"];

/** Returns the configuration, with defaults for keys that are not there; null if a value is not valid. */
function read(settings: ReadonlyMap<string, string>): Configuration | null {
  const maxUsers = Number(settings.get("max-users") ?? "100");
  if (!Number.isSafeInteger(maxUsers) || maxUsers < 1) return null;
  return { maxUsers, greeting: settings.get("greeting") ?? "hello" };
}

await using client = await KvClient.connect({ cluster: CLUSTER, timeoutMs: 10_000 });
for await (const { revision, entries } of liveEntries(client.prefix("example/settings/"))) {
  const configuration = read(entries);
  console.log(
    `revision ${revision}: ${configuration === null ? "not valid" : JSON.stringify(configuration)}`,
  );
}
