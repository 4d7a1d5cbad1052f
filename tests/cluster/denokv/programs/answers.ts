/** The processes that run random programs. */
import { DEADLINE_MS } from "../../../support/eventually.ts";
import { CHECKOUT } from "../../../support/checkout.ts";
import { CLIENT_ENVIRONMENT } from "../../../support/denokv/server.ts";
import { denoCommand, Process } from "../../../support/processes/process.ts";
import type { Answer, Assignment } from "./programs_main.ts";

const MAIN = "tests/cluster/denokv/programs/programs_main.ts";
/** A busy machine runs some ten programs a second. */
const MS_PER_PROGRAM = 1_000;

/** Runs programs with the stock client of this Deno; returns the outcomes of each by its seed. */
export async function answersOf(assignment: Assignment): Promise<ReadonlyMap<number, readonly string[]>> {
  const [program, ...args] = denoCommand(MAIN, {
    permissions: ["--allow-all", "--unstable-kv", "--no-check"],
    args: [JSON.stringify(assignment)],
  });
  const name = `programs on ${assignment.database}`;
  await using process = Process.start(program, args, { cwd: CHECKOUT, name, env: CLIENT_ENVIRONMENT });
  const deadlineMs = DEADLINE_MS + MS_PER_PROGRAM * assignment.seeds.length;
  const { code, stdout, stderr } = await process.end({ deadlineMs });
  if (code !== 0) throw new Error(`${name} failed: ${stderr}`);
  const answers = stdout.trim().split("\n").map((line): Answer => JSON.parse(line));
  return new Map(answers.map(({ seed, outcomes }) => [seed, outcomes]));
}
