/** Faults in how a server takes snapshots, and in whom it lets in: what whole clusters in virtual time must notice. */
import { SERVER, SIM } from "./checks.ts";
import type { Mutant } from "./mutant.ts";

/** Mutants of snapshots and membership as the server has them. */
export const SNAPSHOT_MUTANTS: readonly Mutant[] = [
  {
    id: "M150",
    title: "the log is cut to the newest snapshot, and the one before is of no use",
    failure: "one flipped bit in a snapshot costs a node that could have started",
    file: "lib/server/snapshots.ts",
    from: "return Math.min(previous, lowestSending() ?? newestIndex, this.#tailBase(newestIndex));",
    to:
      "return Math.min(previous + newestIndex, lowestSending() ?? newestIndex, this.#tailBase(newestIndex));",
    checks: [SERVER, SIM],
  },
  {
    id: "M151",
    title: "a node with an emptied disk may call under its old id",
    failure: "its vote counts once more, for a log without what it had acknowledged",
    file: "lib/server/judge_peer.ts",
    from: "if (isOther(applied)) {",
    to: "if (isOther(applied) && dataId < 0) {",
    checks: [SERVER, SIM],
  },
  {
    id: "M152",
    title: "after a restart it may call until the log is applied again",
    failure: "the same, where a power failure came between",
    file: "lib/server/judge_peer.ts",
    from: "if (!isOther(newest)) return null;",
    to: "if (!isOther(applied)) return null;",
    checks: [SERVER],
  },
  {
    id: "M153",
    title: "a snapshot says who was a member when the node started, not when it was taken",
    failure: "a node that is restored from it goes by a configuration that is over",
    file: "lib/server/replica.ts",
    from: 'const configuration: Configuration = kind === "configuration"',
    to: 'const configuration: Configuration = kind === "configuration" && data.length === 0',
    checks: [SERVER, SIM],
  },
];
