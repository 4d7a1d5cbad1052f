/** Database files that Deno itself makes. */
import { assertEquals } from "@std/assert";
import { CHECKOUT } from "../checkout.ts";
import { Process } from "../processes/process.ts";

/** Makes a file with five keys and two queued messages: see make_file.ts. */
export async function makeDatabaseFile(path: string): Promise<void> {
  const args = ["run", "-q", "--unstable-kv", "-A", "--no-config", "tests/support/denokv/make_file.ts", path];
  await using process = Process.start(Deno.execPath(), args, { cwd: CHECKOUT });
  const { code, stderr } = await process.end();
  assertEquals([code, stderr], [0, ""]);
}
