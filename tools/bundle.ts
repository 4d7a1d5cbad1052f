/** Makes one file of the program for `deno compile`. */

const BUNDLE = ".cache/kvraft.js";
const BUNDLE_DEADLINE_MS = 120_000;

/**
 * Writes the program as one file, and returns its path; null if Deno cannot do so, as without npm's registry, from which it
 * takes esbuild.
 *
 * An executable holds the text of its modules, their TypeScript and their source maps in memory. For this program these are
 * 11 MB, and 1.4 MB for one minified file.
 *
 * @param importMapFlags as tools/std_imports.ts prints them
 */
export async function bundle(importMapFlags: readonly string[]): Promise<string | null> {
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--minify", ...importMapFlags, `--output=${BUNDLE}`, "main.ts"],
    stdout: "null",
    stderr: "null",
    signal: AbortSignal.timeout(BUNDLE_DEADLINE_MS),
  }).output();
  return success ? BUNDLE : null;
}
