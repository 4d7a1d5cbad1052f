/** The command `bench`: puts load on the cluster under a scratch prefix, and reports how fast it answered. */
import { benchAnswer, type BenchEnd, type BenchPlan, type BenchReport } from "./bench_report.ts";
import { connectAll, removeKeys, requireUnused, scratchPrefix } from "./scratch_prefix.ts";
import { KvraftError } from "../../../client/errors.ts";
import { MAX_VALUE_BYTES } from "../../../kv/mod.ts";
import {
  DISTRIBUTIONS,
  Generator,
  GeneratorCostRecorder,
  type GeneratorOptions,
  loadKeys,
  MAX_KEY_COUNT,
  type Measured,
  REQUEST_KINDS,
  type RequestMix,
  type Target,
} from "../../../loadgen/mod.ts";
import type { Timer } from "../../../platform/clock.ts";
import { choiceOption, integerOption, type OptionSpec, weightsOfText } from "../../arguments.ts";
import {
  type Answer,
  type CommandContext,
  defineCommand,
  type Invocation,
  type StoreClient,
} from "../../command.ts";
import { CONSISTENCY_OPTIONS, consistencyOptions, durationOfText } from "../../options.ts";
import { UsageError } from "../../errors.ts";
import { duration, perSecond, textOfBytes, withThousands } from "../../text.ts";

const MAX_CLIENTS = 10_000;
/** Most requests that one connection of the client library has in flight. */
const MAX_PER_CONNECTION = 1_024;
const MAX_RATE = 10_000_000;
const DEFAULT_CONNECTIONS = 8;
const DEFAULT_TIMEOUT_MS = 5_000;
const DEFAULT_MIX: RequestMix = { put: 50, get: 50 };

const BENCH_OPTIONS: readonly OptionSpec[] = [
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
    help: "requests per second, independent of the answers; latency counts from when each was due",
  },
  ...CONSISTENCY_OPTIONS,
  { name: "prefix", placeholder: "<prefix>", help: "of the keys, which must be unused (bench/<random>/)" },
  { name: "keep", placeholder: null, help: "leave the keys where they are" },
];

/** Returns the plan of a run. Throws {@link UsageError}. */
function benchPlanOf(invocation: Invocation, context: CommandContext): BenchPlan {
  const { options } = invocation;
  const count = (name: string, range: Parameters<typeof integerOption>[2]): number =>
    integerOption(options, name, range);
  const clients = count("clients", { fallback: 64, max: MAX_CLIENTS });
  const inFlight = count("in-flight", { fallback: 1, max: MAX_PER_CONNECTION });
  const fewest = Math.ceil(clients / Math.floor(MAX_PER_CONNECTION / inFlight));
  const connections = count("connections", {
    fallback: Math.max(fewest, Math.min(clients, DEFAULT_CONNECTIONS)),
    max: MAX_CLIENTS,
  });
  requireFit({ clients, inFlight, connections, fewest });
  const { consistency = "linearizable", timeoutMs = DEFAULT_TIMEOUT_MS } = consistencyOptions(
    invocation,
    context,
  );
  return {
    load: {
      clients,
      inFlight,
      mix: mixOf(options.get("mix")),
      valueBytes: count("value-size", { fallback: 256, min: 0, max: MAX_VALUE_BYTES }),
      keyCount: count("key-count", { fallback: 10_000, max: MAX_KEY_COUNT }),
      distribution: choiceOption(options, "distribution", DISTRIBUTIONS) ?? "uniform",
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
  const weights = weightsOfText(text, { name: "--mix", allowed: REQUEST_KINDS });
  return { put: weights.get("put") ?? 0, get: weights.get("get") ?? 0 };
}

function prefixOf(word: string | undefined, { environment }: CommandContext): Uint8Array {
  const prefix = scratchPrefix(word, { command: "bench", random: environment.random });
  if (textOfBytes(prefix) !== null) return prefix;
  throw new UsageError("--prefix must be UTF-8 here. Example: --prefix bench/mine/");
}

/** Interval at which the progress line is updated, with the figures of that interval. */
const PROGRESS_INTERVAL_MS = 500;
/** Deadline for removing the keys: a fixed time and a time for each key. */
const REMOVAL_TIMEOUT_MS = 30_000;
const REMOVAL_MS_OF_KEY = 1;

export const BENCH = defineCommand({
  name: "bench",
  otherNames: ["benchmark"],
  isLong: true,
  options: BENCH_OPTIONS,
  summary: "put load on the cluster and tell how fast it answers",
  details: [
    "Works under --prefix, where no key may be, and removes its keys at the end (--keep: leaves them). Where the mix has",
    "gets, every key is written once before. Without --rate each client sends its next request when the last one was",
    "answered; with it, requests fall due at that rate and a latency counts from when the request was due, so that time",
    "in which the cluster does not answer is not hidden. It reports when it is itself the limit. Ctrl-C ends it early and",
    "the report is still shown. Exit codes: 0 measured; 3 nothing was answered.",
  ],
  example: ["bench --clients 64 --mix put=100 --duration 10s"],
  async run(invocation, context): Promise<Answer> {
    const plan = benchPlanOf(invocation, context);
    const client = await context.client();
    await requireUnused(client, plan, context);
    const { measured, generator, end } = await work(plan, context);
    let keys: BenchReport["keys"] = "kept";
    if (!plan.keepsKeys) {
      context.showProgress("removing the keys …");
      const forMs = REMOVAL_TIMEOUT_MS + plan.load.keyCount * REMOVAL_MS_OF_KEY;
      keys = await removeKeys(client, plan.prefix, { context, forMs }) ? "removed" : "left";
    }
    return benchAnswer({ plan, measured, generator, end, keys });
  },
});

type Work = Pick<BenchReport, "measured" | "generator" | "end">;

async function work(plan: BenchPlan, context: CommandContext): Promise<Work> {
  const { environment } = context;
  const { clock, random } = environment;
  await using owner = new AsyncDisposableStack();
  context.showProgress(`connecting ${plan.connections} times …`);
  const clients = await connectAll(plan.connections, { context, owner });
  const options: GeneratorOptions = {
    load: plan.load,
    targets: clients.map((client) => targetOf(client, plan)),
    prefix: textOfBytes(plan.prefix) ?? "",
    clock,
    random,
    codeOf: (error) => {
      if (error instanceof KvraftError) return error.code;
      throw error;
    },
  };
  if (plan.load.mix.get > 0) {
    const { keyCount } = plan.load;
    await loadKeys(options, {
      signal: context.signal,
      onProgress: (keys) => {
        if (keys % 1_000 === 0) {
          context.showProgress(`writing the keys … ${withThousands(keys)} of ${withThousands(keyCount)}`);
        }
      },
    });
  }
  const recorder = new GeneratorCostRecorder({ clock, cpuMs: () => environment.cpuMs() });
  const { measured, end } = await watch(Generator.start(options), plan, context);
  return { measured, end, generator: recorder.stop() };
}

function targetOf(client: StoreClient, { consistency, timeoutMs }: BenchPlan): Target {
  const writing = { timeoutMs };
  const reading = { timeoutMs, consistency };
  return {
    put: (key, value) => client.put(key, value, writing),
    get: (key) => client.get(key, reading),
  };
}

async function watch(
  generator: Generator,
  { load }: BenchPlan,
  context: CommandContext,
): Promise<{ measured: Measured; end: BenchEnd }> {
  const { environment: { clock }, signal } = context;
  let end: BenchEnd = "duration";
  const endEarly = (): void => {
    end = "interrupted";
    generator.stop();
  };
  let shownAt = clock.now();
  const look = (): Timer =>
    clock.after(PROGRESS_INTERVAL_MS, () => {
      const now = clock.now();
      context.showProgress(progressText(generator, { now, sinceMs: now - shownAt, warmupMs: load.warmupMs }));
      generator.recent.clear();
      shownAt = now;
      timer = look();
    });
  let timer = look();
  signal?.addEventListener("abort", endEarly);
  if (signal?.aborted === true) endEarly();
  try {
    return { measured: await generator.finished, end };
  } finally {
    timer.cancel();
    signal?.removeEventListener("abort", endEarly);
  }
}

/** Returns `34 120/s, p50 1.7 ms, p99 6.1 ms, 0 errors; 6 s to go, Ctrl-C ends it now`. */
function progressText(
  { recent, failures, startedAt, endAt }: Generator,
  { now, sinceMs, warmupMs }: { readonly now: number; readonly sinceMs: number; readonly warmupMs: number },
): string {
  const figures = [
    `${withThousands(perSecond(recent.count, sinceMs))}/s`,
    `p50 ${duration(recent.percentileMs(0.5))}`,
    `p99 ${duration(recent.percentileMs(0.99))}`,
    `${withThousands(failures)} ${failures === 1 ? "error" : "errors"}`,
  ].join(", ");
  if (now >= endAt) return `${figures}; waiting for the last answers`;
  if (now < startedAt + warmupMs) return `${figures}; warming up`;
  return `${figures}; ${Math.ceil((endAt - now) / 1_000)} s to go, Ctrl-C ends it now`;
}
