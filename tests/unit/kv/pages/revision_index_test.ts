/** RevisionCounts: the first event and the number of events of each revision are those of the sorted revisions. */
import fc from "fast-check";
import { assertEquals } from "@std/assert";
import { RevisionCounts } from "../../../../lib/kv/pages/revision_index.ts";

/** Few revisions close together, and revisions with large gaps. */
const anyRevisions = fc.oneof(
  fc.array(fc.integer({ min: 11, max: 40 }), { maxLength: 60 }),
  fc.array(fc.integer({ min: 11, max: 2 ** 40 }), { maxLength: 60 }),
);

Deno.test("RevisionCounts: each revision has the position and the number of its events, close together or not", () => {
  fc.assert(fc.property(anyRevisions, (revisions) => {
    const last = Math.max(11, ...revisions);
    const counts = new RevisionCounts({ first: 11, last, events: revisions.length });
    for (const revision of revisions) counts.add(revision);
    const index = counts.finish();
    const sorted = [...revisions].sort((a, b) => a - b);
    for (const revision of [...revisions, 0, 10, 11, 12, last, last + 1, Number.MAX_SAFE_INTEGER]) {
      const start = sorted.indexOf(revision);
      assertEquals(index.startOf(revision), start < 0 ? null : start);
      assertEquals(index.countAt(revision), sorted.filter((other) => other === revision).length);
    }
  }));
});
