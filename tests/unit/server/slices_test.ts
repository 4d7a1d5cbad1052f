/** Long work comes in slices: after so many records, or so many bytes, others have their turn. */
import { assertEquals } from "@std/assert";
import { Slices } from "../../../lib/server/slices.ts";

/** After which records a pause was due. */
async function pauses(records: number, bytes: number): Promise<readonly number[]> {
  let taken = 0;
  const slices = new Slices(() => {
    taken++;
    return Promise.resolve();
  });
  const due: number[] = [];
  for (let record = 1; record <= records; record++) {
    if (!slices.add(bytes)) continue;
    due.push(record);
    await slices.pause();
  }
  assertEquals(taken, due.length);
  return due;
}

Deno.test("a pause is due after 256 records, or 256 KiB of them", async () => {
  assertEquals(await pauses(600, 10), [256, 512]);
  assertEquals(await pauses(9, 65_536), [4, 8]);
  assertEquals(await pauses(3, 300_000), [1, 2, 3]);
});
