/** Mutants of the watches of etcd's clients, and of the pages of events that they read. */
import { tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

const PAGES = tests("event-pages", "tests/unit/server/watch/event_pages_test.ts");

export const ETCD_WATCH_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/server/watch/event_pages.ts", [PAGES], [
    {
      id: "M2770",
      title: "a page that ends within a revision continues after it",
      failure: "a watch that reads the history misses events of a large transaction",
      from: "return this.#page(position, this.#matched - 1, revision);",
      to: "return this.#page(position + 1, 0, revision);",
    },
    {
      id: "M2771",
      title: "a page skips events of each of its revisions",
      failure: "a watch misses the first events of the revisions after a large one",
      from: "        this.#matched = 0;\n        this.#skip = 0;",
      to: "        this.#matched = 0;",
    },
    {
      id: "M2772",
      title: "a page has no bound in revisions",
      failure: "one read of a long history stalls the node",
      from: " ||\n      this.#revisions.length >= PAGE_REVISIONS",
      to: "",
    },
  ]),
  ...inFile("lib/server/watch/connection_watches.ts", [PAGES], [
    {
      id: "M2773",
      title: "watches that are behind are not named in an answer about progress",
      failure: "an etcd client gets a notice of progress while it lacks events",
      from: 'if (state !== "level") ids.push(watchId);',
      to: 'if (state === "level" && watchId < 0) ids.push(watchId);',
    },
  ]),
];
