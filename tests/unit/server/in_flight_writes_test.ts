/** InFlightWrites: entries are kept exactly as long as their writes are in progress. */
import { assertEquals } from "@std/assert";
import type { SessionStamp } from "../../../lib/kv/mod.ts";
import { notApplied, type WriteAnswer } from "../../../lib/server/reply.ts";
import { InFlightWrites } from "../../../lib/server/writes.ts";
import { SeededRandom } from "../../support/seeded_random.ts";

const END: WriteAnswer = notApplied("busy", "It is over.");

function stamp(sessionId: number, sequence: number): SessionStamp {
  return { sessionId, sequence, acknowledgedBelow: 1, openedAt: 0 };
}

Deno.test("InFlightWrites: after any sequence of calls, the sessions are those that have a write in progress", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = new SeededRandom(seed);
    const open = new InFlightWrites();
    const underWay = new Map<string, { readonly sessionId: number; readonly end: () => void }>();
    let asked = 0;
    let answered = 0;
    for (let step = 0; step < 300; step++) {
      const [sessionId, sequence] = [1 + random.below(8), 1 + random.below(5)];
      const name = `${sessionId}/${sequence}`;
      const known = underWay.get(name);
      assertEquals(open.has(stamp(sessionId, sequence)), known !== undefined);
      if (known !== undefined && random.chance(0.5)) {
        known.end();
        underWay.delete(name);
      } else {
        asked += 1;
        const joined = open.join(stamp(sessionId, sequence), () => answered += 1);
        assertEquals(joined, known !== undefined);
        if (!joined) {
          const write = open.open(stamp(sessionId, sequence), {
            term: 1,
            command: { kind: "expireSessions", elapsedMs: 0 },
            answer: () => void (answered += 1),
          });
          underWay.set(name, { sessionId, end: () => write.answer(END) });
        }
      }
      const sessions = new Set([...underWay.values()].map((write) => write.sessionId));
      assertEquals(open.sessions, sessions.size, `seed ${seed}, step ${step}`);
    }
    for (const { end } of underWay.values()) end();
    assertEquals([open.sessions, answered], [0, asked]);
  }
});

Deno.test("InFlightWrites: another user's write under the same stamp is refused, and gets no answer to the first", () => {
  const open = new InFlightWrites();
  const answers: string[] = [];
  const take = (name: string) => (answer: WriteAnswer): void => {
    answers.push(`${name}: ${answer.kind === "error" ? answer.code : answer.kind}`);
  };
  const write = open.open({ ...stamp(7, 1), userId: 3 }, {
    term: 1,
    command: { kind: "expireSessions", elapsedMs: 0 },
    answer: take("first"),
  });
  assertEquals(open.join({ ...stamp(7, 1), userId: 4 }, take("other user")), true);
  assertEquals(open.join({ ...stamp(7, 1), userId: 3 }, take("retry")), true);
  assertEquals(open.join(stamp(7, 1), take("retry from before authentication")), true);
  assertEquals(answers, ["other user: invalidRequest"]);
  write.answer(END);
  assertEquals(answers.slice(1), ["first: busy", "retry: busy", "retry from before authentication: busy"]);
});

Deno.test("InFlightWrites: a write that has ended refers to no other write of its session", () => {
  const open = new InFlightWrites();
  const [first, second, third] = [1, 2, 3].map((sequence) =>
    open.open(stamp(7, sequence), {
      term: 1,
      command: { kind: "expireSessions", elapsedMs: 0 },
      answer: () => {},
    })
  );
  const linksOf = (write: object = {}): unknown[] =>
    ["below", "above"].map((name) => Reflect.get(write, name));
  assertEquals(linksOf(second), [first, third]);
  second?.answer(END);
  assertEquals([linksOf(first), linksOf(second), linksOf(third)], [[null, third], [null, null], [
    first,
    null,
  ]]);
});
