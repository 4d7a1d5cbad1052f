/** The program: everything is in lib/cli/. */
import { describeFault, processDependencies, runKvraft } from "./lib/cli/mod.ts";
import { ExitCode } from "./lib/cli/errors.ts";

const dependencies = processDependencies();

/** Ends the process after an uncaught error, with one line. */
function endWith(error: unknown): void {
  dependencies.environment.stderr.write(`${describeFault(error, Deno.args)}\n`);
  Deno.exit(ExitCode.internal);
}

globalThis.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  endWith(event.reason);
});
globalThis.addEventListener("error", (event) => {
  event.preventDefault();
  endWith(event.error);
});

Deno.exit(await runKvraft(Deno.args, dependencies));
