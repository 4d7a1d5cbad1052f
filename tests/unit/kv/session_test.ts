/** Exactly-once writes: one session at a time, and what makes the store expire one. */
import { assertEquals } from "@std/assert";
import type { CommandResult } from "../../../lib/kv/command.ts";
import { MAX_ELAPSED_MS, MAX_LOG_TIME_MS, MAX_SESSION_WINDOW } from "../../../lib/kv/command.ts";
import type { TransactionResult } from "../../../lib/kv/record.ts";
import { StateMachine } from "../../../lib/kv/state_machine.ts";
import { bytes, put, Replica, stamp, transaction } from "./support.ts";

const expired: CommandResult = { kind: "refused", reason: "sessionExpired" };
const forgotten: CommandResult = { kind: "refused", reason: "answerForgotten" };
const invalid: CommandResult = { kind: "refused", reason: "invalidCommand" };

function created(revision: number): TransactionResult {
  return { kind: "applied", revision, outcomes: [{ kind: "put", createRevision: revision, version: 1 }] };
}

Deno.test("Session: a repeated write gets the first answer and changes nothing", () => {
  const replica = new Replica();
  const write = transaction([put("k", "v")], { session: stamp() });
  assertEquals(replica.apply(write), created(1));
  replica.apply(transaction([put("k", "changed since")]));
  assertEquals(replica.apply(write), created(1));
  assertEquals(replica.machine.get(bytes("k"))?.value, bytes("changed since"));
});

Deno.test("Session: a write whose checks failed does not apply when it comes again and they hold", () => {
  const replica = new Replica();
  const create = transaction([put("k", "v")], {
    session: stamp(),
    checks: [{ kind: "exists", key: bytes("other"), exists: true }],
  });
  const answer = replica.apply(create);
  assertEquals(answer, { kind: "checksFailed", revision: 0, failedChecks: [0], current: "omitted" });
  replica.apply(transaction([put("other", "")]));
  assertEquals(replica.apply(create), answer);
  assertEquals(replica.machine.revision, 1);
});

Deno.test("Session: any number may be a session's first, and numbers may arrive in any order", () => {
  const replica = new Replica();
  assertEquals(replica.apply(transaction([put("c", "")], { session: stamp({ sequence: 3 }) })), created(1));
  assertEquals(replica.apply(transaction([put("a", "")], { session: stamp({ sequence: 1 }) })), created(2));
  assertEquals(replica.apply(transaction([put("b", "")], { session: stamp({ sequence: 2 }) })), created(3));
});

Deno.test("Session: results that the client has acknowledged are dropped, and their writes never applied again", () => {
  const replica = new Replica();
  const first = transaction([put("a", "")], { session: stamp({ sequence: 1 }) });
  replica.apply(first);
  replica.apply(transaction([put("b", "")], { session: stamp({ sequence: 2 }) }));
  replica.apply(transaction([put("c", "")], { session: stamp({ sequence: 3, acknowledgedBelow: 2 }) }));
  assertEquals(replica.apply(first), forgotten);
  assertEquals(replica.records().slice(-3), [
    ["session", 7, 0, 1, 4, 0, 2],
    ["answer", 7, 2, created(2)],
    ["answer", 7, 3, created(3)],
  ]);
});

Deno.test("Session: a late write with an older acknowledgement takes none back", () => {
  const replica = new Replica();
  replica.apply(transaction([put("c", "")], { session: stamp({ sequence: 5, acknowledgedBelow: 4 }) }));
  assertEquals(
    replica.apply(transaction([put("d", "")], { session: stamp({ sequence: 4, acknowledgedBelow: 1 }) })),
    created(2),
  );
  assertEquals(replica.apply(transaction([put("a", "")], { session: stamp({ sequence: 3 }) })), forgotten);
});

Deno.test("Session: a session's numbers may run ahead of its acknowledgements by a bounded window", () => {
  const replica = new Replica();
  const last = stamp({ sequence: MAX_SESSION_WINDOW });
  assertEquals(replica.apply(transaction([put("k", "")], { session: last })), created(1));
  const beyond = stamp({ sequence: MAX_SESSION_WINDOW + 1 });
  assertEquals(replica.apply(transaction([put("l", "")], { session: beyond })), invalid);
});

Deno.test("Session: a stamp that no client makes is refused and opens no session", () => {
  const replica = new Replica();
  const odd = [
    { sessionId: 0 },
    { sessionId: 2 ** 53 },
    { sequence: 0 },
    { sequence: 1.5 },
    { acknowledgedBelow: 0 },
    { acknowledgedBelow: 2 },
    { openedAt: -1 },
  ];
  const answers = odd.map((change) => replica.apply(transaction([put("k", "")], { session: stamp(change) })));
  assertEquals(answers, odd.map(() => invalid));
  assertEquals(replica.records(), [["header", odd.length, 0, 0, 0]]);
});

Deno.test("Session: a session's number that another client uses is refused", () => {
  const replica = new Replica();
  replica.skipTo(9);
  replica.apply(transaction([put("k", "")], { session: stamp({ openedAt: 5 }) }));
  assertEquals(
    replica.apply(transaction([put("l", "")], { session: stamp({ openedAt: 6, sequence: 2 }) })),
    expired,
  );
  assertEquals(replica.apply({ kind: "registerSession", sessionId: 7, openedAt: 6 }), expired);
  assertEquals(replica.apply({ kind: "registerSession", sessionId: 7, openedAt: 5 }), {
    kind: "sessionRegistered",
  });
});

Deno.test("Session: a session cannot claim an index that the log has not passed", () => {
  const replica = new Replica();
  replica.skipTo(9);
  assertEquals(replica.apply(transaction([put("k", "")], { session: stamp({ openedAt: 10 }) })), expired);
  assertEquals(replica.apply(transaction([put("k", "")], { session: stamp({ openedAt: 10 }) })), created(1));
});

Deno.test("SessionTable: an idle session expires by log time, and none of its writes applies again", () => {
  const replica = new Replica({ sessionTtlMs: 100 });
  const write = transaction([put("k", "v")], { session: stamp() });
  replica.apply(write);
  assertEquals(replica.apply({ kind: "expireSessions", elapsedMs: 99 }), {
    kind: "sessionsExpired",
    expired: 0,
    endedLeases: 0,
  });
  assertEquals(replica.apply({ kind: "expireSessions", elapsedMs: 1 }), {
    kind: "sessionsExpired",
    expired: 1,
    endedLeases: 0,
  });
  assertEquals(replica.apply(write), expired);
  assertEquals(replica.records(), [["header", 4, 1, 100, 1], ["key", bytes("k"), bytes("v"), 1, 1, 1]]);
});

Deno.test("SessionTable: every command of a session keeps it from expiring", () => {
  const replica = new Replica({ sessionTtlMs: 100 });
  replica.apply({ kind: "registerSession", sessionId: 7, openedAt: 0 });
  replica.apply({ kind: "expireSessions", elapsedMs: 99 });
  replica.apply({ kind: "registerSession", sessionId: 7, openedAt: 0 });
  replica.apply({ kind: "expireSessions", elapsedMs: 99 });
  assertEquals(replica.apply(transaction([put("k", "")], { session: stamp() })), created(1));
  assertEquals(replica.apply({ kind: "expireSessions", elapsedMs: 99 }), {
    kind: "sessionsExpired",
    expired: 0,
    endedLeases: 0,
  });
});

Deno.test("SessionTable: an impossible elapsed time is refused and advances nothing", () => {
  const replica = new Replica();
  for (const elapsedMs of [-1, 0.5, NaN, MAX_ELAPSED_MS + 1]) {
    assertEquals(replica.apply({ kind: "expireSessions", elapsedMs }), invalid);
  }
  replica.apply({ kind: "expireSessions", elapsedMs: MAX_ELAPSED_MS });
  assertEquals(replica.records(), [["header", 5, 0, MAX_ELAPSED_MS, 0]]);
});

Deno.test("SessionTable: one session above the bound replaces the least recently active", () => {
  const replica = new Replica({ maxSessions: 2 });
  const write = (sessionId: number, sequence: number): CommandResult =>
    replica.apply(transaction([put("k", "")], { session: stamp({ sessionId, sequence }) }));
  write(1, 1);
  write(2, 1);
  write(1, 2);
  write(3, 1);
  assertEquals(replica.machine.sessionCount, 2);
  assertEquals(write(1, 1), created(1));
  assertEquals(write(2, 1), expired);
});

Deno.test("SessionTable: a session opened after all forgotten ones is registered, one opened at an older index is not", () => {
  const replica = new Replica({ maxSessions: 1 });
  replica.skipTo(10);
  replica.apply({ kind: "registerSession", sessionId: 1, openedAt: 4 });
  replica.apply({ kind: "registerSession", sessionId: 2, openedAt: 10 });
  assertEquals(replica.apply({ kind: "registerSession", sessionId: 3, openedAt: 10 }), expired);
  assertEquals(replica.apply({ kind: "registerSession", sessionId: 3, openedAt: 11 }), {
    kind: "sessionRegistered",
  });
});

Deno.test("Session: it remembers that a check failed, not the value that the answer included", () => {
  const replica = new Replica();
  replica.apply(transaction([put("k", "x".repeat(2_000))]));
  const compare = {
    ...transaction([put("k", "")], {
      session: stamp(),
      checks: [{ kind: "exists", key: bytes("k"), exists: false }],
    }),
    returnCurrent: true,
  } as const;
  const failed = { kind: "checksFailed", revision: 1, failedChecks: [0] } as const;
  const current = replica.machine.get(bytes("k"));
  assertEquals(replica.apply(compare), { ...failed, current });
  assertEquals(replica.apply(compare), { ...failed, current: "omitted" });
  assertEquals(replica.records().at(-1), ["answer", 7, 1, { ...failed, current: "omitted" }]);
});

Deno.test("Session: failed compare-and-sets of 1 MB values by one client leave the other sessions as they were", () => {
  const replica = new Replica();
  replica.apply(transaction([put("k", "x".repeat(1_000_000))]));
  const other = transaction([put("other", "1")], { session: stamp({ sessionId: 1 }) });
  const answer = replica.apply(other);
  for (let sequence = 1; sequence <= 70; sequence++) {
    const checks = [{ kind: "exists", key: bytes("k"), exists: false }] as const;
    const session = stamp({ sessionId: 2, sequence });
    replica.apply({ ...transaction([put("k", "")], { session, checks }), returnCurrent: true });
  }
  assertEquals(replica.machine.sessionCount, 2);
  assertEquals(replica.apply(other), answer);
});

Deno.test("SessionTable: when remembered answers grow too large, the sessions with the most expire, those within their share never", () => {
  const replica = new Replica({ maxSessions: 4, maxAnswersBytes: 1_000 });
  const write = (sessionId: number, sequence: number): CommandResult =>
    replica.apply(transaction([put("k", "")], { session: stamp({ sessionId, sequence }) }));
  const answers = [1, 2].map((sequence) => write(1, sequence)); // 192 bytes, of a share of 250
  write(2, 1);
  for (let sequence = 1; sequence <= 7; sequence++) write(3, sequence); // 672 bytes: 960 in all
  write(4, 1); // 1,056 bytes
  assertEquals(replica.machine.sessionCount, 3);
  assertEquals(write(3, 1), expired);
  assertEquals([1, 2].map((sequence) => write(1, sequence)), answers);
});

Deno.test("SessionTable: a clock near its maximum is refused further time, and expires nothing", () => {
  const machine = StateMachine.restore([["header", 9, 0, MAX_LOG_TIME_MS - 5, 0]]);
  const results = [6, 5, 1, 0].map((elapsedMs, position) =>
    machine.apply(10 + position, { kind: "expireSessions", elapsedMs })
  );
  const taken: CommandResult = { kind: "sessionsExpired", expired: 0, endedLeases: 0 };
  assertEquals(results, [invalid, taken, invalid, taken]);
});
