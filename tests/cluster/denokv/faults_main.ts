/**
 * `deno task denokv:faults`: stock clients of Deno KV on a cluster whose leaders are killed and frozen, whose nodes are
 * restarted, and which is killed as a whole; prints what the clients report, and fails if they lost anything.
 *
 *     --programs N        programs in all (32), which set, count and watch
 *     --rounds N          how often each fault happens (3)
 */
// deno-lint-ignore-file no-console -- this is a command
import { parseArgs } from "node:util";
import { installDeno, installNode, installNodeClient } from "../../support/denokv/stock_clients.ts";
import { TemporaryFolder } from "../../support/temporary.ts";
import { denoRuntime, nodeRuntime, OTHER_DENO, type Runtime } from "./faults/clients.ts";
import { faultsUnder } from "./faults/scenario.ts";

/** Besides the Node that is installed. */
const NEWEST_NODE = "26";

if (import.meta.main) {
  const { values } = parseArgs({ options: { programs: { type: "string" }, rounds: { type: "string" } } });
  await using folder = await TemporaryFolder.make();
  const runtimes: Runtime[] = [denoRuntime(), denoRuntime()];
  const deno = await installDeno(OTHER_DENO);
  if (deno === null) console.log(`pip could not install Deno ${OTHER_DENO}`);
  else runtimes.push(denoRuntime(deno));
  if (await installNodeClient(`${folder.path}/client`)) {
    runtimes.push(await nodeRuntime(`${folder.path}/client`));
    const node = await installNode(NEWEST_NODE, `${folder.path}/node`);
    if (node === null) console.log(`npm could not install Node ${NEWEST_NODE}`);
    else runtimes.push(await nodeRuntime(`${folder.path}/client`, node));
  } else console.log("npm could not install @deno/kv");
  const report = await faultsUnder({
    runtimes,
    programsOfEach: Math.ceil(Number(values.programs ?? 32) / runtimes.length),
    rounds: Number(values.rounds ?? 3),
    say: (text) => console.log(text),
  });
  for (const [position, result] of report.results.entries()) {
    console.log(`${runtimes[position]?.name}: ${JSON.stringify(result)}`);
  }
  console.log(`history: ${report.operations} operations, linearizable; ${report.sums} sums without a check`);
}
