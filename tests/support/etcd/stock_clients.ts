/** Other clients of etcd, installed in the cache of the checkout, where they stay. */
import { join } from "@std/path";
import { CHECKOUT } from "../checkout.ts";
import { Process } from "../processes/process.ts";

/** The registries may be slow. */
const DEADLINE_MS = 180_000;
const NPM_CLIENT = "etcd3@1.1.2";

/** Installs the npm package etcd3; returns its directory, or null where npm can't install it. */
export async function installEtcd3(): Promise<string | null> {
  const folder = join(CHECKOUT, ".cache", "etcd3-client");
  const isThere = await Deno.stat(join(folder, "node_modules", "etcd3", "lib")).then(() => true, () => false);
  if (isThere) return folder;
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(join(folder, "package.json"), `{ "type": "module" }`);
  try {
    const args = ["install", "--no-audit", "--no-fund", "--silent", NPM_CLIENT];
    await using process = Process.start("npm", args, { cwd: folder });
    return (await process.end({ deadlineMs: DEADLINE_MS })).code === 0 ? folder : null;
  } catch {
    return null;
  }
}
