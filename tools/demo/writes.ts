/**
 * `./cluster.sh demo`: kills and restarts the leader while clients write, and then checks every write.
 *
 * Each write has its own key: an acknowledged write whose key is missing was lost, and a key of version 2 was written
 * twice. The keys are removed in the end, also after Ctrl-C. Argument: the nodes of the cluster.
 */
// deno-lint-ignore-file no-console -- a tool writes to its terminal
import { KvClient } from "../../lib/mod.ts";
import { clusterScript, EXIT_INTERRUPTED, interruption, leaderOf, phase, withThousands } from "./support.ts";

const WRITERS = 8;
const CALL_DEADLINE_MS = 30_000;
const KEYS_OF_ONE_TRANSACTION = 100;
/** The results of the writers. */
class Tally {
  /** Keys whose write was acknowledged. */
  readonly acknowledged: string[] = [];
  /** Keys whose write ended with an error. */
  readonly failed: string[] = [];
  longestPauseMs = 0;
  #lastAcknowledgedAt = performance.now();

  acknowledge(key: string): void {
    const now = performance.now();
    this.longestPauseMs = Math.max(this.longestPauseMs, now - this.#lastAcknowledgedAt);
    this.#lastAcknowledgedAt = now;
    this.acknowledged.push(key);
  }
}

async function write(client: KvClient, prefix: string, tally: Tally, stopped: AbortSignal): Promise<void> {
  for (let number = 1; !stopped.aborted; number++) {
    const key = `${prefix}/${String(number).padStart(6, "0")}`;
    try {
      await client.put(key, String(number), { timeoutMs: CALL_DEADLINE_MS });
      tally.acknowledge(key);
    } catch (error) {
      tally.failed.push(key);
      console.error(`A write failed: ${error instanceof Error ? error.message : error}`);
    }
  }
}

/** Returns every key under `prefix` with its version. */
async function versionsUnder(client: KvClient, prefix: string): Promise<Map<string, number>> {
  const versions = new Map<string, number>();
  const decoder = new TextDecoder();
  let cursor: string | null = null;
  do {
    const page = await client.list({ prefix, cursor, limit: 1000, timeoutMs: CALL_DEADLINE_MS });
    for (const entry of page.entries) versions.set(decoder.decode(entry.key), entry.version);
    cursor = page.cursor;
  } while (cursor !== null);
  return versions;
}

async function removeAll(client: KvClient, keys: readonly string[]): Promise<void> {
  for (let from = 0; from < keys.length; from += KEYS_OF_ONE_TRANSACTION) {
    await client.transaction({
      mutations: keys.slice(from, from + KEYS_OF_ONE_TRANSACTION).map((key) => ({ kind: "delete", key })),
    });
  }
}

/** Kills the leader and restarts it, with time between for the writers. `down`: called with the node that does not run. */
async function killAndRestartLeader(
  client: KvClient,
  { tally, interrupted, down }: {
    readonly tally: Tally;
    readonly interrupted: AbortSignal;
    readonly down: (node: number | null) => void;
  },
): Promise<void> {
  await phase(interrupted);
  const leader = await leaderOf(client);
  console.log(`Node ${leader} leads, ${withThousands(tally.acknowledged.length)} writes so far. Killing it.`);
  down(leader);
  await clusterScript("kill", String(leader));
  await phase(interrupted);
  console.log(`Node ${await leaderOf(client)} leads now. Restarting node ${leader}.`);
  await clusterScript("restart", String(leader));
  down(null);
  await phase(interrupted);
}

/** Runs the demo; returns its exit code. */
async function main(cluster: readonly string[]): Promise<number> {
  const interrupted = interruption();
  await using client = await KvClient.connect({ cluster, timeoutMs: CALL_DEADLINE_MS });
  const run = `demo/${crypto.randomUUID()}`;
  const tally = new Tally();
  const stop = new AbortController();
  let downNode: number | null = null;
  console.log(`${WRITERS} writers, each with one write in flight …`);
  const writers = Array.from(
    { length: WRITERS },
    (_, writer) => write(client, `${run}/writer-${writer + 1}`, tally, stop.signal),
  );
  try {
    await killAndRestartLeader(client, { tally, interrupted, down: (node) => downNode = node });
  } catch (error) {
    // An interruption also ends a ./cluster.sh that runs at that moment.
    if (!interrupted.aborted) throw error;
  } finally {
    stop.abort();
    await Promise.all(writers);
  }
  const versions = await versionsUnder(client, `${run}/`);
  await removeAll(client, [...versions.keys()]);
  if (interrupted.aborted) {
    console.log(`Removed ${withThousands(versions.size)} keys.`);
    if (downNode !== null) console.log(`Node ${downNode} may be down: ./cluster.sh restart ${downNode}`);
    return EXIT_INTERRUPTED;
  }
  const lost = tally.acknowledged.filter((key) => !versions.has(key));
  const duplicated = [...versions.values()].filter((version) => version > 1);
  const failed = tally.failed.length === 0 ? "" : `${tally.failed.length} failed, `;
  console.log(
    `\n${withThousands(tally.acknowledged.length)} writes acknowledged, ${failed}${lost.length} lost, ` +
      `${duplicated.length} duplicated, longest pause ${Math.round(tally.longestPauseMs)} ms`,
  );
  return lost.length === 0 && duplicated.length === 0 ? 0 : 1;
}

Deno.exit(await main((Deno.args[0] ?? "").split(",")));
