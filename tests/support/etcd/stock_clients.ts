/** Other clients of etcd, installed in the cache of the checkout, where they stay. */
import { join } from "@std/path";
import { CHECKOUT } from "../checkout.ts";
import { succeeds } from "../processes/process.ts";

const NPM_CLIENT = "etcd3@1.1.2";

/** Installs the npm package etcd3; returns its directory, or null where npm can't install it. */
export async function installEtcd3(): Promise<string | null> {
  const folder = join(CHECKOUT, ".cache", "etcd3-client");
  const isThere = await Deno.stat(join(folder, "node_modules", "etcd3", "lib")).then(() => true, () => false);
  if (isThere) return folder;
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(join(folder, "package.json"), `{ "type": "module" }`);
  const args = ["install", "--no-audit", "--no-fund", "--silent", NPM_CLIENT];
  return await succeeds("npm", args, folder) ? folder : null;
}

/** A package of PyPI, with more that it needs. */
interface PythonClient {
  readonly name: string;
  readonly packages: readonly string[];
}

/** PyPI's client of asyncio. */
export const AETCD: PythonClient = { name: "aetcd", packages: ["aetcd==1.0.0"] };
/** PyPI's client of the JSON gateway. */
export const ETCD3GW: PythonClient = { name: "etcd3gw", packages: ["etcd3gw==2.7.0"] };
/** Patroni's store of etcd v3; it imports a driver of PostgreSQL. */
export const PATRONI: PythonClient = {
  name: "patroni",
  packages: ["patroni[etcd3]==4.1.5", "psycopg[binary]==3.3.9"],
};

/** Installs packages of Python; returns the directory for PYTHONPATH, or null where pip can't install them. */
export async function installPython({ name, packages }: PythonClient): Promise<string | null> {
  const folder = join(CHECKOUT, ".cache", "etcd-python", name);
  const mark = join(folder, "installed");
  if (await Deno.stat(mark).then(() => true, () => false)) return folder;
  await Deno.mkdir(folder, { recursive: true });
  if (
    !await succeeds("python3", ["-m", "pip", "install", "--quiet", "--target", folder, ...packages], folder)
  ) {
    return null;
  }
  await Deno.writeTextFile(mark, packages.join("\n"));
  return folder;
}
