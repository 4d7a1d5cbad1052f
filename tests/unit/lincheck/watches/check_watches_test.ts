/** Every rule of the check of watches: a run that keeps it is accepted, and one that breaks it is refused. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  checkWatches,
  type History,
  type WatchedEntry,
  type WatchedRun,
  type WatchNotice,
  type WatchRecord,
  watchViolationPage,
} from "../../../../lib/lincheck/mod.ts";
import { answered, entry, NOT_APPLIED, put, remove, transaction, UNKNOWN } from "../support.ts";
import {
  A,
  assertAccepted,
  assertRefused,
  batch,
  deleteEvent,
  FOUR,
  HISTORY,
  ONE,
  progress,
  putEvent,
  reset,
  run,
  shown,
  THREE,
  TWO,
  watch,
} from "./watch_forms.ts";

Deno.test("checkWatches: watches of everything, of one key, with filters and from the present on are accepted", () => {
  assertAccepted(run(HISTORY, [
    watch([ONE, TWO, THREE, FOUR]),
    watch([ONE, TWO, FOUR, progress(4, 20)], { keys: A }),
    watch([ONE, TWO, THREE], { only: "puts" }),
    watch([FOUR], { only: "deletes" }),
    watch([THREE, FOUR], { from: null, startedAt: 5.5 }),
    watch([progress(2, 6), THREE], { from: 3 }),
    watch([]),
  ]));
});

Deno.test("checkWatches: revisions have to ascend, and each is shown once", () => {
  assertRefused(
    run(HISTORY, [watch([ONE, THREE, TWO, FOUR])]),
    "order",
    "and then shows events of revision 2",
  );
  assertRefused(
    run(HISTORY, [watch([ONE, TWO, TWO, THREE, FOUR])]),
    "order",
    "up to revision 2, and then shows events of revision 2",
  );
  assertRefused(run(HISTORY, [watch([ONE, progress(3, 9), THREE, FOUR])]), "order", "up to revision 3");
  assertRefused(run(HISTORY, [watch([ONE, TWO, progress(1, 9)])]), "order", "shows a progress of revision 1");
  assertRefused(run(HISTORY, [watch([ONE, TWO, reset(1, 9, {})])]), "order", "shows a reset of revision 1");
});

Deno.test("checkWatches: a watch shows nothing from before its start", () => {
  assertRefused(run(HISTORY, [watch([TWO, THREE, FOUR], { from: 3 })]), "start", "was to begin with 3");
  const late = watch([TWO, THREE, FOUR], { from: null, startedAt: 5.5 });
  assertRefused(run(HISTORY, [late]), "start", "revision 2 was known before it was requested");
  const stale = watch([progress(1, 6), TWO], { from: null, startedAt: 5.5 });
  assertRefused(run(HISTORY, [stale]), "start", "shows revision 1");
});

Deno.test("checkWatches: a watch shows only keys and kinds of events that were requested", () => {
  assertRefused(run(HISTORY, [watch([ONE, TWO, THREE], { keys: A })]), "range", "shows b at revision 3");
  assertRefused(
    run(HISTORY, [watch([ONE, TWO, THREE, FOUR], { only: "puts" })]),
    "range",
    "asked for puts and shows a delete of a",
  );
});

Deno.test("checkWatches: the numbers of an event, and of what it replaced, have to fit each other", () => {
  const second = (differences: Parameters<typeof putEvent>[2]): WatchedRun =>
    run(HISTORY, [
      watch([ONE, batch(2, 5, putEvent("a=2", 2, { createRevision: 1, version: 2, ...differences }))]),
    ]);
  assertRefused(second({ modRevision: 3 }), "form", "the put is of revision 3");
  assertRefused(second({ version: 1 }), "form", "it has version 1 and was created at 1");
  assertRefused(second({ createRevision: 3 }), "form", "it was created at 3 and last changed at 2");
  assertRefused(
    second({ previous: shown("1", 1, { version: 2 }) }),
    "form",
    "what it replaced has version 2",
  );
  assertRefused(second({ previous: null }), "form", "nothing was there before");
  assertRefused(run(HISTORY, [watch([ONE, batch(2, 5)])]), "form", "without an event");
  const absent = batch(4, 11, deleteEvent("a", 4, null));
  assertRefused(run(HISTORY, [watch([ONE, TWO, THREE, absent])]), "form", "deleted that did not exist");
});

Deno.test("checkWatches: a watch shows every acknowledged write between its first and its last revision", () => {
  assertRefused(
    run(HISTORY, [watch([ONE, THREE, FOUR])]),
    "missing",
    "shows no change of a at revision 2, and covers it: client 1's put",
  );
  assertRefused(run(HISTORY, [watch([TWO, THREE])]), "missing", "at revision 1");
  assertRefused(
    run(HISTORY, [watch([ONE, TWO, progress(4, 12)])]),
    "missing",
    "no change of b at revision 3",
  );
  assertAccepted(run(HISTORY, [watch([ONE, TWO])]));
});

Deno.test("checkWatches: a watch shows what another one does, also of writes of unknown outcome", () => {
  const history = [...HISTORY.slice(0, 2), put([2, 6, 8], "b=3", UNKNOWN), ...HISTORY.slice(3)];
  assertAccepted(run(history, [watch([ONE, TWO, THREE, FOUR]), watch([ONE, TWO, THREE, FOUR])]));
  const four = batch(3, 11, deleteEvent("a", 3));
  const without = [
    ...HISTORY.slice(0, 2),
    put([2, 6, 8], "b=3", UNKNOWN),
    remove([1, 9, 11], "a", { deleted: true, revision: 3 }),
  ];
  assertAccepted(run(without, [watch([ONE, TWO, four]), watch([ONE, TWO, four])]));
  assertRefused(
    run(history, [watch([ONE, TWO, FOUR]), watch([ONE, TWO, THREE, FOUR])]),
    "missing",
    "no change of b at revision 3",
  );
  const other = batch(2, 5, putEvent("a=2", 2, { createRevision: 1, version: 3 }));
  assertRefused(run(HISTORY, [watch([ONE, other]), watch([ONE, TWO])]), "agreement", "version 3");
});

Deno.test("checkWatches: an event has the value that was acknowledged, also where all watches show another one", () => {
  const wrong = batch(2, 5, putEvent("a=9", 2, { createRevision: 1, version: 2 }));
  assertRefused(run(HISTORY, [watch([ONE, wrong, THREE])]), "author", "it does not write that");
  const history: History = [{
    kind: "compareAndSet",
    client: 1,
    calledAt: 0,
    returnedAt: 2,
    key: "a",
    expect: null,
    value: "1",
    outcome: answered({ succeeded: true, current: entry("1", [1, 1, 1]), revision: 1 }),
  }];
  assertAccepted(run(history, [watch([ONE])]));
  const later = batch(1, 2, putEvent("a=1", 1, { version: 2 }));
  assertRefused(run(history, [watch([later])]), "agreement", 'left it as "1", created at 1, version 1');
});

Deno.test("checkWatches: every event was written, and not by a write that was certainly not applied", () => {
  const five = batch(5, 30, putEvent("c=5", 5));
  const rest = [watch([ONE, TWO, THREE, FOUR, five])];
  assertRefused(run(HISTORY, rest), "author", "no operation wrote it");
  assertRefused(
    run([...HISTORY, put([3, 12, 13], "c=5", NOT_APPLIED)], rest),
    "author",
    "that it was not applied",
  );
  assertRefused(run([...HISTORY, put([3, 12, 13], "c=5", 6)], rest), "author", "received revision 6");
  assertRefused(run([...HISTORY, put([3, 31, 32], "c=5", UNKNOWN)], rest), "author", "before its author");
  assertAccepted(run([...HISTORY, put([3, 12, 13], "c=5", UNKNOWN)], rest));
  const gone = batch(5, 30, deleteEvent("b", 5));
  assertRefused(
    run(HISTORY, [watch([ONE, TWO, THREE, FOUR, gone])]),
    "author",
    "which no operation made, and it had no lease",
  );
});

Deno.test("checkWatches: keys without the prefix may be changed by others, and watches have to agree on them", () => {
  const history: History = [put([1, 0, 2], "p/a=1", 1)];
  const [own, other] = [batch(1, 2, putEvent("p/a=1", 1)), batch(2, 3, putEvent("q=1", 2))];
  assertAccepted(run(history, [watch([own, other])], { prefix: "p/" }));
  const without = watch([own, progress(2, 4)]);
  assertRefused(run(history, [watch([own, other]), without], { prefix: "p/" }), "missing", "no change of q");
});

Deno.test("checkWatches: all changes of a transaction have one revision, also if its outcome is unknown", () => {
  const both = batch(1, 5, putEvent("a=1", 1), putEvent("b=1", 1));
  const [first, second] = [batch(1, 5, putEvent("a=1", 1)), batch(2, 6, putEvent("b=1", 2))];
  for (const outcome of [1, UNKNOWN]) {
    const history = [transaction([1, 0, 4], ["a=1", "b=1"], outcome)];
    assertAccepted(run(history, [watch([both]), watch([first], { keys: A })]));
    assertRefused(
      run(history, [watch([first])]),
      "missing",
      "at revision 1, of which it shows other changes",
    );
    const split = run(history, [watch([first, second])]);
    assertRefused(split, "missing", "no change of b at revision 1");
    if (outcome !== 1) assertRefused(split, "once", "revision 1 and revision 2");
  }
  const two = [put([1, 0, 4], "a=1", UNKNOWN), put([2, 0, 4], "b=1", UNKNOWN)];
  assertRefused(run(two, [watch([both])]), "whole", "no operation writes all");
});

Deno.test("checkWatches: a write of unknown outcome is applied once", () => {
  const history = [put([1, 0, 2], "a=1", UNKNOWN)];
  const again = batch(2, 5, putEvent("a=1", 2, { createRevision: 1, version: 2 }));
  assertAccepted(run(history, [watch([ONE])]));
  assertRefused(run(history, [watch([ONE, again])]), "once", "can have been applied once");
});

Deno.test("checkWatches: a revision that was shown was not made by an operation that is called later", () => {
  const history = [put([1, 0, 2], "a=1", 2), put([2, 6, 8], "b=3", 1)];
  const watches = [watch([batch(2, 5, putEvent("a=1", 2))], { from: 2 })];
  assertRefused(run(history, watches), "time", "a watch had shown revision 2 before it was called");
});

Deno.test("checkWatches: a previous value is the one that was replaced", () => {
  const second = (previous: WatchedEntry | null, version = 2): WatchNotice =>
    batch(2, 5, putEvent("a=2", 2, { createRevision: 1, version, previous }));
  assertAccepted(run(HISTORY, [watch([ONE, second(shown("1", 1))])]));
  assertRefused(
    run(HISTORY, [watch([ONE, second(shown("9", 1))])]),
    "previous",
    "differs from what revision 1 put there",
  );
  const late = [...HISTORY, put([1, 12, 13], "b=4", 5)];
  const fifth = (previous: WatchedEntry | null): WatchNotice =>
    batch(
      5,
      14,
      putEvent("b=4", 5, { createRevision: 3, version: 2, ...(previous === null ? {} : { previous }) }),
    );
  assertAccepted(run(late, [watch([ONE, TWO, THREE, FOUR, fifth(shown("3", 3))])]));
  const gone = batch(4, 11, deleteEvent("a", 4, shown("1", 1)));
  assertRefused(
    run(HISTORY, [watch([ONE, TWO, THREE, gone])]),
    "previous",
    "it was changed at revision 2 since",
  );
  const created = batch(5, 14, putEvent("b=4", 5, { previous: null }));
  assertRefused(
    run(late, [watch([ONE, TWO, THREE, FOUR, created])]),
    "previous",
    "since revision 3 it existed",
  );
  const invented = batch(4, 11, deleteEvent("a", 4, shown("8", 3, { createRevision: 1, version: 3 })));
  assertRefused(
    run(HISTORY, [watch([ONE, TWO, THREE, invented])]),
    "missing",
    'shows later that it was then "8", created at 1, version 3',
  );
});

Deno.test("checkWatches: version and createRevision follow from the changes before", () => {
  const second = (differences: Partial<WatchedEntry>): WatchedRun =>
    run(HISTORY, [watch([ONE, batch(2, 5, putEvent("a=2", 2, differences)), THREE])]);
  assertRefused(
    second({ createRevision: 1, version: 3 }),
    "numbers",
    "it has version 3; at revision 1 it had version 1",
  );
  assertRefused(second({}), "numbers", "it existed at revision 1");
  const again = [...HISTORY, put([1, 12, 13], "a=5", 5)];
  const fifth = batch(5, 14, putEvent("a=5", 5, { createRevision: 1, version: 3 }));
  assertRefused(
    run(again, [watch([ONE, TWO, THREE, FOUR, fifth])]),
    "numbers",
    "it did not exist at revision 4",
  );
  assertAccepted(run(again, [watch([ONE, TWO, THREE, FOUR, batch(5, 14, putEvent("a=5", 5))])]));
  const twice = [
    batch(1, 1, putEvent("a=1", 1)),
    batch(2, 2, deleteEvent("a", 2)),
    batch(3, 3, deleteEvent("a", 3)),
  ];
  const deletes = [
    put([1, 0, 1], "a=1", 1),
    remove([2, 0, 3], "a", UNKNOWN),
    remove([3, 0, 3], "a", UNKNOWN),
  ];
  assertRefused(run(deletes, [watch(twice)]), "numbers", "it did not exist since revision 2");
});

Deno.test("checkWatches: nothing can have changed between revisions that two watches cover, one after the other", () => {
  const history = [put([1, 0, 2], "a=1", 1), put([1, 3, 5], "a=2", 4)];
  const later = (version: number): WatchRecord =>
    watch([batch(4, 6, putEvent("a=2", 4, { createRevision: 1, version }))], { from: 3 });
  assertAccepted(run(history, [watch([ONE, progress(2, 3)]), later(2)]));
  assertRefused(run(history, [watch([ONE, progress(2, 3)]), later(3)]), "numbers", "it has version 3");
  // Another write may have come in between.
  assertAccepted(run(history, [watch([ONE]), later(2)]));
});

Deno.test("checkWatches: what a reset skips need not be shown, and what it shows has to fit the changes", () => {
  const skipped = (entries: Readonly<Record<string, WatchedEntry>>, resync = true): WatchedRun =>
    run(HISTORY, [watch([ONE, reset(3, 9, entries), FOUR], { resync }), watch([ONE, TWO, THREE, FOUR])]);
  const [a, b] = [shown("2", 2, { createRevision: 1, version: 2 }), shown("3", 3)];
  assertAccepted(skipped({ a, b }));
  assertRefused(skipped({ a, b }, false), "form", "did not ask for resets");
  assertRefused(skipped({ a: { ...a, value: "9" }, b }), "agreement", 'shows later that it was then "9"');
  assertRefused(skipped({ b, a }), "form", "the keys are not in order");
  assertRefused(skipped({ a, b: { ...b, modRevision: 4 } }), "form", "it was last changed at 4");
  assertRefused(skipped({ a, b, c: shown("7", 2) }), "missing", "no change of c at revision 2");
});

Deno.test("checkWatches: a reset shows every key of its range as of its revision", () => {
  const skipped = (entries: Readonly<Record<string, WatchedEntry>>): WatchedRun =>
    run(HISTORY, [watch([ONE, reset(3, 9, entries), FOUR]), watch([ONE, TWO, THREE, FOUR])]);
  const b = shown("3", 3);
  assertRefused(skipped({ b }), "reset", "a is missing");
  assertRefused(skipped({ a: shown("1", 1), b }), "reset", "it was changed at revision 2");
});

Deno.test("watchViolationPage: it has the sentences, and what each watch shows near the first one", () => {
  const wrong = run(HISTORY, [
    watch([ONE, THREE, FOUR]),
    watch([ONE, TWO], { watcher: 2, keys: A, only: "puts" }),
  ]);
  const verdict = checkWatches(wrong);
  assert(verdict.kind === "violation");
  const page = watchViolationPage(wrong, verdict, { about: "<a test>" });
  const words = page.replaceAll(/<style>[^]*<\/style>|<[^>]*>/g, " ").replaceAll("&quot;", '"').replaceAll(
    /\s+/g,
    " ",
  );
  for (
    const text of [
      "✗ Watches are wrong &lt;a test&gt;",
      "Watch 1.1 (all keys, from revision 1) shows no change of a at revision 2, and covers it",
      "revision made by watch 1.1 (all keys, from revision 1) watch 2.1 (a, puts, from revision 1)",
      '2 client 1: put a = "2", revision 2 nothing put "2", created at 1, version 2',
      "4 client 1: delete a, deleted, revision 4 delete not covered",
    ]
  ) assertStringIncludes(words, text);
});

Deno.test("checkWatches: of many contradictions the first ones by revision are kept, and all are counted", () => {
  const numbers = Array.from({ length: 100 }, (_, number) => number + 1);
  const history = numbers.map((number) => put([1, number, number + 0.5], `k${number}=${number}`, number));
  const verdict = checkWatches(run(history, [watch([progress(100, 200)])]));
  assert(verdict.kind === "violation");
  assertEquals([verdict.total, verdict.findings.length], [100, 20]);
  assertEquals(verdict.findings.map(({ revision }) => revision), numbers.slice(0, 20));
});
