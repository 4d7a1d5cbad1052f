/** Mutants of slow requests: which have a line, and where it says that their time went. */
import { SERVER } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

export const SLOW_REQUEST_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/server/diagnostics/batch_times.ts", [SERVER], [
    {
      id: "M3060",
      title: "a write is said to have waited for a sync that ended after its commit",
      failure: "the operator replaces the disk of a leader whose followers were slow",
      from: "const isAwaited = committedAt === null || synced <= since(committedAt);",
      to: "const isAwaited = true;",
    },
    {
      id: "M3061",
      title: "entries that a new leader replaced keep the times of their batch",
      failure: "a line about a slow write has the times of another one",
      from: "this.#discardFrom(firstIndex);",
      to: "",
    },
    {
      id: "M3062",
      title: "a batch counts as committed with its first entry",
      failure: "the time until a majority had a write is said to be that of applying it",
      from: "if ((this.#lastIndex[slot] ?? 0) > commitIndex) return;",
      to: "if ((this.#firstIndex[slot] ?? 0) > commitIndex) return;",
    },
  ]),
  ...inFile("lib/server/diagnostics/slow_requests.ts", [SERVER], [
    {
      id: "M3063",
      title: "the line names the least of its parts",
      failure: "the operator looks where no time went",
      from: "other - one);",
      to: "one - other);",
    },
    {
      id: "M3064",
      title: "requests that wait by their nature are called slow",
      failure: "each change of members is a warning",
      from: "if (!isTimed(kind)) return;",
      to: "",
    },
  ]),
  ...inFile("lib/server/diagnostics/events.ts", [SERVER], [
    {
      id: "M3065",
      title: "slow requests are kept among the newest events",
      failure: "an hour after a slow disk, the report has no event that explains it",
      from: " || NOT_KEPT.includes(name)) return;",
      to: ") return;",
    },
  ]),
  ...inFile("lib/server/driver.ts", [SERVER], [
    {
      id: "M3066",
      title: "the time of a commit is not noted",
      failure: "the time until a write is applied is said to be that of the other nodes",
      from: "this.batches.committed(ready.commitIndex, microsOf(begin));",
      to: "",
    },
  ]),
  ...inFile("lib/server/replica.ts", [SERVER], [
    {
      id: "M3067",
      title: "the answer of a write that was given up has no index",
      failure: "a write that no majority took is said to have waited for a leader",
      from: 'return { ...unknownOutcome("leadershipLost", message), index };',
      to: 'void index;\n  return unknownOutcome("leadershipLost", message);',
    },
    {
      id: "M3068",
      title: "a read that waited to be applied does not say so",
      failure: "of a follower that is behind it is said that the leader was slow",
      from: "answer(true, now - (deadline - timeoutMs))",
      to: "answer(true, 0 * (now - deadline - timeoutMs))",
    },
  ]),
];
