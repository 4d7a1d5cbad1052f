/** The decisions after a failed attempt. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { ConnectionError } from "../../../lib/mod.ts";
import {
  type AttemptFailure,
  attemptTimeoutMs,
  backoffMs,
  decide,
  mayHaveApplied,
  pauseAfterMs,
} from "../../../lib/client/retry.ts";
import type { ErrorCode, Outcome } from "../../../lib/protocol/messages.ts";

function refused(code: ErrorCode, outcome: Outcome = "not-applied"): AttemptFailure {
  return { kind: "refused", node: 3, code, message: "No.", outcome };
}

Deno.test("decide: each refusal leads to the decision in the table", () => {
  const elsewhere = { kind: "retry", except: 3 } as const;
  const again = { kind: "retry", except: null } as const;
  const giveUp = { kind: "giveUp" } as const;
  const table: Readonly<Record<ErrorCode, ReturnType<typeof decide>>> = {
    noLeader: elsewhere,
    notLeader: elsewhere,
    leadershipLost: elsewhere,
    stopping: elsewhere,
    busy: again,
    keyTooLarge: giveUp,
    valueTooLarge: giveUp,
    invalidRequest: giveUp,
    membershipRefused: giveUp,
    storageFull: giveUp,
    compacted: giveUp,
    futureRevision: giveUp,
    unauthenticated: giveUp,
    signInFailed: giveUp,
    tokenExpired: giveUp,
    permissionDenied: giveUp,
    tooManyWatches: giveUp,
    unknownKind: giveUp,
    internal: giveUp,
  };
  const codes: readonly ErrorCode[] = [
    "noLeader",
    "notLeader",
    "leadershipLost",
    "stopping",
    "busy",
    "keyTooLarge",
    "valueTooLarge",
    "invalidRequest",
    "membershipRefused",
    "storageFull",
    "compacted",
    "futureRevision",
    "unauthenticated",
    "signInFailed",
    "tokenExpired",
    "permissionDenied",
    "tooManyWatches",
    "unknownKind",
    "internal",
  ];
  for (const code of codes) assertEquals(decide(refused(code), "write"), table[code], code);
});

Deno.test("mayHaveApplied: false only after a refusal or for bytes that were never sent", () => {
  const failures: readonly [AttemptFailure, boolean][] = [
    [refused("noLeader"), false],
    [refused("busy", "unknown"), true],
    [{ kind: "lost", node: 1, left: false, reason: "reset" }, false],
    [{ kind: "lost", node: 1, left: true, reason: "reset" }, true],
    [{ kind: "silent", node: 1, left: true, waitedMs: 5 }, true],
    [{ kind: "unreachable", error: new ConnectionError("no node"), hope: "soon" }, false],
  ];
  for (const [failure, expected] of failures) assertEquals(mayHaveApplied(failure), expected, failure.kind);
});

Deno.test("decide: a transfer is retried only if it did certainly not begin", () => {
  assertEquals(decide(refused("notLeader"), "once").kind, "retry");
  assertEquals(decide(refused("leadershipLost", "unknown"), "once").kind, "giveUp");
  assertEquals(decide({ kind: "lost", node: 1, left: true, reason: "reset" }, "once").kind, "giveUp");
  assertEquals(decide({ kind: "lost", node: 1, left: false, reason: "reset" }, "once").kind, "retry");
});

Deno.test("attemptTimeoutMs: an attempt never outlasts the call, and leaves time for another while there is any", () => {
  fc.assert(fc.property(fc.nat(100), fc.double({ min: 1, max: 1e9, noNaN: true }), (attempt, remainingMs) => {
    const timeoutMs = attemptTimeoutMs(attempt, remainingMs);
    assert(timeoutMs > 0 && timeoutMs <= remainingMs);
    assert(timeoutMs <= 50 || timeoutMs <= remainingMs / 2);
  }));
  assertEquals([0, 1, 2].map((attempt) => attemptTimeoutMs(attempt, 60_000)), [1_000, 2_000, 4_000]);
});

Deno.test("attemptTimeoutMs: reports of all nodes have time at a second node, after the first was the frozen one", () => {
  const first = attemptTimeoutMs(0, 3_000, "collection");
  assertEquals([first, attemptTimeoutMs(1, 3_000 - first, "collection")], [1_500, 1_500]);
});

Deno.test("pauseAfterMs: pauses grow after busy, and stay short after noLeader", () => {
  const pauses = (code: ErrorCode): readonly number[] =>
    [0, 4, 7, 8, 50].map((attempt) => pauseAfterMs(refused(code, "not-applied"), attempt, () => 0.5));
  assertEquals(pauses("busy"), [10, 160, 1_280, 2_000, 2_000]);
  assertEquals(pauses("noLeader"), [10, 160, 200, 200, 200]);
});

Deno.test("backoffMs: pauses grow to a bound, and differ between clients", () => {
  assertEquals([0, 1, 2, 3, 4, 5, 50].map((attempt) => backoffMs(attempt, () => 0.5)), [
    10,
    20,
    40,
    80,
    160,
    200,
    200,
  ]);
  assertEquals([0, 0.999].map((chance) => Math.round(backoffMs(9, () => chance))), [100, 300]);
});
