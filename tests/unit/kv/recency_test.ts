/** The order of activity against an array. */
import fc from "fast-check";
import { assertEquals } from "@std/assert";
import { RecencyOrder } from "../../../lib/kv/sessions/session_table.ts";

Deno.test("RecencyOrder: the oldest is always the element that was touched least recently", () => {
  const anyAction = fc.record({ touch: fc.boolean(), member: fc.nat(5) });
  fc.assert(fc.property(fc.array(anyAction, { maxLength: 60, size: "max" }), (actions) => {
    const order = new RecencyOrder();
    let model: number[] = [];
    for (const { touch, member } of actions) {
      model = model.filter((other) => other !== member);
      if (touch) model.push(member);
      if (touch) order.touch(member);
      else order.delete(member);
      assertEquals(order.oldest, model[0] ?? null);
    }
  }));
});
