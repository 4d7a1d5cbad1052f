/** The files of this checkout, for tests that read the sources or start programs from them. */
import { fromFileUrl, join } from "@std/path";

/** Absolute path of the checkout. */
export const CHECKOUT = fromFileUrl(new URL("../..", import.meta.url));

/** Folders without sources of the project. */
const SKIPPED_FOLDERS = new Set([".git", ".cache", "data", "node_modules", "coverage"]);

/** Paths of all files whose name ends in one of `endings`, relative to the checkout, sorted. */
export function filesOfCheckout(endings: readonly string[]): readonly string[] {
  const found: string[] = [];
  const walk = (folder: string): void => {
    for (const entry of Deno.readDirSync(join(CHECKOUT, folder))) {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory && !SKIPPED_FOLDERS.has(entry.name)) walk(path);
      if (entry.isFile && endings.some((ending) => entry.name.endsWith(ending))) found.push(path);
    }
  };
  walk("");
  return found.sort();
}

/** Names of files that profilers, debuggers and crashes create in the working directory, as in `.gitignore`. */
const TOOL_OUTPUT = /(^|\/)(isolate-[^/]*\.log|core(\.\d+)?|[^/]*\.(cpuprofile|heapprofile|heapsnapshot))$/;

/** Returns whether a file is the output of a tool, which is never committed. */
export function isToolOutput(path: string): boolean {
  return TOOL_OUTPUT.test(path);
}

/** Paths of all files under version control; of all files where there is no repository (an unpacked archive). */
export function trackedFiles(): readonly string[] {
  try {
    const { success, stdout } = new Deno.Command("git", {
      args: ["ls-files", "-z"],
      cwd: CHECKOUT,
      stderr: "null",
    }).outputSync();
    if (success) return new TextDecoder().decode(stdout).split("\0").filter((path) => path !== "");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return filesOfCheckout([""]);
}

/** Text of a file of the checkout. */
export function readCheckout(path: string): string {
  return Deno.readTextFileSync(join(CHECKOUT, path));
}

/** Copies the project into `target`, without data and history, but with the cache of this machine. */
export function copyCheckout(target: string): void {
  const copy = (path: string): void => {
    const to = join(target, path);
    Deno.mkdirSync(join(to, ".."), { recursive: true });
    Deno.copyFileSync(join(CHECKOUT, path), to);
  };
  for (const path of filesOfCheckout([""])) {
    if (path !== "kvraft") copy(path);
  }
  try {
    for (const entry of Deno.readDirSync(join(CHECKOUT, ".cache"))) {
      if (entry.isFile) copy(`.cache/${entry.name}`);
    }
  } catch (error) {
    // There is no cache before the first task.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
