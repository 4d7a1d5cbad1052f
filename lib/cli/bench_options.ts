/** The options of `bench`, and what they make of a run. */
import { shortened } from "../platform/foreign_text.ts";
import {
  type Distribution,
  DISTRIBUTIONS,
  type Load,
  MAX_KEY_COUNT,
  REQUEST_KINDS,
  type RequestKind,
  type RequestMix,
} from "../loadgen/mod.ts";
import { integerOfText, type OptionSpec } from "./arguments.ts";
import type { Call, CommandContext } from "./command.ts";
import { durationOfText, READ_OPTIONS, readOptions } from "./command_options.ts";
import { UsageError } from "./errors.ts";
import { ownPrefix } from "./own_keys.ts";
import { textOfBytes } from "./words.ts";

const MAX_CLIENTS = 10_000;
/** As many requests as one connection of the client library has under way at a time. */
const MAX_PER_CONNECTION = 1_024;
const MAX_VALUE_BYTES = 1_048_576;
const MAX_RATE = 10_000_000;
const MAX_WEIGHT = 1_000_000;
const DEFAULT_CONNECTIONS = 8;
const DEFAULT_TIMEOUT_MS = 5_000;
const DEFAULT_MIX: RequestMix = { put: 50, get: 50 };

/** In the order of the help. */
export const BENCH_OPTIONS: readonly OptionSpec[] = [
  { name: "duration", placeholder: "<time>", help: "how long is measured: 500ms, 10s, 5m (10s)" },
  { name: "warmup", placeholder: "<time>", help: "how long it works before that, uncounted (2s)" },
  { name: "clients", placeholder: "<n>", help: "clients that work side by side (64)" },
  { name: "in-flight", placeholder: "<n>", help: "requests that each has under way at a time (1)" },
  {
    name: "connections",
    placeholder: "<n>",
    help: `that the clients share (as many as clients, at most ${DEFAULT_CONNECTIONS})`,
  },
  { name: "mix", placeholder: "<kind=n,…>", help: "put and get, how often each comes (put=50,get=50)" },
  { name: "value-size", placeholder: "<bytes>", help: "length of each value (256)" },
  { name: "key-count", placeholder: "<n>", help: "keys that requests are spread over (10000)" },
  { name: "distribution", placeholder: "uniform|zipf", help: "how: alike, or few keys get most (uniform)" },
  {
    name: "rate",
    placeholder: "<n>",
    help: "requests a second, whatever the cluster does; latency from when each was due",
  },
  ...READ_OPTIONS,
  { name: "prefix", placeholder: "<prefix>", help: "of the keys, which must be unused (bench/<random>/)" },
  { name: "keep", placeholder: null, help: "leave the keys where they are" },
];

/** What was asked for. */
export interface BenchPlan {
  readonly load: Load;
  readonly connections: number;
  readonly consistency: "linearizable" | "stale";
  /** UTF-8. */
  readonly prefix: Uint8Array;
  readonly keepsKeys: boolean;
  /** Deadline of each request. */
  readonly timeoutMs: number;
}

/** What the options ask for. Throws {@link UsageError}. */
export function benchPlanOf(call: Call, context: CommandContext): BenchPlan {
  const { options } = call;
  const count = (name: string, { fallback, min = 1, max }: CountRange): number => {
    const text = options.get(name);
    return text === undefined ? fallback : integerOfText(text, { name: `--${name}`, min, max });
  };
  const clients = count("clients", { fallback: 64, max: MAX_CLIENTS });
  const inFlight = count("in-flight", { fallback: 1, max: MAX_PER_CONNECTION });
  const fewest = Math.ceil(clients / Math.floor(MAX_PER_CONNECTION / inFlight));
  const connections = count("connections", {
    fallback: Math.max(fewest, Math.min(clients, DEFAULT_CONNECTIONS)),
    max: MAX_CLIENTS,
  });
  requireFit({ clients, inFlight, connections, fewest });
  const { consistency = "linearizable", timeoutMs = DEFAULT_TIMEOUT_MS } = readOptions(call, context);
  return {
    load: {
      clients,
      inFlight,
      mix: mixOf(options.get("mix")),
      valueBytes: count("value-size", { fallback: 256, min: 0, max: MAX_VALUE_BYTES }),
      keyCount: count("key-count", { fallback: 10_000, max: MAX_KEY_COUNT }),
      distribution: distributionOf(options.get("distribution") ?? "uniform"),
      ratePerSecond: options.has("rate") ? count("rate", { fallback: 1, max: MAX_RATE }) : null,
      warmupMs: durationOfText(options.get("warmup") ?? "2s", { name: "--warmup", minMs: 0 }),
      durationMs: durationOfText(options.get("duration") ?? "10s", { name: "--duration", minMs: 1 }),
    },
    connections,
    consistency,
    prefix: prefixOf(options.get("prefix"), context),
    keepsKeys: options.has("keep"),
    timeoutMs,
  };
}

/** `put=50,get=50`. */
export function mixText(mix: RequestMix): string {
  return REQUEST_KINDS.map((kind) => `${kind}=${mix[kind]}`).join(",");
}

interface CountRange {
  readonly fallback: number;
  readonly min?: number;
  readonly max: number;
}

function requireFit(
  { clients, inFlight, connections, fewest }: {
    readonly clients: number;
    readonly inFlight: number;
    readonly connections: number;
    readonly fewest: number;
  },
): void {
  if (connections > clients) {
    throw new UsageError(`--connections must be at most --clients, which is ${clients}, not ${connections}.`);
  }
  if (connections < fewest) {
    throw new UsageError(
      `--connections must be at least ${fewest} for ${clients} clients with ${inFlight} requests each: ` +
        `one connection takes ${MAX_PER_CONNECTION} at a time.`,
    );
  }
}

function mixOf(text: string | undefined): RequestMix {
  if (text === undefined) return DEFAULT_MIX;
  const weights: Record<RequestKind, number> = { put: 0, get: 0 };
  for (const part of text.split(",")) {
    const [name = "", weight = ""] = part.split("=", 2);
    const kind = REQUEST_KINDS.find((candidate) => candidate === name);
    if (kind === undefined) {
      throw new UsageError(
        `--mix: there is no request "${
          shortened(name)
        }"; there are put and get. Example: --mix put=10,get=90`,
      );
    }
    weights[kind] = integerOfText(weight, { name: `--mix: ${name}`, min: 0, max: MAX_WEIGHT });
  }
  if (weights.put + weights.get > 0) return weights;
  throw new UsageError(`--mix: "${shortened(text)}" leaves nothing to do. Example: --mix put=50,get=50`);
}

function distributionOf(text: string): Distribution {
  const distribution = DISTRIBUTIONS.find((candidate) => candidate === text);
  if (distribution !== undefined) return distribution;
  throw new UsageError(
    `--distribution must be uniform or zipf, not "${shortened(text)}". Example: --distribution zipf`,
  );
}

function prefixOf(word: string | undefined, { system }: CommandContext): Uint8Array {
  const prefix = ownPrefix(word, { command: "bench", random: system.random });
  if (textOfBytes(prefix) !== null) return prefix;
  throw new UsageError("--prefix must be UTF-8 here. Example: --prefix bench/mine/");
}
