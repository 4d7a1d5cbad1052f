/**
 * Runs random programs on one Deno KV database with the client of the Deno that runs it, and prints the outcomes of each
 * as a line of JSON. The argument is an {@link Assignment} as JSON.
 */
import { firstPartsOf, type ProgramKind, programOf } from "./generator.ts";
import { outcomesOf } from "./runner.ts";

/** The programs to run. */
export interface Assignment extends ProgramKind {
  /** The argument of `Deno.openKv`: a URL, or `:memory:`. */
  readonly database: string;
  readonly seeds: readonly number[];
  /** Positions of the only steps to run, in every program; null for all. */
  readonly kept: readonly number[] | null;
  readonly isAllOrNothing: boolean;
}

/** A line of the output. */
export interface Answer {
  readonly seed: number;
  readonly outcomes: readonly string[];
}

/** Programs at the same time; they have no key in common. */
const PARALLEL = 8;

if (import.meta.main) {
  const { database, seeds, kept, isAllOrNothing, ...kind }: Assignment = JSON.parse(Deno.args[0] ?? "");
  const kv = await Deno.openKv(database);
  const remaining = seeds.values();
  await Promise.all(Array.from({ length: kind.isAlone ? 1 : PARALLEL }, async () => {
    for (const seed of remaining) {
      if (kept !== null || kind.isAlone) await clear(kv, firstPartsOf(seed, kind));
      const program = programOf(seed, kind).filter((_, position) => kept === null || kept.includes(position));
      const answer: Answer = { seed, outcomes: await outcomesOf(kv, program, { isAllOrNothing }) };
      // deno-lint-ignore no-console -- the output of this program
      console.log(JSON.stringify(answer));
    }
  }));
  kv.close();
}

/** Deletes what an earlier run of a program has left. */
async function clear(kv: Deno.Kv, first: Deno.KvKey): Promise<void> {
  if (first.length > 0) await kv.delete(first);
  for await (const { key } of kv.list({ prefix: first })) await kv.delete(key);
}
