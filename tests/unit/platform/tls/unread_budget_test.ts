/** The budget for bytes that TLS connections have received and that were not read yet. */
import { assertEquals } from "@std/assert";
import { UnreadBudget, type UnreadHolder } from "../../../../lib/platform/tls/unread_budget.ts";

const MIB = 1_048_576;

/** A connection that drops its bytes when it is excluded, as a real one does. */
class Holder implements UnreadHolder {
  unreadBytes = 0;
  reason: string | null = null;
  readonly #budget: UnreadBudget;

  constructor(budget: UnreadBudget) {
    this.#budget = budget;
  }

  receive(bytes: number): void {
    this.unreadBytes += bytes;
    this.#budget.changed(this, bytes);
  }

  exclude(reason: string): void {
    this.reason = reason;
    this.receive(-this.unreadBytes);
  }
}

Deno.test("UnreadBudget: a connection that holds too much is closed, and one that is read may receive any amount", () => {
  const budget = new UnreadBudget({ maxBytes: 4 * MIB, maxAllBytes: 100 * MIB });
  const [slow, read] = [new Holder(budget), new Holder(budget)];
  for (let count = 0; count < 50; count++) {
    read.receive(3 * MIB);
    read.receive(-3 * MIB);
  }
  slow.receive(4 * MIB);
  assertEquals([slow.reason, read.reason], [null, null]);
  slow.receive(1);
  assertEquals([slow.reason, slow.unreadBytes], [
    `more than ${4 * MIB} bytes arrived that were not read yet`,
    0,
  ]);
});

Deno.test("UnreadBudget: above the bound for all, the connection that holds most is closed, and no small one", () => {
  const budget = new UnreadBudget({ maxBytes: 100 * MIB, maxAllBytes: 10 * MIB });
  const holders = Array.from({ length: 5 }, () => new Holder(budget));
  holders.forEach((holder, index) => holder.receive(index * MIB));
  const small = Array.from({ length: 40 }, () => new Holder(budget));
  for (const holder of small) holder.receive(MIB / 32);
  assertEquals(holders.map(({ reason }) => reason !== null), [false, false, false, false, true]);
  assertEquals(small.some(({ reason }) => reason !== null), false);
});
