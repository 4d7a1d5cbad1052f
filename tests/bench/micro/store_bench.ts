/** The state machine: puts with and without a session, gets, pages, over 100 000 keys. */
import { assert } from "@std/assert";
import { StateMachine } from "../../../lib/kv/mod.ts";
import { SESSION_LIMITS, SessionTable } from "../../../lib/kv/sessions/session_table.ts";
import { keyAt, putAt, SHUFFLED_KEYS, stampAt } from "./fixtures.ts";

const none = new Uint8Array();
const PAGE = { prefix: none, start: null, end: null, reverse: false } as const;

const machine = new StateMachine();
let applied = 0;
/** Returns puts on the keys in turn, each with the next number of one session. */
let writes = 0;
for (const _ of SHUFFLED_KEYS) machine.apply(++applied, putAt(writes++));

Deno.bench({
  name: "store: put under a session, to an existing key",
  group: "store",
  fn(): void {
    machine.apply(++applied, putAt(writes++));
  },
});
Deno.bench({
  name: "store: put without a session",
  group: "store",
  fn(): void {
    machine.apply(++applied, { ...putAt(applied), session: null });
  },
});
let reads = 0;
Deno.bench({
  name: "store: get",
  group: "store",
  fn(): void {
    assert(machine.get(keyAt(reads++)) !== null);
  },
});
for (const limit of [10, 1_000]) {
  Deno.bench({
    name: `store: list of ${limit}, behind a random key`,
    group: "store list",
    fn(): void {
      machine.list({ ...PAGE, after: keyAt(reads++), limit });
    },
  });
}

const sessions = new SessionTable(SESSION_LIMITS);
let sequence = 0;
Deno.bench({
  name: "session: admit a write and remember its answer",
  group: "session",
  fn(): void {
    const stamp = stampAt(sequence++);
    const admission = sessions.admit(stamp, sequence, 0);
    assert(admission.kind === "execute");
    sessions.remember(admission.session, stamp.sequence, {
      kind: "applied",
      revision: sequence,
      outcomes: [],
    });
  },
});
const crowd = new SessionTable(SESSION_LIMITS);
let turn = 0;
Deno.bench({
  name: "session: the same with 1000 sessions in turn",
  group: "session",
  fn(): void {
    const stamp = { ...stampAt(Math.floor(turn / 1_000)), sessionId: 1 + turn % 1_000 };
    turn += 1;
    const admission = crowd.admit(stamp, turn, 0);
    assert(admission.kind === "execute");
    crowd.remember(admission.session, stamp.sequence, { kind: "applied", revision: turn, outcomes: [] });
  },
});
