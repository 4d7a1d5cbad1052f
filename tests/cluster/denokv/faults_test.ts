/**
 * Stock clients of Deno KV while leaders are killed and frozen, nodes restarted and all of them killed: no acknowledged
 * write is lost, no sum counted twice, every watch shows the last state, and the recorded history is linearizable.
 * `deno task denokv:faults` runs more clients for longer.
 */
import { assert, assertEquals } from "@std/assert";
import { installDeno, installNodeClient } from "../../support/denokv/stock_clients.ts";
import { skip } from "../../support/processes/process.ts";
import { TemporaryFolder } from "../../support/temporary.ts";
import { denoRuntime, nodeRuntime, OTHER_DENO } from "./faults/clients.ts";
import { faultsUnder } from "./faults/scenario.ts";

Deno.test("faults: programs in Deno lose nothing, and count nothing twice", async () => {
  const { results, operations, sums } = await faultsUnder({
    runtimes: [denoRuntime(), denoRuntime()],
    programsOfEach: 4,
  });
  assertEquals(results.map(({ errors }) => errors), [{}, {}], "Deno's client calls again by itself");
  assert(operations > 0 && sums > 0, "there is a history");
});

Deno.test("faults: programs in Node and in another Deno lose nothing, and count nothing twice", async () => {
  await using folder = await TemporaryFolder.make();
  const deno = await installDeno(OTHER_DENO);
  if (deno === null) return skip(`pip could not install Deno ${OTHER_DENO}`);
  if (!await installNodeClient(folder.path)) return skip("npm could not install @deno/kv");
  await faultsUnder({
    runtimes: [denoRuntime(deno), await nodeRuntime(folder.path)],
    programsOfEach: 3,
  });
});
