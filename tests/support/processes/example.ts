/** The programs in examples/, started as described in their first lines. */
import { CHECKOUT } from "../checkout.ts";
import type { TestCluster } from "./cluster.ts";
import { Process } from "./process.ts";

/** Starts an example in Deno with arguments of its own and the addresses of a cluster. */
export function startExample(cluster: TestCluster, file: string, args: readonly string[] = []): Process {
  const addresses = cluster.ids.map((id) => cluster.address(id));
  const run = ["run", "--quiet", "--allow-net", `examples/${file}`, ...args, ...addresses];
  return Process.start(Deno.execPath(), run, { cwd: CHECKOUT, name: [file, ...args].join(" ") });
}
