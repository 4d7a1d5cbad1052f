/**
 * `deno task pack [--output=<file.tgz>]`: makes the npm package of the client library.
 *
 * `deno pack` alone would take the whole repository, and reads from JSR what the server imports. So the modules that the
 * two exports of the client import are copied to a temporary directory, and packed there. They must import each other and
 * `node:` modules only: an npm user has neither this repository's import map nor JSR.
 */
// deno-lint-ignore-file no-console -- a tool writes to its terminal
import { dirname, resolve } from "node:path";

/** Exports of the package, by the names in deno.json. */
const EXPORTS = [".", "./testing"];
/** Files of the package besides the modules. */
const DOCUMENTS = ["README.md", "LICENSE"];

const ROOT = new URL("..", import.meta.url);
const DEADLINE_MS = 120_000;

/** The parts of `deno info --json` that this reads. */
interface ModuleGraph {
  readonly modules: readonly {
    readonly specifier: string;
    readonly error?: string;
    readonly dependencies?: readonly {
      readonly specifier: string;
      readonly code?: { readonly error?: string };
    }[];
  }[];
}

class PackError extends Error {}

async function deno(args: readonly string[], cwd: URL | string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd,
    env: { NO_COLOR: "1" },
    signal: AbortSignal.timeout(DEADLINE_MS),
  }).output();
  const decoder = new TextDecoder();
  const errors = decoder.decode(stderr);
  // `deno pack` succeeds without types where a public type is inferred.
  if (!success || errors.includes("error[")) {
    throw new PackError(`Cannot pack: deno ${args[0]} said:\n${errors}`);
  }
  return decoder.decode(stdout);
}

/** Returns the paths of every module that an export needs, relative to the checkout. */
async function modulesOf(entry: string): Promise<readonly string[]> {
  const graph: ModuleGraph = JSON.parse(await deno(["info", "--json", "--no-config", entry], ROOT));
  return graph.modules.flatMap(({ specifier, error, dependencies = [] }) => {
    if (specifier.startsWith("node:")) return [];
    const unresolved = dependencies.find(({ code }) => code?.error !== undefined);
    if (unresolved !== undefined) throw unknownToNpm(specifier, unresolved.specifier);
    if (error !== undefined || !specifier.startsWith(ROOT.href)) throw unknownToNpm(entry, specifier);
    return [specifier.slice(ROOT.href.length)];
  });
}

function unknownToNpm(importer: string, specifier: string): PackError {
  return new PackError(`Cannot pack: ${importer} imports "${specifier}", which npm users do not have.`);
}

async function pack(output: string | null): Promise<void> {
  const config = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  const exports: Record<string, string> = Object.fromEntries(
    EXPORTS.map((name) => [name, config.exports[name]]),
  );
  const graphs = await Promise.all(Object.values(exports).map(modulesOf));
  const files = new Set([...graphs.flat(), ...DOCUMENTS]);
  const directory = await Deno.makeTempDir({ prefix: "kvraft-pack-" });
  try {
    for (const file of files) {
      await Deno.mkdir(`${directory}/${file}`.replace(/\/[^/]*$/, ""), { recursive: true });
      await Deno.copyFile(new URL(file, ROOT), `${directory}/${file}`);
    }
    const { name, version, license, compilerOptions } = config;
    const staged = JSON.stringify({ name, version, license, exports, compilerOptions });
    await Deno.writeTextFile(`${directory}/deno.json`, staged);
    const target = output ?? new URL(`kvraft-${version}.tgz`, ROOT).pathname;
    await deno(["pack", "--no-source-maps", `--output=${target}`], directory);
    const kilobytes = Math.ceil((await Deno.stat(target)).size / 1_000);
    console.log(
      `Packed ${
        files.size - DOCUMENTS.length
      } modules of ${name} ${version} into ${target} (${kilobytes} kB).`,
    );
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Returns the file to write, which is relative to the directory where the task was called; null without an option. */
function outputOf(args: readonly string[]): string | null {
  if (args.length === 0) return null;
  const [, file = ""] = /^--output=(.+)$/.exec(args[0] ?? "") ?? [];
  if (args.length > 1 || file === "" || file.endsWith("/")) {
    throw new PackError(`Cannot pack with ${args.join(" ")}: the only option is --output=<file.tgz>.`);
  }
  const path = resolve(Deno.env.get("INIT_CWD") ?? Deno.cwd(), file);
  const directory = dirname(path);
  try {
    if (Deno.statSync(directory).isDirectory) return path;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  throw new PackError(`Cannot pack into ${path}: there is no directory ${directory}.`);
}

try {
  await pack(outputOf(Deno.args));
} catch (error) {
  if (!(error instanceof PackError)) throw error;
  console.error(error.message);
  Deno.exit(1);
}
