/**
 * The command `check`: clients work on the cluster under keys of their own, whatever happens to it meanwhile, and
 * then it is judged whether all that they were told fits a linearizable store.
 */
import { check, CHECK_LIMITS, type Verdict } from "../lincheck/mod.ts";
import type { Timer } from "../platform/clock.ts";
import { figuresOf, textOfBytes, Workload } from "../loadgen/mod.ts";
import type { Answer } from "./answer.ts";
import { explanationOf } from "./check_explanation.ts";
import { writeCheckFiles } from "./check_files.ts";
import { CHECK_OPTIONS, type CheckPlan, checkPlanOf } from "./check_options.ts";
import { type CheckEnd, type CheckReport, type CheckVerdict, workText } from "./check_report.ts";
import type { Command, CommandContext } from "./command.ts";
import { connectAll, removeKeys, requireUnused } from "./own_keys.ts";
import { withThousands } from "./units.ts";

/** How often the line on the terminal is brought up to date. */
const PROGRESS_INTERVAL_MS = 200;
/** Without a successful write for so long, the line says so. */
const QUIET_MS = 1_000;
/** How long the removal of the keys may take. */
const CLEARING_TIMEOUT_MS = 5_000;

/** Checks that the cluster is linearizable while its user makes life hard for it. */
export const CHECK: Command = {
  name: "check",
  aliases: [],
  isLong: true,
  arguments: [],
  options: CHECK_OPTIONS,
  summary: "work on the cluster for a while and judge whether it is linearizable",
  details: [
    "Kill nodes, pause them, pull cables meanwhile: operations that fail are part of what is judged, and --timeout-ms",
    "(2000 here) is the deadline of each. Works under --prefix, where no key may be, and removes its keys at the end.",
    "Ends after --duration, or with Ctrl-C; the verdict comes either way. Exit codes: 0 linearizable; 1 not: the history",
    "and a page that shows where it breaks are written; 3 nothing could be done; 4 undecided, since the search for an",
    "order became too long.",
  ],
  example: ["check --duration 30s", "LINEARIZABLE: an order of the operations explains every answer."],
  async run(call, context): Promise<Answer> {
    const plan = checkPlanOf(call, context);
    const client = await context.client();
    // Keys that the history does not know of would be taken for a fault of the store.
    await requireUnused(client, plan, context);
    const { workload, end, endedAt } = await work(plan, context);
    context.showProgress("removing the keys …");
    const isCleared = await removeKeys(client, plan.prefix, { context, forMs: CLEARING_TIMEOUT_MS });
    const { history, startedAt, errors } = workload;
    context.showProgress(`judging ${withThousands(history.length)} operations …`);
    const { clients, keys, seed, prefix } = plan;
    const report: CheckReport = {
      verdict: judge(workload, plan, context),
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
    return { kind: "check", report };
  },
};

/** Lets the clients work until the time is over, somebody ends it, or the history is full. */
async function work(
  plan: CheckPlan,
  context: CommandContext,
): Promise<{ workload: Workload; end: CheckEnd; endedAt: number }> {
  const { clock } = context.system;
  await using clients = new AsyncDisposableStack();
  const connected = await connectAll(plan.clients, { context, owner: clients });
  const workload = Workload.start({
    ...plan,
    clients: connected,
    prefix: textOfBytes(plan.prefix),
    clock,
  });
  const end = await watch(workload, plan, context);
  return { workload, end, endedAt: clock.now() };
}

async function watch(workload: Workload, plan: CheckPlan, context: CommandContext): Promise<CheckEnd> {
  const { clock } = context.system;
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

/** `12 431 operations, 1 243/s, 3 errors; last write 0.1 s ago; 6 s to go, Ctrl-C ends it now`. */
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

function judge(workload: Workload, plan: CheckPlan, { system }: CommandContext): CheckVerdict {
  const { history, startedAt } = workload;
  if (!history.some(({ outcome }) => outcome.kind === "answered")) return { kind: "nothingAnswered" };
  const verdict: Verdict = check(history, { ...CHECK_LIMITS, now: () => system.clock.now() });
  switch (verdict.kind) {
    case "linearizable":
      return { kind: "linearizable", presumed: verdict.presumed.length };
    case "undecided":
      return { kind: "undecided", reason: verdict.reason, operations: verdict.operations.length };
    case "violation": {
      const { report } = plan;
      const about = `kvraft client check: ${withThousands(history.length)} operations, ${workText(plan)}. ` +
        `The whole history is in ${report}.`;
      const files = writeCheckFiles(verdict, { history, startedAt, about, report, system });
      return { kind: "violation", explanation: explanationOf(verdict, { history, startedAt }), ...files };
    }
  }
}
