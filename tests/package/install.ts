/** Makes the npm package of the library and installs it in a folder, with a program that imports it. */
import { assertEquals } from "@std/assert";
import { basename } from "@std/path";
import { CHECKOUT, readCheckout } from "../support/checkout.ts";
import { Process } from "../support/processes/process.ts";

/** npm may have to fetch Bun. */
const DEADLINE_MS = 120_000;

/** Runs a program and returns its output; null when there is no such program. */
export async function program(command: string, args: readonly string[], cwd: string): Promise<string | null> {
  try {
    await using process = Process.start(command, args, { cwd });
    const { code, stdout, stderr } = await process.end({ deadlineMs: DEADLINE_MS });
    assertEquals(code, 0, `${command} ${args.join(" ")}: ${stdout}${stderr}`);
    return stdout;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** Packs the library, and installs the package in `folder` next to a copy of `script`. Returns false without npm. */
export async function installPackage(folder: string, script: string): Promise<boolean> {
  const tarball = `${folder}/kvraft.tgz`;
  await program(
    Deno.execPath(),
    ["run", "-A", "--no-config", "tools/pack.ts", `--output=${tarball}`],
    CHECKOUT,
  );
  await Deno.writeTextFile(`${folder}/package.json`, `{ "type": "module" }`);
  await Deno.writeTextFile(`${folder}/${basename(script)}`, readCheckout(script));
  return await program("npm", ["install", "--no-audit", "--no-fund", tarball], folder) !== null;
}
