/** The code of an earlier version, from this repository's history. */
import { CHECKOUT } from "../checkout.ts";

/** The last commit of version 0.1.0. */
export const EARLIER_COMMIT = "0269e56";

/** Unpacks the earlier commit into `folder`; returns false without its history (a shallow clone, an archive). */
export function unpackEarlier(folder: string): boolean {
  const script = 'git cat-file -e "$1^{commit}" && git archive "$1" | tar -x -C "$2"';
  const { success } = new Deno.Command("bash", {
    args: ["-c", `set -o pipefail; ${script}`, "bash", EARLIER_COMMIT, folder],
    cwd: CHECKOUT,
    stderr: "null",
  }).outputSync();
  return success;
}
