/** Leases: which exist and which ends next, against a plain map. */
import fc from "fast-check";
import { assertEquals } from "@std/assert";
import { Leases } from "../../../../lib/kv/leases/leases.ts";
import type { LeaseTimes } from "../../../../lib/kv/leases/lease_table.ts";

type Step =
  | { readonly kind: "grant"; readonly leaseId: number; readonly ttlMs: number; readonly ownerId: number }
  | { readonly kind: "keepAlive" | "remove"; readonly leaseId: number }
  | { readonly kind: "pass"; readonly ms: number }
  | { readonly kind: "view" | "endNext" };

/** Few ids, so that leases are granted again; many more than a chunk has would hide that. */
const leaseId = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constantFrom(2 ** 32, 2 ** 53 - 1));

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("grant"),
      leaseId,
      ttlMs: fc.constantFrom(1_000, 1_000, 1_500, 9_000_000_000_000),
      ownerId: fc.constantFrom(0, 1, 2 ** 52),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("keepAlive"), leaseId }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("remove"), leaseId }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("pass"), ms: fc.constantFrom(1, 400, 1_000) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("view", "endNext") }) },
);

function byEnd(a: LeaseTimes, b: LeaseTimes): number {
  return a.deadlineMs - b.deadlineMs || a.leaseId - b.leaseId;
}

function byId(a: LeaseTimes, b: LeaseTimes): number {
  return a.leaseId - b.leaseId;
}

Deno.test("Leases: after any grants, keep-alives and ends the leases, their order and the next to end are those of a map", () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 120, size: "max" }), (steps) => {
      const leases = new Leases({ maxLeases: 15, maxLeaseKeys: 1, maxEndedKeys: 1 });
      const model = new Map<number, LeaseTimes>();
      const views: { readonly view: Iterable<LeaseTimes>; readonly content: readonly LeaseTimes[] }[] = [];
      let now = 0;
      for (const step of steps) {
        switch (step.kind) {
          case "grant": {
            const expected = model.has(step.leaseId)
              ? "leaseExists"
              : model.size === 15
              ? "tooManyLeases"
              : null;
            assertEquals(leases.grant(step, now), expected);
            const { kind: _kind, ...lease } = { ...step, deadlineMs: now + step.ttlMs };
            if (expected === null) model.set(step.leaseId, lease);
            break;
          }
          case "keepAlive": {
            const lease = model.get(step.leaseId);
            assertEquals(leases.keepAlive(step.leaseId, now), lease?.ttlMs ?? 0);
            if (lease !== undefined) model.set(step.leaseId, { ...lease, deadlineMs: now + lease.ttlMs });
            break;
          }
          case "remove":
            if (model.delete(step.leaseId)) leases.remove(step.leaseId);
            break;
          case "pass":
            now += step.ms;
            break;
          case "view":
            views.push({ view: leases.view(), content: [...model.values()].sort(byId) });
            break;
          case "endNext": {
            const [next = null] = [...model.values()].sort(byEnd);
            assertEquals(leases.deadlineBefore(Infinity), next?.deadlineMs ?? null);
            if (next === null) break;
            assertEquals(leases.nextDue(next.deadlineMs), null);
            assertEquals(leases.deadlineBefore(next.deadlineMs), null);
            assertEquals(leases.deadlineBefore(next.deadlineMs + 1), next.deadlineMs);
            assertEquals(leases.nextDue(next.deadlineMs + 1), next.leaseId);
            model.delete(next.leaseId);
            leases.remove(next.leaseId);
            break;
          }
        }
        assertEquals(leases.size, model.size);
      }
      const sorted = [...model.values()].sort(byId);
      assertEquals([...leases.after(0)], sorted);
      assertEquals([...leases.after(7)], sorted.filter((lease) => lease.leaseId > 7));
      for (let id = 1; id <= 20; id++) assertEquals(leases.get(id), model.get(id) ?? null);
      for (const { view, content } of views) assertEquals([...view], content);
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("Leases: thousands, granted in any order, are listed by id and end in the order of their deadlines", () => {
  for (const order of ["ascending", "descending", "scattered"]) {
    const leases = new Leases();
    const ids = Array.from({ length: 3_000 }, (_, position) => {
      return order === "ascending"
        ? position + 1
        : order === "descending"
        ? 3_000 - position
        : position * 7 % 3_001 + 1;
    });
    for (const id of ids) {
      assertEquals(leases.grant({ leaseId: id, ttlMs: 1_000 + id % 13, ownerId: id }, 0), null);
    }
    const view = leases.view();
    const expected = ids.map((id) => ({
      leaseId: id,
      ttlMs: 1_000 + id % 13,
      deadlineMs: 1_000 + id % 13,
      ownerId: id,
    }));
    assertEquals([...leases.after(0)], expected.toSorted(byId));
    for (const lease of expected.toSorted(byEnd)) {
      assertEquals(leases.nextDue(lease.deadlineMs + 1), lease.leaseId);
      leases.remove(lease.leaseId);
    }
    assertEquals([leases.size, leases.deadlineBefore(Infinity)], [0, null]);
    assertEquals([...view], expected.toSorted(byId));
  }
});

Deno.test("Leases: leases that are revoked long before their end leave the order of the others as it is", () => {
  const leases = new Leases();
  for (const id of [1, 2, 3]) leases.grant({ leaseId: id, ttlMs: 9_000 - id, ownerId: 0 }, 0);
  for (let round = 0; round < 500; round++) {
    leases.grant({ leaseId: 9, ttlMs: 9_000_000, ownerId: 0 }, round);
    leases.remove(9);
    if (round === 100) leases.keepAlive(3, 100);
  }
  const ends = [];
  for (let leaseId = leases.nextDue(10_000); leaseId !== null; leaseId = leases.nextDue(10_000)) {
    ends.push([leaseId, leases.deadlineBefore(Infinity)]);
    leases.remove(leaseId);
  }
  assertEquals(ends, [[2, 8_998], [1, 8_999], [3, 9_097]]);
});
