/** Compares the outcomes of the same programs on two servers, and shortens a program whose outcomes differ. */
import type { Driver } from "../../support/etcd/driver.ts";
import { exceptionOf } from "./exceptions.ts";
import { programOf } from "./generator.ts";
import { outcomesOf } from "./runner.ts";
import { type Program, stepText } from "./step.ts";

const IDLE_MS = 260;
/** A program whose outcomes differ runs again, with more time for what comes late. */
const PATIENT_IDLE_MS = 2_000;

/** Two servers, the first one of which is etcd. */
export interface Pair {
  readonly etcd: Driver;
  readonly kvraft: Driver;
}

/** A program whose outcomes differ. */
export interface Difference {
  readonly seed: number;
  readonly program: Program;
  /** Position of the first step, or after those of the first stream, whose outcomes differ. */
  readonly step: number;
  readonly outcomes: readonly [etcd: string, kvraft: string];
}

/** The results of one program. */
export interface Comparison {
  readonly difference: Difference | null;
  /** Requests of the program. */
  readonly requests: number;
  /** Names of the exceptions that applied, with repetitions. */
  readonly exceptions: readonly string[];
}

/** Compares the two on the program of a seed. */
export async function compare(pair: Pair, seed: number): Promise<Comparison> {
  const program = programOf(seed);
  const first = await compareOnce(pair, { seed, program, idleMs: IDLE_MS });
  return first.difference === null
    ? first
    : await compareOnce(pair, { seed, program, idleMs: PATIENT_IDLE_MS });
}

async function compareOnce(
  { etcd, kvraft }: Pair,
  { seed, program, idleMs }: { readonly seed: number; readonly program: Program; readonly idleMs: number },
): Promise<Comparison> {
  const [left, right] = await Promise.all(
    [etcd, kvraft].map((driver) => outcomesOf(driver, program, { seed, idleMs })),
  );
  const exceptions: string[] = [];
  let difference: Difference | null = null;
  for (const [step, expected] of (left ?? []).entries()) {
    const outcome = right?.[step] ?? "none";
    if (expected === outcome) continue;
    const exception = exceptionOf({ step: program[step] ?? null, etcd: expected, kvraft: outcome });
    if (exception === null) difference ??= { seed, program, step, outcomes: [expected, outcome] };
    else exceptions.push(exception.name);
  }
  return { difference, requests: program.length, exceptions };
}

/** Leaves out the steps that the difference does not need. */
export async function shortened(pair: Pair, difference: Difference): Promise<Difference> {
  let least = difference;
  const { seed } = difference;
  for (let position = difference.program.length - 1; position >= 0; position--) {
    const program = least.program.filter((_, at) => at !== position);
    const { difference: smaller } = await compareOnce(pair, { seed, program, idleMs: IDLE_MS });
    if (smaller !== null) least = smaller;
  }
  return least;
}

/** Returns a difference for a person, with the steps before it. */
export function differenceText({ seed, program, step, outcomes: [etcd, kvraft] }: Difference): string {
  const steps = program.slice(0, step + 1).map((one, at) => `  ${at}: ${stepText(one)}`);
  return [`program ${seed} differs at step ${step}:`, ...steps, `  etcd: ${etcd}`, `  kvraft: ${kvraft}`]
    .join("\n");
}
