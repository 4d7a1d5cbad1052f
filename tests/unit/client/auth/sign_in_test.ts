/** Signing in: on every connection before it is used, once with a wrong secret, and again when a node asks for it. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  AuthenticationError,
  ConnectionError,
  InvalidRequestError,
  PermissionDeniedError,
} from "../../../../lib/mod.ts";
import { REFUSED_MS } from "../../../../lib/client/auth/sign_ins.ts";
import { encodeResult } from "../../../../lib/protocol/command.ts";
import {
  ADA,
  connectAs,
  type Credentials,
  guard,
  kindsAt,
  notAccepted,
  refusal,
  signInsOf,
} from "../../../support/fakes/guarded_nodes.ts";
import { FakeCluster, type FakeNode } from "../../../support/fakes/scripted_node.ts";

Deno.test("sign-in: every connection signs in before anything else is sent over it", async () => {
  const cluster = new FakeCluster(3);
  guard(cluster, { secret: "s3cret" });
  await using client = await connectAs(cluster, ADA);
  await cluster.finish(client.put("k", "v"));
  await cluster.finish(client.cluster.status());
  for (const node of cluster.nodes) assertEquals(kindsAt(node)[0], "signIn", `node ${node.id}`);
  assertEquals(signInsOf(cluster), 3);
  const [first] = cluster.node(1).requests;
  assert(first?.kind === "signIn");
  assertEquals(first.method, { kind: "password", user: "ada", password: "s3cret" });
});

Deno.test("sign-in: a client without credentials sends no sign-in, and its error says what to do", async () => {
  const cluster = new FakeCluster(1);
  guard(cluster, { secret: "s3cret" });
  await using client = await connectAs(cluster, {});
  const error = await assertRejects(() => cluster.finish(client.put("k", "v")), AuthenticationError);
  assertEquals([error.reason, error.user, error.outcome], ["unauthenticated", null, "not-applied"]);
  assertEquals(
    error.message,
    "Cannot put a key: this client has no credentials. Connect with a user and its password, or with a token. " +
      "Nothing was changed.",
  );
  assertEquals(kindsAt(cluster.node(1)), ["write"]);
});

Deno.test("connect: a wrong password is sent once, to one of several nodes, also if the answer takes long", async () => {
  for (const slowMs of [0, 1_000]) {
    const cluster = new FakeCluster(3);
    for (const node of cluster.nodes) {
      node.serve = (request, send) => {
        cluster.clock.after(
          slowMs,
          () => send(refusal(request, "signInFailed", "User or password is wrong.")),
        );
        return "silence";
      };
    }
    const start = cluster.clock.now();
    const error = await assertRejects(() => connectAs(cluster, ADA), AuthenticationError);
    assertEquals([error.code, error.reason, error.user], ["authentication", "signInFailed", "ada"]);
    assert(
      /^Cannot sign in as ada: node [123] answered: User or password is wrong\. Check the name and the password\.$/
        .test(error.message),
      error.message,
    );
    assertEquals(signInsOf(cluster), 1, `after ${slowMs} ms`);
    assert(cluster.clock.now() - start <= slowMs + 50);
    await cluster.pass(0);
    assertEquals(cluster.nodes.map(({ connections }) => connections), [0, 0, 0]);
    assertEquals(cluster.clock.timerCount, 0);
  }
});

Deno.test("sign-in: a refused secret is not sent again for a while, however many calls there are", async () => {
  const cluster = new FakeCluster(3);
  const right = { secret: "s3cret" };
  guard(cluster, right);
  await using client = await connectAs(cluster, ADA);
  await cluster.finish(client.cluster.status());
  const before = signInsOf(cluster);
  right.secret = "changed";
  for (let call = 0; call < 50; call++) {
    const error = await assertRejects(() => cluster.finish(client.put("k", "v")), AuthenticationError);
    assertEquals([error.reason, error.user], ["signInFailed", "ada"]);
  }
  for (const node of cluster.nodes) node.disconnect();
  await cluster.pass(1_000);
  for (let call = 0; call < 50; call++) {
    await assertRejects(() => cluster.finish(client.put("k", "v")), AuthenticationError);
  }
  assertEquals(signInsOf(cluster) - before, 1);
  await cluster.pass(REFUSED_MS);
  right.secret = "s3cret";
  await cluster.finish(client.put("k", "v"));
});

Deno.test("sign-in: a call goes on after one new sign-in when its token has expired", async () => {
  const cluster = new FakeCluster(1);
  const right = { secret: "one", code: "tokenExpired" as const };
  guard(cluster, right);
  const asked: string[] = [];
  await using client = await connectAs(cluster, {
    token: () => {
      asked.push(right.secret);
      return Promise.resolve(right.secret);
    },
  });
  await cluster.finish(client.put("k", "v"));
  right.secret = "two";
  const before = cluster.node(1).requests.length;
  await cluster.finish(Promise.all([client.put("a", "v"), client.get("b"), client.put("c", "v")]));
  assertEquals(kindsAt(cluster.node(1)).slice(before), [
    "write",
    "get",
    "write",
    "signIn",
    "write",
    "get",
    "write",
  ]);
  assertEquals(asked.at(-1), "two");
});

Deno.test("sign-in: one call signs in again once at a node, and then ends with the node's reason", async () => {
  const cluster = new FakeCluster(1);
  await using client = await connectAs(cluster, ADA);
  cluster.node(1).answer = (request) =>
    request.kind === "signIn"
      ? { kind: "signedIn", requestId: request.requestId, user: "ada", expiresAtMs: null, ticket: null }
      : refusal(request, "unauthenticated", "Sign in first.");
  const before = signInsOf(cluster);
  const error = await assertRejects(() => cluster.finish(client.get("k")), AuthenticationError);
  assertEquals(error.reason, "unauthenticated");
  assertEquals(signInsOf(cluster) - before, 1);
});

/** Has the node refuse the first writes when they are applied, as if their token had ended before that. */
function refuseFirstWrites(node: FakeNode, count: number, answer = node.answer): void {
  const obey = node.answer;
  let refused = 0;
  node.answer = (request) => {
    if (request.kind !== "write") return obey(request);
    return ++refused > count ? answer(request) : notAccepted(request);
  };
}

Deno.test("sign-in: a write whose user was not accepted when it was applied is repeated after a new sign-in", async () => {
  const cluster = new FakeCluster(1);
  await using client = await connectAs(cluster, ADA);
  refuseFirstWrites(cluster.node(1), 1);
  await cluster.finish(client.put("k", "v"));
  assertEquals(kindsAt(cluster.node(1)), ["signIn", "write", "signIn", "write"]);
});

Deno.test("sign-in: so is a compaction, once", async () => {
  const cluster = new FakeCluster(1);
  await using client = await connectAs(cluster, ADA);
  const result = encodeResult({ kind: "compacted", before: 0, revision: 1, present: 2 });
  refuseFirstWrites(cluster.node(1), 1, ({ requestId }) => ({ kind: "writeResult", requestId, result }));
  assertEquals(await cluster.finish(client.compact(1)), { compactedRevision: 1 });
  assertEquals(kindsAt(cluster.node(1)), ["signIn", "write", "signIn", "write"]);
  refuseFirstWrites(cluster.node(1), 2);
  await assertRejects(() => cluster.finish(client.compact(1)), AuthenticationError);
  assertEquals(kindsAt(cluster.node(1)).slice(4), ["write", "signIn", "write"]);
});

Deno.test("permissionDenied: it is not retried, at no other node either", async () => {
  const cluster = new FakeCluster(3);
  await using client = await connectAs(cluster, ADA);
  await cluster.finish(client.cluster.status());
  for (const node of cluster.nodes) {
    node.answer = (request) =>
      refusal(request, "permissionDenied", "User ada has no right to write the key k.");
  }
  const before = cluster.nodes.reduce((sum, { requests }) => sum + requests.length, 0);
  const error = await assertRejects(() => cluster.finish(client.put("k", "v")), PermissionDeniedError);
  assertEquals([error.code, error.outcome], ["permissionDenied", "not-applied"]);
  assert(error.message.includes("User ada has no right to write the key k."), error.message);
  assertEquals(cluster.nodes.reduce((sum, { requests }) => sum + requests.length, 0) - before, 1);
});

Deno.test("sign-in: a node that is busy, stops or loses the connection is no refusal: another one is used", async () => {
  for (const failure of ["busy", "noLeader", "disconnect", "unknownKind"] as const) {
    const cluster = new FakeCluster(2);
    for (const node of cluster.nodes) node.leader = 2;
    cluster.node(1).serve = (request) => failure === "disconnect" ? failure : refusal(request, failure);
    await using client = await connectAs(cluster, ADA);
    await cluster.finish(client.put("k", "v"));
    assertEquals(client.connectionState(), { kind: "connected", node: 2, leader: 2 }, failure);
  }
});

Deno.test("sign-in: a node of an older version is named when there is no other", async () => {
  const cluster = new FakeCluster(1);
  cluster.node(1).serve = (request) => refusal(request, "unknownKind");
  const error = await assertRejects(() => connectAs(cluster, { ...ADA, timeoutMs: 500 }), ConnectionError);
  assert(
    error.message.includes("runs an older version of kvraft, without users. Upgrade it."),
    error.message,
  );
});

Deno.test("sign-in: the password is never in an error", async () => {
  const cluster = new FakeCluster(1);
  cluster.node(1).serve = (request) => refusal(request, "signInFailed");
  const error = await assertRejects(() => connectAs(cluster, ADA), AuthenticationError);
  assert(!JSON.stringify([error, error.message, error.stack]).includes("s3cret"));
});

Deno.test("sign-in: a function that fails, or returns no secret, is named; nothing is sent", async () => {
  const table: readonly (readonly [Credentials, string])[] = [
    [
      { token: () => Promise.reject(new Error("the vault is sealed")) },
      "Cannot sign in by the token: the function that returns the token failed: the vault is sealed.",
    ],
    [
      { user: "ada", password: () => "" },
      "Cannot sign in as ada: the function that returns the password failed: ",
    ],
  ];
  for (const [credentials, message] of table) {
    const cluster = new FakeCluster(2);
    const error = await assertRejects(() => connectAs(cluster, credentials), AuthenticationError);
    assertEquals(error.reason, "noSecret");
    assert(error.message.startsWith(message), error.message);
    assertEquals(cluster.nodes.flatMap(({ requests }) => requests), []);
  }
});

Deno.test("connect: credentials that cannot be are refused before anything is sent", async () => {
  const table: readonly (readonly [Credentials, string])[] = [
    [{ user: "ada" }, "Cannot sign in without a password: pass both, or neither."],
    [{ password: "s3cret" }, "Cannot sign in without a user: pass both, or neither."],
    [{ ...ADA, token: "kvt_x" }, "Cannot sign in by a token and by a password"],
    [{ token: "" }, "Cannot use this text as a token: it must have 1 to 1024 characters"],
    [{ user: "a/b", password: "s3cret" }, "Cannot use this name for a user"],
    [{ user: "ada", password: "s3cret".repeat(200) }, "Cannot use this text as a password"],
  ];
  for (const [credentials, message] of table) {
    const cluster = new FakeCluster(1);
    const error = await assertRejects(() => connectAs(cluster, credentials), InvalidRequestError);
    assert(error.message.startsWith(message), error.message);
    assert(!error.message.includes("s3cret"), error.message);
    assertEquals(cluster.node(1).requests, []);
  }
});
