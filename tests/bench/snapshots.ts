/**
 * The cost of snapshots: `deno task bench:snapshots [--keys N] [--value-size N] [--seconds N]`.
 *
 * Three real nodes hold so many keys. The run measures a snapshot while clients write (its time, the longest gap in the
 * stream of answers, throughput compared with before), a start from it, an empty node that catches up with it, and the
 * peak memory of every node. Prints one JSON document, and asserts no times.
 */
// deno-lint-ignore-file no-console -- this is a command
import { parseArgs } from "node:util";
import { KvClient } from "../../lib/mod.ts";
import { SystemClock } from "../../lib/platform/system.ts";
import { pause } from "../../lib/platform/promise.ts";
import { eventually } from "../support/eventually.ts";
import { type Process, READY_LINE, startKvraft } from "../support/processes/process.ts";
import { freePorts, TemporaryFolder } from "../support/temporary.ts";

/** Puts in one transaction while the keys are loaded, and transactions in flight. */
const LOAD_BATCH = 100;
const LOAD_IN_FLIGHT = 32;
/** Clients that write, each waiting for its answer, while things are measured. */
const CLIENTS = 16;
/** Time after which an operation counts as stuck. */
const PATIENCE_MS = 600_000;

async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      keys: { type: "string", default: "1000000" },
      "value-size": { type: "string", default: "256" },
      seconds: { type: "string", default: "5" },
    },
  });
  const size = {
    keys: Number(values.keys),
    valueBytes: Number(values["value-size"]),
    seconds: Number(values.seconds),
  };
  console.log(JSON.stringify(await measureSnapshots(size), null, 2));
}

/** The options of a run. */
export interface SnapshotRun {
  readonly keys: number;
  readonly valueBytes: number;
  readonly seconds: number;
  /** Absolute path of the checkout whose servers run. Default this one. */
  readonly checkout?: string;
}

/** Observations of a stream of writes. */
interface Stream {
  readonly writesPerSecond: number;
  /** Longest time between two answers, over all clients. */
  readonly longestGapMs: number;
}

/** The measurements of a run. */
export interface SnapshotFigures {
  readonly loadMs: number;
  readonly before: Stream;
  readonly during: Stream;
  readonly throughputRatio: number;
  readonly snapshotMs: number;
  readonly snapshotBytes: number;
  /** The time until a node that starts from the snapshot serves. */
  readonly startMs: number;
  readonly emptyNode: Stream & { readonly caughtUpMs: number };
  readonly peakMiB: Readonly<Record<string, number>>;
}

/** Starts three nodes, measures, and stops them. */
export async function measureSnapshots(run: SnapshotRun): Promise<SnapshotFigures> {
  await using bench = await Bench.start(run);
  return await bench.run();
}

/** Three nodes and the measurements of them. */
class Bench implements AsyncDisposable {
  readonly #size: SnapshotRun;
  readonly #folder: TemporaryFolder;
  readonly #firstPort = freePorts(4);
  readonly #nodes = new Map<number, Process>();

  private constructor(size: SnapshotRun, folder: TemporaryFolder) {
    this.#size = size;
    this.#folder = folder;
  }

  static async start(size: SnapshotRun): Promise<Bench> {
    const bench = new Bench(size, await TemporaryFolder.make());
    await Promise.all([1, 2, 3].map((id) => bench.#startNode(id)));
    return bench;
  }

  /** Measures everything. */
  async run(): Promise<SnapshotFigures> {
    await using client = await this.#connect([1, 2, 3]);
    const loadMs = await timeOf(() => this.#load(client));
    const before = await this.#stream(
      client,
      () =>
        pause(this.#size.seconds * 1_000, { clock: new SystemClock(), signal: new AbortController().signal }),
    );
    const taken = { ms: 0, bytes: 0 };
    const during = await this.#stream(client, async () => {
      taken.ms = await timeOf(async () => {
        taken.bytes = (await client.cluster.takeSnapshot({ timeoutMs: PATIENCE_MS })).bytes;
      });
    });
    // The log is cut at the second snapshot only; from then on an empty node needs one.
    for (const id of [1, 2, 3]) await this.#snapshotsOf(id, 2);
    const { leader } = await client.cluster.status();
    const startMs = await this.#restart(leader === 1 ? 2 : 1);
    const emptyNode = await this.#catchUp(client);
    const peaks = [...this.#nodes].map(([id, { pid }]) => [`n${id}`, peakMiBOf(pid)]);
    return {
      loadMs,
      before,
      during,
      throughputRatio: during.writesPerSecond / before.writesPerSecond,
      snapshotMs: taken.ms,
      snapshotBytes: taken.bytes,
      startMs,
      emptyNode,
      peakMiB: Object.fromEntries(peaks),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.#nodes.values()) await node[Symbol.asyncDispose]();
    await this.#folder[Symbol.asyncDispose]();
  }

  #address(id: number): string {
    return `127.0.0.1:${this.#firstPort + id - 1}`;
  }

  async #startNode(id: number): Promise<void> {
    const members = [1, 2, 3].map((member) => `${member}=${this.#address(member)}`).join(",");
    const origin = id <= 3 ? ["--cluster", members] : ["--join", this.#address(1)];
    const flags = ["--node-id", `${id}`, "--bind", this.#address(id), ...origin];
    const never = ["--snapshot-log-bytes", String(2 ** 40)];
    const node = startKvraft(["server", ...flags, ...never], {
      cwd: this.#folder.path,
      name: `node ${id}`,
      ...(this.#size.checkout === undefined ? {} : { checkout: this.#size.checkout }),
    });
    this.#nodes.set(id, node);
    await node.waitForOutput(READY_LINE, { deadlineMs: PATIENCE_MS });
  }

  async #connect(ids: readonly number[]): Promise<KvClient> {
    return await KvClient.connect({ cluster: ids.map((id) => this.#address(id)), timeoutMs: PATIENCE_MS });
  }

  async #load(client: KvClient): Promise<void> {
    const { keys, valueBytes } = this.#size;
    let next = 0;
    const loader = async (): Promise<void> => {
      while (next < keys) {
        const first = next;
        next += LOAD_BATCH;
        const mutations = Array.from({ length: Math.min(LOAD_BATCH, keys - first) }, (_, position) => ({
          kind: "put" as const,
          key: keyOf(first + position),
          value: crypto.getRandomValues(new Uint8Array(valueBytes)),
        }));
        await client.transaction({ mutations });
      }
    };
    await Promise.all(Array.from({ length: LOAD_IN_FLIGHT }, loader));
  }

  /** Writes until `until` resolves. */
  async #stream(client: KvClient, until: () => Promise<unknown>): Promise<Stream> {
    const value = new Uint8Array(this.#size.valueBytes);
    let [isOver, writes, longestGapMs] = [false, 0, 0];
    const begin = performance.now();
    let last = begin;
    const writer = async (): Promise<void> => {
      while (!isOver) {
        await client.put(keyOf(Math.floor(Math.random() * this.#size.keys)), value);
        const now = performance.now();
        longestGapMs = Math.max(longestGapMs, now - last);
        last = now;
        writes++;
      }
    };
    const writers = Array.from({ length: CLIENTS }, writer);
    await until();
    const seconds = (performance.now() - begin) / 1_000;
    isOver = true;
    await Promise.all(writers);
    return { writesPerSecond: Math.round(writes / seconds), longestGapMs: round(longestGapMs) };
  }

  /** Makes one node take snapshots, with a write before each. */
  async #snapshotsOf(id: number, times: number): Promise<void> {
    await using client = await this.#connect([id]);
    for (let time = 0; time < times; time++) {
      await client.put(keyOf(0), "again");
      await client.cluster.takeSnapshot({ node: id, timeoutMs: PATIENCE_MS });
    }
  }

  /** Restarts a node; returns the time until it serves. */
  async #restart(id: number): Promise<number> {
    await this.#nodes.get(id)?.stop();
    return await timeOf(() => this.#startNode(id));
  }

  /** Joins an empty node while clients write; returns the time until it votes, once it has caught up. */
  async #catchUp(client: KvClient): Promise<SnapshotFigures["emptyNode"]> {
    await this.#startNode(4);
    let caughtUpMs = 0;
    const during = await this.#stream(client, async () => {
      caughtUpMs = await timeOf(async () => {
        await client.cluster.changeMembership({
          kind: "add",
          id: 4,
          address: this.#address(4),
          learner: false,
        });
        await eventually("node 4 votes", async () => {
          const members = await client.cluster.members();
          return members.some(({ id, role }) => id === 4 && role === "voter") ? true : null;
        }, { deadlineMs: PATIENCE_MS });
      });
    });
    return { caughtUpMs, ...during };
  }
}

function keyOf(number: number): string {
  return `key-${String(number).padStart(12, "0")}`;
}

async function timeOf(act: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await act();
  return Math.round(performance.now() - begin);
}

function round(milliseconds: number): number {
  return Math.round(milliseconds * 10) / 10;
}

/** Returns the peak resident memory of a process, in MiB. */
function peakMiBOf(pid: number): number {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  return Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1_024);
}

if (import.meta.main) await main(Deno.args);
