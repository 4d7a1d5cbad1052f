/** Bounds on the times of writes, from reads without a revision. */
import { assertEquals } from "@std/assert";
import { greatestClient, type History } from "../../../lib/lincheck/mod.ts";
import { MAX_OPERATIONS } from "../../../lib/loadgen/workload.ts";
import { RevisionOrder } from "../../../lib/lincheck/revisions.ts";
import { stepsOf } from "../../../lib/lincheck/steps.ts";
import { entry, get, put, remove, UNKNOWN } from "./support.ts";

/** The window of each step, by its call. */
function windowsOf(history: History): readonly (readonly [from: number, until: number])[] {
  const { steps } = stepsOf(history);
  const order = new RevisionOrder(steps);
  assertEquals(order.clash, null);
  return steps.map((_, position) => order.windowOf(position)).map(({ from, until }) =>
    [from, until] as const
  );
}

Deno.test("bounds: a write that replaced a value comes after the call of a read that still returned it, and so do all later writes", () => {
  const windows = windowsOf([
    put([1, 0, 1], "k=a", 1),
    put([1, 2, 20], "k=b", 2),
    put([2, 3, 30], "other=x", 3),
    get([3, 10, 12], "k", entry("a", [1, 1, 1])),
  ]);
  assertEquals(windows, [[0, 1], [10, 20], [10, 30], [10, 12]]);
});

Deno.test("bounds: an absent key had been deleted by then, and was created only afterwards", () => {
  const absent: History = [
    put([1, 0, 1], "k=a", 1),
    remove([1, 2, 20], "k", { deleted: true, revision: 2 }),
    put([2, 3, 30], "k=b", 3),
    get([3, 10, 12], "k", null),
  ];
  assertEquals(windowsOf(absent), [[0, 1], [2, 12], [10, 30], [10, 12]]);
  const unsure = [...absent, remove([4, 40, 41], "k", UNKNOWN)];
  assertEquals(windowsOf(unsure).slice(0, 4), [[0, 1], [2, 20], [3, 30], [10, 12]]);
});

Deno.test("bounds: if a key was absent twice, a read that may be of either time bounds only the writes around both", () => {
  const windows = windowsOf([
    put([1, 0, 50], "k=a", 1),
    remove([2, 1, 50], "k", { deleted: true, revision: 2 }),
    put([3, 2, 50], "k=b", 3),
    get([4, 10, 12], "k", null),
  ]);
  assertEquals(windows, [[0, 50], [1, 50], [10, 50], [10, 12]]);
});

Deno.test("bounds: a stale read bounds nothing: the search finds it, and reports the violation", () => {
  const windows = windowsOf([
    put([1, 0, 1], "k=a", 1),
    put([1, 2, 3], "k=b", 2),
    get([2, 5, 6], "k", entry("a", [1, 1, 1])),
  ]);
  assertEquals(windows, [[0, 1], [2, 3], [5, 6]]);
});

// V8 throws a RangeError for a call with more than about 120,000 arguments (seen in Deno 2.9.6), and a history has more
// operations than that: none of its numbers may be spread into a call.
Deno.test("bounds: a history of the greatest length needs no call with an argument for each operation", () => {
  const seen = entry("a", [1, 1, 1]);
  const history: History = [
    put([1, 0, null], "k=a", UNKNOWN),
    ...Array.from({ length: MAX_OPERATIONS - 1 }, (_, number) => get([2, number, number + 0.5], "k", seen)),
  ];
  assertEquals(greatestClient(history), 2);
  assertEquals(new RevisionOrder(stepsOf(history).steps).clash, null);
});
