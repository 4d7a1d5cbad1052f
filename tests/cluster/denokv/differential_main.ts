/**
 * `deno task denokv:diff`: runs random programs on Deno's local database, on denokv where it is installed, and on a kvraft
 * cluster, with the stock client of this Deno, and prints every step whose outcomes differ.
 *
 *     --programs N        how many (3000)
 *     --first S           the first seed (a random one)
 *     --without kvraft    compares Deno's local database with denokv only
 */
// deno-lint-ignore-file no-console -- this is a command
import { parseArgs } from "node:util";
import { denokvCommand, DenokvServer } from "../../support/denokv/server.ts";
import { TemporaryFolder } from "../../support/temporary.ts";
import { DenokvCluster } from "../../support/denokv/cluster.ts";
import {
  type Compared,
  differencesBetween,
  differenceText,
  LOCAL,
  type Pair,
  shortened,
} from "./programs/comparison.ts";

const DEFAULT_PROGRAMS = 3_000;
/** Programs that one process runs. */
const BATCH = 250;
/** Of so many programs one runs alone, too. */
const ALONE_SHARE = 5;
const MAX_SHOWN = 5;

/** Compares two databases; returns the number of programs whose outcomes differ. */
async function compare(pair: Pair, seeds: readonly number[]): Promise<number> {
  const names = pair.map(({ name }) => name).join(" and ");
  let count = 0;
  for (let from = 0; from < seeds.length; from += BATCH) {
    const batch = seeds.slice(from, from + BATCH);
    const alone = batch.filter((_, position) => position % ALONE_SHARE === 0);
    const differences = [
      ...await differencesBetween(pair, { seeds: alone, isAlone: true }),
      ...await differencesBetween(pair, { seeds: batch, isAlone: false }),
    ];
    for (const difference of differences) {
      if (count++ < MAX_SHOWN) console.log(differenceText(await shortened(difference, pair), pair));
    }
    console.log(`${names}: ${Math.min(from + BATCH, seeds.length)} programs, ${count} differ`);
  }
  return count;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { programs: { type: "string" }, first: { type: "string" }, without: { type: "string" } },
  });
  const first = Number(values.first ?? Math.floor(Math.random() * 1e9));
  const count = Number(values.programs ?? DEFAULT_PROGRAMS);
  const seeds = Array.from({ length: count }, (_, position) => first + position);
  console.log(`seeds ${first} to ${first + count - 1}`);
  await using owner = new AsyncDisposableStack();
  const folder = owner.use(await TemporaryFolder.make());
  const command = denokvCommand();
  const peers: Compared[] = [LOCAL];
  if (command === null) console.log("denokv is not installed, or not on the PATH");
  else {
    const { url } = owner.use(await DenokvServer.start(command, folder.path));
    peers.push({ name: "denokv", database: url, isAllOrNothing: false });
  }
  if (values.without !== "kvraft") {
    const served = owner.use(await DenokvCluster.start());
    await served.cluster.waitForLeader();
    peers.push({ name: "kvraft", database: served.url(1), isAllOrNothing: true });
  }
  let differing = 0;
  const [last = LOCAL] = peers.slice(-1);
  for (const peer of peers.slice(0, -1)) differing += await compare([peer, last], seeds);
  Deno.exitCode = differing > 0 ? 1 : 0;
}
