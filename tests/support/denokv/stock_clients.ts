/** Deno KV's stock clients besides that of the Deno that runs the tests: other Denos, and `@deno/kv` in Node. */
import { join } from "@std/path";
import { CHECKOUT } from "../checkout.ts";
import { succeeds } from "../processes/process.ts";

/** The package in Node that speaks KV Connect. */
const NODE_CLIENT = "@deno/kv@0.14.0";

/**
 * Installs a version of Deno in the cache of the checkout, where it stays; returns the path of its executable, or null where
 * pip can't install it. PyPI's package is the executable itself: a signal reaches it.
 */
export async function installDeno(version: string): Promise<string | null> {
  const folder = join(CHECKOUT, ".cache", `deno-${version}`);
  const executable = join(folder, "bin", "deno");
  const isThere = await Deno.stat(executable).then(() => true, () => false);
  if (isThere) return executable;
  await Deno.mkdir(folder, { recursive: true });
  const args = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, `deno==${version}`];
  return await succeeds("python3", args, folder) ? executable : null;
}

/** Installs the client for Node in a folder; returns whether it is there. */
export async function installNodeClient(folder: string): Promise<boolean> {
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(join(folder, "package.json"), `{ "type": "module" }`);
  return await succeeds("npm", ["install", "--no-audit", "--no-fund", "--silent", NODE_CLIENT], folder);
}

/** Installs a version of Node in a folder; returns the path of its executable, or null where npm can't install it. */
export async function installNode(version: string, folder: string): Promise<string | null> {
  await Deno.mkdir(folder, { recursive: true });
  const isInstalled = await succeeds(
    "npm",
    ["install", "--no-audit", "--no-fund", `node@${version}`],
    folder,
  );
  return isInstalled ? join(folder, "node_modules", ".bin", "node") : null;
}
