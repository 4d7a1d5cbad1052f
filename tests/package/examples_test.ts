/** The programs in examples/ against real nodes. tests/cluster/coordination/recipes_test.ts has those of docs/recipes.md. */
import { assertEquals, assertMatch } from "@std/assert";
import { TestCluster } from "../support/processes/cluster.ts";
import { startExample } from "../support/processes/example.ts";
import type { Process } from "../support/processes/process.ts";
import { installPackage, program } from "./install.ts";
import { skip } from "../support/processes/process.ts";
import { TemporaryFolder } from "../support/temporary.ts";
import { step } from "../support/step.ts";

async function outputOf(example: Process): Promise<string> {
  await using _ = example;
  const { code, stdout, stderr } = await example.end();
  assertEquals([code, stderr], [0, ""], stdout);
  return stdout;
}

Deno.test("examples: programs do what examples/README.md says", async (t) => {
  await using cluster = await TestCluster.start();
  await cluster.waitForLeader();
  await step(t, "the configuration has the changes of all writers", async () => {
    const first = await outputOf(startExample(cluster, "configuration.ts"));
    assertEquals(first, 'The configuration is {"maxUsers":200,"changes":10}.\n');
  });
  await step(t, "the counter is exact though a leader is killed", async () => {
    const counter = startExample(cluster, "counter.ts");
    const leader = await cluster.waitForLeader();
    await cluster.kill(leader);
    assertMatch(await outputOf(counter), /The counter is 200 after 200 rounds\.\n$/);
    await cluster.startNode(leader);
  });
  await step(t, "every key of the bulk load is there", async () => {
    assertMatch(await outputOf(startExample(cluster, "bulk_load.ts")), /^10000 keys are there/);
  });
  await step(t, "no piece is sold twice, and the counter of sales is exact", async () => {
    const sold = await outputOf(startExample(cluster, "stock.ts"));
    assertEquals(sold, "7 of 10 buyers got a piece; the counter is 7, 7 are recorded.\n");
  });
  await step(t, "the Node client writes and reads", async () => {
    await using folder = await TemporaryFolder.make();
    if (!await installPackage(folder.path, "examples/node_client.mjs")) return skip("there is no npm");
    const addresses = cluster.ids.map((id) => cluster.address(id));
    const printed = await program("node", ["node_client.mjs", ...addresses], folder.path);
    if (printed === null) return skip("there is no Node");
    assertMatch(printed, /^revision \d+: hello from JavaScript\nmembers: 1=/);
  });
});
