/**
 * The load generator of one measurement. It runs in a new process, so that it is equally warm and has equally much
 * memory for every peer. Usage: generator_main.ts <assignment as JSON>; prints a {@link GeneratorAnswer} as JSON.
 */
import process from "node:process";
import {
  Generator,
  type GeneratorCost,
  GeneratorCostRecorder,
  type HistogramDocument,
  type Load,
  loadKeys,
  type RequestKind,
  type Target,
} from "../../lib/loadgen/mod.ts";
import { type ConnectOptions, KvClient } from "../../lib/mod.ts";
import { SystemClock } from "../../lib/platform/system.ts";
import type { Consistency } from "../../lib/protocol/messages.ts";
import { AntietcdTarget } from "./peers/antietcd_client.ts";
import { DirectTarget } from "./peers/direct_client.ts";
import { EchoTarget } from "./peers/echo_client.ts";
import { EtcdTarget } from "./peers/etcd_client.ts";
import type { PeerName } from "./workloads.ts";

/** Connections that are opened at the same time. */
const DIALS = 64;
/** Attempts to open a connection or load a key before the first measurement; the pause grows after each failure. */
const ATTEMPTS = 20;
const REST_MS = 50;

/** How clients of kvraft show who they are. */
export type ClientCredentials = Pick<ConnectOptions, "tls" | "token">;

/** The load to generate. */
export interface Assignment {
  readonly peer: PeerName;
  /** The leader first. */
  readonly addresses: readonly string[];
  readonly connections: number;
  readonly load: Load;
  readonly prefix: string;
  /** Whether every key is written before the measurement. */
  readonly loadsKeys: boolean;
  /** kvraft only: bypasses the client library and spreads connections over the addresses; gets have this consistency. */
  readonly direct?: Consistency;
  /** kvraft only. Default none. */
  readonly credentials?: ClientCredentials;
}

/** The results. */
export interface GeneratorAnswer {
  readonly elapsedMs: number;
  readonly sent: number;
  readonly latency: Readonly<Record<RequestKind, HistogramDocument>>;
  readonly errors: Readonly<Record<string, number>>;
  readonly generator: GeneratorCost;
}

type Connected = Target & { close(): unknown };

async function connect(
  { peer, addresses, load, direct, credentials }: Assignment,
  position: number,
): Promise<Connected> {
  const [leader = ""] = addresses;
  if (direct !== undefined) {
    return await DirectTarget.connect(addresses[position % addresses.length] ?? leader, direct);
  }
  switch (peer) {
    case "kvraft": {
      const client = await KvClient.connect({ cluster: addresses, timeoutMs: 10_000, ...credentials });
      return {
        put: (key, value) => client.put(key, value),
        get: (key) => client.get(key),
        close: () => client.close(),
      };
    }
    case "etcd":
      return await EtcdTarget.connect(leader);
    case "antietcd":
      return await AntietcdTarget.connect(leader);
    case "echo":
      return await EchoTarget.connect(leader, load.valueBytes);
  }
}

/** Retries operations that fail because the peer is overloaded: other generators may have begun already. */
async function patiently<T>(clock: SystemClock, act: () => Promise<T>): Promise<T> {
  for (let attempt = 1;; attempt++) {
    try {
      return await act();
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      await new Promise<void>((resolve) => void clock.after(attempt * REST_MS, resolve));
    }
  }
}

async function measure(assignment: Assignment): Promise<GeneratorAnswer> {
  const { connections, load, prefix, loadsKeys } = assignment;
  const clock = new SystemClock();
  const targets: Connected[] = [];
  while (targets.length < connections) {
    const dials = Array.from(
      { length: Math.min(DIALS, connections - targets.length) },
      (_, dial) => patiently(clock, () => connect(assignment, targets.length + dial)),
    );
    targets.push(...await Promise.all(dials));
  }
  const codeOf = (error: unknown): string =>
    error instanceof Error ? error.message.slice(0, 80) : String(error);
  const options = { load, targets, prefix, clock, random: Math.random, codeOf };
  if (loadsKeys) {
    const patient = targets.map((target): Target => ({
      get: (key) => target.get(key),
      put: (key, value) => patiently(clock, () => target.put(key, value)),
    }));
    await loadKeys({ ...options, targets: patient });
  }
  const recorder = new GeneratorCostRecorder({
    clock,
    cpuMs: () => {
      const { user, system } = process.threadCpuUsage();
      return (user + system) / 1_000;
    },
  });
  const { elapsedMs, latency, errors, sent } = await Generator.start(options).finished;
  const generator = recorder.stop();
  await Promise.all(targets.map((target) => target.close()));
  return {
    elapsedMs,
    sent,
    latency: { put: latency.put.toJSON(), get: latency.get.toJSON() },
    errors: Object.fromEntries(errors),
    generator,
  };
}

if (import.meta.main) {
  const answer = await measure(JSON.parse(Deno.args[0] ?? ""));
  await new Blob([JSON.stringify(answer)]).stream().pipeTo(Deno.stdout.writable);
  Deno.exit(0);
}
