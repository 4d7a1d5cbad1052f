/**
 * Compiles ./kvraft: one executable that contains Deno, kvraft, and the permissions of deno.json. Runs it before it gets its
 * name (try_program.ts), so that a ./kvraft that does not work is never left.
 *
 * Deno downloads the base binary from its site once. If the site cannot be reached, this prints one line and exits with 3,
 * so that cluster.sh can run the source instead. With KVRAFT_DATA_DIR the executable may use that directory only, and read
 * that of KVRAFT_CERTS_DIR, for configuration, certificates, keys and secrets. KVRAFT_HEAP_MB bounds V8's heap.
 */
// deno-lint-ignore-file no-console -- a tool writes to its terminal
import { permissionFlags } from "./permissions.ts";
import { problemOf } from "./try_program.ts";
import { v8Flags } from "./v8_flags.ts";

const BASE_BINARY_SITE = "https://dl.deno.land/";
/** A site that does not answer must not delay the first start of a cluster for long. */
const SITE_TIMEOUT_MS = 5_000;
const COMPILE_DEADLINE_MS = 180_000;
const EXIT_NO_BASE_BINARY = 3;
const EXIT_DOES_NOT_RUN = 4;
/** The executable until it has been tried. */
const UNTRIED = Deno.build.os === "windows" ? "kvraft-untried.exe" : "kvraft-untried";
const PROGRAM = Deno.build.os === "windows" ? "kvraft.exe" : "kvraft";
/** Holds the version of the Deno with which ./kvraft was compiled; cluster.sh compares it. */
const COMPILED_WITH = ".cache/compiled-with";

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
      ...heapFlags(v8Flags("."), Deno.env.get("KVRAFT_HEAP_MB")),
      ...importMapFlags,
      `--output=${UNTRIED}`,
      "main.ts",
    ],
    stdout: "null",
    stderr: "piped",
    signal: AbortSignal.timeout(COMPILE_DEADLINE_MS),
  }).output();
  if (code === 0) return await tryAndName();
  const reason = new TextDecoder().decode(stderr);
  if (reason.includes("dl.deno.land")) {
    console.error(`Cannot compile: Deno's base binary could not be downloaded from ${BASE_BINARY_SITE}.`);
    return EXIT_NO_BASE_BINARY;
  }
  console.error(`Cannot compile:\n${reason}`);
  return 1;
}

/** Returns V8's flags with a bound of the old generation, which is nearly all of the heap. */
function heapFlags(flags: readonly string[], megabytes: string | undefined): readonly string[] {
  if (megabytes === undefined) return flags;
  if (!/^[1-9][0-9]{1,5}$/.test(megabytes)) {
    throw new Error(`KVRAFT_HEAP_MB must be megabytes, not "${megabytes}"`);
  }
  const given = flags.map((flag) => `${flag},`).join("") || "--v8-flags=";
  return [`${given}--max-old-space-size=${megabytes}`];
}

/** Tries the new executable, and names it ./kvraft if it works. */
async function tryAndName(): Promise<number> {
  const dataDirectory = Deno.env.get("KVRAFT_DATA_DIR");
  // The directory of an executable for one may not exist on this machine.
  const failure = await problemOf(await Deno.realPath(UNTRIED), { runsNode: dataDirectory === undefined });
  if (failure !== null) {
    await Deno.remove(UNTRIED);
    console.error(`Compiled an executable that does not work, and removed it. ${failure}`);
    return EXIT_DOES_NOT_RUN;
  }
  await Deno.rename(UNTRIED, PROGRAM);
  await Deno.mkdir(".cache", { recursive: true });
  await Deno.writeTextFile(COMPILED_WITH, `${Deno.version.deno}\n`);
  const megabytes = Math.round((await Deno.stat(PROGRAM)).size / 1e6);
  console.log(
    `Compiled ./${PROGRAM} with Deno ${Deno.version.deno} (${megabytes} MB), and ran it${
      dataDirectory === undefined ? ": a node took and returned a key" : ""
    }.`,
  );
  return 0;
}

Deno.chdir(new URL("..", import.meta.url));
Deno.exit(await compile(Deno.args));
