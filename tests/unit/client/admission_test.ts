/** CallAdmission: a call that gives up waiting leaves the queue. */
import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  CallAdmission,
  MAX_IN_FLIGHT,
  MAX_WAITING_CALLS,
  type QueuedCall,
} from "../../../lib/client/admission.ts";
import { BusyError } from "../../../lib/client/errors.ts";

const CALL = { bytes: 1, take: () => true } as const;

/** Enters with as many calls as may be in flight. */
function full(): CallAdmission {
  const admission = new CallAdmission();
  for (let count = 0; count < MAX_IN_FLIGHT; count++) assertEquals(admission.tryEnter(CALL), true);
  assertEquals(admission.tryEnter(CALL), null);
  return admission;
}

Deno.test("CallAdmission: calls that gave up waiting leave all places to the others, in their order", () => {
  fc.assert(fc.property(fc.array(fc.boolean(), { maxLength: 40 }), (givesUp) => {
    const admission = full();
    const entered: number[] = [];
    const waiting: QueuedCall<number>[] = givesUp.map((_, position) =>
      admission.wait({
        bytes: 1,
        take: () => {
          entered.push(position);
          return position;
        },
      })
    );
    givesUp.forEach((gives, position) => {
      if (gives) assertEquals(waiting[position]?.cancel(), null);
    });
    for (let count = 0; count < givesUp.length; count++) admission.leave(1);
    assertEquals(entered, givesUp.flatMap((gives, position) => gives ? [] : [position]));
    // The places that are left are free for other calls.
    for (let count = entered.length; count < givesUp.length; count++) {
      assertEquals(admission.tryEnter(CALL), true);
    }
    assertEquals(admission.tryEnter(CALL), null);
  }));
});

Deno.test("CallAdmission: calls that gave up do not reduce the number of calls that may wait", () => {
  const admission = full();
  for (let round = 1; round <= 3; round++) {
    const waiting: QueuedCall<boolean>[] = [];
    while (waiting.length < MAX_WAITING_CALLS) waiting.push(admission.wait(CALL));
    assertThrows(() => admission.wait(CALL), BusyError, `${MAX_WAITING_CALLS} calls`);
    for (const { cancel } of waiting) cancel();
  }
});
