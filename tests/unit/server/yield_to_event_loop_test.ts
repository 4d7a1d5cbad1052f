/** SliceBudget: long work yields after a bounded number of records and bytes. */
import { assertEquals } from "@std/assert";
import { SliceBudget } from "../../../lib/server/yield_to_event_loop.ts";

/** Returns the records after which a yield was due. */
async function yields(records: number, bytes: number): Promise<readonly number[]> {
  let taken = 0;
  const budget = new SliceBudget(() => {
    taken++;
    return Promise.resolve();
  });
  const due: number[] = [];
  for (let record = 1; record <= records; record++) {
    if (!budget.spend(bytes)) continue;
    due.push(record);
    await budget.yield();
  }
  assertEquals(taken, due.length);
  return due;
}

Deno.test("SliceBudget: a yield is due after 256 records or 256 KiB", async () => {
  assertEquals(await yields(600, 10), [256, 512]);
  assertEquals(await yields(9, 65_536), [4, 8]);
  assertEquals(await yields(3, 300_000), [1, 2, 3]);
});
