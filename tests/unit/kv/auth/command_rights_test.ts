/** Tests of the rights that commands need, and of the decisions about them. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  type AuthChange,
  type Command,
  compareKeys,
  type Denial,
  denialOf,
  type Grant,
  type KeySet,
  type Operation,
  requiredRights,
  type Requirement,
  type Right,
  RIGHTS,
  UserRights,
} from "../../../../lib/kv/mod.ts";
import { bytes, put, transaction } from "../support.ts";
import { anyGrant, anyKey, onPrefix, PASSWORD, wrapped } from "./support.ts";

function key(text: string): KeySet {
  return { kind: "key", key: bytes(text) };
}

function range(start: string, end: string): KeySet {
  return { kind: "range", start: bytes(start), end: bytes(end) };
}

/** Returns the missing right of user 5 for a requirement, with these grants, and the keys and the owner of lease 7. */
function denial(
  requirement: Requirement,
  grants: readonly Grant[],
  { isRoot = false, isByToken = false, leased = [], owner = 5 }: {
    readonly isRoot?: boolean;
    readonly isByToken?: boolean;
    readonly leased?: readonly Uint8Array[];
    readonly owner?: number;
  } = {},
): Denial | null {
  const sorted = leased.toSorted(compareKeys);
  return denialOf(requirement, {
    userId: 5,
    name: "ann",
    rights: new UserRights(grants, { isRoot }),
    isByToken,
    leasedKeyFrom: (leaseId, from) =>
      leaseId === 7 ? sorted.find((attached) => compareKeys(attached, from) >= 0) ?? null : null,
    leaseOwner: (leaseId) => leaseId === 7 ? owner : 0,
  });
}

Deno.test("requiredRights: a transaction needs read of what it checks and write of what it changes", () => {
  const expiring = {
    kind: "expiringPut",
    key: bytes("c"),
    value: bytes(""),
    leaseId: 7,
    expiresAtMs: null,
  } as const;
  const timed = { ...expiring, key: bytes("d"), leaseId: null, expiresAtMs: 9 } as const;
  const command = transaction([put("a", "x"), { kind: "delete", key: bytes("b") }, expiring, timed], {
    checks: [{ kind: "exists", key: bytes("e"), exists: true }],
  });
  assertEquals(requiredRights(command), {
    kind: "keys",
    grants: [
      { right: "read", keys: key("e") },
      { right: "write", keys: key("a") },
      { right: "write", keys: key("b") },
      { right: "write", keys: key("c") },
      { right: "write", keys: key("d") },
    ],
    leases: [{ right: "write", leaseId: 7 }],
  });
});

Deno.test("requiredRights: a transaction with branches needs the rights of both, and of all levels", () => {
  const putOf = (
    text: string,
    differences: Partial<Extract<Operation, { kind: "put" }>> = {},
  ): Operation => ({
    kind: "put",
    key: bytes(text),
    value: null,
    returnPrevious: false,
    leaseId: "keep",
    expiresAtMs: null,
    ...differences,
  });
  const nested: Operation = {
    kind: "transaction",
    conditions: [{ kind: "version", keys: key("n1"), comparison: "equal", number: 0 }],
    then: [putOf("n2", { leaseId: 8 })],
    else: [{ kind: "delete", keys: range("n3", "n4"), returnPrevious: true }],
  };
  const command: Command = {
    kind: "branchingTransaction",
    session: null,
    conditions: [{ kind: "lease", keys: range("a", "b"), comparison: "less", number: 1 }],
    then: [
      putOf("c", { returnPrevious: true, leaseId: null }),
      { kind: "get", keys: range("d", "e"), limit: 1, reverse: false, revision: 3 },
      nested,
    ],
    else: [
      { kind: "sum", key: bytes("f"), operand: new Uint8Array(8) },
      { kind: "delete", keys: range("g", "h"), returnPrevious: false },
    ],
  };
  assertEquals(requiredRights(command), {
    kind: "keys",
    grants: [
      { right: "read", keys: range("a", "b") },
      { right: "write", keys: key("c") },
      { right: "read", keys: key("c") },
      { right: "read", keys: range("d", "e") },
      { right: "read", keys: key("n1") },
      { right: "write", keys: key("n2") },
      { right: "write", keys: range("n3", "n4") },
      { right: "read", keys: range("n3", "n4") },
      { right: "write", keys: key("f") },
      { right: "write", keys: range("g", "h") },
    ],
    leases: [{ right: "write", leaseId: 8 }],
  });
});

Deno.test("requiredRights: every other command has its rule", () => {
  const change = (of: AuthChange): Command => ({ kind: "changeAuth", session: null, change: of });
  const grant = onPrefix("read", "");
  const root = { kind: "root" } as const;
  const credentials = { kind: "ownCredentials", user: "bob" } as const;
  const never = { kind: "never" } as const;
  const table: readonly (readonly [Command, Requirement])[] = [
    [{ kind: "registerSession", sessionId: 1, openedAt: 0 }, { kind: "anyKey", right: "write" }],
    [{ kind: "grantLease", session: null, leaseId: 7, ttlMs: 1_000 }, { kind: "anyKey", right: "write" }],
    [{ kind: "revokeLease", session: null, leaseId: 7 }, {
      kind: "keys",
      grants: [],
      leases: [{ right: "write", leaseId: 7 }],
    }],
    [{ kind: "compact", revision: 1 }, { kind: "admin" }],
    [{ kind: "expireSessions", elapsedMs: 1 }, never],
    [{ kind: "raiseFeatureLevel", level: 2 }, never],
    [{ kind: "keepLeasesAlive", leaseIds: [7, 8] }, {
      kind: "keys",
      grants: [],
      leases: [{ right: "write", leaseId: 7 }, { right: "write", leaseId: 8 }],
    }],
    [{ kind: "deleteExpired", untilMs: 1 }, never],
    [wrapped({ userId: 1, credential: 0, authRevision: 1 }, transaction([put("a", "x")])), never],
    [change({ kind: "setPassword", user: "bob", password: PASSWORD }), credentials],
    [
      change({ kind: "addToken", user: "bob", token: "job", hash: new Uint8Array(32), expiresAtMs: null }),
      credentials,
    ],
    [change({ kind: "revokeToken", user: "bob", token: "job" }), { kind: "ownUser", user: "bob" }],
    [change({ kind: "setEnabled", enabled: false }), root],
    [change({ kind: "addUser", user: "bob", password: null }), root],
    [change({ kind: "removeUser", user: "bob" }), root],
    [change({ kind: "grantRole", user: "bob", role: "root" }), root],
    [change({ kind: "revokeRole", user: "bob", role: "root" }), root],
    [change({ kind: "addRole", role: "a" }), root],
    [change({ kind: "removeRole", role: "a" }), root],
    [change({ kind: "addGrant", role: "a", grant }), root],
    [change({ kind: "removeGrant", role: "a", grant }), root],
  ];
  for (const [command, requirement] of table) {
    assertEquals(requiredRights(command), requirement, command.kind);
  }
});

Deno.test("denialOf: it names the first right that is missing", () => {
  const grants = [onPrefix("read", "a/"), onPrefix("write", "a/")];
  const needs = (...all: readonly Grant[]): Requirement => ({ kind: "keys", grants: all, leases: [] });
  assertEquals(denial(needs(onPrefix("read", "a/1")), grants), null);
  assertEquals(denial(needs(onPrefix("read", "a/1"), onPrefix("write", "b")), grants), {
    kind: "keys",
    ...onPrefix("write", "b"),
  });
  assertEquals(denial(needs(onPrefix("read", "")), grants), { kind: "keys", ...onPrefix("read", "") });
  assertEquals(denial({ kind: "signedIn" }, []), null);
});

Deno.test("denialOf: operating the cluster needs admin over all keys, users need root", () => {
  const admin = { kind: "admin" } as const;
  assertEquals(denial(admin, [onPrefix("admin", "")]), null);
  assertEquals(denial(admin, [], { isRoot: true }), null);
  assertEquals(denial(admin, [onPrefix("admin", "a")])?.kind, "keys");
  assertEquals(denial(admin, [onPrefix("read", ""), onPrefix("write", "")])?.kind, "keys");
  assertEquals(denial({ kind: "root" }, [onPrefix("admin", "")]), { kind: "root" });
  assertEquals(denial({ kind: "root" }, [], { isRoot: true }), null);
});

Deno.test("denialOf: a user may change its own password, and no other's; no user may give the leader's commands", () => {
  assertEquals(denial({ kind: "ownUser", user: "ann" }, []), null);
  assertEquals(denial({ kind: "ownUser", user: "bob" }, [onPrefix("admin", "")]), { kind: "root" });
  assertEquals(denial({ kind: "ownUser", user: "bob" }, [], { isRoot: true }), null);
  assertEquals(denial({ kind: "never" }, [], { isRoot: true }), { kind: "never" });
});

Deno.test("denialOf: a user who has signed in by a token may not change its password or add tokens; root may", () => {
  const own = { kind: "ownCredentials", user: "ann" } as const;
  assertEquals(denial(own, []), null);
  assertEquals(denial(own, [onPrefix("admin", "")], { isByToken: true }), { kind: "signInByPassword" });
  assertEquals(denial(own, [], { isByToken: true, isRoot: true }), null);
  assertEquals(denial({ ...own, user: "bob" }, []), { kind: "root" });
  assertEquals(denial({ kind: "ownUser", user: "ann" }, [], { isByToken: true }), null);
});

Deno.test("denialOf: a user without rights takes no session, no lease and no watch that others need", () => {
  for (const right of RIGHTS) {
    const any = { kind: "anyKey", right } as const;
    assertEquals(denial(any, []), any);
    assertEquals(denial(any, [onPrefix(right, "a/")]), null);
    assertEquals(denial(any, [], { isRoot: true }), null);
  }
  const empty = requiredRights(transaction([]));
  assertEquals(denial(empty, [onPrefix("read", "")]), { kind: "anyKey", right: "write" });
  assertEquals(denial(empty, [onPrefix("write", "a/")]), null);
});

Deno.test("denialOf: a lease needs the right over each of its keys, and without keys over any key", () => {
  const lease = (right: Right): Requirement => ({
    kind: "keys",
    grants: [],
    leases: [{ right, leaseId: 7 }],
  });
  assertEquals(denial(lease("write"), [onPrefix("write", "a/")]), null);
  assertEquals(denial(lease("write"), [onPrefix("read", "a/")]), { kind: "anyKey", right: "write" });
  const leased = [bytes("a/1"), bytes("b/1"), bytes("a/2")];
  assertEquals(denial(lease("write"), [onPrefix("write", "a/")], { leased }), {
    kind: "keys",
    right: "write",
    keys: key("b/1"),
  });
  assertEquals(denial(lease("write"), [onPrefix("write", "a/"), onPrefix("write", "b/")], { leased }), null);
  assertEquals(denial(lease("read"), [onPrefix("write", "")], { leased })?.kind, "keys");
});

Deno.test("denialOf: a lease without keys is written by its owner alone, and by users with the right over all keys", () => {
  const lease = (right: Right, leaseId = 7): Requirement => ({
    kind: "keys",
    grants: [],
    leases: [{ right, leaseId }],
  });
  const own = [onPrefix("write", "a/"), onPrefix("read", "a/")];
  assertEquals(denial(lease("write"), own, { owner: 6 }), { kind: "leaseOfOther" });
  assertEquals(denial(lease("write", 8), own, { owner: 6 }), null, "a lease that no user has granted");
  assertEquals(denial(lease("write"), own, { owner: 0 }), null, "granted while authentication was disabled");
  assertEquals(denial(lease("read"), own, { owner: 6 }), null);
  assertEquals(denial(lease("write"), [onPrefix("write", "")], { owner: 6 }), null);
  assertEquals(denial(lease("write"), [], { owner: 6, isRoot: true }), null);
  assertEquals(denial(lease("write"), own, { owner: 6, leased: [bytes("a/1")] }), null);
  assertEquals(denial(lease("write"), own, { owner: 5, leased: [bytes("b/1")] })?.kind, "keys");
});

Deno.test("denialOf: a lease is decided as by each of its keys alone", () => {
  fc.assert(
    fc.property(
      fc.array(anyGrant(), { maxLength: 6 }),
      fc.array(anyKey(), { maxLength: 8 }),
      fc.constantFrom(...RIGHTS),
      (grants, leased, right) => {
        const rights = new UserRights(grants, { isRoot: false });
        const isAllowed = leased.every((attached) => rights.allows(right, attached)) &&
          rights.ranges(right).ranges.length > 0;
        const requirement: Requirement = { kind: "keys", grants: [], leases: [{ right, leaseId: 7 }] };
        assertEquals(denial(requirement, grants, { leased }) === null, isAllowed);
      },
    ),
    { numRuns: 500 },
  );
});
