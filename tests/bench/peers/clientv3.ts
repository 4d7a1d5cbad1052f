/** The load generator in Go (clientv3/main.go), which uses etcd's own client library. It is built when it is needed. */
import { join } from "@std/path";
import { CHECKOUT } from "../../support/checkout.ts";

const SOURCE = join(CHECKOUT, "tests", "bench", "peers", "clientv3");
const PROGRAM = join(CHECKOUT, ".cache", "bench", "clientv3");

/** Whether this process has built the program. */
let isBuilt = false;

/** Returns the command that generates the load of an assignment, given as JSON. Throws when the program can't be built. */
export async function clientv3Command(assignment: string): Promise<readonly [string, ...string[]]> {
  if (!isBuilt) {
    const args = ["build", "-trimpath", "-o", PROGRAM, "."];
    try {
      const { success, stderr } = await new Deno.Command("go", { args, cwd: SOURCE }).output();
      if (!success) throw new Error(`go build failed: ${new TextDecoder().decode(stderr).trim()}`);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      throw new Error("etcd's client library needs Go, and there is no program go here.");
    }
    isBuilt = true;
  }
  return [PROGRAM, assignment];
}
