/** The check of watches on ends of leases, and the history with what the watches showed. */
import { assert, assertEquals } from "@std/assert";
import {
  checkWatches,
  type History,
  type LeaseCall,
  type WatchedRun,
  type WatchNotice,
} from "../../../../lib/lincheck/mod.ts";
import { answered, entry, get, put, remove, UNKNOWN, verdictOf } from "../support.ts";
import {
  assertAccepted,
  assertRefused,
  batch,
  deleteEvent,
  granted,
  leasedPut,
  ONE,
  putEvent,
  reset,
  run,
  shown,
  watch,
} from "./watch_forms.ts";

Deno.test("checkWatches: a lease's end deletes its keys in one revision, and not before its time", () => {
  const leases = [granted(7, [0, 1], 100)];
  const history = [
    leasedPut([1, 1, 2], "a=1", [1, 7]),
    leasedPut([1, 3, 4], "b=2", [2, 7]),
    put([2, 5, 6], "c=3", 3),
  ];
  const puts = [
    batch(1, 2, putEvent("a=1", 1, { leaseId: 7 })),
    batch(2, 4, putEvent("b=2", 2, { leaseId: 7 })),
    batch(3, 6, putEvent("c=3", 3)),
  ];
  const ended = (...notices: readonly WatchNotice[]): WatchedRun =>
    run(history, [watch([...puts, ...notices])], { leases });
  assertAccepted(ended());
  assertAccepted(ended(batch(4, 101, deleteEvent("a", 4), deleteEvent("b", 4))));
  assertRefused(
    ended(batch(4, 90, deleteEvent("a", 4), deleteEvent("b", 4))),
    "lease",
    "ends 10 ms later at the earliest",
  );
  assertRefused(
    ended(batch(4, 101, deleteEvent("a", 4)), batch(5, 102, deleteEvent("b", 5))),
    "lease",
    "which ended at revision 4 already",
  );
  assertRefused(ended(batch(4, 101, deleteEvent("a", 4))), "lease", "b, which has the same lease");
  assertRefused(
    ended(batch(4, 101, deleteEvent("a", 4), deleteEvent("b", 4), deleteEvent("c", 4))),
    "author",
    "a delete of c",
  );
});

Deno.test("checkWatches: a lease that is kept alive lives longer; one that is revoked may end at once", () => {
  const history = [leasedPut([1, 1, 2], "a=1", [1, 7])];
  const watches = [
    watch([batch(1, 2, putEvent("a=1", 1, { leaseId: 7 })), batch(2, 110, deleteEvent("a", 2))]),
  ];
  const grant = granted(7, [0, 1], 100);
  const call = (kind: LeaseCall["kind"], calledAt: number, outcome: LeaseCall["outcome"]): LeaseCall[] => [
    grant,
    { kind, leaseId: 7, ttlMs: 100, calledAt, returnedAt: calledAt + 1, outcome },
  ];
  assertRefused(
    run(history, watches, { leases: call("keepAlive", 20, answered({ ttlMs: 100 })) }),
    "lease",
    "10 ms later",
  );
  assertAccepted(run(history, watches, { leases: call("keepAlive", 20, answered({ ttlMs: 0 })) }));
  assertAccepted(run(history, watches, { leases: call("keepAlive", 20, UNKNOWN) }));
  const early = [watch([batch(1, 2, putEvent("a=1", 1, { leaseId: 7 })), batch(2, 30, deleteEvent("a", 2))])];
  assertAccepted(run(history, early, { leases: call("revoke", 20, UNKNOWN) }));
  assertRefused(run(history, early, { leases: call("revoke", 40, UNKNOWN) }), "lease", "no client requested");
});

Deno.test("checkWatches: a put of an ended lease, or without the lease that it named, is refused", () => {
  const leases = [granted(7, [0, 1], 100)];
  const history = [leasedPut([1, 1, 2], "a=1", [1, 7]), leasedPut([2, 103, 104], "b=2", [3, 7])];
  const [one, end] = [batch(1, 2, putEvent("a=1", 1, { leaseId: 7 })), batch(2, 101, deleteEvent("a", 2))];
  const late = batch(3, 105, putEvent("b=2", 3, { leaseId: 7 }));
  assertRefused(
    run(history, [watch([one, end, late])], { leases }),
    "lease",
    "that lease ended at revision 2",
  );
  assertRefused(run(history.slice(0, 1), [watch([ONE])], { leases }), "agreement", "lease 7");
});

Deno.test("checkWatches: a plain put detaches a key from its lease", () => {
  const leases = [granted(7, [0, 1], 100)];
  const history = [leasedPut([1, 1, 2], "a=1", [1, 7]), put([1, 3, 5], "a=2", 2)];
  const notices = [
    batch(1, 2, putEvent("a=1", 1, { leaseId: 7 })),
    batch(2, 5, putEvent("a=2", 2, { createRevision: 1, version: 2 })),
  ];
  const gone = batch(3, 101, deleteEvent("a", 3));
  assertRefused(run(history, [watch([...notices, gone])], { leases }), "author", "and it had no lease");
});

Deno.test("checkWatches: the history has to be linearizable together with what watches showed", () => {
  const verdictWith = (history: History, ...notices: readonly WatchNotice[]): string => {
    const verdict = checkWatches(run(history, [watch(notices)]));
    assert(verdict.kind === "consistent", JSON.stringify(verdict));
    return verdictOf(verdict.history).kind;
  };
  // Unknown to its client, seen by a watch, and then not by a get.
  const unknown = put([1, 0, 2], "a=1", UNKNOWN);
  assertEquals(verdictWith([unknown, get([2, 6, 7], "a", null)], ONE), "violation");
  assertEquals(verdictWith([unknown, get([2, 6, 7], "a", null)]), "linearizable");
  assertEquals(verdictWith([unknown, get([2, 6, 7], "a", entry("1", [1, 1, 1]))], ONE), "linearizable");
  // Seen by a watch before the answer to its client, and then not by a get.
  const slow = put([1, 0, 20], "a=1", 1);
  assertEquals(verdictWith([slow, get([2, 6, 7], "a", null)], ONE), "violation");
  assertEquals(
    verdictWith([slow, get([2, 6, 7], "a", null)], batch(1, 20, putEvent("a=1", 1))),
    "linearizable",
  );
  // A delete of unknown outcome.
  const removed = remove([2, 3, 4], "a", UNKNOWN);
  const still = get([3, 6, 7], "a", entry("1", [1, 1, 1]));
  assertEquals(
    verdictWith([put([1, 0, 2], "a=1", 1), removed, still], ONE, batch(2, 5, deleteEvent("a", 2))),
    "violation",
  );
  assertEquals(
    verdictWith([put([1, 0, 2], "a=1", 1), removed, still], ONE, batch(2, 7, deleteEvent("a", 2))),
    "linearizable",
  );
});

Deno.test("checkWatches: a lease that ended unseen has deleted all keys that were still attached to it", () => {
  const leases = [granted(7, [0, 1], 100)];
  const history = [
    leasedPut([1, 1, 2], "a=1", [1, 7]),
    leasedPut([1, 3, 4], "b=2", [2, 7]),
    leasedPut([1, 5, 6], "c=3", [3, 7]),
    put([1, 7, 8], "c=4", 4),
    put([1, 120, 121], "d=6", 6),
  ];
  const notices = [
    batch(1, 2, putEvent("a=1", 1, { leaseId: 7 })),
    batch(2, 4, putEvent("b=2", 2, { leaseId: 7 })),
    batch(3, 6, putEvent("c=3", 3, { leaseId: 7 })),
    batch(4, 8, putEvent("c=4", 4, { createRevision: 3, version: 2 })),
    reset(6, 122, { c: shown("4", 4, { createRevision: 3, version: 2 }), d: shown("6", 6) }),
  ];
  const kindWith = (...reads: History): string => {
    const verdict = checkWatches(run([...history, ...reads], [watch(notices)], { leases }));
    assert(verdict.kind === "consistent", JSON.stringify(verdict));
    return verdictOf(verdict.history).kind;
  };
  const [a, b] = [entry("1", [1, 1, 1]), entry("2", [2, 2, 1])];
  const c = entry("4", [3, 4, 2]);
  assertEquals(
    kindWith(get([2, 123, 124], "a", null), get([2, 125, 126], "b", null), get([2, 127, 128], "c", c)),
    "linearizable",
  );
  assertEquals(kindWith(get([2, 109, 110], "a", a), get([2, 111, 112], "b", b)), "linearizable");
  assertEquals(kindWith(get([2, 111, 112], "a", null), get([2, 113, 114], "b", b)), "violation");
  assertEquals(kindWith(get([2, 127, 128], "c", null)), "violation");
});

Deno.test("checkWatches: the end of a lease explains that a key does not exist, and its absence is explained by nothing else", () => {
  const leases = [granted(7, [0, 1], 100)];
  const history = [leasedPut([1, 1, 2], "a=1", [1, 7]), get([2, 105, 106], "a", null)];
  const one = batch(1, 2, putEvent("a=1", 1, { leaseId: 7 }));
  assertAccepted(run(history, [watch([one, batch(2, 107, deleteEvent("a", 2))])], { leases }));
  // The watch ends before: the lease may have ended since.
  assertAccepted(run(history, [watch([one])], { leases }));
  const verdict = checkWatches(
    run([put([1, 1, 2], "a=1", 1), ...history.slice(1)], [watch([ONE])], { leases }),
  );
  assert(verdict.kind === "consistent");
  assertEquals(verdictOf(verdict.history).kind, "violation");
});
