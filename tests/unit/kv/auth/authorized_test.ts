/** Tests of the commands of users: what is executed and what is refused while authentication is enabled. */
import { assertEquals } from "@std/assert";
import {
  type AuthChange,
  type Command,
  type CommandResult,
  type Mutation,
  NODE_IDENTITY,
  type Operation,
  type PlainCommand,
} from "../../../../lib/kv/mod.ts";
import { StateMachine } from "../../../../lib/kv/state_machine.ts";
import { bytes, put, remove, Replica, stamp, transaction } from "../support.ts";
import { AuthReplica, onPrefix, PASSWORD, tokenHash, wrapped } from "./support.ts";

const UNAUTHENTICATED = { kind: "refused", reason: "unauthenticated" } as const;
const DENIED = { kind: "refused", reason: "permissionDenied" } as const;

/** A replica with ann, who may read and write below a/, and bob, who may below b/; authentication is enabled. */
function enabled(): AuthReplica {
  const replica = new AuthReplica();
  replica.addUser("ann", onPrefix("read", "a/"), onPrefix("write", "a/"));
  replica.addUser("bob", onPrefix("read", "b/"), onPrefix("write", "b/"));
  replica.enable();
  return replica;
}

function branching(...then: readonly Operation[]): PlainCommand {
  return { kind: "branchingTransaction", session: null, conditions: [], then, else: [] };
}

function attachedTo(leaseId: number, key: string): Mutation {
  return { kind: "expiringPut", key: bytes(key), value: bytes("x"), leaseId, expiresAtMs: null };
}

/** Removes the rights of ann: a change that the node has not applied that wrapped the command. */
const REMOVE_RIGHTS: AuthChange = { kind: "removeRole", role: "ann" };

Deno.test("StateMachine: while authentication is enabled, a client's command without a user is refused", () => {
  const replica = enabled();
  const before = replica.records();
  const commands: readonly Command[] = [
    transaction([put("a/1", "x")]),
    branching({ kind: "delete", keys: { kind: "key", key: bytes("a/1") }, returnPrevious: false }),
    { kind: "registerSession", sessionId: 7, openedAt: 0 },
    { kind: "grantLease", session: null, leaseId: 1, ttlMs: 1_000 },
    { kind: "revokeLease", session: null, leaseId: 1 },
    { kind: "changeAuth", session: null, change: { kind: "setEnabled", enabled: false } },
    { kind: "compact", revision: 0 },
    { kind: "keepLeasesAlive", leaseIds: [1] },
  ];
  for (const command of commands) assertEquals(replica.apply(command), UNAUTHENTICATED, command.kind);
  assertEquals(replica.records().slice(1), before.slice(1));
});

Deno.test("StateMachine: the leader's own commands need no user", () => {
  const replica = enabled();
  const kinds = [
    replica.apply({ kind: "expireSessions", elapsedMs: 5 }),
    replica.apply({ kind: "raiseFeatureLevel", level: 2 }),
    replica.apply({
      kind: "authorized",
      identity: NODE_IDENTITY,
      command: { kind: "compact", revision: 0 },
    }),
    replica.apply({ kind: "deleteExpired", untilMs: 1 }),
  ].map(({ kind }) => kind);
  assertEquals(kinds, [
    "sessionsExpired",
    "featureLevelRaised",
    "compacted",
    "expiredDeleted",
  ]);
});

Deno.test("StateMachine: the identity of the leader lets no command through but a compaction", () => {
  const replica = enabled();
  const commands: readonly PlainCommand[] = [
    transaction([put("a/1", "x")]),
    { kind: "registerSession", sessionId: 7, openedAt: 0 },
    { kind: "grantLease", session: null, leaseId: 1, ttlMs: 1_000 },
    { kind: "changeAuth", session: null, change: { kind: "setEnabled", enabled: false } },
    { kind: "keepLeasesAlive", leaseIds: [1] },
  ];
  for (const command of commands) {
    const entry = { kind: "authorized", identity: NODE_IDENTITY, command } as const;
    assertEquals(replica.apply(entry), UNAUTHENTICATED, command.kind);
  }
});

Deno.test("StateMachine: a user cannot give the commands of the leader", () => {
  const replica = enabled();
  const commands: readonly PlainCommand[] = [
    { kind: "expireSessions", elapsedMs: 60_000 },
    { kind: "raiseFeatureLevel", level: 2 },
    { kind: "deleteExpired", untilMs: 1 },
  ];
  for (const command of commands) {
    assertEquals(replica.as("root", command, { missing: 1 }), DENIED, command.kind);
  }
});

Deno.test("StateMachine: a command that was checked by the present users is executed for its user", () => {
  const replica = enabled();
  assertEquals(replica.as("ann", transaction([put("a/1", "x")])).kind, "applied");
  assertEquals(replica.machine.get(bytes("a/1"))?.version, 1);
});

Deno.test("StateMachine: after a change of users a command is checked again", () => {
  const replica = enabled();
  const write = transaction([put("a/1", "x")]);
  assertEquals(replica.as("ann", write, { missing: 1 }).kind, "applied");
  assertEquals(replica.as("bob", write, { missing: 1 }), DENIED);
  replica.change(REMOVE_RIGHTS);
  assertEquals(replica.as("ann", write, { missing: 1 }), DENIED);
  assertEquals(replica.machine.get(bytes("a/1"))?.version, 1);
});

Deno.test("StateMachine: after a change of users the user and its credential must still exist", () => {
  const replica = enabled();
  const ann = replica.identity("ann");
  const write = transaction([put("a/1", "x")]);
  replica.change({ kind: "setPassword", user: "ann", password: PASSWORD });
  assertEquals(replica.apply(wrapped(ann, write)), UNAUTHENTICATED);
  const certificate = { ...ann, credential: 0 };
  assertEquals(replica.apply(wrapped(certificate, write)).kind, "applied");
  replica.change({ kind: "removeUser", user: "ann" });
  assertEquals(replica.apply(wrapped(certificate, write)), UNAUTHENTICATED);
});

Deno.test("StateMachine: a user who has signed in by a token revokes tokens, and neither adds one nor sets its password", () => {
  const replica = enabled();
  replica.change({ kind: "addToken", user: "ann", token: "job", hash: tokenHash(1), expiresAtMs: 9 });
  const { auth } = replica.machine;
  const byPassword = replica.identity("ann");
  const byToken = { ...byPassword, credential: auth.revision };
  const changes = (number: number): readonly AuthChange[] => [
    { kind: "addToken", user: "ann", token: `${number}`, hash: tokenHash(number), expiresAtMs: null },
    { kind: "setPassword", user: "ann", password: PASSWORD },
  ];
  const apply = (identity: typeof byToken, change: AuthChange): string => {
    const command: PlainCommand = { kind: "changeAuth", session: null, change };
    const result = replica.apply(wrapped({ ...identity, authRevision: 0 }, command));
    return result.kind === "refused" ? result.reason : result.kind;
  };
  assertEquals(changes(2).map((change) => apply(byToken, change)), ["permissionDenied", "permissionDenied"]);
  assertEquals(changes(3).map((change) => apply(byPassword, change)), ["authChanged", "authChanged"]);
  assertEquals(apply(byToken, { kind: "revokeToken", user: "ann", token: "3" }), "authChanged");
  const byCertificate = { ...byPassword, credential: 0 };
  assertEquals(changes(4).map((change) => apply(byCertificate, change)), ["authChanged", "authChanged"]);
});

Deno.test("StateMachine: the identity of a command has no effect while authentication is disabled", () => {
  const replica = enabled();
  const unknown = { userId: 999, credential: 999, authRevision: 0 };
  const write = transaction([put("x", "x")], { session: stamp({ openedAt: 1 }) });
  replica.change({ kind: "setEnabled", enabled: false });
  assertEquals(replica.apply(wrapped(unknown, write)).kind, "applied");
  assertEquals(replica.apply(write).kind, "applied", "the session has no user");
});

Deno.test("StateMachine: a retry by a user who lost the right is refused before its session is looked at", () => {
  const replica = enabled();
  const write = transaction([put("a/1", "x")], { session: stamp({ openedAt: 1 }) });
  assertEquals(replica.as("ann", write).kind, "applied");
  const ann = replica.identity("ann");
  replica.change(REMOVE_RIGHTS);
  const sessions = replica.records().filter(([kind]) => kind === "session" || kind === "answer");
  assertEquals(replica.apply(wrapped(ann, write)), DENIED);
  assertEquals(replica.records().filter(([kind]) => kind === "session" || kind === "answer"), sessions);
});

Deno.test("StateMachine: the answers of a session are for its first user, also after a restore", () => {
  const replica = enabled();
  replica.change({ kind: "grantRole", user: "bob", role: "ann" });
  const write = transaction([put("a/1", "x")], { session: stamp({ openedAt: 1 }) });
  const answer = replica.as("ann", write);
  assertEquals(answer.kind, "applied");
  const expired = { kind: "refused", reason: "sessionExpired" } as const;
  assertEquals(replica.as("bob", write), expired);
  assertEquals(replica.as("bob", { kind: "registerSession", sessionId: 7, openedAt: 1 }), expired);
  const restored = StateMachine.restore(replica.records());
  const next = (machine: StateMachine, user: string): unknown =>
    machine.apply(machine.appliedIndex + 1, wrapped(replica.identity(user), write));
  assertEquals(next(restored, "bob"), expired);
  assertEquals(next(restored, "ann"), answer);
  assertEquals(replica.as("ann", write), answer);
});

Deno.test("StateMachine: a session of the time before authentication is that of the first user who uses it", () => {
  const replica = new AuthReplica();
  replica.addUser("ann", onPrefix("write", "a/"));
  replica.addUser("bob", onPrefix("write", "a/"));
  const write = transaction([put("a/1", "x")], { session: stamp({ openedAt: 1 }) });
  const answer = replica.apply(write);
  replica.enable();
  assertEquals(replica.as("ann", write), answer);
  assertEquals(replica.as("bob", write), { kind: "refused", reason: "sessionExpired" });
  using view = replica.machine.snapshot();
  assertEquals(answer, replica.as("ann", write), "a view that shares the session changes nothing");
  assertEquals([...view.records()].filter(([kind]) => kind === "session").map((record) => record[7]), [1]);
});

Deno.test("StateMachine: a lease is revoked by a user who may write the keys that it has when it is revoked", () => {
  const replica = enabled();
  replica.as("ann", { kind: "grantLease", session: null, leaseId: 7, ttlMs: 1_000 });
  replica.as("ann", transaction([attachedTo(7, "a/1"), attachedTo(7, "a/2")]));
  const revoke: PlainCommand = { kind: "revokeLease", session: null, leaseId: 7 };
  // No change of users since the node checked it: the keys of the lease decide nevertheless.
  assertEquals(replica.as("bob", revoke), DENIED);
  assertEquals(replica.machine.lease(7)?.keyCount, 2);
  assertEquals(replica.as("ann", revoke).kind, "leaseRevoked");
});

Deno.test("StateMachine: a lease is kept alive by a user who may write the keys that it has when it is kept alive", () => {
  const replica = enabled();
  replica.as("ann", { kind: "grantLease", session: null, leaseId: 7, ttlMs: 1_000 });
  replica.as("ann", transaction([attachedTo(7, "a/1")]));
  const keepAlive: PlainCommand = { kind: "keepLeasesAlive", leaseIds: [7] };
  // No change of users since the node checked it: the keys of the lease decide nevertheless.
  assertEquals(replica.as("bob", keepAlive), DENIED);
  assertEquals(replica.as("bob", keepAlive, { missing: 1 }), DENIED);
  assertEquals(replica.as("ann", keepAlive, { missing: 1 }), { kind: "leasesKeptAlive", ttlsMs: [1_000] });
});

Deno.test("StateMachine: a key is attached to a lease by a user who may write all keys of the lease", () => {
  const replica = enabled();
  replica.as("ann", { kind: "grantLease", session: null, leaseId: 7, ttlMs: 1_000 });
  replica.as("ann", transaction([attachedTo(7, "a/1")]));
  assertEquals(replica.as("bob", transaction([attachedTo(7, "b/1")])), DENIED);
  const operation: Operation = {
    kind: "put",
    key: bytes("b/1"),
    value: bytes("x"),
    returnPrevious: false,
    leaseId: 7,
    expiresAtMs: null,
  };
  assertEquals(replica.as("bob", branching(operation)), DENIED);
  const nested: Operation = { kind: "transaction", conditions: [], then: [], else: [operation] };
  assertEquals(replica.as("bob", branching(nested)), DENIED);
  assertEquals(replica.as("bob", branching({ ...operation, leaseId: "keep" })).kind, "executed");
  assertEquals(replica.machine.lease(7)?.keyCount, 1);
});

Deno.test("StateMachine: a lease without keys is its owner's, also after a restore; others need the right over all keys", () => {
  const replica = enabled();
  replica.addUser("operator", onPrefix("write", ""));
  const revoke = (leaseId: number): PlainCommand => ({ kind: "revokeLease", session: null, leaseId });
  for (const leaseId of [7, 8]) {
    replica.as("ann", { kind: "grantLease", session: null, leaseId, ttlMs: 1_000 });
  }
  const { machine } = replica;
  using view = machine.snapshot();
  const records = [...view.records()];
  const ann = machine.auth.user("ann")?.id ?? 0;
  assertEquals(records.filter(([kind]) => kind === "lease"), [
    ["lease", 7, 1_000, 1_000, ann],
    ["lease", 8, 1_000, 1_000, ann],
  ]);
  const restored = StateMachine.restore(records);
  assertEquals(restored.lease(7)?.ownerId, ann);
  for (const state of [machine, restored]) {
    const as = (name: string, command: PlainCommand): CommandResult =>
      state.apply(state.appliedIndex + 1, wrapped(replica.identity(name), command, 0));
    assertEquals(as("bob", revoke(7)), DENIED);
    assertEquals(as("bob", transaction([attachedTo(7, "b/1")])), DENIED);
    assertEquals(as("ann", revoke(7)).kind, "leaseRevoked");
    assertEquals(as("operator", revoke(8)).kind, "leaseRevoked");
  }
});

Deno.test("StateMachine: a lease that was granted before authentication was enabled has no owner", () => {
  const replica = new AuthReplica();
  replica.addUser("bob", onPrefix("write", "b/"));
  replica.apply({ kind: "grantLease", session: null, leaseId: 7, ttlMs: 1_000 });
  replica.enable();
  using view = replica.machine.snapshot();
  assertEquals([...view.records()].filter(([kind]) => kind === "lease"), [["lease", 7, 1_000, 1_000]]);
  assertEquals(replica.as("bob", { kind: "revokeLease", session: null, leaseId: 7 }).kind, "leaseRevoked");
});

Deno.test("StateMachine: before feature level 2 there are no users", () => {
  const replica = new Replica();
  const refused = { kind: "refused", reason: "invalidCommand" } as const;
  const change: PlainCommand = { kind: "changeAuth", session: null, change: { kind: "addRole", role: "a" } };
  assertEquals(replica.apply(change), refused);
  const identity = { userId: 1, credential: 0, authRevision: 0 };
  assertEquals(replica.apply(wrapped(identity, transaction([remove("a")]))), refused);
  assertEquals(replica.machine.auth.revision, 0);
});

Deno.test("StateMachine: a change of users is made once, also if it is sent again", () => {
  const replica = new AuthReplica();
  const add: PlainCommand = {
    kind: "changeAuth",
    session: stamp({ openedAt: 0 }),
    change: { kind: "addUser", user: "ann", password: null },
  };
  const changed = { kind: "authChanged", authRevision: 1 } as const;
  assertEquals(replica.apply(add), changed);
  assertEquals(replica.apply(add), changed);
  const restored = StateMachine.restore(replica.records());
  assertEquals(restored.apply(restored.appliedIndex + 1, add), changed);
});
