/**
 * A leader election between processes, by hand. The leader of the group is named in one key, which it writes again every
 * second. A candidate that sees the key unchanged for five seconds takes it over with compare-and-set, so two candidates
 * cannot both succeed. Start it twice with different names, then end the one that leads.
 *
 *     deno run --allow-net examples/leader_election.ts alice
 *
 * A process that is paused for more than five seconds believes for a moment that it still leads. What it does then must
 * be refused elsewhere: the key's modRevision grows with every takeover and serves as a fencing token.
 */
// deno-lint-ignore-file no-console -- a program prints what it does
import { type KeyValue, KvClient, KvraftError } from "@kvraft/kvraft";

const KEY = "example/leader";
const RENEW_MS = 1_000;
const LEASE_MS = 5_000;

const [name = "alice", ...addresses] = Deno.args;
const cluster = addresses.length > 0 ? addresses : ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"];

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Writes the key if it is as `seen`; returns whether this process leads then. */
async function claim(client: KvClient, seen: KeyValue | null): Promise<boolean> {
  const check = seen === null ? { key: KEY, exists: false } : { key: KEY, modRevision: seen.modRevision };
  const { succeeded } = await client.transaction({
    checks: [check],
    mutations: [{ kind: "put", key: KEY, value: name }],
    timeoutMs: RENEW_MS,
  });
  return succeeded;
}

/** Waits until nothing has written the key for the time of a lease; returns the key then. */
async function untilExpired(client: KvClient): Promise<KeyValue | null> {
  let seen = await client.get(KEY);
  for (let unchangedMs = 0; seen !== null && unchangedMs < LEASE_MS; unchangedMs += RENEW_MS) {
    await pause(RENEW_MS);
    const now = await client.get(KEY);
    if (now?.modRevision !== seen.modRevision) unchangedMs = 0;
    seen = now;
  }
  return seen;
}

await using client = await KvClient.connect({ cluster });
for (;;) {
  try {
    console.log(`${name} waits for the leader's lease to expire`);
    if (!await claim(client, await untilExpired(client))) continue;
    console.log(`${name} leads`);
    for (;;) {
      await pause(RENEW_MS);
      const current = await client.get(KEY, { timeoutMs: RENEW_MS });
      if (new TextDecoder().decode(current?.value) !== name || !await claim(client, current)) break;
    }
  } catch (error) {
    if (!(error instanceof KvraftError)) throw error;
    console.log(`${name} lost touch with the cluster: ${error.message}`);
  }
  console.log(`${name} leads no more`);
}
