/**
 * CPU profile of a node: `deno task bench:profile [--clients 64] [--connections 64] [--in-flight 1] [--mix put=100]
 * [--node leader|follower] [--seconds 5]`.
 *
 * Starts three real nodes, each with the inspector open on loopback. `client bench` loads them from another process,
 * and one node's CPU profile is taken over the inspector meanwhile. Prints two tables by function, in percent of the
 * time in which the node was not idle: time in the function itself, and time in it and all that it called.
 */
// deno-lint-ignore-file no-console -- this is a command
import { parseArgs } from "node:util";
import { KvClient } from "../../lib/mod.ts";
import { SystemClock } from "../../lib/platform/system.ts";
import { pause } from "../../lib/platform/promise.ts";
import { kvraftCommand, Process, READY_LINE } from "../support/processes/process.ts";
import { freePorts, TemporaryFolder } from "../support/temporary.ts";
import { Inspector } from "./inspector.ts";

/** Rows of the table. */
const ROWS = 40;
/** Load before the profile begins. */
const WARMUP_MS = 2_000;

/** A place in the code with the samples in it. */
interface ProfileNode {
  readonly id: number;
  readonly children?: readonly number[];
  readonly callFrame: { readonly functionName: string; readonly url: string };
}

/** A profile as the inspector returns it. */
interface Profile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      clients: { type: "string", default: "64" },
      "in-flight": { type: "string", default: "1" },
      connections: { type: "string", default: "64" },
      node: { type: "string", default: "leader" },
      mix: { type: "string", default: "put=100" },
      seconds: { type: "string", default: "5" },
    },
  });
  const seconds = Number(values.seconds);
  await using folder = await TemporaryFolder.make();
  const first = freePorts(6);
  const address = (id: number): string => `127.0.0.1:${first + id - 1}`;
  const cluster = [1, 2, 3].map((id) => `${id}=${address(id)}`).join(",");
  await using nodes = new AsyncDisposableStack();
  await Promise.all([1, 2, 3].map(async (id) => {
    const flags = ["--node-id", `${id}`, "--bind", address(id), "--cluster", cluster];
    const [program, ...programArgs] = kvraftCommand(["server", ...flags]);
    const inspect = `--inspect=127.0.0.1:${first + 2 + id}`;
    const node = nodes.use(
      Process.start(program, ["run", inspect, ...programArgs.slice(1)], { cwd: folder.path, name: `n${id}` }),
    );
    await node.waitForOutput(READY_LINE);
  }));
  await using client = await KvClient.connect({ cluster: [address(1), address(2), address(3)] });
  await client.put("warm", "up");
  const { leader } = await client.cluster.status();
  const profiled = values.node === "leader" ? leader ?? 1 : (leader ?? 1) % 3 + 1;
  const load = [
    "client",
    "--cluster",
    cluster,
    "bench",
    "--clients",
    values.clients,
    "--connections",
    values.connections,
    "--in-flight",
    values["in-flight"],
    "--mix",
    values.mix,
    "--duration",
    `${seconds + 4}s`,
  ];
  const [program, ...programArgs] = kvraftCommand(load);
  const generator = nodes.use(
    Process.start(program, programArgs, { cwd: folder.path, name: "client bench" }),
  );
  const clock = { clock: new SystemClock(), signal: new AbortController().signal };
  await pause(WARMUP_MS, clock);
  using inspector = await Inspector.open(`127.0.0.1:${first + 2 + profiled}`);
  await inspector.call("Profiler.enable");
  await inspector.call("Profiler.start");
  await pause(seconds * 1_000, clock);
  const result = await inspector.call("Profiler.stop");
  console.log((await generator.end()).stdout);
  console.log(tablesOf(profileOf(result)));
}

function profileOf(result: unknown): Profile {
  if (typeof result !== "object" || result === null || !("profile" in result)) {
    throw new Error("The inspector returned no profile");
  }
  return result.profile as Profile;
}

/** Sums the time by function, most first: in itself, and with all that it called. */
function tablesOf({ nodes, samples, timeDeltas }: Profile): string {
  const placeAt = new Map(nodes.map(({ id, callFrame }) => [id, placeOf(callFrame)]));
  const callerOf = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])));
  const self = new Map<string, number>();
  const inclusive = new Map<string, number>();
  let total = 0;
  for (const [position, sample] of samples.entries()) {
    const delta = timeDeltas[position] ?? 0;
    const place = placeAt.get(sample) ?? "?";
    if (place === "(idle)") continue;
    total += delta;
    self.set(place, (self.get(place) ?? 0) + delta);
    const stack = new Set<string>();
    for (let id: number | undefined = sample; id !== undefined; id = callerOf.get(id)) {
      stack.add(placeAt.get(id) ?? "?");
    }
    for (const name of stack) inclusive.set(name, (inclusive.get(name) ?? 0) + delta);
  }
  const table = (times: ReadonlyMap<string, number>): string =>
    [...times].sort((a, b) => b[1] - a[1]).slice(0, ROWS)
      .map(([name, time]) => `${(100 * time / total).toFixed(1).padStart(5)} %  ${name}`).join("\n");
  return `In the place itself:\n${table(self)}\n\nWith all that it called:\n${table(inclusive)}`;
}

function placeOf({ functionName, url }: ProfileNode["callFrame"]): string {
  const file = url.replace(/^.*\/(lib|tests|node_modules|ext:)/, "$1");
  return file === "" ? functionName : `${functionName || "(anonymous)"} ${file}`;
}

if (import.meta.main) await main(Deno.args);
