/** KvClient.auth: what is sent for each call, what comes back, and the reasons for which nothing changes. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { AuthChangeRefusedError, InvalidRequestError, KvraftError } from "../../../../lib/mod.ts";
import type { AuthChange, AuthFailure, Grant } from "../../../../lib/kv/auth/auth_command.ts";
import { publicKeyOf, scryptOf, sha256Of } from "../../../../lib/platform/secrets.ts";
import type { ClientRequest, ServerMessage } from "../../../../lib/protocol/client_frames.ts";
import { decodeCommand } from "../../../../lib/protocol/command.ts";
import { bytes } from "../../kv/support.ts";
import { eventually } from "../../../support/eventually.ts";
import { ADA, connectAs, guard, signInsOf } from "../../../support/fakes/guarded_nodes.ts";
import { settle } from "../../../support/fakes/manual_clock.ts";
import { FakeCluster, writeResult } from "../../../support/fakes/scripted_node.ts";

/** Has node 1 answer changes with a reason, or make them; returns the changes that it received. */
function answerChanges(cluster: FakeCluster, reason: AuthFailure | null): AuthChange[] {
  const changes: AuthChange[] = [];
  const node = cluster.node(1);
  const obey = node.answer;
  node.answer = (request): ReturnType<typeof obey> => {
    if (request.kind !== "write") return obey(request);
    const command = decodeCommand(request.command);
    if (command.kind !== "changeAuth") return obey(request);
    assert(command.session !== null, "a change has a stamp");
    changes.push(command.change);
    return writeResult(
      request,
      reason === null
        ? { kind: "authChanged", authRevision: changes.length }
        : { kind: "authFailed", reason },
    );
  };
  return changes;
}

/** Waits for a call that computes a hash, which takes real time. */
async function finishHashing<T>(cluster: FakeCluster, call: Promise<T>): Promise<T> {
  let isOver = false;
  call.then(() => isOver = true, () => isOver = true);
  await eventually("the call ends", async () => {
    await settle();
    return isOver ? true : null;
  });
  return await cluster.finish(call);
}

Deno.test("auth: each change is one stamped command with what the caller gave", async () => {
  const cluster = new FakeCluster(1);
  const changes = answerChanges(cluster, null);
  await using client = await cluster.connect();
  const { auth } = client;
  const calls = [
    () => auth.enable(),
    () => auth.disable(),
    () => auth.removeUser("ada"),
    () => auth.grantRole("ada", "root"),
    () => auth.revokeRole("ada", "root"),
    () => auth.revokeToken("ada", "ci"),
    () => auth.addRole("app"),
    () => auth.removeRole("app"),
    () => auth.revoke("app", "read", { key: "k" }),
    () => auth.revoke("app", "write", { prefix: "app/" }),
    () => auth.revoke("app", "admin", {}),
    () => auth.revoke("app", "read", { start: "a", end: "b" }),
  ];
  for (const [position, call] of calls.entries()) {
    assertEquals(await cluster.finish(call()), { authRevision: position + 1 });
  }
  const taken = (grant: Grant) => ({ kind: "removeGrant", role: "app", grant }) as const;
  assertEquals(changes, [
    { kind: "setEnabled", enabled: true },
    { kind: "setEnabled", enabled: false },
    { kind: "removeUser", user: "ada" },
    { kind: "grantRole", user: "ada", role: "root" },
    { kind: "revokeRole", user: "ada", role: "root" },
    { kind: "revokeToken", user: "ada", token: "ci" },
    { kind: "addRole", role: "app" },
    { kind: "removeRole", role: "app" },
    taken({ right: "read", keys: { kind: "key", key: bytes("k") } }),
    taken({ right: "write", keys: { kind: "range", start: bytes("app/"), end: bytes("app0") } }),
    taken({ right: "admin", keys: { kind: "range", start: bytes(""), end: null } }),
    taken({ right: "read", keys: { kind: "range", start: bytes("a"), end: bytes("b") } }),
  ]);
});

Deno.test("auth: the hash of a password is sent and not the password, with a salt of its own", async () => {
  const cluster = new FakeCluster(1);
  const changes = answerChanges(cluster, null);
  await using client = await cluster.connect();
  await finishHashing(cluster, client.auth.addUser("ada", { password: "s3cret" }));
  await finishHashing(cluster, client.auth.setPassword("ada", "s3cret"));
  await cluster.finish(client.auth.addUser("bob"));
  const [added, changed, without] = changes;
  assert(added?.kind === "addUser" && changed?.kind === "setPassword" && without?.kind === "addUser");
  assert(added.password !== null && changed.password !== null);
  const { hash, ...parameters } = added.password;
  assertEquals(hash, publicKeyOf(await scryptOf("s3cret", parameters)));
  assertEquals([parameters.cost, parameters.salt.length], [2 ** 15, 16]);
  assert(added.password.salt.join() !== changed.password.salt.join(), "salts differ");
  assertEquals([added.user, without.user, without.password], ["ada", "bob", null]);
  const sentText = cluster.node(1).requests.map((request) => request.kind === "write" ? request.command : [])
    .join();
  assert(!sentText.includes(bytes("s3cret").join()), "the password is in no request");
});

Deno.test("createToken: the token has 256 random bits, and its hash is sent", async () => {
  const cluster = new FakeCluster(1);
  const changes = answerChanges(cluster, null);
  await using client = await cluster.connect();
  const before = Date.now();
  const created = await cluster.finish(client.auth.createToken("ada", { name: "ci", expiresInMs: 60_000 }));
  const lasting = await cluster.finish(client.auth.createToken("ada", { name: "cd" }));
  assertMatch(created.token, /^kvt_[A-Za-z0-9_-]{43}$/);
  assert(created.token !== lasting.token);
  assertEquals([lasting.expiresAtMs, created.name, created.authRevision], [null, "ci", 1]);
  assert(created.expiresAtMs !== null && created.expiresAtMs >= before + 60_000);
  assertEquals(changes[0], {
    kind: "addToken",
    user: "ada",
    token: "ci",
    hash: sha256Of(created.token),
    expiresAtMs: created.expiresAtMs,
  });
});

Deno.test("grant: it says whether other grants of the role covered it before", async () => {
  const cluster = new FakeCluster(1);
  answerChanges(cluster, null);
  const obey = cluster.node(1).answer;
  const grants: readonly Grant[] = [{
    right: "admin",
    keys: { kind: "range", start: bytes("app/"), end: bytes("app0") },
  }];
  cluster.node(1).answer = (request) =>
    request.kind === "readAuth" ? page(request, { roles: [{ name: "app", grants }] }) : obey(request);
  await using client = await cluster.connect();
  const covered = async (...args: [Grant["right"], Parameters<typeof client.auth.grant>[2]]) =>
    (await cluster.finish(client.auth.grant("app", ...args))).wasCovered;
  assertEquals(await covered("read", { key: "app/k" }), true);
  assertEquals(await covered("write", { prefix: "app/log/" }), true);
  assertEquals(await covered("admin", { prefix: "app/" }), true);
  assertEquals(await covered("read", { prefix: "app" }), false);
  assertEquals(await covered("read", { key: "b" }), false);
  assertEquals(await covered("admin", {}), false);
});

function page(
  { requestId }: ClientRequest,
  found: Partial<Extract<ServerMessage, { readonly kind: "authResult" }>>,
): ServerMessage {
  return { kind: "authResult", requestId, users: [], roles: [], authRevision: 1, after: null, ...found };
}

Deno.test("users and roles: all pages are read, one user or role by its name, null for none", async () => {
  const cluster = new FakeCluster(1);
  const user = (name: string) => ({ name, hasPassword: true, roles: ["root"], tokens: [] });
  const role = (name: string) => ({ name, grants: [] });
  const asked: unknown[] = [];
  cluster.node(1).answer = (request) => {
    assert(request.kind === "readAuth");
    const { requestId: _, ...rest } = request;
    asked.push(rest);
    if (request.user !== null) return page(request, { users: request.user === "ada" ? [user("ada")] : [] });
    if (request.role !== null) return page(request, { roles: request.role === "app" ? [role("app")] : [] });
    if (request.after === null) {
      return page(request, { roles: [role("app")], after: { kind: "role", name: "app" } });
    }
    if (request.after.kind === "role") {
      return page(request, { users: [user("ada")], after: { kind: "user", name: "ada" } });
    }
    return page(request, { users: [user("bob")] });
  };
  await using client = await cluster.connect();
  const { auth } = client;
  assertEquals(await cluster.finish(auth.users()), [user("ada"), user("bob")]);
  assertEquals(await cluster.finish(auth.roles()), [role("app")]);
  assertEquals(await cluster.finish(auth.user("ada")), user("ada"));
  assertEquals(await cluster.finish(auth.user("eve")), null);
  assertEquals(await cluster.finish(auth.role("app")), role("app"));
  assertEquals(await cluster.finish(auth.role("eve")), null);
  const request = { kind: "readAuth", user: null, role: null, after: null, consistency: "linearizable" };
  assertEquals(asked.slice(0, 3), [
    request,
    { ...request, after: { kind: "role", name: "app" } },
    { ...request, after: { kind: "user", name: "ada" } },
  ]);
  assertEquals(asked[6], { ...request, user: "ada" });
});

Deno.test("auth: a change that is not made says why and what to do", async () => {
  const table: readonly (readonly [AuthFailure, string])[] = [
    ["userNotFound", "Cannot give the role app to ada: there is no user ada."],
    ["roleNotFound", "Cannot give the role app to ada: there is no role app. Add it first."],
    [
      "tooMany",
      "Cannot give the role app to ada: the user has as many roles as it may have. Remove some first.",
    ],
  ];
  for (const [reason, message] of table) {
    const cluster = new FakeCluster(1);
    answerChanges(cluster, reason);
    await using client = await cluster.connect();
    const error = await assertRejects(
      () => cluster.finish(client.auth.grantRole("ada", "app")),
      AuthChangeRefusedError,
    );
    assertEquals([error.reason, error.message, error.code, error.outcome], [
      reason,
      message,
      "authChangeRefused",
      "not-applied",
    ]);
  }
});

Deno.test("auth: every reason has a message of its own for a change that can have it", async () => {
  const table: readonly (readonly [
    AuthFailure,
    (client: Awaited<ReturnType<FakeCluster["connect"]>>) => Promise<unknown>,
    RegExp,
  ])[] = [
    ["userExists", ({ auth }) => auth.addUser("ada"), /there is a user ada\.$/],
    ["roleExists", ({ auth }) => auth.addRole("root"), /there is a role root, which always exists\.$/],
    ["roleNotFound", ({ auth }) => auth.revokeRole("ada", "app"), /no user ada with the role app\.$/],
    [
      "tokenExists",
      ({ auth }) => auth.createToken("ada", { name: "ci" }),
      /has a token of the name ci\. Revoke it/,
    ],
    ["tokenNotFound", ({ auth }) => auth.revokeToken("ada", "ci"), /ada has no token of the name ci\.$/],
    ["grantNotFound", ({ auth }) => auth.revoke("app", "read", {}), /the role app has no such grant\./],
    [
      "noRoot",
      ({ auth }) => auth.enable(),
      /Add a user with a password, give it the role root, and try again\.$/,
    ],
    [
      "lastRoot",
      ({ auth }) => auth.removeUser("ada"),
      /Give the role to another user with a password first/,
    ],
    ["rootRole", ({ auth }) => auth.removeRole("root"), /has every right and cannot be changed\.$/],
    ["tooMany", ({ auth }) => auth.addUser("ada"), /as many users as it may have\. Remove some first\.$/],
  ];
  for (const [reason, call, expected] of table) {
    const cluster = new FakeCluster(1);
    answerChanges(cluster, reason);
    await using client = await cluster.connect();
    const error = await assertRejects(() => cluster.finish(call(client)), AuthChangeRefusedError);
    assertMatch(error.message, expected);
  }
});

Deno.test("auth: arguments that cannot be are refused before anything is sent, and secrets not repeated", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const { auth } = client;
  const calls: readonly (() => Promise<unknown>)[] = [
    () => auth.addUser(""),
    () => auth.addUser("a/b"),
    () => auth.addUser("ada", { password: "" }),
    () => auth.addUser("ada", { password: "s3cret".repeat(200) }),
    () => auth.setPassword("ada", "\ud800 s3cret"),
    () => auth.addRole("a\nb"),
    () => auth.createToken("ada", { name: "" }),
    () => auth.createToken("ada", { name: "ci", expiresInMs: 0 }),
    () => auth.grant("app", "read", { start: "b", end: "a" }),
    () => auth.grant("app", "read", { key: "" }),
  ];
  for (const call of calls) {
    const error = await assertRejects(() => cluster.finish(call()), KvraftError);
    assert(error instanceof InvalidRequestError || error.code === "keyTooLarge", `${error}`);
    assert(!error.message.includes("s3cret"), error.message);
  }
  assertEquals(cluster.node(1).requests, []);
});

Deno.test("setPassword: a client that changes its own password goes on with the new one", async () => {
  const cluster = new FakeCluster(1);
  answerChanges(cluster, null);
  const right = { secret: "s3cret" };
  guard(cluster, right);
  await using client = await connectAs(cluster, ADA);
  await finishHashing(cluster, client.auth.setPassword("ada", "another"));
  right.secret = "another";
  await cluster.finish(client.put("k", "v"));
  assertEquals(signInsOf(cluster), 2);
});

Deno.test("auth.status: it is what the node says of the connection's user", async () => {
  const cluster = new FakeCluster(1);
  const grants: readonly Grant[] = [{ right: "read", keys: { kind: "key", key: bytes("k") } }];
  const answer = {
    enabled: true,
    authRevision: 7,
    user: "ada",
    via: "token",
    roles: ["app"],
    grants,
  } as const;
  cluster.node(1).answer = ({ requestId }) => ({
    kind: "authStatusResult",
    requestId,
    ...answer,
    more: true,
  });
  await using client = await cluster.connect();
  assertEquals(await cluster.finish(client.auth.status()), { ...answer, hasMoreGrants: true });
});
