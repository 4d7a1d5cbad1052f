/** The command `bench`: puts load on the cluster under keys of its own, and tells how fast it answered. */
import {
  Generator,
  type GeneratorOptions,
  loadKeys,
  LoadMeter,
  type Measured,
  type Target,
} from "../loadgen/mod.ts";
import { KvraftError } from "../client/errors.ts";
import type { Timer } from "../platform/clock.ts";
import type { Answer } from "./answer.ts";
import { BENCH_OPTIONS, type BenchPlan, benchPlanOf } from "./bench_options.ts";
import type { BenchEnd, BenchReport } from "./bench_report.ts";
import type { Command, CommandContext } from "./command.ts";
import { connectAll, removeKeys, requireUnused } from "./own_keys.ts";
import type { StoreClient } from "./store_client.ts";
import { duration, perSecond, withThousands } from "./units.ts";
import { textOfBytes } from "./words.ts";

/** How often the line on the terminal is brought up to date, with the figures since the last time. */
const PROGRESS_INTERVAL_MS = 500;
/** How long the removal of the keys may take: beside a fixed time, this for each key. */
const REMOVAL_TIMEOUT_MS = 30_000;
const REMOVAL_MS_OF_KEY = 1;

/** Measures how fast the cluster is. */
export const BENCH: Command = {
  name: "bench",
  aliases: [],
  isLong: true,
  arguments: [],
  options: BENCH_OPTIONS,
  summary: "put load on the cluster and tell how fast it answers",
  details: [
    "Works under --prefix, where no key may be, and removes its keys at the end (--keep: leaves them). Where the mix has",
    "gets, every key is written once before. Without --rate each client sends its next request when the last one was",
    "answered; with it, requests fall due at that rate and a latency counts from when the request was due, so that time",
    "in which the cluster stands still is not hidden. It says so when it is itself the bound. Ctrl-C ends it early and",
    "the report comes all the same. Exit codes: 0 measured; 3 nothing was answered.",
  ],
  example: ["bench --clients 64 --mix put=100 --duration 10s"],
  async run(call, context): Promise<Answer> {
    const plan = benchPlanOf(call, context);
    const client = await context.client();
    await requireUnused(client, plan, context);
    const { measured, generator, end } = await work(plan, context);
    let keys: BenchReport["keys"] = "kept";
    if (!plan.keepsKeys) {
      context.showProgress("removing the keys …");
      const forMs = REMOVAL_TIMEOUT_MS + plan.load.keyCount * REMOVAL_MS_OF_KEY;
      keys = await removeKeys(client, plan.prefix, { context, forMs }) ? "removed" : "left";
    }
    return { kind: "bench", report: { plan, measured, generator, end, keys } };
  },
};

type Work = Pick<BenchReport, "measured" | "generator" | "end">;

async function work(plan: BenchPlan, context: CommandContext): Promise<Work> {
  const { system } = context;
  const { clock, random } = system;
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
  const meter = new LoadMeter({ clock, cpuMs: () => system.cpuMs() });
  const { measured, end } = await watch(Generator.start(options), plan, context);
  return { measured, end, generator: meter.stop() };
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
  const { system: { clock }, signal } = context;
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

/** `34 120/s, p50 1.7 ms, p99 6.1 ms, 0 errors; 6 s to go, Ctrl-C ends it now`. */
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
