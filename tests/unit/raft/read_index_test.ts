/** Reads that wait at a leader: the round that confirms each of them, and its index. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { type ConfirmedRead, PendingReads } from "../../../lib/raft/read_index.ts";

Deno.test("PendingReads: waiting reads share a round, at the commit index of its beginning", () => {
  const reads = new PendingReads();
  reads.add({ readId: 1, from: 1 });
  reads.add({ readId: 2, from: 3 });
  assertEquals(reads.wantsRound, true);
  assertEquals(reads.beginRound(7), 1);
  assertEquals([reads.wantsRound, reads.count], [false, 2]);
  assertEquals(reads.confirm(1), [{ readId: 1, from: 1, index: 7 }, { readId: 2, from: 3, index: 7 }]);
  assertEquals([reads.count, reads.confirm(1)], [0, []]);
});

Deno.test("PendingReads: a read that arrives during a round is not confirmed by it", () => {
  const reads = new PendingReads();
  reads.add({ readId: 1, from: 1 });
  reads.beginRound(7);
  reads.add({ readId: 2, from: 1 });
  assertEquals(reads.wantsRound, false);
  assertEquals(reads.confirm(1), [{ readId: 1, from: 1, index: 7 }]);
  assertEquals(reads.wantsRound, true);
  assertEquals(reads.beginRound(9), 2);
  assertEquals(reads.confirm(2), [{ readId: 2, from: 1, index: 9 }]);
});

Deno.test("PendingReads: a later round confirms the reads of earlier ones, each at its own index", () => {
  const reads = new PendingReads();
  reads.add({ readId: 1, from: 1 });
  reads.beginRound(7);
  reads.add({ readId: 2, from: 1 });
  reads.beginRound(9);
  assertEquals(reads.confirm(2), [{ readId: 1, from: 1, index: 7 }, { readId: 2, from: 1, index: 9 }]);
});

Deno.test("PendingReads: failing all reads includes those of started rounds and those that wait", () => {
  const reads = new PendingReads();
  reads.add({ readId: 1, from: 1 });
  reads.beginRound(7);
  reads.add({ readId: 2, from: 2 });
  assertEquals(reads.drain(), [{ readId: 1, from: 1 }, { readId: 2, from: 2 }]);
  assertEquals([reads.count, reads.wantsRound, reads.confirm(9)], [0, false, []]);
});

Deno.test("PendingReads: in any order of events a read is confirmed once, by a round that began after it", () => {
  const event = fc.oneof(
    fc.constant({ kind: "read" as const }),
    fc.constant({ kind: "begin" as const }),
    fc.record({ kind: fc.constant("confirm" as const), round: fc.nat(12) }),
  );
  fc.assert(fc.property(fc.array(event, { maxLength: 40 }), (events) => {
    const reads = new PendingReads();
    const roundsBefore = new Map<number, number>();
    const confirmed: ConfirmedRead[] = [];
    for (const step of events) {
      if (step.kind === "read") {
        const readId = roundsBefore.size + 1;
        roundsBefore.set(readId, reads.lastRound);
        reads.add({ readId, from: 1 });
      } else if (step.kind === "begin") reads.beginRound(reads.lastRound + 100);
      else if (step.round <= reads.lastRound) {
        for (const read of reads.confirm(step.round)) {
          // The commit index of round r is 99 + r here: the read's round is known by its index.
          const round = read.index - 99;
          assertEquals(round > (roundsBefore.get(read.readId) ?? Infinity) && round <= step.round, true);
          confirmed.push(read);
        }
      }
    }
    const ids = confirmed.map(({ readId }) => readId);
    assertEquals(ids, [...new Set(ids)].sort((a, b) => a - b));
    assertEquals(reads.count, roundsBefore.size - ids.length);
  }));
});
