/** Helpers of the demos of `./cluster.sh demo`: phases, Ctrl-C, and the script that kills and restarts nodes. */
// deno-lint-ignore-file no-console -- a tool writes to its terminal
import type { KvClient } from "../../lib/mod.ts";

/** Time between two faults, in which the programs of a demo run. */
export const PHASE_MS = 4_000;
/** The exit code after SIGINT, as shells have it. */
export const EXIT_INTERRUPTED = 130;

/** The demo was interrupted (Ctrl-C). */
class InterruptedError extends Error {
  override readonly name = "InterruptedError";
}

/** Waits for {@link PHASE_MS}. Rejects with {@link InterruptedError} as soon as the demo is interrupted. */
export function phase(interrupted: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (interrupted.aborted) return reject(interrupted.reason);
    const timer = setTimeout(resolve, PHASE_MS);
    interrupted.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(interrupted.reason);
    });
  });
}

/** Returns a signal that Ctrl-C aborts; a second Ctrl-C ends the process at once. */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  Deno.addSignalListener("SIGINT", () => {
    if (controller.signal.aborted) Deno.exit(EXIT_INTERRUPTED);
    console.log("\nInterrupted: removing the keys of the demo … (Ctrl-C again leaves them)");
    controller.abort(new InterruptedError("The demo was interrupted."));
  });
  return controller.signal;
}

/** Runs a command of cluster.sh. Rejects if it fails. */
export async function clusterScript(...args: readonly string[]): Promise<void> {
  const { success } = await new Deno.Command("./cluster.sh", { args: [...args] }).spawn().status;
  if (!success) throw new Error(`./cluster.sh ${args.join(" ")} failed`);
}

/** Returns the node that leads. Rejects if there is none. */
export async function leaderOf(client: KvClient): Promise<number> {
  const { leader } = await client.cluster.status();
  if (leader === null) throw new Error("The cluster has no leader: see ./cluster.sh status");
  return leader;
}

/** Returns a count with spaces between thousands. */
export function withThousands(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, " ");
}
