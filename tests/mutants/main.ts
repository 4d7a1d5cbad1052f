/**
 * The command `deno task mutants`: inserts faults into a copy of the checkout and prints which check detects each.
 *
 *     (nothing)           every mutant
 *     --only M7,M9        these
 *     --sample N          a random sample; `--seed S` draws the same again
 *     --by NAME           runs only this check ("sim", "random", …), to see what it detects and how fast
 *     --list              prints them, one per line, and tries none
 *
 * Exit code 1 when a mutant survives (a gap in the tests), or can't be tried (its entry does not match the code).
 */
// deno-lint-ignore-file no-console -- this is a command
import { parseArgs } from "node:util";
import { SeededRandom } from "../support/seeded_random.ts";
import { MUTANTS } from "./all.ts";
import { ALL_CHECKS } from "./checks.ts";
import { Laboratory, LaboratoryError, type Verdict } from "./laboratory.ts";
import { type Mutant, StaleMutantError } from "./mutant.ts";

/** The selected mutants and the output function. */
export interface Trial {
  readonly mutants: readonly Mutant[];
  readonly print: (line: string) => void;
}

/** The mutant could not be tested. */
interface Untried {
  readonly kind: "untried";
  readonly reason: string;
}

if (import.meta.main) Deno.exit(await main(Deno.args));

async function main(args: string[]): Promise<number> {
  const { values: flags } = parseArgs({
    args,
    options: {
      list: { type: "boolean", default: false },
      only: { type: "string" },
      sample: { type: "string" },
      seed: { type: "string" },
      by: { type: "string" },
    },
  });
  if (flags.list) {
    for (const { id, title, file } of MUTANTS) console.log(`${id.padEnd(4)} ${title} (${file})`);
    return 0;
  }
  let mutants = flags.only === undefined ? MUTANTS : named(flags.only.split(","));
  if (flags.sample !== undefined) {
    const seed = Number(flags.seed ?? Math.floor(Math.random() * 1e9));
    console.log(`drawn with --seed ${seed}`);
    mutants = sample(mutants, Number(flags.sample), new SeededRandom(seed));
  }
  if (flags.by !== undefined) {
    const check = ALL_CHECKS.find(({ name }) => name === flags.by);
    if (check === undefined) {
      throw new RangeError(
        `There is no check "${flags.by}": ${ALL_CHECKS.map(({ name }) => name).join(", ")}`,
      );
    }
    mutants = mutants.map((mutant) => ({ ...mutant, checks: [check] }));
  }
  return await tryAll({ mutants, print: (line) => console.log(line) });
}

/** Tries the mutants one after the other and prints a line for each; returns the exit code. */
export async function tryAll({ mutants, print }: Trial): Promise<number> {
  await using laboratory = await Laboratory.make();
  const problems: string[] = [];
  let caught = 0;
  for (const mutant of mutants) {
    const { id, title, file, failure } = mutant;
    const verdict = await tryOne(laboratory, mutant);
    if (verdict.kind === "caught") caught += 1;
    if (verdict.kind === "survived") {
      problems.push(`${id} in ${file} survived: the tests would not notice that ${failure}`);
    }
    if (verdict.kind === "untried") problems.push(verdict.reason);
    print(`${id.padEnd(4)} ${textOf(verdict).padEnd(24)} ${title}`);
  }
  print(`${mutants.length} mutants, ${caught} caught, ${mutants.length - caught} not`);
  for (const problem of problems) print(problem);
  return problems.length === 0 ? 0 : 1;
}

/** Tries one mutant; an error does not end the others. */
async function tryOne(laboratory: Laboratory, mutant: Mutant): Promise<Verdict | Untried> {
  try {
    return await laboratory.try(mutant, mutant.checks);
  } catch (error) {
    if (!(error instanceof StaleMutantError || error instanceof LaboratoryError)) throw error;
    return { kind: "untried", reason: error.message };
  }
}

function textOf(verdict: Verdict | Untried): string {
  if (verdict.kind === "untried") return "NOT TRIED";
  const seconds = `${verdict.seconds.toFixed(1)} s`;
  if (verdict.kind === "survived") return `SURVIVED ${seconds.padStart(9)}`;
  return `${verdict.by.name}${verdict.how === "hung" ? " (hung)" : ""}`.padEnd(14) + seconds.padStart(8);
}

function named(ids: readonly string[]): readonly Mutant[] {
  return ids.map((id) => {
    const mutant = MUTANTS.find((candidate) => candidate.id === id);
    if (mutant === undefined) throw new RangeError(`There is no mutant ${id}; see --list`);
    return mutant;
  });
}

/** Returns a random sample, in the original order. */
function sample(mutants: readonly Mutant[], count: number, random: SeededRandom): readonly Mutant[] {
  const left = [...mutants];
  while (left.length > Math.max(0, count)) left.splice(random.below(left.length), 1);
  return left;
}
