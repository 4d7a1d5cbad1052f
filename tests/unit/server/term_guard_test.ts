/** By how much the terms of others may raise a node's own. */
import { assertEquals } from "@std/assert";
import { MAX_TERM } from "../../../lib/protocol/limits.ts";
import { MAX_TERM_LEAP, TERM_WINDOW_MS, TermGuard } from "../../../lib/server/term_guard.ts";
import { ManualClock } from "../../support/fakes/manual_clock.ts";

Deno.test("TermGuard: a term may be as far ahead as a node that was away can be behind, and no further", () => {
  const guard = new TermGuard(new ManualClock());
  const allowed = [4, 5, 6, 5 + MAX_TERM_LEAP, 6 + MAX_TERM_LEAP, MAX_TERM].map((term) =>
    guard.allows(term, 5)
  );
  assertEquals(allowed, [true, true, true, true, false, false]);
});

Deno.test("TermGuard: many small leaps within a second come to no more than one", () => {
  const clock = new ManualClock();
  const guard = new TermGuard(clock);
  let term = 1;
  for (let frame = 0; frame < 10; frame++) {
    if (guard.allows(term + MAX_TERM_LEAP / 2, term)) term += MAX_TERM_LEAP / 2;
    clock.advance(TERM_WINDOW_MS / 20);
  }
  assertEquals(term, 1 + MAX_TERM_LEAP);
  clock.advance(TERM_WINDOW_MS);
  assertEquals(guard.allows(term + MAX_TERM_LEAP, term), true);
});

Deno.test("TermGuard: a node that was in no term yet takes whichever its cluster is in", () => {
  assertEquals(new TermGuard(new ManualClock()).allows(MAX_TERM, 0), true);
});

Deno.test("TermGuard: nodes that a faulty one has driven apart find together again, at the same rate", () => {
  const clock = new ManualClock();
  const guard = new TermGuard(clock);
  const ahead = 1 + 3 * MAX_TERM_LEAP;
  const allowed = [0, 1, 2].map(() => {
    clock.advance(TERM_WINDOW_MS);
    return [guard.allows(ahead, 1), guard.allows(ahead, 1)];
  });
  assertEquals(allowed, [[false, false], [false, false], [true, true]]);
});
