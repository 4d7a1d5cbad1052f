/** A short campaign of the simulator, and proof that a seed decides everything about its run. */
import { assert, assertEquals } from "@std/assert";
import { campaign, unvisited } from "./campaign.ts";
import { FAILED_ONCE } from "./failed_once.ts";
import { planOf } from "./plan.ts";
import { run } from "./run.ts";

/** Seeds of the short campaign. */
const SEEDS = 300;

Deno.test("the same seed gives the same run: every event, every byte sent and written", async () => {
  for (const seed of [3, 5, 17]) {
    const [first, second] = [await run(planOf(seed)), await run(planOf(seed))];
    assertEquals(first, second);
    assertEquals(first.coverage.entries(), second.coverage.entries());
  }
});

Deno.test("another seed gives another run", async () => {
  const [first, second] = [await run(planOf(3)), await run(planOf(4))];
  assert(first.hash !== second.hash, "the hash tells runs apart");
});

for (const { what, plan } of FAILED_ONCE) {
  Deno.test(`it stays mended: ${what}`, async () => {
    assertEquals((await run(plan)).violations, []);
  });
}

Deno.test("no seed of a short campaign breaks a promise, and it visits every listed rare state", async () => {
  const { failures, operations, undecided, seeds, coverage } = await campaign({
    seeds: Array.from({ length: SEEDS }, (_, position) => position + 1),
    isOver: () => false,
    onRun: () => {},
  });
  assertEquals(failures, []);
  assertEquals(unvisited(coverage), []);
  assertEquals(seeds, SEEDS);
  assert(undecided < SEEDS / 50, "the checker decides nearly every history");
  assert(operations > 10_000, "the clients did something");
});
