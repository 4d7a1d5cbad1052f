/** Databases that Deno itself fills. */
import { assertEquals } from "@std/assert";
import { CHECKOUT } from "../checkout.ts";
import { Process } from "../processes/process.ts";

/**
 * Makes a file with five keys and two queued messages, or sets the same keys in the database at a URL: see make_file.ts. A
 * server may need `env`.
 */
export async function makeDatabaseFile(
  path: string,
  { env = {} }: { readonly env?: Readonly<Record<string, string>> } = {},
): Promise<void> {
  const args = ["run", "-q", "--unstable-kv", "-A", "--no-config", "tests/support/denokv/make_file.ts", path];
  await using process = Process.start(Deno.execPath(), args, { cwd: CHECKOUT, env });
  const { code, stderr } = await process.end();
  assertEquals([code, stderr], [0, ""]);
}
