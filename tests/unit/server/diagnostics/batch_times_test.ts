/** Where the time of a write went: the parts by the times of its batch, which add up to the time that it took. */
import { assertEquals } from "@std/assert";
import {
  BatchTimes,
  REMEMBERED_BATCHES,
  type WriteParts,
} from "../../../../lib/server/diagnostics/batch_times.ts";

/** Returns the times of batches of some entries each, written one after the other from 1,000 µs on. */
function timesOf(lastIndexes: readonly number[]): BatchTimes {
  const times = new BatchTimes();
  let first = 1;
  for (const last of lastIndexes) {
    times.appended(first, last, 1_000 * last);
    first = last + 1;
  }
  return times;
}

function sumOf({ queued, sync, majority, apply }: WriteParts): number {
  return queued + sync + majority + apply;
}

Deno.test("BatchTimes: a write waits until it is written, then for the sync, then for a majority, then to be applied", () => {
  const times = new BatchTimes();
  times.appended(1, 3, 1_000);
  times.synced(400);
  times.committed(3, 2_000);
  const parts = times.partsOf(2, { begin: 700, elapsed: 1_500 });
  assertEquals(parts, { queued: 300, sync: 400, majority: 600, apply: 200 });
});

Deno.test("BatchTimes: a commit before the end of the own sync did not wait for it", () => {
  const times = new BatchTimes();
  times.appended(1, 1, 1_000);
  times.committed(1, 1_500);
  const whileSyncing = times.partsOf(1, { begin: 1_000, elapsed: 500 });
  assertEquals(whileSyncing, { queued: 0, sync: 0, majority: 500, apply: 0 });
  times.synced(9_000);
  assertEquals(times.partsOf(1, { begin: 1_000, elapsed: 500 }), whileSyncing);
});

Deno.test("BatchTimes: of a write that was given up, the part that had not ended takes the rest", () => {
  const times = new BatchTimes();
  times.appended(1, 1, 1_000);
  assertEquals(times.partsOf(1, { begin: 900, elapsed: 5_000 }), {
    queued: 100,
    sync: 4_900,
    majority: 0,
    apply: 0,
  });
  times.synced(50);
  assertEquals(times.partsOf(1, { begin: 900, elapsed: 5_000 }), {
    queued: 100,
    sync: 50,
    majority: 4_850,
    apply: 0,
  });
  assertEquals(
    times.partsOf(2, { begin: 900, elapsed: 5_000 }),
    { queued: 5_000, sync: 0, majority: 0, apply: 0 },
    "a write that is not written yet",
  );
});

Deno.test("BatchTimes: a retry that joined its first attempt waited for what was left of it", () => {
  const times = new BatchTimes();
  times.appended(1, 1, 1_000);
  times.synced(400);
  times.committed(1, 3_000);
  assertEquals(times.partsOf(1, { begin: 2_000, elapsed: 1_100 }), {
    queued: 0,
    sync: 0,
    majority: 1_000,
    apply: 100,
  });
});

Deno.test("BatchTimes: a commit within a batch counts for its first entries, and the whole batch later", () => {
  const times = timesOf([4]);
  times.synced(100);
  times.committed(2, 5_000);
  const request = { begin: 4_000, elapsed: 3_000 };
  assertEquals(times.partsOf(2, request), { queued: 0, sync: 100, majority: 900, apply: 2_000 });
  assertEquals(times.partsOf(3, request), { queued: 0, sync: 100, majority: 2_900, apply: 0 });
  times.committed(4, 6_000);
  assertEquals(times.partsOf(3, request), { queued: 0, sync: 100, majority: 1_900, apply: 1_000 });
});

Deno.test("BatchTimes: entries that a new leader replaced have the times of those that took their place", () => {
  const times = timesOf([2, 5, 9]);
  times.committed(3, 9_500);
  times.appended(4, 6, 10_000);
  times.synced(70);
  times.committed(6, 11_000);
  const request = { begin: 10_000, elapsed: 2_000 };
  assertEquals(times.partsOf(4, request), { queued: 0, sync: 70, majority: 930, apply: 1_000 });
  assertEquals(times.partsOf(3, { begin: 5_000, elapsed: 7_000 })?.queued, 0, "what was left of a batch");
  assertEquals(times.partsOf(7, request)?.queued, 2_000, "an index that no batch has any more");
  times.appended(7, 8, 11_500);
  times.committed(8, 13_000);
  assertEquals(times.partsOf(5, { begin: 10_000, elapsed: 4_000 })?.apply, 3_000, "its own commit");
});

Deno.test("BatchTimes: the times before the last batches are forgotten, and those of the others are not", () => {
  const last = 2 * REMEMBERED_BATCHES;
  const times = timesOf(Array.from({ length: last }, (_, position) => position + 1));
  times.committed(last, 1_000 * last + 500);
  const request = { begin: 1_000 * last, elapsed: 700 };
  assertEquals(times.partsOf(last - REMEMBERED_BATCHES, request), null);
  const oldest = times.partsOf(last - REMEMBERED_BATCHES + 1, request);
  assertEquals(oldest === null ? null : sumOf(oldest), 700);
  assertEquals(times.partsOf(last, request), { queued: 0, sync: 0, majority: 500, apply: 200 });
});

Deno.test("BatchTimes: parts are right after the clock has wrapped around", () => {
  const times = new BatchTimes();
  const end = 2 ** 30;
  times.appended(1, 1, end - 100);
  times.synced(300);
  times.committed(1, 500);
  assertEquals(times.partsOf(1, { begin: end - 400, elapsed: 1_000 }), {
    queued: 300,
    sync: 300,
    majority: 300,
    apply: 100,
  });
});
