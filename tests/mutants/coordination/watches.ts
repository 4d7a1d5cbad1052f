/** Mutants of watches: gaps, repeated events, wrong filters, and memory without bound. */
import { tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

/** The hub against a log, its index, and watches of whole servers. */
const WATCH = tests("watch", "tests/unit/server/watch");

/** The replica, whose observer the hub is. */
const REPLICA = tests("replica", "tests/unit/server/replica_test.ts");

export const WATCH_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/server/watch/watch_hub.ts", [WATCH], [
    {
      id: "M770",
      title: "events are queued for a connection that does not read",
      failure: "a client that does not read takes memory without bound",
      from: "if (this.#leftBytes <= 0 || connection.isHeld()) {",
      to: "if (this.#leftBytes <= 0) {",
    },
    {
      id: "M771",
      title: "a watch that falls behind continues after the revision that it was not sent",
      failure: "a slow reader misses an event without notice",
      from: "watch.nextRevision = revision;\n    watch.sentEvents = 0;",
      to: "watch.nextRevision = revision + 1;\n    watch.sentEvents = 0;",
    },
    {
      id: "M772",
      title: "after a snapshot the watches continue with the present revision",
      failure: "a follower that was fed by a snapshot leaves out what the snapshot has",
      from: 'if (watch.state === "level") this.#setBack(watch, next);',
      to: 'if (watch.state === "level" && next < 0) this.#setBack(watch, next);',
    },
    {
      id: "M773",
      title: "a watch from a past revision begins with the present one",
      failure: "a client that continues a watch misses what happened meanwhile",
      from: "if (from <= this.#revision) this.#setBack(watch, from);",
      to: "",
    },
    {
      id: "M774",
      title: "one turn sends all watches everything at once",
      failure: "a large value that many watches get exhausts the node's memory",
      from: "this.#spend(cost);",
      to: "",
    },
    {
      id: "M775",
      title: "progress is reported for watches that are behind",
      failure: "a client continues after events that it was never sent",
      from: 'if (watch.state === "level" && !watch.hadEvent)',
      to: "if (!watch.hadEvent)",
    },
    {
      id: "M776",
      title: "a request for progress is answered while watches are behind",
      failure: "a client takes the events up to a revision for complete when they are not",
      from: "if (behind > 0) return;",
      to: "",
    },
    {
      id: "M798",
      title: "events are encoded for watches that are not sent them",
      failure: "one client that does not read makes the node slow with many watches",
      from: "this.#leftBytes > 0 && isAnyServed(level) ? this.#encode(interest) : null",
      to: "isAnyServed(level) || level.size > 0 ? this.#encode(interest) : null",
    },
    {
      id: "M799",
      title: "the work to encode events for many watches is not bounded in a turn",
      failure: "a large transaction that many watches match stops the node for seconds",
      from: "if (matched.length > 1) this.#spend(matched.length * EVENT_COST_BYTES);",
      to: "",
    },
    {
      id: "M777",
      title: "the watches of a node without a leader do not end",
      failure: "a client behind a partition waits for events that never come",
      from: "this.#leaderlessTimer ??= this.#clock.after(",
      to: "void (",
    },
  ]),
  ...inFile("lib/server/watch/history_feed.ts", [WATCH], [
    {
      id: "M778",
      title: "a pass through the history takes in watches that lack revisions before it",
      failure: "they miss these revisions without notice",
      from: "this.#fed.size > 0 && watch.nextRevision >= this.#position",
      to: "this.#fed.size > 0",
    },
    {
      id: "M779",
      title: "a watch of a pass is sent revisions that it was sent before",
      failure: "events are repeated",
      from: "if (watch.nextRevision > revision) continue;",
      to: "",
    },
    {
      id: "M780",
      title: "a watch whose missing events are compacted is fed from where the history begins",
      failure: "it misses events without notice",
      from: "this.#options.compacted(watch);",
      to: "this.#join(watch);\n      break;",
    },
    {
      id: "M781",
      title: "every watch of a pass ends when the history is compacted",
      failure: "watches end although no event is missing",
      from: "if (Math.max(watch.nextRevision, this.#position) >= revision) continue;",
      to: "",
    },
    {
      id: "M782",
      title: "a watch that is held within a revision begins it again",
      failure: "events of a large revision are repeated",
      from: "watch.nextRevision = revision;\n    while",
      to: "watch.nextRevision = revision;\n    watch.sentEvents = 0;\n    while",
    },
  ]),
  ...inFile("lib/server/watch/history_feed.ts", [WATCH], [
    {
      id: "M795",
      title: "a pass reads all revisions from its first one, also when no watch of it lacks them any more",
      failure: "a slow reader makes the node read the whole history again and again",
      from: "this.#position = Math.max(this.#position, wanted);",
      to: "if (this.#position === 0) this.#position = wanted;",
    },
    {
      id: "M800",
      title: "a turn of the feed reads as many revisions however many interests their events match",
      failure: "many overlapping watches make each turn of the feed long",
      from: " + matches * MATCH_COST_BYTES",
      to: "",
    },
    {
      id: "M801",
      title: "watches get no sign of life while the history is read for them",
      failure: "a client takes the node for lost, and begins again from the same revision each time",
      from: "if (now - this.#progressAt < FEED_PROGRESS_MS) return;",
      to: "return;",
    },
    {
      id: "M802",
      title: "a watch that waits for the next pass is reported to be as far as the present one",
      failure: "a client continues after events that it was never sent",
      from: 'state === "fed" ? Math.max(nextRevision, this.#position) : nextRevision;',
      to: 'state === "level" ? nextRevision : Math.max(nextRevision, this.#position);',
    },
    {
      id: "M803",
      title: "progress is reported up to a revision whose events are still to be sent",
      failure: "a client continues after events that it was never sent",
      from:
        "const watchIds = byRevision.get(next - 1);\n      if (watchIds === undefined) byRevision.set(next - 1, [watchId]);",
      to:
        "const watchIds = byRevision.get(next);\n      if (watchIds === undefined) byRevision.set(next, [watchId]);",
    },
    {
      id: "M804",
      title: "progress is reported in the middle of a revision",
      failure: "a client gets a notice of progress before a revision of which it has a part",
      from: "if (hadEvent || sentEvents > 0 || connection",
      to: "if (hadEvent || sentEvents < 0 || connection",
    },
    {
      id: "M797",
      title: "a pass looks at every watch that is behind for each revision",
      failure: "many watches whose clients do not read make each turn of the feed long",
      from: "for (const watch of interest.fed) {\n        this.#visited++;",
      to:
        'for (const watch of interest.behind) {\n        this.#visited++;\n        if (watch.state !== "fed") continue;',
    },
  ]),
  ...inFile("lib/server/watch/event_encoder.ts", [WATCH], [
    {
      id: "M783",
      title: "the encoding of an event is used for the next one as well",
      failure: "watches get the event of another revision",
      from: "this.#first === first && ",
      to: "",
    },
    {
      id: "M784",
      title: "watches without previous values share the encoding of those with them",
      failure: "a client gets previous values that it did not ask for, or none although it did",
      from: " && this.#hasPrevious === previous",
      to: "",
    },
    {
      id: "M785",
      title: "all events of a revision are in one frame",
      failure: "a frame exceeds its limit, and the connection is closed again and again",
      from: "if (bytes > WATCH_FRAME_BYTES && position > start) return position;",
      to: "",
    },
  ]),
  ...inFile("lib/server/watch/interest_index.ts", [WATCH], [
    {
      id: "M786",
      title: "keys with the same hash are taken for the same",
      failure: "a watch gets the events of another key",
      from: "if (bytes.length === length && beginsWith(key, bytes)) found.push(interest);",
      to: "if (bytes.length === length) found.push(interest);",
    },
    {
      id: "M787",
      title: "watches with other filters share an interest",
      failure: "a watch of deletes gets puts",
      from: "isSameFilter(one.filter, filter) && ",
      to: "",
    },
  ]),
  ...inFile("lib/server/watch/range_index.ts", [WATCH], [
    {
      id: "M788",
      title: "the search of ranges compares a key with the end of the middle one alone",
      failure: "a watch of a long range misses events",
      from: "return greatest;\n  }",
      to: "return this.#sorted[middle]?.end ?? null;\n  }",
    },
    {
      id: "M789",
      title: "removed ranges are found until the next merge",
      failure: "the work of a put grows with watches that ended",
      from: " && !this.#removed.has(entry.value)",
      to: "",
    },
  ]),
  ...inFile("lib/server/replica.ts", [REPLICA], [
    {
      id: "M790",
      title: "watches are sent only the last revision of a batch of entries",
      failure: "events are lost when several entries are applied at once",
      from: "if (this.#stateMachine.revision !== revision) {",
      to: "if (this.#stateMachine.revision !== revision && entry === entries.at(-1)) {",
    },
  ]),
  ...inFile("lib/server/watch/commit_requests.ts", [WATCH], [
    {
      id: "M796",
      title: "a follower with watches waits for the next heartbeat to learn what is committed",
      failure: "its watches get a single write a heartbeat interval late",
      from: "      driver.readIndex();\n    });",
      to: "    });",
    },
  ]),
  ...inFile("lib/server/watch/watch_requests.ts", [WATCH], [
    {
      id: "M791",
      title: "a connection may have any number of watches",
      failure: "one client takes the watches of all",
      from: "connection.size >= MAX_WATCHES_PER_CONNECTION && ",
      to: "connection.size > MAX_WATCHES && ",
    },
    {
      id: "M830",
      title: "a watch that was cancelled before it began counts until it has begun",
      failure: "a client within its limit is refused for having too many watches",
      from: "if (starting.push(answer) === 1) connection.cancelledStarting++;",
      to: "starting.push(answer);",
    },
    {
      id: "M792",
      title: "a watch that was cancelled before it began goes on",
      failure: "a client gets events after it was answered that there are none",
      from: "this.#options.hub.cancel(connection, watchId);\n      for",
      to: "for",
    },
    {
      id: "M793",
      title: "a watch from a compacted revision begins where the history does",
      failure: "a client that continues a watch misses events without notice",
      from: "if (from > compactedRevision) return null;",
      to: "if (from > 0) return null;",
    },
    {
      id: "M794",
      title: "a watch begins before the node has caught up",
      failure: "a lagging follower reports as new what was written before the watch began",
      from: "whenUpToDate(this.#options, (ready, applyMs = 0) => {\n      reply.confirmed(applyMs);",
      to: "((run: (ready: boolean) => void) => run(true))((ready) => {",
    },
  ]),
];
