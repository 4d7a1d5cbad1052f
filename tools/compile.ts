/**
 * Compiles ./kvraft: one executable that contains Deno, kvraft, and the permissions of deno.json.
 *
 * Deno downloads the base binary from its site once. If the site cannot be reached, this prints one line and exits with 3,
 * so that cluster.sh can run the source instead. With KVRAFT_DATA_DIR the executable may use that directory only, and read
 * that of KVRAFT_CERTS_DIR, for configuration, certificates, keys and secrets.
 */
// deno-lint-ignore-file no-console -- a tool writes to its terminal
import { permissionFlags } from "./permissions.ts";
import { v8Flags } from "./v8_flags.ts";

const BASE_BINARY_SITE = "https://dl.deno.land/";
/** A site that does not answer must not delay the first start of a cluster for long. */
const SITE_TIMEOUT_MS = 5_000;
const COMPILE_DEADLINE_MS = 180_000;
const EXIT_NO_BASE_BINARY = 3;

/** Returns whether the base binary is available: from the environment, from Deno's cache or from the site. */
async function isBaseBinaryAvailable(): Promise<boolean> {
  if (Deno.env.get("DENORT_BIN") !== undefined) return true;
  const { denoDir } = await denoInfo();
  const name = `denort-${Deno.build.target}.zip`;
  try {
    await Deno.stat(`${denoDir}/dl/release/v${Deno.version.deno}/${name}`);
    return true;
  } catch {
    // It is not in the cache.
  }
  try {
    const answer = await fetch(BASE_BINARY_SITE, {
      method: "HEAD",
      signal: AbortSignal.timeout(SITE_TIMEOUT_MS),
    });
    await answer.body?.cancel();
    return true;
  } catch {
    return false;
  }
}

async function denoInfo(): Promise<{ denoDir: string }> {
  const command = new Deno.Command(Deno.execPath(), { args: ["info", "--json", "--no-config"] });
  return JSON.parse(new TextDecoder().decode((await command.output()).stdout));
}

async function compile(importMapFlags: readonly string[]): Promise<number> {
  if (!await isBaseBinaryAvailable()) {
    console.error(
      `Cannot compile: Deno's base binary cannot be downloaded from ${BASE_BINARY_SITE}. kvraft runs from source.`,
    );
    return EXIT_NO_BASE_BINARY;
  }
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "compile",
      "--quiet",
      "--exclude-unused-npm",
      ...permissionFlags({
        dataDirectory: Deno.env.get("KVRAFT_DATA_DIR") ?? null,
        configDirectory: Deno.env.get("KVRAFT_CERTS_DIR") ?? null,
      }),
      ...v8Flags("."),
      ...importMapFlags,
      "--output=kvraft",
      "main.ts",
    ],
    stdout: "null",
    stderr: "piped",
    signal: AbortSignal.timeout(COMPILE_DEADLINE_MS),
  }).output();
  if (code === 0) {
    const megabytes = Math.round((await Deno.stat("kvraft")).size / 1e6);
    console.log(`Compiled ./kvraft with Deno ${Deno.version.deno} (${megabytes} MB).`);
    return 0;
  }
  const reason = new TextDecoder().decode(stderr);
  if (reason.includes("dl.deno.land")) {
    console.error(`Cannot compile: Deno's base binary could not be downloaded from ${BASE_BINARY_SITE}.`);
    return EXIT_NO_BASE_BINARY;
  }
  console.error(`Cannot compile:\n${reason}`);
  return 1;
}

Deno.chdir(new URL("..", import.meta.url));
Deno.exit(await compile(Deno.args));
