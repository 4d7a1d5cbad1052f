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
];
