/** Runs generators, each in a process of its own, and adds up what they tell. */
import { type GeneratorLoad, LatencyHistogram, type RequestKind } from "../../lib/bench/mod.ts";
import { denoCommand } from "../support/process.ts";
import type { Assignment, GeneratorAnswer } from "./generator_main.ts";

/** What several generators that worked at the same time did together. */
export interface Combined {
  /** Requests that were answered a second. */
  readonly throughput: number;
  readonly latency: Readonly<Record<RequestKind, LatencyHistogram>>;
  /** Of both kinds. */
  readonly all: LatencyHistogram;
  readonly errors: Readonly<Record<string, number>>;
  readonly sent: number;
  /** Requests that fell due and were never sent. */
  readonly unsent: number;
  /** Of the busiest. */
  readonly generator: GeneratorLoad;
}

/** Runs one generator to its end. */
export async function generate(assignment: Assignment): Promise<GeneratorAnswer> {
  const [program, ...args] = denoCommand("tests/bench/generator_main.ts", {
    permissions: ["--allow-all"],
    args: [JSON.stringify(assignment)],
  });
  const { success, stdout, stderr } = await new Deno.Command(program, { args }).output();
  if (success) return JSON.parse(new TextDecoder().decode(stdout));
  throw new Error(`The generator for ${assignment.peer} failed:\n${new TextDecoder().decode(stderr)}`);
}

/** Adds up. */
export function combine(answers: readonly GeneratorAnswer[]): Combined {
  const all = new LatencyHistogram();
  const latency = { put: new LatencyHistogram(), get: new LatencyHistogram() };
  const errors: Record<string, number> = {};
  let [throughput, sent, unsent] = [0, 0, 0];
  for (const answer of answers) {
    const own = { put: LatencyHistogram.from(answer.latency.put), get: LatencyHistogram.from(answer.latency.get) };
    throughput += (own.put.count + own.get.count) / answer.elapsedMs * 1_000;
    sent += answer.sent;
    unsent += answer.unsent;
    for (const kind of ["put", "get"] as const) {
      latency[kind].merge(own[kind]);
      all.merge(own[kind]);
    }
    for (const [code, count] of Object.entries(answer.errors)) errors[code] = (errors[code] ?? 0) + count;
  }
  const greatest = (of: (load: GeneratorLoad) => number): number =>
    Math.max(...answers.map(({ generator }) => of(generator)));
  const generator = {
    cpuShare: greatest(({ cpuShare }) => cpuShare),
    lagP99Ms: greatest(({ lagP99Ms }) => lagP99Ms),
    lagMaxMs: greatest(({ lagMaxMs }) => lagMaxMs),
  };
  return { throughput, latency, all, errors, sent, unsent, generator };
}
