/**
 * Prints the flags that `deno` needs to find `@std/*` on this machine.
 *
 * If JSR answers, there are none: deno.json names the real packages. Otherwise (on a closed network) it is the import map
 * of the substitutes in tools/std/, which have the same names and types and use npm packages and Node's built-in modules.
 * The result is stored in .cache/, so that only the first task of a checkout tries JSR, and the first with another version of
 * Deno. `deno task forget` removes it.
 */
const root = new URL("..", import.meta.url);
const answerFile = new URL(".cache/std_imports", root);
/** Relative to the checkout, where tasks run: a task splits the output at spaces, and the path of the checkout may have one. */
const standIns = "--import-map=tools/std/import_map.json";

/** After this time JSR counts as unreachable, so that it does not delay every task. */
const JSR_TIMEOUT_MS = 8_000;

type Answer = "jsr" | "stand-ins";

function remembered(): Answer | null {
  try {
    const [text, version] = Deno.readTextFileSync(answerFile).trim().split(" ");
    // Another Deno has other defaults for packages, and may have a cache of its own.
    if (version !== Deno.version.deno) return null;
    return text === "jsr" || text === "stand-ins" ? text : null;
  } catch {
    return null;
  }
}

async function ask(): Promise<Answer> {
  const config = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
  const specifiers = Object.values<string>(config.imports).filter((specifier) =>
    specifier.startsWith("jsr:")
  );
  const command = new Deno.Command(Deno.execPath(), {
    args: ["cache", "-q", "--no-config", "--no-lock", ...specifiers],
    stdout: "null",
    stderr: "null",
    signal: AbortSignal.timeout(JSR_TIMEOUT_MS),
  });
  return (await command.output()).success ? "jsr" : "stand-ins";
}

let answer = remembered();
if (answer === null) {
  answer = await ask();
  Deno.mkdirSync(new URL(".cache", root), { recursive: true });
  Deno.writeTextFileSync(answerFile, `${answer} ${Deno.version.deno}\n`);
}
// deno-lint-ignore no-console -- the task shell reads standard output
if (answer === "stand-ins") console.log(standIns);
