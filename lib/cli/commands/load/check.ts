/**
 * The command `check`: clients work on the cluster under a scratch prefix while nodes may fail. Then it decides whether
 * every answer they received fits a linearizable store and, with `--mix watch`, whether watchers saw every change.
 */
import {
  checkAnswer,
  type CheckEnd,
  type CheckReport,
  type CheckVerdict,
  explanationOf,
  KIND_NAMES,
  workText,
  writeCheckFiles,
} from "./check_report.ts";
import { DEFAULT_WATCHERS, MAX_WATCHERS, startWatched, WATCH_WORD, watchReportOf } from "./check_watches.ts";
import { connectAll, removeKeys, requireUnused, scratchPrefix } from "./scratch_prefix.ts";
import {
  check,
  CHECK_LIMITS,
  checkWatches,
  findingText,
  greatestClient,
  type History,
  type Verdict,
  violationPage,
  watchViolationPage,
} from "../../../lincheck/mod.ts";
import {
  DEFAULT_MIX,
  figuresOf,
  MAX_KEYS,
  MAX_SEED,
  type Mix,
  OPERATION_KINDS,
  type OperationKind,
  textOfBytes,
  type WatchedWorkload,
  Workload,
} from "../../../loadgen/mod.ts";
import { assertNever } from "../../../platform/assert.ts";
import type { Timer } from "../../../platform/clock.ts";
import { integerOption, type OptionSpec, weightsOfText } from "../../arguments.ts";
import { type Answer, type CommandContext, defineCommand, type Invocation } from "../../command.ts";
import { durationOfText, timeoutOf } from "../../options.ts";
import { UsageError } from "../../errors.ts";
import { withThousands } from "../../text.ts";

/** Most clients: each has its own connection. */
const MAX_CLIENTS = 64;
const DEFAULT_TIMEOUT_MS = 2_000;
const DEFAULT_REPORT = "data/check.json";

const CHECK_OPTIONS: readonly OptionSpec[] = [
  { name: "duration", placeholder: "<time>", help: "how long the clients work: 500ms, 10s, 5m (10s)" },
  { name: "clients", placeholder: "<n>", help: "clients, one operation at a time each (8)" },
  { name: "keys", placeholder: "<n>", help: "keys they meet on; fewer means more conflicts (16)" },
  { name: "mix", placeholder: "<kind=n,…>", help: `what they do how often (${mixAsText(DEFAULT_MIX)})` },
  {
    name: "watchers",
    placeholder: "<n>",
    help: `watchers, with ${WATCH_WORD} in the mix (${DEFAULT_WATCHERS})`,
  },
  { name: "seed", placeholder: "<n>", help: "decides what each client does (random)" },
  { name: "prefix", placeholder: "<prefix>", help: "of the keys, which must be unused (check/<random>/)" },
  {
    name: "report",
    placeholder: "<path>",
    help: `where a bad history is written, a page beside it (${DEFAULT_REPORT})`,
  },
];

/** The options of a run. */
interface CheckPlan {
  readonly durationMs: number;
  readonly clients: number;
  readonly keys: number;
  readonly mix: Mix;
  /** Number of watchers; 0 unless the mix names them. */
  readonly watchers: number;
  readonly seed: number;
  readonly prefix: Uint8Array;
  readonly report: string;
  /** Deadline of each operation. */
  readonly timeoutMs: number;
}

/** Returns the plan of a run. Throws {@link UsageError}. */
function checkPlanOf({ options }: Invocation, { environment, timeoutMs }: CommandContext): CheckPlan {
  const words = (options.get("mix") ?? "").split(",");
  const weights = words.filter((word) => word !== WATCH_WORD && word !== "");
  return {
    durationMs: durationOfText(options.get("duration") ?? "10s", { name: "--duration", minMs: 1 }),
    clients: integerOption(options, "clients", { fallback: 8, max: MAX_CLIENTS }),
    keys: integerOption(options, "keys", { fallback: 16, max: MAX_KEYS }),
    mix: weights.length === 0 ? DEFAULT_MIX : mixOf(weights.join(",")),
    watchers: watchersOf(options, words.includes(WATCH_WORD)),
    seed: integerOption(options, "seed", {
      fallback: Math.floor(environment.random() * (MAX_SEED + 1)),
      min: 0,
      max: MAX_SEED,
    }),
    prefix: scratchPrefix(options.get("prefix"), { command: "check", random: environment.random }),
    report: reportOf(options.get("report") ?? DEFAULT_REPORT, environment),
    timeoutMs: timeoutOf(options) ?? timeoutMs ?? DEFAULT_TIMEOUT_MS,
  };
}

/** Returns the number of watchers. Throws {@link UsageError}. */
function watchersOf(options: ReadonlyMap<string, string>, isWatched: boolean): number {
  const watchers = integerOption(options, "watchers", { fallback: DEFAULT_WATCHERS, max: MAX_WATCHERS });
  if (!isWatched && options.has("watchers")) {
    throw new UsageError(
      `--watchers: there are none without ${WATCH_WORD} in --mix. Example: --mix ${WATCH_WORD}`,
    );
  }
  return isWatched ? watchers : 0;
}

function mixOf(text: string): Mix {
  const weights = weightsOfText(text, { name: "--mix", allowed: Object.values(KIND_NAMES) });
  const weightOf = (kind: OperationKind): number => weights.get(KIND_NAMES[kind]) ?? 0;
  return {
    put: weightOf("put"),
    get: weightOf("get"),
    delete: weightOf("delete"),
    compareAndSet: weightOf("compareAndSet"),
    transaction: weightOf("transaction"),
    branchingTransaction: weightOf("branchingTransaction"),
    list: weightOf("list"),
  };
}

function mixAsText(mix: Mix): string {
  return OPERATION_KINDS.map((kind) => `${KIND_NAMES[kind]}=${mix[kind]}`).join(",");
}

function reportOf(path: string, environment: CommandContext["environment"]): string {
  if (environment.mayWrite(path)) return path;
  throw new UsageError(
    `--report: cannot write ${path}: the permissions that this program was compiled or started with exclude it. ` +
      "Example: --report data/check.json",
  );
}

/** Interval at which the progress line is updated. */
const PROGRESS_INTERVAL_MS = 200;
/** The progress line reports a time without a successful write if it is at least this long. */
const QUIET_MS = 1_000;
/** Deadline for removing the keys. */
const CLEARING_TIMEOUT_MS = 5_000;

export const CHECK = defineCommand({
  name: "check",
  otherNames: ["verify"],
  isLong: true,
  options: CHECK_OPTIONS,
  summary: "run clients on the cluster and check whether it is linearizable",
  details: [
    "Kill nodes, pause them, pull cables meanwhile: failed operations are part of the history, and --timeout-ms",
    "(2000 here) is the deadline of each. Works under --prefix, which no key may have, and removes its keys at the end.",
    "In the mix, transaction has checks and mutations, branches has then and else; a tenth of the gets and lists are as",
    "of a past revision. Nothing is compacted. With watch in the mix (--mix watch, or watch,put=1,…), watchers see all",
    "changes meanwhile, and some keys are attached to leases; what they see is checked together with the answers.",
    "Ends after --duration, or with Ctrl-C; the verdict comes either way. Exit codes: 0 linearizable; 1 not: the history",
    "and a page that shows where it breaks are written; 3 nothing could be done; 4 undecided, since the search for an",
    "order became too long.",
  ],
  example: ["check --duration 30s", "LINEARIZABLE: an order of the operations explains every answer."],
  async run(invocation, context): Promise<Answer> {
    const plan = checkPlanOf(invocation, context);
    const client = await context.client();
    // Keys that are not in the history would look like a bug of the store.
    await requireUnused(client, plan, context);
    const worked = await work(plan, context);
    context.showProgress("removing the keys …");
    const isCleared = await removeKeys(client, plan.prefix, { context, forMs: CLEARING_TIMEOUT_MS });
    const { workload, end, endedAt } = worked;
    const { history, startedAt, errors } = workload;
    context.showProgress(`checking ${withThousands(history.length)} operations …`);
    const { clients, keys, seed, prefix } = plan;
    const report: CheckReport = {
      ...verdictOf(worked, plan, context),
      end,
      ranMs: endedAt - startedAt,
      clients,
      keys,
      seed,
      prefix,
      figures: figuresOf(history, { startedAt, endedAt }),
      errors,
      isCleared,
    };
    return checkAnswer(report);
  },
});

/** A run that has come to its end. */
interface Worked {
  readonly workload: Workload;
  /** The same workload with its watchers; null without any. */
  readonly watched: WatchedWorkload | null;
  readonly end: CheckEnd;
  /** When the last operation ended. */
  readonly endedAt: number;
}

/** Runs the clients until the time is over, the user ends it, or the history is full. */
async function work(plan: CheckPlan, context: CommandContext): Promise<Worked> {
  const { clock } = context.environment;
  await using clients = new AsyncDisposableStack();
  const connected = await connectAll(plan.clients, { context, owner: clients });
  const options = { ...plan, clients: connected, prefix: textOfBytes(plan.prefix), clock };
  const { watchers } = plan;
  if (watchers === 0) {
    const workload = Workload.start(options);
    const end = await follow(workload, plan, context);
    return { workload, watched: null, end, endedAt: clock.now() };
  }
  context.showProgress("starting the watchers …");
  const watched = await startWatched(options, { watchers, client: await context.client(), context });
  const { workload } = watched;
  try {
    const end = await follow(workload, plan, context);
    const endedAt = clock.now();
    context.showProgress("waiting for the watchers …");
    return { workload, watched, end, endedAt };
  } finally {
    await watched.finish();
  }
}

/** Follows a workload to its end. */
async function follow(workload: Workload, plan: CheckPlan, context: CommandContext): Promise<CheckEnd> {
  const { clock } = context.environment;
  const until = workload.startedAt + plan.durationMs;
  let end: CheckEnd | null = null;
  const endEarly = (): void => {
    end ??= "interrupted";
    workload.abort();
  };
  let timer: Timer;
  const look = (): void => {
    const now = clock.now();
    if (now >= until) {
      end ??= "duration";
      workload.stop();
    }
    context.showProgress(progressText(workload, { now, until }));
    timer = clock.after(Math.max(1, Math.min(PROGRESS_INTERVAL_MS, until - now)), look);
  };
  timer = clock.after(0, look);
  context.signal?.addEventListener("abort", endEarly);
  if (context.signal?.aborted === true) endEarly();
  try {
    await workload.finished;
  } finally {
    timer.cancel();
    context.signal?.removeEventListener("abort", endEarly);
  }
  return end ?? "full";
}

/** Returns `12 431 operations, 1 243/s, 3 errors; last write 0.1 s ago; 6 s to go, Ctrl-C ends it now`. */
function progressText(workload: Workload, { now, until }: { now: number; until: number }): string {
  const { history, errors, startedAt, lastWriteAt } = workload;
  const failed = [...errors.values()].reduce((sum, count) => sum + count, 0);
  const perSecond = now === startedAt ? 0 : history.length / (now - startedAt) * 1_000;
  const quietMs = now - lastWriteAt;
  const parts = [
    `${withThousands(history.length)} operations, ${withThousands(perSecond)}/s, ${
      withThousands(failed)
    } errors`,
    ...(quietMs < QUIET_MS ? [] : [`no write succeeds since ${(quietMs / 1_000).toFixed(1)} s`]),
    now < until
      ? `${Math.ceil((until - now) / 1_000)} s to go, Ctrl-C ends it now`
      : "waiting for the last answers",
  ];
  return parts.join("; ");
}

/** Returns the verdict on a run, and what its watchers saw. */
function verdictOf(
  { workload, watched }: Worked,
  plan: CheckPlan,
  context: CommandContext,
): Pick<CheckReport, "verdict" | "watching"> {
  const { history } = workload;
  if (!history.some(({ outcome }) => outcome.kind === "answered")) {
    return { verdict: { kind: "nothingAnswered" }, watching: null };
  }
  if (watched === null) {
    return { verdict: historyVerdict(history, { workload, watched, plan, context }), watching: null };
  }
  const { run } = watched;
  if (run.watches.every(({ notices }) => notices.length === 0)) {
    return { verdict: { kind: "nothingWatched" }, watching: null };
  }
  const verdict = checkWatches(run);
  if (verdict.kind === "consistent") {
    return {
      verdict: historyVerdict(verdict.history, { workload, watched, plan, context }),
      watching: watchReportOf(verdict.figures, { watched, watchers: plan.watchers }),
    };
  }
  const { startedAt } = workload;
  const files = writeCheckFiles({
    report: plan.report,
    document: { verdict, run },
    page: () =>
      watchViolationPage(run, verdict, { startedAt, about: aboutText({ workload, watched }, plan) }),
    environment: context.environment,
  });
  const explanations = verdict.findings.map((finding) => findingText(finding, { run, startedAt }));
  return {
    verdict: { kind: "watchViolation", explanations, total: verdict.total, ...files },
    watching: null,
  };
}

/** Returns whether a history is linearizable; with watchers, it has what they saw. */
function historyVerdict(
  history: History,
  { workload, watched, plan, context: { environment } }: Pick<Worked, "workload" | "watched"> & {
    readonly plan: CheckPlan;
    readonly context: CommandContext;
  },
): CheckVerdict {
  const { startedAt } = workload;
  const verdict: Verdict = check(history, { ...CHECK_LIMITS, now: () => environment.clock.now() });
  switch (verdict.kind) {
    case "linearizable":
      return { kind: "linearizable", presumed: verdict.presumed.length };
    case "undecided":
      return { kind: "undecided", reason: verdict.reason, operations: verdict.operations.length };
    case "violation": {
      const files = writeCheckFiles({
        report: plan.report,
        document: { verdict, history },
        page: () =>
          violationPage(history, verdict, { startedAt, about: aboutText({ workload, watched }, plan) }),
        environment,
      });
      return { kind: "violation", explanation: explanationOf(verdict, { history, startedAt }), ...files };
    }
    default:
      return assertNever(verdict);
  }
}

function aboutText({ workload, watched }: Pick<Worked, "workload" | "watched">, plan: CheckPlan): string {
  return `kvraft client check: ${withThousands(workload.history.length)} operations, ${workText(plan)}. ` +
    `The whole history is in ${plan.report}.` +
    (watched === null
      ? ""
      : ` Clients above ${
        greatestClient(watched.run.history)
      } are watches; the last one stands for the ends of leases.`);
}
