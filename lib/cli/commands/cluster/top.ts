/** The command `top`. */
import { KvraftError } from "../../../client/errors.ts";
import { reasonWithin } from "../../../client/retry.ts";
import type { MemberReport } from "../../../protocol/diagnostics/report.ts";
import { pause } from "../../../platform/promise.ts";
import { integerOption, type OptionSpec } from "../../arguments.ts";
import { type Answer, answer, type CommandContext, defineCommand, type StoreClient } from "../../command.ts";
import { Screen } from "../../shell/screen.ts";
import { dim, escapeText } from "../../text.ts";
import { clusterLine, eventLines, findingLines, nodeTable, type Sample, SORTS, topRows } from "./top_view.ts";

/** Deadline of one question to the cluster: a member that does not answer takes a second. */
const ASK_TIMEOUT_MS = 3_000;
const DEFAULT_INTERVAL_MS = 1_000;
const MIN_INTERVAL_MS = 200;
const MAX_INTERVAL_MS = 60_000;
/** Events below the table where the height is not known. */
const EVENTS_IN_TEXT = 10;

const OPTIONS: readonly OptionSpec[] = [
  { name: "once", placeholder: null, help: "print one table and end, as without a terminal" },
  { name: "interval-ms", placeholder: "<ms>", help: "time between two questions (1000)" },
];

export const TOP = defineCommand({
  name: "top",
  otherNames: ["htop", "dashboard", "monitor-nodes"],
  isLong: true,
  options: OPTIONS,
  summary: "the nodes live: load, latencies, lag, memory, and the newest events",
  details: [
    "One line for each node; latencies are of the last 5 to 10 s, lag is in entries of the log, rates are of the time between",
    "two questions. s and the arrow keys choose the column by which nodes are sorted, q and Ctrl-C end it. Any node that",
    "answers is asked about all members, so it works without a leader. Without a terminal, in the shell, with --once and",
    "with --output json it prints the figures once, after one interval. A line names what doctor finds in these reports.",
  ],
  example: [
    "top --once",
    "3 of 3 nodes answer, leader n2, term 4, revision 1205, 310 keys",
    "node*  role      term  lag  read/s  write/s  w p50   w p99   sync p99",
    "n1     follower  4     0    12      0.0      -       -       1.9 ms",
  ],
  async run(invocation, context): Promise<Answer> {
    const range = { fallback: DEFAULT_INTERVAL_MS, min: MIN_INTERVAL_MS, max: MAX_INTERVAL_MS };
    const intervalMs = integerOption(invocation.options, "interval-ms", range);
    const client = await context.client();
    const { terminal } = context;
    if (terminal === null || invocation.options.has("once")) return await once(client, intervalMs, context);
    await new LiveTop(client, { intervalMs, context }).run();
    return answer({ text: () => ({ output: "", note: "" }), json: () => null });
  },
});

/** Answers with the figures of one interval. */
async function once(client: StoreClient, intervalMs: number, context: CommandContext): Promise<Answer> {
  const signal = context.signal ?? new AbortController().signal;
  const before = await ask(client, signal);
  await pause(intervalMs, { clock: context.environment.clock, signal });
  const sample = { members: await ask(client, signal), before };
  return answer({
    text: (view) => {
      const events = eventLines(sample, view).slice(0, EVENTS_IN_TEXT);
      return {
        output: lines([clusterLine(sample), ...findingLines(sample), ...nodeTable(sample, 0), ...events]),
        note: "",
      };
    },
    json: () => ({ nodes: topRows(sample), members: sample.members }),
  });
}

function lines(all: readonly string[]): string {
  return all.map((line) => `${line}\n`).join("");
}

async function ask(client: StoreClient, signal: AbortSignal): Promise<readonly MemberReport[]> {
  return await client.cluster.describe({ timeoutMs: ASK_TIMEOUT_MS, signal });
}

/** The live table on the whole terminal, until a key or a signal ends it. */
class LiveTop {
  readonly #client: StoreClient;
  readonly #intervalMs: number;
  readonly #context: CommandContext;
  readonly #ended = new AbortController();
  #sample: Sample | null = null;
  /** Why the last question was not answered; null if it was. */
  #problem: string | null = null;
  #sort = 0;

  constructor(
    client: StoreClient,
    { intervalMs, context }: { readonly intervalMs: number; readonly context: CommandContext },
  ) {
    this.#client = client;
    this.#intervalMs = intervalMs;
    this.#context = context;
  }

  /** Resolves when it has ended. */
  async run(): Promise<void> {
    const { terminal, signal, environment: { clock } } = this.#context;
    if (terminal === null) return;
    const end = (): void => this.#ended.abort();
    signal?.addEventListener("abort", end);
    using screen = new Screen(terminal.open(), {
      onKey: (key) => {
        if (key === "quit") return end();
        this.#sort = (this.#sort + (key === "next" ? 1 : SORTS.length - 1)) % SORTS.length;
        this.#draw(screen);
      },
      onResize: () => this.#draw(screen),
    });
    while (!this.#ended.signal.aborted) {
      await this.#look();
      if (this.#ended.signal.aborted) break;
      this.#draw(screen);
      await pause(this.#intervalMs, { clock, signal: this.#ended.signal });
    }
    signal?.removeEventListener("abort", end);
  }

  /** Asks the cluster; what was known stays where it does not answer. */
  async #look(): Promise<void> {
    try {
      const members = await ask(this.#client, this.#ended.signal);
      this.#sample = { members, before: this.#sample?.members ?? null };
      this.#problem = null;
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      this.#problem = reasonWithin(error.message);
    }
  }

  #draw(screen: Screen): void {
    const view = { color: this.#context.terminal?.color ?? false };
    const footer = dim(`q: end   s, ← →: sorted by ${SORTS[this.#sort]}`, view);
    const { rows } = screen.size;
    const top = this.#sample === null ? ["no node has answered yet"] : [
      clusterLine(this.#sample),
      ...findingLines(this.#sample),
      "",
      ...nodeTable(this.#sample, this.#sort),
    ];
    const problem = this.#problem === null
      ? []
      : [`no answer; the figures are old: ${escapeText(this.#problem)}`];
    const events = this.#sample === null ? [] : eventLines(this.#sample, view);
    const left = Math.max(0, rows - top.length - problem.length - 2);
    const body = [...top, ...problem, "", ...events.slice(0, left)].slice(0, rows - 1);
    const blank = Array.from({ length: Math.max(0, rows - 1 - body.length) }, () => "");
    screen.draw([...body, ...blank, footer]);
  }
}
