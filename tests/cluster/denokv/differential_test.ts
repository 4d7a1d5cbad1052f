/**
 * Random programs have the same outcomes on a kvraft cluster as on Deno's local database and, where it is installed, on
 * denokv, all run by the stock client of this Deno. `deno task denokv:diff` runs more of them.
 */
import { assertEquals } from "@std/assert";
import { denokvCommand, DenokvServer } from "../../support/denokv/server.ts";
import { skip } from "../../support/processes/process.ts";
import { TemporaryFolder } from "../../support/temporary.ts";
import { DenokvCluster } from "../../support/denokv/cluster.ts";
import {
  type Compared,
  differencesBetween,
  differenceText,
  LOCAL,
  type Pair,
} from "./programs/comparison.ts";

/** Of so many programs one more has the database for itself; these run one after the other. */
const ALONE_SHARE = 6;

/** Runs random programs on two databases and reports the first few differences. */
async function compare(pair: Pair, programs: number): Promise<void> {
  for (const isAlone of [true, false]) {
    const length = isAlone ? programs / ALONE_SHARE : programs;
    const seeds = Array.from({ length }, (_, position) => position + 1);
    const differences = await differencesBetween(pair, { seeds, isAlone });
    assertEquals(differences.slice(0, 3).map((one) => differenceText(one, pair)), []);
  }
}

Deno.test("random programs: a kvraft cluster answers as Deno's local database does", async () => {
  await using served = await DenokvCluster.start();
  await served.cluster.waitForLeader();
  await compare([LOCAL, { name: "kvraft", database: served.url(1), isAllOrNothing: true }], 300);
  await served.cluster.waitForEqualStates();
});

Deno.test("random programs: a kvraft cluster answers as denokv does", async () => {
  const command = denokvCommand();
  if (command === null) return skip("denokv is not installed");
  await using folder = await TemporaryFolder.make();
  await using denokv = await DenokvServer.start(command, folder.path);
  await using served = await DenokvCluster.start();
  await served.cluster.waitForLeader();
  const peer: Compared = { name: "denokv", database: denokv.url, isAllOrNothing: false };
  await compare([peer, { name: "kvraft", database: served.url(2), isAllOrNothing: true }], 60);
});
