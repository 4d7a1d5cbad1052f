/**
 * `./cluster.sh demo watch`: freezes and kills the leader under watchers and leases, and then compares what each watcher
 * saw with the writes that were acknowledged.
 *
 * A writer changes one key after another, and watchers at all nodes follow. Another client keeps leases alive, each with
 * a key. In the end it falls silent: the leases must end by themselves then, and not before. Argument: the nodes of the
 * cluster.
 */
// deno-lint-ignore-file no-console -- a tool writes to its terminal
import { type KeyspaceClient, KvClient } from "../../lib/mod.ts";
import { clusterScript, EXIT_INTERRUPTED, interruption, leaderOf, phase, withThousands } from "./support.ts";

const WATCHERS = 100;
/** Clients with connections of their own, which share the watchers. */
const WATCHING_CLIENTS = 10;
const LEASES = 1_000;
const TTL_MS = 10_000;
/** How late a lease may end. */
const LATE_MS = 1_000;
const CALL_DEADLINE_MS = 30_000;
const CHECK_INTERVAL_MS = 50;

/** One watcher, and the revisions that it saw. */
class Watcher {
  readonly revisions: number[] = [];
  longestSilenceMs = 0;

  /** Follows the changes from a revision on until `stopped`. */
  async run(keys: KeyspaceClient, from: number, stopped: AbortSignal): Promise<void> {
    let lastAt: number | null = null;
    try {
      for await (const { revision } of keys.watch({ prefix: "changes/", from, signal: stopped })) {
        const now = performance.now();
        if (lastAt !== null) this.longestSilenceMs = Math.max(this.longestSilenceMs, now - lastAt);
        lastAt = now;
        this.revisions.push(revision);
      }
    } catch (error) {
      if (!stopped.aborted) throw error;
    }
  }
}

/** The keys of leases whose end was seen, with the time of the first and the last end. */
class Ends {
  count = 0;
  firstAt = 0;
  lastAt = 0;

  /** Follows the ends until `stopped`. */
  async run(keys: KeyspaceClient, from: number, stopped: AbortSignal): Promise<void> {
    const request = { prefix: "leases/", from, only: "deletes", signal: stopped } as const;
    try {
      for await (const batch of keys.watch(request)) {
        if (batch.kind !== "events") continue;
        this.lastAt = performance.now();
        if (this.count === 0) this.firstAt = this.lastAt;
        this.count += batch.events.length;
      }
    } catch (error) {
      if (!stopped.aborted) throw error;
    }
  }
}

/** Writes one key after another until `stopped`; returns the revisions of the writes. */
async function write(keys: KeyspaceClient, stopped: AbortSignal): Promise<readonly number[]> {
  const revisions: number[] = [];
  for (let number = 0; !stopped.aborted; number++) {
    revisions.push((await keys.put(`changes/${number % 100}`, `${number}`)).revision);
  }
  return revisions;
}

/** Waits until a condition holds, or rejects after {@link CALL_DEADLINE_MS}. */
async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + CALL_DEADLINE_MS;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`${what} took more than ${CALL_DEADLINE_MS / 1_000} s`);
    await new Promise((resolve) => setTimeout(resolve, CHECK_INTERVAL_MS));
  }
}

/** Freezes the leader and lets it go on, then kills the next one and restarts it. */
async function disturb(client: KvClient, interrupted: AbortSignal): Promise<void> {
  await phase(interrupted);
  const frozen = await leaderOf(client);
  console.log(`Node ${frozen} leads. Freezing it.`);
  await clusterScript("pause", `${frozen}`);
  await phase(interrupted);
  console.log(`Node ${await leaderOf(client)} leads now.`);
  await clusterScript("resume", `${frozen}`);
  await phase(interrupted);
  const killed = await leaderOf(client);
  console.log(`Node ${killed} leads. Killing it.`);
  await clusterScript("kill", `${killed}`);
  await phase(interrupted);
  console.log(`Node ${await leaderOf(client)} leads now. Restarting node ${killed}.`);
  await clusterScript("restart", `${killed}`);
  await phase(interrupted);
}

/** Removes the keys of the demo. */
async function removeAll(keys: KeyspaceClient): Promise<void> {
  await keys.transaction({ then: [{ kind: "delete", prefix: "" }] });
}

function secondsText(milliseconds: number): string {
  return `${(milliseconds / 1_000).toFixed(1)} s`;
}

/** Prints what the watchers saw of the writes; returns whether that was everything, once and in order. */
function reportWatchers(watchers: readonly Watcher[], written: readonly number[]): boolean {
  const wrong = watchers.filter(({ revisions }) =>
    revisions.length !== written.length ||
    revisions.some((revision, position) => revision !== written[position])
  );
  const silence = Math.max(...watchers.map(({ longestSilenceMs }) => longestSilenceMs));
  console.log(
    `\n${withThousands(written.length)} changes. ${
      WATCHERS - wrong.length
    } of ${WATCHERS} watchers saw each of them once ` +
      `and in order; longest silence ${Math.round(silence)} ms`,
  );
  return wrong.length === 0;
}

/** Closes the holder of the leases without revoking them; returns whether the leases ended after that, and in time. */
async function reportLeases(holder: KvClient, ends: Ends): Promise<boolean> {
  const early = ends.count;
  console.log(`${LEASES - early} of ${withThousands(LEASES)} leases are alive. Their holder falls silent.`);
  const silentAt = performance.now();
  await holder.close();
  await until("The end of the leases", () => ends.count >= LEASES);
  const [first, last] = [ends.firstAt - silentAt, ends.lastAt - silentAt];
  console.log(
    `All leases ended ${secondsText(first)} to ${secondsText(last)} later, ` +
      `${TTL_MS / 1_000} s after they were last kept alive`,
  );
  return early === 0 && last <= TTL_MS + LATE_MS;
}

/** Runs the demo; returns its exit code. */
async function main(cluster: readonly string[]): Promise<number> {
  const interrupted = interruption();
  const connect = (): Promise<KvClient> => KvClient.connect({ cluster, timeoutMs: CALL_DEADLINE_MS });
  await using client = await connect();
  await using holder = await connect();
  const prefix = `demo/${crypto.randomUUID()}/`;
  const keys = client.prefix(prefix);
  const stop = new AbortController();
  const [watchers, ends] = [Array.from({ length: WATCHERS }, () => new Watcher()), new Ends()];
  const watchingClients = await Promise.all(Array.from({ length: WATCHING_CLIENTS }, connect));
  const from = (await client.list({ limit: 1 })).revision + 1;
  const watching = watchers.map((watcher, number) => {
    const watchingClient = watchingClients[number % WATCHING_CLIENTS] ?? client;
    return watcher.run(watchingClient.prefix(prefix), from, stop.signal);
  });
  watching.push(ends.run(keys, from, stop.signal));
  try {
    await Promise.all(Array.from({ length: LEASES }, async (_, number) => {
      const { leaseId } = await holder.lease({ ttlMs: TTL_MS });
      await holder.prefix(prefix).put(`leases/${number}`, "", { leaseId });
    }));
    console.log(`1 writer, ${WATCHERS} watchers, ${withThousands(LEASES)} leases of ${TTL_MS / 1_000} s …`);
    const stopWriting = new AbortController();
    const writing = write(keys, stopWriting.signal);
    try {
      await disturb(client, interrupted);
    } finally {
      stopWriting.abort();
    }
    const written = await writing;
    const last = written.at(-1) ?? 0;
    await until("The last change", () => watchers.every(({ revisions }) => (revisions.at(-1) ?? 0) >= last));
    const [sawAll, endedInTime] = [reportWatchers(watchers, written), await reportLeases(holder, ends)];
    return sawAll && endedInTime ? 0 : 1;
  } catch (error) {
    if (!interrupted.aborted) throw error;
    return EXIT_INTERRUPTED;
  } finally {
    stop.abort();
    await Promise.allSettled(watching);
    await removeAll(keys);
    await Promise.all(watchingClients.map((one) => one.close()));
  }
}

Deno.exit(await main((Deno.args[0] ?? "").split(",")));
