/** Stamps: the numbers that a session assigns, and those that the store may drop. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { InvariantError } from "../../../lib/platform/assert.ts";
import { ClientSession } from "../../../lib/client/writer.ts";
import { MAX_SESSION_WINDOW } from "../../../lib/kv/command.ts";
import { stampProblem } from "../../../lib/kv/sessions/session.ts";

Deno.test("ClientSession: in any order of finished writes, each stamp is one that the store takes and acknowledges what ended", () => {
  fc.assert(fc.property(fc.array(fc.nat(9), { maxLength: 300 }), (choices) => {
    const session = new ClientSession(7, () => 0.25);
    const underWay: number[] = [];
    let newest = 0;
    for (const choice of choices) {
      if (choice < 5 && underWay.length > 0) {
        const [finished] = underWay.splice(choice % underWay.length, 1);
        assert(finished !== undefined);
        session.finish(finished);
        continue;
      }
      const stamp = session.nextStamp();
      newest += 1;
      underWay.push(newest);
      assertEquals(stampProblem(stamp), null);
      assertEquals(stamp, {
        sessionId: stamp.sessionId,
        sequence: newest,
        acknowledgedBelow: Math.min(...underWay),
        openedAt: 7,
      });
    }
  }));
});

Deno.test("ClientSession: another write is allowed until the store could not keep more answers", () => {
  const session = new ClientSession(0, Math.random);
  for (let i = 1; i <= MAX_SESSION_WINDOW; i++) session.nextStamp();
  assertEquals(session.canWrite, false);
  assertThrows(() => session.nextStamp(), InvariantError);
  session.finish(2);
  assertEquals(session.canWrite, false);
  session.finish(1);
  assertEquals(session.canWrite, true);
});

Deno.test("ClientSession: its id is valid for any random number", () => {
  for (const chance of [0, 0.5, 1 - 2 ** -53]) {
    assertEquals(stampProblem(new ClientSession(0, () => chance).nextStamp()), null);
  }
});
