/** The table of rights: each kind of request and of command is refused to users that lack one of its rights, on every node. */
import { assert, assertEquals } from "@std/assert";
import {
  type AuthChange,
  type Branches,
  type DatabaseMutation,
  databaseRange,
  type Grant,
  type Mutation,
  type Operation,
  type PlainCommand,
  prefixEnd,
  type Right,
} from "../../../../lib/kv/mod.ts";
import {
  CLIENT_REQUESTS,
  type RequestFrame,
  type RequestKind,
} from "../../../../lib/protocol/client_frames.ts";
import { COMMAND, encodeCommand } from "../../../../lib/protocol/command.ts";
import { REQUEST_RIGHTS } from "../../../../lib/server/auth/request_rights.ts";
import { passwordHash } from "../../../support/fakes/auth.ts";
import { AuthCluster, PASSWORD } from "../../../support/fakes/auth_cluster.ts";
import { prefix, type Unnumbered, type UserClient } from "../../../support/frames/user_client.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
/** The user whose requests are made. */
const USER = "alice";
/** A lease to which the key app/leased is attached. */
const LEASE = 7;
const KEY = bytes("app/key");

/** Those who are let through: also anonymous ones, every user, a user with all of these grants, or one with the role root. */
type Allowed = "anonymous" | "users" | "root" | readonly Grant[];
type RequestCase<K extends RequestKind> = readonly [Omit<RequestFrame<K>, "requestId" | "kind">, Allowed];
type CommandOf<K extends PlainCommand["kind"]> = Extract<PlainCommand, { readonly kind: K }>;
type CommandCase<K extends PlainCommand["kind"]> = readonly [Omit<CommandOf<K>, "kind">, Allowed];

function over(right: Right, ...keys: readonly string[]): readonly Grant[] {
  return keys.map((key) => ({ right, keys: prefix(key) }));
}

const READ = over("read", "app/");
/** A right over keys that the request does not concern: it is enough for what needs a right over any key. */
const READ_OTHER = over("read", "other/");
const WRITE_OTHER = over("write", "other/");
const OPERATE = over("admin", "");
const QUERY = {
  prefix: bytes("app/"),
  start: null,
  end: null,
  after: null,
  reverse: false,
  limit: 10,
} as const;
const LISTING = { query: QUERY, consistency: "linearizable" } as const;
const WATCH = { keys: prefix("app/"), from: null, puts: true, deletes: true, previous: false } as const;
const EVENTS = { ...WATCH, skip: 0 } as const;
const LEASE_READ = { leaseId: LEASE, after: null, consistency: "linearizable" } as const;

const RANGES = ["app/", "lib/"].map((start) => (
  { start: bytes(start), end: prefixEnd(bytes(start)), limit: 10, reverse: false }
));

/** Requests of each kind, with those who may make them. */
const REQUESTS: { readonly [K in RequestKind]: readonly RequestCase<K>[] } = {
  signIn: [[{ method: { kind: "token", token: "unknown" } }, "anonymous"]],
  authStatus: [[{}, "anonymous"]],
  readAuth: [
    [{ user: null, role: null, after: null, consistency: "stale" }, "root"],
    [{ user: "root", role: null, after: null, consistency: "stale" }, "root"],
    [{ user: USER, role: USER, after: null, consistency: "stale" }, "root"],
    [{ user: USER, role: null, after: null, consistency: "stale" }, "users"],
  ],
  write: [[{ command: encodeCommand({ kind: "registerSession", sessionId: 5, openedAt: 0 }) }, WRITE_OTHER]],
  get: [[{ key: KEY, consistency: "linearizable" }, READ]],
  getAt: [[{ key: KEY, revision: 0, consistency: "linearizable" }, READ]],
  keyHistory: [[{ query: { key: KEY, limit: 10, before: null }, consistency: "linearizable" }, READ]],
  list: [[{ ...LISTING, visibleOnly: false }, READ], [{ ...LISTING, visibleOnly: true }, READ_OTHER]],
  listAt: [
    [{ ...LISTING, revision: 0, visibleOnly: false }, READ],
    [{ ...LISTING, revision: 0, visibleOnly: true }, READ_OTHER],
  ],
  watch: [[{ ...WATCH, visibleOnly: false }, READ], [{ ...WATCH, visibleOnly: true }, READ_OTHER]],
  cancelWatch: [[{ watchId: 1 }, "users"]],
  watchProgress: [[{ atOnce: false }, "users"]],
  readEvents: [[{ ...EVENTS, consistency: "linearizable" }, READ]],
  lease: [
    [{ ...LEASE_READ, keys: true }, over("read", "app/leased")],
    [{ ...LEASE_READ, keys: false }, "users"],
  ],
  listLeases: [[{ after: 0, limit: 10, consistency: "linearizable" }, "users"]],
  keepAlive: [[{ leaseIds: [LEASE] }, over("write", "app/leased")]],
  readRanges: [[
    { ranges: RANGES, consistency: "linearizable", revision: null },
    over("read", "app/", "lib/"),
  ]],
  scan: [[
    {
      query: {
        start: bytes("app/"),
        end: bytes("app0"),
        limit: 1,
        reverse: false,
        keysOnly: false,
        count: true,
      },
      consistency: "linearizable",
      revision: null,
    },
    over("read", "app/"),
  ]],
  listDatabases: [
    [{ secrets: false, consistency: "linearizable" }, "users"],
    [{ secrets: true, consistency: "linearizable" }, "root"],
  ],
  status: [[{}, "users"]],
  describeNode: [[{ scope: "all" }, "users"]],
  memberStatus: [[{ node: 1 }, "users"]],
  stateHash: [[{}, OPERATE]],
  transferLeadership: [[{ target: 9 }, OPERATE]],
  changeMembership: [[{ change: { kind: "remove", id: 9 }, force: false }, OPERATE]],
  takeSnapshot: [[{ keep: false }, OPERATE]],
  readSnapshot: [[{ snapshotId: 1, offset: 0 }, OPERATE]],
  closeSnapshot: [[{ snapshotId: 1 }, OPERATE]],
};

const put = (key: string): Mutation => ({ kind: "put", key: bytes(key), value: bytes("v") });
const attach = (key: string): Mutation => ({
  kind: "expiringPut",
  key: bytes(key),
  value: bytes("v"),
  leaseId: LEASE,
  expiresAtMs: null,
});

function transaction(
  mutations: readonly Mutation[],
  ...checked: readonly string[]
): CommandCase<"transaction">[0] {
  const checks = checked.map((key) => ({ kind: "exists", key: bytes(key), exists: true } as const));
  return { session: null, checks, mutations };
}

function branches(parts: Partial<Branches>): CommandCase<"branchingTransaction">[0] {
  return { session: null, conditions: [], then: [], else: [], ...parts };
}

/** The sums of a number in V8's format, whose bounds tell about what is stored, and of a 64-bit integer. */
const NUMBER_SUM: DatabaseMutation = {
  kind: "sum",
  key: KEY,
  value: Uint8Array.of(1, 0xff, 15, 0x49, 2),
  minimum: null,
  maximum: Uint8Array.of(0xff, 15, 0x49, 4),
  clamp: false,
};
const INTEGER_SUM: DatabaseMutation = {
  ...NUMBER_SUM,
  value: Uint8Array.of(2, 1, 0, 0, 0, 0, 0, 0, 0),
  maximum: null,
};
const CHECK_ABSENT = { key: KEY, revision: null };

/** A write of a database that no test creates. */
function databaseWrite(credentialId: number): CommandCase<"databaseWrite">[0] {
  return {
    session: null,
    databaseId: 9,
    credentialId,
    checks: [],
    mutations: [{ kind: "delete", key: KEY }],
  };
}

function overDatabase(right: Right): Grant {
  return { right, keys: { kind: "range", ...databaseRange(9) } };
}

const DELETE: Operation = { kind: "delete", keys: prefix("app/x"), returnPrevious: false };
const GET: Operation = { kind: "get", keys: prefix("app/"), limit: 1, reverse: false, revision: null };
const SUM: Operation = { kind: "sum", key: KEY, operand: new Uint8Array(8) };
const NESTED: Operation = { kind: "transaction", conditions: [], then: [GET], else: [DELETE] };
const CONDITION = { kind: "version", keys: prefix("app/"), comparison: "equal", number: 0 } as const;
/** A put that keeps the value and the lease that are there. */
const KEEP: Operation = {
  kind: "put",
  key: bytes("app/leased"),
  value: null,
  returnPrevious: true,
  leaseId: "keep",
  expiresAtMs: "keep",
};

/** Changes that fail or change nothing, so that the users stay; those of the user itself it may make. */
function authCases(): readonly CommandCase<"changeAuth">[] {
  const [grant] = over("read", "app/");
  assert(grant !== undefined);
  const all: { readonly [K in AuthChange["kind"]]: Extract<AuthChange, { readonly kind: K }> } = {
    setEnabled: { kind: "setEnabled", enabled: true },
    addUser: { kind: "addUser", user: "root", password: null },
    setPassword: { kind: "setPassword", user: "unknown", password: null },
    removeUser: { kind: "removeUser", user: "unknown" },
    grantRole: { kind: "grantRole", user: "unknown", role: "root" },
    revokeRole: { kind: "revokeRole", user: "unknown", role: "root" },
    addToken: { kind: "addToken", user: "unknown", token: "t", hash: new Uint8Array(32), expiresAtMs: null },
    revokeToken: { kind: "revokeToken", user: "unknown", token: "t" },
    addRole: { kind: "addRole", role: "root" },
    removeRole: { kind: "removeRole", role: "root" },
    addGrant: { kind: "addGrant", role: "root", grant },
    removeGrant: { kind: "removeGrant", role: "root", grant },
  };
  const own: readonly AuthChange[] = [
    { kind: "setPassword", user: USER, password: passwordHash(PASSWORD) },
    { kind: "revokeToken", user: USER, token: "none" },
  ];
  return [
    ...Object.values(all).map((change) => [{ session: null, change }, "root"] as const),
    ...own.map((change) => [{ session: null, change }, "users"] as const),
  ];
}

/** Commands of each kind, with those who may write them. */
const COMMANDS: { readonly [K in PlainCommand["kind"]]: readonly CommandCase<K>[] } = {
  transaction: [
    [transaction([put("app/a"), put("lib/b")]), over("write", "app/", "lib/")],
    [transaction([put("app/a")], "lib/b"), [...over("write", "app/"), ...over("read", "lib/")]],
    [transaction([{ kind: "delete", key: KEY }]), over("write", "app/")],
    [transaction([attach("lib/a")]), over("write", "lib/", "app/leased")],
  ],
  branchingTransaction: [
    [branches({ then: [DELETE] }), over("write", "app/x")],
    [branches({ else: [DELETE] }), over("write", "app/x")],
    [branches({ then: [{ ...DELETE, returnPrevious: true }] }), [...over("write", "app/"), ...READ]],
    [branches({ then: [GET] }), READ],
    [branches({ conditions: [CONDITION] }), READ],
    [branches({ then: [SUM] }), over("write", "app/")],
    [branches({ then: [NESTED] }), [...over("write", "app/"), ...READ]],
    [branches({ then: [KEEP] }), [...over("write", "app/leased"), ...READ]],
  ],
  registerSession: [[{ sessionId: 5, openedAt: 0 }, WRITE_OTHER]],
  grantLease: [[{ session: null, leaseId: 50, ttlMs: 60_000 }, WRITE_OTHER]],
  revokeLease: [
    [{ session: null, leaseId: LEASE }, over("write", "app/leased")],
    [{ session: null, leaseId: 51 }, WRITE_OTHER],
  ],
  keepLeasesAlive: [[{ leaseIds: [LEASE] }, over("write", "app/leased")]],
  compact: [[{ revision: 1 }, OPERATE]],
  changeAuth: authCases(),
  databaseWrite: [
    [databaseWrite(0), [overDatabase("write")]],
    [{ ...databaseWrite(0), checks: [CHECK_ABSENT] }, [overDatabase("write"), overDatabase("read")]],
    [{ ...databaseWrite(0), mutations: [NUMBER_SUM] }, [overDatabase("write"), overDatabase("read")]],
    [{ ...databaseWrite(0), mutations: [INTEGER_SUM] }, [overDatabase("write")]],
    // That it names an access token does not replace a user.
    [databaseWrite(1), [overDatabase("write")]],
  ],
  changeDatabases: [[{ session: null, change: { kind: "remove", name: "unknown" } }, "root"]],
  // The leader makes these; the validation refuses them from a client.
  expireSessions: [],
  raiseFeatureLevel: [],
  deleteExpired: [],
};

/** A request with its name for messages. */
interface Case {
  readonly name: string;
  readonly request: Unnumbered;
  readonly allowed: Allowed;
}

function allCases(): readonly Case[] {
  const requests = Object.entries(REQUESTS).flatMap(([kind, cases]) =>
    cases.map(([fields, allowed], position): Case => (
      // The type of the table pairs each kind with its fields.
      { name: `${kind} ${position}`, request: { kind, ...fields } as Unnumbered, allowed }
    ))
  );
  const commands = Object.entries(COMMANDS).flatMap(([kind, cases]) =>
    cases.map(([fields, allowed], position): Case => {
      const command = encodeCommand({ kind, ...fields } as PlainCommand);
      return { name: `${kind} ${position}`, request: { kind: "write", command }, allowed };
    })
  );
  return [...requests, ...commands];
}

/** The tests of one user on one node. */
class Trial {
  readonly #auth: AuthCluster;
  readonly #user: UserClient;
  readonly #anonymous: UserClient;

  constructor(
    auth: AuthCluster,
    { user, anonymous }: { readonly user: UserClient; readonly anonymous: UserClient },
  ) {
    this.#auth = auth;
    this.#user = user;
    this.#anonymous = anonymous;
  }

  /** Returns the outcomes: without a user, with too few rights each time, and with enough. */
  async outcomes({ request, allowed }: Case): Promise<readonly string[]> {
    await this.#prepare();
    const seen = [await this.#ask(this.#anonymous, request)];
    const grants = typeof allowed === "string" ? [] : allowed;
    // With all rights that are needed but one.
    for (const missing of grants) {
      seen.push(await this.#askWith(grants.filter((grant) => grant !== missing), request));
    }
    if (allowed === "root") {
      seen.push(await this.#askWith(OPERATE, request));
      seen.push(await this.#ask(this.#auth.root, request));
    } else {
      seen.push(await this.#askWith(grants, request));
    }
    return seen;
  }

  /** Returns the outcome for a user with the same rights, but over other keys than those of the request. */
  async outcomeOverOtherKeys({ request, allowed }: Case): Promise<string> {
    await this.#prepare();
    const rights = new Set(typeof allowed === "string" ? [] : allowed.map(({ right }) => right));
    return await this.#askWith([...rights].flatMap((right) => over(right, "elsewhere/")), request);
  }

  /** Makes the lease with its one key again: an earlier case may have revoked it, or attached other keys. */
  async #prepare(): Promise<void> {
    const commands: readonly PlainCommand[] = [
      { kind: "revokeLease", session: null, leaseId: LEASE },
      { kind: "grantLease", session: null, leaseId: LEASE, ttlMs: 600_000 },
      { kind: "transaction", session: null, checks: [], mutations: [attach("app/leased")] },
    ];
    for (const command of commands) await this.#auth.run(this.#auth.root.write(command));
  }

  async #askWith(grants: readonly Grant[], request: Unnumbered): Promise<string> {
    const { root } = this.#auth;
    const changeAll = (kind: "addGrant" | "removeGrant"): Promise<void> =>
      this.#auth.run(root.change(...grants.map((grant) => ({ kind, role: USER, grant } as const))));
    await changeAll("addGrant");
    // The node of the user has applied the grants before it answers this.
    await this.#auth.run(this.#user.ask({ kind: "watchProgress", atOnce: false }));
    const outcome = await this.#ask(this.#user, request);
    await changeAll("removeGrant");
    await this.#auth.run(this.#user.ask({ kind: "watchProgress", atOnce: false }));
    return outcome;
  }

  async #ask(client: UserClient, request: Unnumbered): Promise<string> {
    const outcome = await this.#auth.run(client.outcome(request));
    return outcome === "permissionDenied" || outcome === "unauthenticated" ? outcome : "let through";
  }
}

function expectedOf(allowed: Allowed): readonly string[] {
  if (allowed === "anonymous") return ["let through", "let through"];
  if (allowed === "users") return ["unauthenticated", "let through"];
  const denied = allowed === "root" ? 1 : allowed.length;
  return ["unauthenticated", ...Array.from({ length: denied }, () => "permissionDenied"), "let through"];
}

Deno.test("REQUEST_RIGHTS: the table, and the cases of this test, have every kind of request and command", () => {
  assertEquals(Object.keys(REQUEST_RIGHTS).toSorted(), [...CLIENT_REQUESTS.kinds].toSorted());
  const untested = Object.entries(REQUESTS).filter(([, cases]) => cases.length === 0).map(([kind]) => kind);
  assertEquals(untested, []);
  const plain = Object.keys(COMMAND.numbers).filter((kind) => kind !== "authorized");
  assertEquals(Object.keys(COMMANDS).toSorted(), plain.toSorted());
});

Deno.test("Server: each kind of request needs exactly its rights, on the leader and on a follower", async () => {
  await using auth = await AuthCluster.enabled();
  await auth.addUser(USER);
  const { leader, follower } = await auth.nodes();
  for (const node of [leader, follower]) {
    const [user, anonymous] = [await auth.signedIn(USER, node), await auth.connect(node)];
    const trial = new Trial(auth, { user, anonymous });
    for (const one of allCases()) {
      assertEquals(await trial.outcomes(one), expectedOf(one.allowed), `${one.name} at node ${node}`);
      // A changed password ends the sign-in.
      assertEquals(await auth.run(user.signIn(USER, PASSWORD)), "signedIn");
    }
  }
});

Deno.test("Server: rights over other keys are none over those of a request", async () => {
  await using auth = await AuthCluster.enabled(1);
  await auth.addUser(USER);
  const [user, anonymous] = [await auth.signedIn(USER, 1), await auth.connect(1)];
  const trial = new Trial(auth, { user, anonymous });
  const concernsKeys = ({ allowed }: Case): boolean =>
    typeof allowed !== "string" && allowed !== READ_OTHER && allowed !== WRITE_OTHER;
  for (const one of allCases().filter(concernsKeys)) {
    assertEquals(await trial.outcomeOverOtherKeys(one), "permissionDenied", one.name);
  }
});

Deno.test("Server: commands that only the leader or a node makes are refused to root as well", async () => {
  await using auth = await AuthCluster.enabled(1);
  const commands = [
    encodeCommand({ kind: "expireSessions", elapsedMs: 1 }),
    encodeCommand({ kind: "raiseFeatureLevel", level: 2 }),
    encodeCommand({ kind: "deleteExpired", untilMs: 1 }),
    encodeCommand({
      kind: "authorized",
      identity: { userId: 1, credential: 0, authRevision: 3 },
      command: { kind: "registerSession", sessionId: 5, openedAt: 0 },
    }),
    new Uint8Array([0x92, 0x0c, 0x01]),
  ];
  for (const command of commands) {
    assertEquals(await auth.run(auth.root.outcome({ kind: "write", command })), "invalidRequest");
  }
});

Deno.test("Server: an unauthenticated request is refused before anything in it is read", async () => {
  await using auth = await AuthCluster.enabled(1);
  const anonymous = await auth.connect(1);
  const malformed: readonly Unnumbered[] = [
    { kind: "write", command: new Uint8Array([0xc1]) },
    { kind: "get", key: new Uint8Array(5_000), consistency: "stale" },
    { kind: "list", query: { ...QUERY, limit: 0 }, visibleOnly: false, consistency: "stale" },
    { kind: "keepAlive", leaseIds: [] },
  ];
  for (const request of malformed) {
    assertEquals(await auth.run(anonymous.outcome(request)), "unauthenticated");
  }
});
