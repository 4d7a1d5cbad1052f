/** Mutants of the watches of etcd's clients, and of the pages of events that they read. */
import { tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

const WATCH = tests("etcd-watch", "tests/unit/etcd/watch");
const GRPC_STREAM = tests("grpc-stream", "tests/unit/etcd/rpc/grpc_stream_test.ts");
const COMMITS = tests("commit-requests", "tests/unit/server/watch/commit_requests_test.ts");
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
  ...inFile("lib/server/watch/commit_requests.ts", [COMMITS], [
    {
      id: "M2774",
      title: "a leader reports a commit while entries follow that report it",
      failure: "each write of a busy leader costs a further round of heartbeats",
      from: "if (commitIndex < lastIndex) return;",
      to: "",
    },
    {
      id: "M3090",
      title: "a leader announces a commit once, to the followers that have it by then",
      failure: "watches of the slower follower get a single write some milliseconds late",
      from: "if (matchIndex < commitIndex || commitIndex",
      to: "if (commitIndex",
    },
    {
      id: "M3091",
      title: "a leader announces a commit after each batch of its driver",
      failure: "each message to a leader costs a further heartbeat to each follower",
      from: " || commitIndex <= (this.#announced.get(id) ?? 0)) continue;",
      to: ") continue;",
    },
    {
      id: "M3092",
      title: "a follower asks every few milliseconds for a commit that takes long",
      failure: "a slow cluster with watches is slowed down by rounds of heartbeats",
      from: "this.#waitMs = Math.min(2 * this.#waitMs, MAX_COMMIT_WAIT_MS);",
      to: "",
    },
  ]),
  ...inFile("lib/etcd/rpc/grpc.ts", [GRPC_STREAM], [
    {
      id: "M2775",
      title: "messages that are gathered are lost at the end of a stream",
      failure: "a client gets the end of a listing without its last keys",
      from: "this.#sendGathered();\n    this.#output.end(",
      to: "this.#output.end(",
    },
  ]),
  ...inFile("lib/etcd/watch/stream_watch.ts", [WATCH], [
    {
      id: "M2776",
      title: "a watch joins a source that is beyond its page",
      failure: "an event between the page and the source is missed",
      from: "if (known !== null && known.revision >= next) return false;",
      to: "",
    },
    {
      id: "M2777",
      title: "a watch sends again what its page had",
      failure: "a client gets an event twice when it joins while the key is written",
      from: "revision < this.nextRevision || revision < this.#firstRevision",
      to: "revision < this.#firstRevision",
    },
    {
      id: "M2778",
      title: "a watch of the future sends what is before its first revision",
      failure: "a client that waits for a revision gets earlier events",
      from: "revision < this.nextRevision || revision < this.#firstRevision",
      to: "revision < this.nextRevision",
    },
    {
      id: "M2779",
      title: "a watch whose client does not read sends on",
      failure: "a client that does not read takes memory without bound",
      from: "if (output.isHeld) {",
      to: "if (output.isHeld && revision < 0) {",
    },
    {
      id: "M2780",
      title: "a watch that falls behind continues after the event that it could not send",
      failure: "a slow client misses an event",
      from: "this.nextRevision = revision;\n      this.#leave();",
      to: "this.nextRevision = revision + 1;\n      this.#leave();",
    },
    {
      id: "M2781",
      title: "the part of a revision that a page has is sent as if it were all",
      failure: "a client that asks for no fragments gets a transaction in several messages",
      from: "if (message.bytes > MAX_REVISION_BYTES) parts.push(last);",
      to: "parts.push(last);\n      if (message.bytes < 0) partial = [];",
    },
  ]),
  ...inFile("lib/etcd/watch/watch_stream.ts", [WATCH], [
    {
      id: "M2782",
      title: "the id of a watch that a compaction has cancelled is free",
      failure: "a client takes the messages of a new watch for those of the old one",
      from: "if (error instanceof CompactedError) {\n      watch.end();",
      to: "if (error instanceof CompactedError) {\n      this.#ids.forget(watchId);\n      watch.end();",
    },
    {
      id: "M2783",
      title: "progress is reported although a watch is behind",
      failure: "kube-apiserver serves a list from a cache that lacks events",
      from: "complete = Math.min(complete, watch.completeTo ?? -1);",
      to: "complete = Math.min(complete, watch.completeTo ?? Infinity);",
    },
    {
      id: "M2784",
      title: "progress is reported although a watch begins in the future",
      failure: "a client that waits for a revision takes it for reached",
      from: "if (watch.beginsAfter(present)) return UNANSWERED;",
      to: "",
    },
    {
      id: "M2785",
      title: "a watch is notified of progress right after an event",
      failure: "clients get messages that they do not need",
      from: "const isDue = !watch.hadEvent && completeTo",
      to: "const isDue = completeTo",
    },
    {
      id: "M2786",
      title: "a stream ends once its client has sent all requests",
      failure: "clients of the JSON gateway get no events",
      from: "if (body === null) return;",
      to: "if (body === null) return this.#ended.resolve();",
    },
  ]),
  ...inFile("lib/etcd/watch/watch_service.ts", [WATCH], [
    {
      id: "M2787",
      title: "a stream that wants a leader ends with the first moment without one",
      failure: "each election breaks the watches of kube-apiserver",
      from: "clock.now() - this.#leaderlessSince < LEADERLESS_MS",
      to: "clock.now() - this.#leaderlessSince < 0",
    },
  ]),
  ...inFile("lib/etcd/watch/source.ts", [WATCH], [
    {
      id: "M2788",
      title: "a source without readers goes on",
      failure: "watches that have ended cost the node without end",
      from: 'this.#stop.abort(new AbortError("Cannot watch keys: the last reader has left."));',
      to: "",
    },
  ]),
  ...inFile("lib/etcd/watch/watch_ids.ts", [WATCH], [
    {
      id: "M2789",
      title: "an id is given again once it is free",
      failure: "late messages of a cancelled watch are taken for those of a new one",
      from: "return this.#next++;",
      to: "return this.#next;",
    },
  ]),
];
