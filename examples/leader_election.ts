/**
 * A leader among processes of your own: the first candidate leads until it ends or loses touch with the cluster, then the
 * next one. Start it several times with different names, then end the one that leads (Ctrl-C: it resigns) or kill it.
 *
 *     deno run --allow-net examples/leader_election.ts alice
 *
 * A leader that is suspended for longer than the time to live believes for a moment that it still leads. Its writes to the
 * store have `leadership.check`, so they are refused then; other systems that it commands must be given `fencingToken`, and
 * refuse one that is less than the greatest they have seen.
 */
// deno-lint-ignore-file no-console -- a program prints what it does
import { KvClient, KvraftError, type Leadership } from "@kvraft/kvraft";

const NAME = "example/leader";
const LOG_KEY = "example/leader-log";
const ROUND_MS = 100;
const TTL_MS = 5_000;

const [name = "alice", ...addresses] = Deno.args;
const cluster = addresses.length > 0 ? addresses : ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"];
const ending = new AbortController();
Deno.addSignalListener("SIGINT", () => ending.abort());

/** Waits for the next round of work, or for `stop`. */
function nextRound(stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      stop.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ROUND_MS);
    stop.addEventListener("abort", end);
  });
}

/** Does a leader's work, round by round, until it is to end or leads no more. */
async function lead(client: KvClient, leadership: Leadership): Promise<void> {
  const stop = AbortSignal.any([leadership.lost, ending.signal]);
  while (!stop.aborted) {
    const { succeeded } = await client.transaction({
      checks: [leadership.check],
      then: [{
        kind: "put",
        key: LOG_KEY,
        value: JSON.stringify({ by: name, token: leadership.fencingToken }),
      }],
    });
    if (!succeeded) break;
    await nextRound(stop);
  }
}

/** Prints each leader, as any process can follow them. */
async function follow(client: KvClient): Promise<void> {
  for await (const leader of client.observe(NAME, { signal: ending.signal })) {
    const seen = leader === null ? "no leader" : `the leader ${new TextDecoder().decode(leader.value)}`;
    console.log(`${name} sees ${seen}`);
  }
}

async function stand(client: KvClient): Promise<void> {
  while (!ending.signal.aborted) {
    try {
      console.log(`${name} waits for its election`);
      await using leadership = await client.elect(NAME, name, { ttlMs: TTL_MS, signal: ending.signal });
      console.log(`${name} leads with token ${leadership.fencingToken}`);
      await lead(client, leadership);
    } catch (error) {
      if (ending.signal.aborted) break;
      if (!(error instanceof KvraftError)) throw error;
      console.log(`${name} starts over: ${error.message}`);
      continue;
    }
    console.log(`${name} leads no more`);
  }
}

await using client = await KvClient.connect({ cluster, timeoutMs: 10_000 });
const following = follow(client).catch((error) => {
  if (!ending.signal.aborted) throw error;
});
await stand(client);
await following;
