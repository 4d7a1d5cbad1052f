/** Leases and keys that expire, as commands of the state machine. */
import { assertEquals } from "@std/assert";
import type { Condition, Operation } from "../../../../lib/kv/branching_command.ts";
import { type Check, type CommandResult, MAX_ELAPSED_MS, type Mutation } from "../../../../lib/kv/command.ts";
import { MAX_EXPIRED_KEYS } from "../../../../lib/kv/leases/lease_command.ts";
import { StateMachine } from "../../../../lib/kv/state_machine.ts";
import type { StateMachineOptions } from "../../../../lib/kv/state_records.ts";
import { bytes, put, query, remove, Replica, stamp, transaction } from "../support.ts";

const TTL_MS = 10_000;

/** A replica at feature level 2 with leases of 10 s. */
function replicaWith(leaseIds: readonly number[], options: StateMachineOptions = {}): Replica {
  const replica = new Replica(options);
  replica.apply({ kind: "raiseFeatureLevel", level: 2 });
  for (const leaseId of leaseIds) grant(replica, leaseId);
  return replica;
}

function grant(replica: Replica, leaseId: number, ttlMs = TTL_MS): CommandResult {
  return replica.apply({ kind: "grantLease", session: null, leaseId, ttlMs });
}

function revoke(replica: Replica, leaseId: number): CommandResult {
  return replica.apply({ kind: "revokeLease", session: null, leaseId });
}

function pass(replica: Replica, elapsedMs: number): CommandResult {
  return replica.apply({ kind: "expireSessions", elapsedMs });
}

function leased(key: string, leaseId: number | null, expiresAtMs: number | null = null): Mutation {
  return { kind: "expiringPut", key: bytes(key), value: bytes("v"), leaseId, expiresAtMs };
}

function branching(
  replica: Replica,
  then: readonly Operation[],
  conditions: readonly Condition[] = [],
): CommandResult {
  return replica.apply({ kind: "branchingTransaction", session: null, conditions, then, else: [] });
}

function putting(key: string, differences: Partial<Extract<Operation, { kind: "put" }>> = {}): Operation {
  const value = bytes("w");
  return {
    kind: "put",
    key: bytes(key),
    value,
    returnPrevious: false,
    leaseId: null,
    expiresAtMs: null,
    ...differences,
  };
}

function keysOf({ machine }: Replica): readonly string[] {
  return machine.list(query()).entries.map(({ key }) => new TextDecoder().decode(key));
}

function keysOfLease({ machine }: Replica, leaseId: number): readonly string[] {
  const { keys } = machine.leaseKeys(leaseId, { after: null, limit: 100 });
  return keys.map((key) => new TextDecoder().decode(key));
}

Deno.test("grantLease: a lease is granted once, with its deadline by the log's time", () => {
  const replica = replicaWith([]);
  pass(replica, 500);
  assertEquals(grant(replica, 7), { kind: "leaseGranted", revision: 0, ttlMs: TTL_MS });
  assertEquals(grant(replica, 7, 1_000), { kind: "leaseFailed", revision: 0, reason: "leaseExists" });
  assertEquals(replica.machine.lease(7), {
    leaseId: 7,
    ttlMs: TTL_MS,
    deadlineMs: 10_500,
    ownerId: 0,
    keyCount: 0,
  });
  assertEquals(replica.machine.lease(8), null);
  assertEquals(replica.machine.leaseCount, 1);
});

Deno.test("grantLease: one lease above the bound is refused until another one has ended", () => {
  const options = { leaseLimits: { maxLeases: 2, maxLeaseKeys: 9, maxEndedKeys: 9 } };
  const replica = replicaWith([1, 2], options);
  assertEquals(grant(replica, 3), { kind: "leaseFailed", revision: 0, reason: "tooManyLeases" });
  revoke(replica, 1);
  assertEquals(grant(replica, 3).kind, "leaseGranted");
});

Deno.test("grantLease: a retry in its session gets the first answer, also after the lease has ended", () => {
  const replica = replicaWith([]);
  const command = { kind: "grantLease", session: stamp(), leaseId: 7, ttlMs: TTL_MS } as const;
  const granted = replica.apply(command);
  revoke(replica, 7);
  assertEquals(replica.apply(command), granted);
  assertEquals(replica.machine.lease(7), null);
});

Deno.test("revokeLease: it deletes the keys of the lease in one revision, in order, and no others", () => {
  const replica = replicaWith([7, 8]);
  replica.apply(transaction([leased("b", 7), leased("a", 7), leased("c", 8), put("d", "v")]));
  assertEquals(revoke(replica, 7), { kind: "leaseRevoked", revision: 2, deleted: 2 });
  assertEquals(keysOf(replica), ["c", "d"]);
  const { events } = replica.machine;
  const first = events.seek(2);
  const deleted = [events.at(first), events.at(first + 1)];
  assertEquals(deleted.map((event) => [events.revision(event), events.key(event)]), [
    [2, bytes("a")],
    [2, bytes("b")],
  ]);
  assertEquals(revoke(replica, 7), { kind: "leaseFailed", revision: 2, reason: "leaseNotFound" });
});

Deno.test("revokeLease: without keys it takes no revision, and a retry in its session gets the first answer", () => {
  const replica = replicaWith([7]);
  const command = { kind: "revokeLease", session: stamp(), leaseId: 7 } as const;
  const revoked = { kind: "leaseRevoked", revision: 0, deleted: 0 } as const;
  assertEquals([replica.apply(command), replica.apply(command)], [revoked, revoked]);
});

Deno.test("expireSessions: a lease ends when the log's time passes its deadline, and not when it reaches it", () => {
  const replica = replicaWith([7]);
  replica.apply(transaction([leased("a", 7), leased("b", 7)]));
  assertEquals(pass(replica, TTL_MS), { kind: "sessionsExpired", expired: 0, endedLeases: 0 });
  assertEquals([keysOf(replica), replica.machine.leaseDeadlineBefore(Infinity)], [["a", "b"], TTL_MS]);
  assertEquals(pass(replica, 1), { kind: "sessionsExpired", expired: 0, endedLeases: 1 });
  assertEquals([keysOf(replica), replica.machine.leaseDeadlineBefore(Infinity)], [[], null]);
  assertEquals([replica.machine.revision, replica.machine.lease(7)], [2, null]);
});

Deno.test("expireSessions: all keys of all leases that end in one entry are deleted in one revision", () => {
  const replica = replicaWith([8, 7]);
  replica.apply(transaction([leased("b", 7), leased("c", 7), leased("a", 8)]));
  pass(replica, TTL_MS + 1);
  assertEquals(replica.machine.revision, 2);
  const { events } = replica.machine;
  const first = events.seek(2);
  const deleted = [0, 1, 2].map((number) => events.at(first + number));
  assertEquals(deleted.map((event) => events.key(event)), ["b", "c", "a"].map(bytes));
  assertEquals(deleted.map((event) => events.revision(event)), [2, 2, 2]);
  assertEquals(events.end, first + 3);
});

Deno.test("expireSessions: leases end in the order of their deadlines, up to a number of keys and leases, and the rest in the next entry", () => {
  const options = { leaseLimits: { maxLeases: 9, maxLeaseKeys: 9, maxEndedKeys: 5 } };
  const replica = replicaWith([], options);
  for (const [leaseId, ttlMs] of [[1, 3_000], [2, 2_000], [3, 1_000], [4, 2_000]]) {
    grant(replica, leaseId ?? 0, ttlMs);
    replica.apply(transaction([leased(`${leaseId}a`, leaseId ?? 0), leased(`${leaseId}b`, leaseId ?? 0)]));
  }
  grant(replica, 5, 2_000);
  const ended = [];
  for (let entry = 0; entry < 5; entry++) {
    const result = pass(replica, entry === 0 ? 5_000 : 0);
    ended.push(result.kind === "sessionsExpired" ? result.endedLeases : null);
  }
  // Lease 3; 2; 4 and 5, which has no keys; 1.
  assertEquals(ended, [1, 1, 2, 1, 0]);
  assertEquals([keysOf(replica), replica.machine.leaseCount, replica.machine.revision], [[], 0, 8]);
});

Deno.test("expireSessions: a lease with more keys than one entry deletes otherwise ends alone", () => {
  const options = { leaseLimits: { maxLeases: 9, maxLeaseKeys: 9, maxEndedKeys: 1 } };
  const replica = replicaWith([7], options);
  replica.apply(transaction([leased("a", 7), leased("b", 7), leased("c", 7)]));
  pass(replica, TTL_MS + 1);
  assertEquals([keysOf(replica), replica.machine.leaseCount], [[], 0]);
});

Deno.test("keepLeasesAlive: the whole time to live begins again, for each lease that exists", () => {
  const replica = replicaWith([7, 8]);
  pass(replica, 9_000);
  assertEquals(replica.apply({ kind: "keepLeasesAlive", leaseIds: [7, 9, 7] }), {
    kind: "leasesKeptAlive",
    ttlsMs: [TTL_MS, 0, TTL_MS],
  });
  assertEquals(replica.machine.leaseDeadlineBefore(Infinity), TTL_MS);
  pass(replica, 1_001);
  assertEquals([replica.machine.lease(7)?.deadlineMs, replica.machine.lease(8)], [19_000, null]);
  assertEquals(replica.machine.leaseDeadlineBefore(Infinity), 19_000);
});

Deno.test("keepLeasesAlive: a lease that has ended stays ended", () => {
  const replica = replicaWith([7]);
  replica.apply(transaction([leased("a", 7)]));
  pass(replica, TTL_MS + 1);
  assertEquals(replica.apply({ kind: "keepLeasesAlive", leaseIds: [7] }), {
    kind: "leasesKeptAlive",
    ttlsMs: [0],
  });
  assertEquals([replica.machine.lease(7), keysOf(replica)], [null, []]);
});

Deno.test("leases: a deadline above the maximum of the log's time never comes", () => {
  const header = ["header", 9, 0, 2 ** 52 - 2_000, 0, 2, 0] as const;
  const lease = ["lease", 7, 9_000, 2 ** 52 - 2_000 + 9_000] as const;
  const machine = StateMachine.restore([header, lease]);
  assertEquals(machine.apply(10, { kind: "expireSessions", elapsedMs: 2_000 }).kind, "sessionsExpired");
  assertEquals(machine.apply(11, { kind: "expireSessions", elapsedMs: MAX_ELAPSED_MS }).kind, "refused");
  assertEquals(machine.leaseCount, 1);
});

Deno.test("expiringPut: another put moves the key to its own lease, and the first one ends without it", () => {
  const replica = replicaWith([7, 8]);
  replica.apply(transaction([leased("a", 7), leased("b", 7)]));
  replica.apply(transaction([leased("a", 8)]));
  assertEquals([keysOfLease(replica, 7), keysOfLease(replica, 8)], [["b"], ["a"]]);
  revoke(replica, 7);
  assertEquals(keysOf(replica), ["a"]);
  revoke(replica, 8);
  assertEquals(keysOf(replica), []);
});

Deno.test("put: a plain put detaches the key, and a delete does", () => {
  const replica = replicaWith([7]);
  replica.apply(transaction([leased("a", 7, 5), leased("b", 7, 5), leased("c", 7)]));
  replica.apply(transaction([put("a", "plain"), remove("b")]));
  assertEquals(replica.machine.get(bytes("a")), {
    key: bytes("a"),
    value: bytes("plain"),
    createRevision: 1,
    modRevision: 2,
    version: 2,
  });
  assertEquals([keysOfLease(replica, 7), replica.machine.nextExpiresAtMs], [["c"], null]);
  replica.apply(transaction([put("b", "again")]));
  assertEquals(revoke(replica, 7), { kind: "leaseRevoked", revision: 4, deleted: 1 });
  assertEquals(keysOf(replica), ["a", "b"]);
});

Deno.test("expiringPut: an unknown lease, or one that ended in the entry before, fails the whole transaction", () => {
  const replica = replicaWith([7]);
  const failed = (position: number): CommandResult => ({
    kind: "transactionFailed",
    revision: 0,
    reason: "leaseNotFound",
    position: [position],
  });
  assertEquals(replica.apply(transaction([put("a", "v"), leased("b", 7), leased("c", 9)])), failed(2));
  pass(replica, TTL_MS + 1);
  assertEquals(replica.apply(transaction([leased("b", 7)])), failed(0));
  assertEquals([keysOf(replica), replica.machine.revision], [[], 0]);
});

Deno.test("expiringPut: checks are evaluated before leases", () => {
  const replica = replicaWith([]);
  const checks: readonly Check[] = [{ kind: "exists", key: bytes("a"), exists: true }];
  assertEquals(replica.apply(transaction([leased("a", 9)], { checks })).kind, "checksFailed");
});

Deno.test("expiringPut: a lease has a bounded number of keys; one that moves or is put again counts once", () => {
  const options = { leaseLimits: { maxLeases: 9, maxLeaseKeys: 2, maxEndedKeys: 9 } };
  const replica = replicaWith([7, 8], options);
  const full = (position: number): CommandResult => ({
    kind: "transactionFailed",
    revision: replica.machine.revision,
    reason: "tooManyLeaseKeys",
    position: [position],
  });
  assertEquals(replica.apply(transaction([leased("a", 7), leased("b", 7), leased("c", 7)])), full(2));
  replica.apply(transaction([leased("a", 7), leased("b", 7)]));
  assertEquals(replica.apply(transaction([leased("a", 7), leased("b", 7)])).kind, "applied");
  assertEquals(replica.apply(transaction([leased("c", 7)])), full(0));
  assertEquals(replica.apply(transaction([leased("c", 7), leased("a", 8)])), full(0));
  assertEquals(replica.apply(transaction([leased("a", 8), leased("c", 7)])).kind, "applied");
  assertEquals([keysOfLease(replica, 7), keysOfLease(replica, 8)], [["b", "c"], ["a"]]);
});

Deno.test("put operations: a lease and an expiry are set, kept or removed, each by itself", () => {
  const replica = replicaWith([7, 8]);
  const attachments = [];
  const forms: readonly Parameters<typeof putting>[1][] = [
    { leaseId: "keep", expiresAtMs: "keep" },
    { leaseId: 7, expiresAtMs: 5 },
    { leaseId: "keep", expiresAtMs: "keep", value: null },
    { leaseId: 8, expiresAtMs: "keep" },
    { leaseId: "keep", expiresAtMs: 6 },
    { leaseId: null, expiresAtMs: "keep" },
    { leaseId: 7, expiresAtMs: null },
    {},
  ];
  for (const form of forms) {
    branching(replica, [putting("a", form)]);
    const { leaseId = null, expiresAtMs = null } = replica.machine.get(bytes("a")) ?? {};
    attachments.push([leaseId, expiresAtMs]);
    assertEquals(keysOfLease(replica, leaseId ?? 9), leaseId === null ? [] : ["a"]);
    assertEquals(replica.machine.nextExpiresAtMs, expiresAtMs);
  }
  assertEquals(attachments, [[null, null], [7, 5], [7, 5], [8, 5], [8, 6], [null, 6], [7, null], [
    null,
    null,
  ]]);
});

Deno.test("sum, min and max keep the lease and the expiry of their key", () => {
  const replica = replicaWith([7]);
  const operand = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);
  branching(replica, [
    putting("n", { value: operand, leaseId: 7, expiresAtMs: 5 }),
    { kind: "sum", key: bytes("n"), operand },
    { kind: "min", key: bytes("n"), operand },
    { kind: "max", key: bytes("n"), operand },
  ]);
  const { leaseId, expiresAtMs, version } = replica.machine.get(bytes("n")) ?? {};
  assertEquals([leaseId, expiresAtMs, version], [7, 5, 4]);
});

Deno.test("transactions with branches fail for an unknown lease or too many keys, with the place of the put", () => {
  const options = { leaseLimits: { maxLeases: 9, maxLeaseKeys: 2, maxEndedKeys: 9 } };
  const replica = replicaWith([7], options);
  const attach = (key: string): Operation => putting(key, { leaseId: 7 });
  const range = { kind: "range", start: bytes(""), end: null } as const;
  const failed = (
    reason: "leaseNotFound" | "tooManyLeaseKeys",
    position: readonly number[],
  ): CommandResult => ({
    kind: "transactionFailed",
    revision: replica.machine.revision,
    reason,
    position,
  });
  const nested: Operation = {
    kind: "transaction",
    conditions: [],
    then: [putting("a", { leaseId: 9 })],
    else: [],
  };
  assertEquals(branching(replica, [putting("b"), nested]), failed("leaseNotFound", [1, 0]));
  assertEquals(branching(replica, [attach("a"), attach("b"), attach("c")]), failed("tooManyLeaseKeys", [2]));
  branching(replica, [attach("a"), attach("b")]);
  assertEquals(branching(replica, [attach("c")]), failed("tooManyLeaseKeys", [0]));
  const deletion: Operation = { kind: "delete", keys: range, returnPrevious: false };
  assertEquals(branching(replica, [deletion, attach("c"), attach("d")]).kind, "executed");
  assertEquals(keysOfLease(replica, 7), ["c", "d"]);
});

Deno.test("conditions compare the lease of a key; without one, and for an absent key, it is 0", () => {
  const replica = replicaWith([7]);
  replica.apply(transaction([leased("a", 7), put("b", "v")]));
  const holds = (key: string, comparison: Condition["comparison"], number: number): boolean => {
    const keys = { kind: "key", key: bytes(key) } as const;
    const result = branching(replica, [], [{ kind: "lease", keys, comparison, number }]);
    return result.kind === "executed" && result.succeeded;
  };
  assertEquals([holds("a", "equal", 7), holds("a", "equal", 8), holds("a", "greater", 6)], [
    true,
    false,
    true,
  ]);
  assertEquals([holds("b", "equal", 0), holds("b", "notEqual", 0)], [true, false]);
  assertEquals([holds("absent", "equal", 0), holds("absent", "less", 1)], [true, true]);
});

Deno.test("deleteExpired: keys up to a time of the wall clock are deleted in one revision, the earliest first", () => {
  const replica = replicaWith([7]);
  replica.apply(
    transaction([leased("a", 7, 30), leased("b", null, 10), leased("c", null, 20), put("d", "v")]),
  );
  assertEquals(replica.machine.nextExpiresAtMs, 10);
  const expired = (deleted: number, revision: number): CommandResult => ({
    kind: "expiredDeleted",
    revision,
    deleted,
  });
  assertEquals(replica.apply({ kind: "deleteExpired", untilMs: 9 }), expired(0, 1));
  assertEquals(replica.apply({ kind: "deleteExpired", untilMs: 20 }), expired(2, 2));
  assertEquals([keysOf(replica), replica.machine.nextExpiresAtMs], [["a", "d"], 30]);
  assertEquals(replica.apply({ kind: "deleteExpired", untilMs: 30 }), expired(1, 3));
  assertEquals([keysOfLease(replica, 7), replica.machine.lease(7)?.keyCount], [[], 0]);
});

Deno.test("deleteExpired: one entry deletes a bounded number of keys", () => {
  const replica = replicaWith([]);
  for (let number = 0; number <= MAX_EXPIRED_KEYS; number++) {
    replica.apply(transaction([leased(`${number}`, null, 1_000 - number)]));
  }
  replica.apply({ kind: "deleteExpired", untilMs: 1_000 });
  assertEquals([keysOf(replica), replica.machine.nextExpiresAtMs], [["0"], 1_000]);
});

Deno.test("leases: before feature level 2 every command of them is refused, and changes nothing", () => {
  const replica = new Replica();
  const refused: CommandResult = { kind: "refused", reason: "invalidCommand" };
  assertEquals([grant(replica, 7), revoke(replica, 7)], [refused, refused]);
  assertEquals(replica.apply({ kind: "keepLeasesAlive", leaseIds: [7] }), refused);
  assertEquals(replica.apply({ kind: "deleteExpired", untilMs: 9 }), refused);
  assertEquals(replica.apply(transaction([leased("a", null, 5)], { session: stamp() })), refused);
  assertEquals(replica.records(), [["header", 5, 0, 0, 0]]);
});

Deno.test("leases: a restored state has the same deadlines, keys and expiries, and ends them alike", () => {
  const replica = replicaWith([7, 8]);
  pass(replica, 4_000);
  replica.apply({ kind: "keepLeasesAlive", leaseIds: [8] });
  replica.apply(transaction([leased("a", 7), leased("b", 8, 5), leased("c", null, 6), leased("d", null, 7)]));
  replica.apply(transaction([put("a", "plain"), leased("c", 8, 6)]));
  const restored = StateMachine.restore(replica.records());
  assertEquals([...restored.snapshot().records()], replica.records());
  for (const machine of [replica.machine, restored]) {
    machine.checkStructure();
    assertEquals(machine.leases({ after: 0, limit: 9 }), {
      leases: [
        { leaseId: 7, ttlMs: TTL_MS, deadlineMs: 10_000, ownerId: 0, keyCount: 0 },
        { leaseId: 8, ttlMs: TTL_MS, deadlineMs: 14_000, ownerId: 0, keyCount: 2 },
      ],
      more: false,
    });
    machine.apply(machine.appliedIndex + 1, { kind: "expireSessions", elapsedMs: 10_000 });
    assertEquals([machine.leaseCount, machine.keyCount], [1, 4]);
    machine.apply(machine.appliedIndex + 1, { kind: "expireSessions", elapsedMs: 1 });
    assertEquals([machine.leaseCount, machine.keyCount, machine.nextExpiresAtMs], [0, 2, 7]);
  }
});

Deno.test("history: past versions have the lease and the expiry that they had", () => {
  const replica = replicaWith([7]);
  replica.apply(transaction([leased("a", 7, 5)]));
  replica.apply(transaction([put("a", "w")]));
  const { key: _key, value, ...numbers } = replica.machine.getAt(bytes("a"), 1).result ??
    { key: null, value: null };
  assertEquals([value, numbers], [
    bytes("v"),
    { createRevision: 1, modRevision: 1, version: 1, leaseId: 7, expiresAtMs: 5 },
  ]);
  const { versions } = replica.machine.history({ key: bytes("a"), limit: 9, before: null }).result;
  assertEquals(versions.map(({ leaseId, expiresAtMs }) => [leaseId, expiresAtMs]), [[undefined, undefined], [
    7,
    5,
  ]]);
});

Deno.test("leases and their keys are read in pages", () => {
  const replica = replicaWith([9, 2, 5]);
  replica.apply(transaction([leased("a", 5), leased("b", 5), leased("c", 5), leased("d", 9)]));
  const { machine } = replica;
  const ids = (
    page: ReturnType<StateMachine["leases"]>,
  ): unknown => [page.leases.map((one) => one.leaseId), page.more];
  assertEquals(ids(machine.leases({ after: 0, limit: 2 })), [[2, 5], true]);
  assertEquals(ids(machine.leases({ after: 5, limit: 2 })), [[9], false]);
  assertEquals(machine.leaseKeys(5, { after: null, limit: 2 }), { keys: ["a", "b"].map(bytes), more: true });
  assertEquals(machine.leaseKeys(5, { after: bytes("b"), limit: 2 }), { keys: [bytes("c")], more: false });
  assertEquals(machine.leaseKeys(4, { after: null, limit: 2 }), { keys: [], more: false });
});
