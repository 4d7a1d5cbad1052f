/** Whole servers with users: a right that is taken away ends reads, watches and keep-alives on every node. */
import { assert, assertEquals } from "@std/assert";
import { sha256Of } from "../../../../lib/platform/secrets.ts";
import { encodeCommand } from "../../../../lib/protocol/command.ts";
import { passwordHash } from "../../../support/fakes/auth.ts";
import { AuthCluster, PASSWORD } from "../../../support/fakes/auth_cluster.ts";
import { prefix, type UserClient } from "../../../support/frames/user_client.ts";
import type { TestWatch } from "../../../support/frames/watch_client.ts";
import { START_OF_2026_MS } from "../../../support/fakes/memory_cluster.ts";

const READ_APP = { right: "read", keys: prefix("app/") } as const;
const WRITE_APP = { right: "write", keys: prefix("app/") } as const;

/** Returns the keys of the events that a watch was sent. */
function keysOf(watch: TestWatch): readonly string[] {
  return watch.text.map((line) => line.replace(/^\d+ \w+ /, "").replace(/=.*/, ""));
}

/** Waits until the connection has applied everything that root did before. */
async function level(auth: AuthCluster, client: UserClient): Promise<void> {
  assertEquals(
    await auth.run(client.outcome({ kind: "watchProgress", atOnce: false })),
    "watchProgressResult",
  );
}

Deno.test("Server: a watch ends when its right is taken away, and is sent no event after that", async () => {
  await using auth = await AuthCluster.enabled();
  await auth.addUser("alice", [READ_APP]);
  const { leader, follower } = await auth.nodes();
  for (const node of [leader, follower]) {
    const alice = await auth.signedIn("alice", node);
    await level(auth, alice);
    const watch = await auth.run(alice.watch({ keys: prefix("app/") }));
    await auth.run(auth.root.put("app/seen", "1"));
    // The next entry is applied right after the one that takes the right away.
    const changes = auth.root.change({ kind: "removeGrant", role: "alice", grant: READ_APP });
    const write = auth.root.put("app/secret", "2");
    await auth.run(Promise.all([changes, write]));
    const { code, message } = await auth.run(watch.whenEnded);
    assertEquals([code, keysOf(watch)], ["permissionDenied", ["app/seen"]], `at node ${node}`);
    assert(message.includes("alice") && message.includes("app/"), message);
    assertEquals(await auth.run(alice.get("app/seen")), "permissionDenied");
    await auth.run(auth.root.grant("alice", "read", prefix("app/")));
  }
});

Deno.test("Server: an idle watch ends soon after its user is removed, and its connection has no user then", async () => {
  await using auth = await AuthCluster.enabled();
  await auth.addUser("alice", [READ_APP]);
  const alice = await auth.signedIn("alice", 2);
  const watch = await auth.run(alice.watch({ keys: prefix("app/") }));
  await auth.run(auth.root.change({ kind: "removeUser", user: "alice" }));
  await auth.cluster.pass(500);
  assertEquals(watch.ended?.code, "unauthenticated");
  assertEquals(await auth.run(alice.get("app/key")), "unauthenticated");
  assertEquals(await auth.run(alice.put("app/key")), "unauthenticated");
  // Another user of the same name is another user.
  await auth.run(auth.root.change({ kind: "addUser", user: "alice", password: passwordHash(PASSWORD) }));
  assertEquals(await auth.run(alice.get("app/key")), "unauthenticated");
});

Deno.test("Server: a changed password or revoked token ends the sign-ins with it, and those with others go on", async () => {
  await using auth = await AuthCluster.enabled();
  await auth.addUser("alice", [READ_APP]);
  const token = (name: string): Promise<void> =>
    auth.root.change({
      kind: "addToken",
      user: "alice",
      token: name,
      hash: sha256Of(`kvt_${name}`),
      expiresAtMs: null,
    });
  await auth.run(token("one"));
  await auth.run(token("two"));
  const byPassword = await auth.signedIn("alice", 1);
  const [one, two] = [await auth.connect(2), await auth.connect(3)];
  assertEquals(await auth.run(one.signInByToken("kvt_one")), "signedIn");
  assertEquals(await auth.run(two.signInByToken("kvt_two")), "signedIn");
  const outcomes = async (): Promise<readonly string[]> => {
    const all = [byPassword, one, two].map((client) => client.get("app/key"));
    return await auth.run(Promise.all(all));
  };
  assertEquals(await outcomes(), ["absent", "absent", "absent"]);
  await auth.run(auth.root.change({ kind: "setPassword", user: "alice", password: passwordHash("new") }));
  assertEquals(await outcomes(), ["unauthenticated", "absent", "absent"]);
  await auth.run(auth.root.change({ kind: "revokeToken", user: "alice", token: "one" }));
  assertEquals(await outcomes(), ["unauthenticated", "unauthenticated", "absent"]);
  assertEquals(await auth.run(byPassword.signIn("alice", "new")), "signedIn");
});

Deno.test("Server: a token that expires ends requests and watches by its name, and another sign-in continues", async () => {
  await using auth = await AuthCluster.enabled(1);
  await auth.addUser("alice", [READ_APP]);
  const expiresAtMs = START_OF_2026_MS + auth.cluster.clock.now() + 5_000;
  const hash = sha256Of("kvt_short");
  await auth.run(auth.root.change({ kind: "addToken", user: "alice", token: "short", hash, expiresAtMs }));
  const alice = await auth.connect(1);
  assertEquals(await auth.run(alice.signInByToken("kvt_short")), "signedIn");
  const watch = await auth.run(alice.watch({ keys: prefix("app/") }));
  await auth.run(auth.root.put("app/before"));
  await auth.cluster.pass(6_000);
  await auth.run(auth.root.put("app/after"));
  assertEquals(await auth.run(alice.get("app/key")), "tokenExpired");
  const { code } = await auth.run(watch.whenEnded);
  assertEquals([code, keysOf(watch)], ["unauthenticated", ["app/before"]]);
  assertEquals(await auth.run(alice.signInByToken("kvt_short")), "tokenExpired");
  assertEquals(await auth.run(alice.signIn("alice", PASSWORD)), "signedIn");
  assertEquals(await auth.run(alice.get("app/key")), "absent");
});

Deno.test("Server: a sign-in by a token adds no token, and one by password does", async () => {
  await using auth = await AuthCluster.enabled(1);
  await auth.addUser("alice", [READ_APP]);
  const hash = sha256Of("kvt_short");
  await auth.run(
    auth.root.change({ kind: "addToken", user: "alice", token: "short", hash, expiresAtMs: 2 ** 52 }),
  );
  const alice = await auth.connect(1);
  const add = (token: string): Promise<string> => {
    const change = {
      kind: "addToken",
      user: "alice",
      token,
      hash: sha256Of(token),
      expiresAtMs: null,
    } as const;
    const command = encodeCommand({ kind: "changeAuth", session: null, change });
    return auth.run(alice.outcome({ kind: "write", command }));
  };
  assertEquals(await auth.run(alice.signInByToken("kvt_short")), "signedIn");
  assertEquals(await add("lasting"), "permissionDenied");
  assertEquals(await auth.run(alice.signIn("alice", PASSWORD)), "signedIn");
  assertEquals(await add("lasting"), "writeResult");
});

Deno.test("Server: a watch of the visible keys is sent those alone, by the rights of each moment", async () => {
  await using auth = await AuthCluster.enabled();
  await auth.addUser("alice", [READ_APP]);
  const alice = await auth.signedIn("alice", 3);
  await level(auth, alice);
  const watch = await auth.run(alice.watch({ keys: prefix(""), visibleOnly: true }));
  await auth.run(auth.root.put("app/1"));
  await auth.run(auth.root.put("lib/1"));
  await auth.run(auth.root.grant("alice", "read", prefix("lib/")));
  await auth.run(auth.root.put("lib/2"));
  await auth.run(auth.root.change({ kind: "removeGrant", role: "alice", grant: READ_APP }));
  await auth.run(auth.root.put("app/2"));
  await auth.run(auth.root.put("lib/3"));
  await level(auth, alice);
  assertEquals([keysOf(watch), watch.ended], [["app/1", "lib/2", "lib/3"], null]);
  // From the history the same keys are visible that are visible now.
  const past = await auth.run(alice.watch({ keys: prefix(""), visibleOnly: true, from: 2 }));
  await level(auth, alice);
  assertEquals(keysOf(past), ["lib/1", "lib/2", "lib/3"]);
});

Deno.test("Server: a connection that signs in as another user loses the watches that this one may not have", async () => {
  await using auth = await AuthCluster.enabled(1);
  await auth.addUser("alice", [READ_APP]);
  await auth.addUser("bob");
  const client = await auth.signedIn("alice", 1);
  const watch = await auth.run(client.watch({ keys: prefix("app/") }));
  assertEquals(await auth.run(client.signIn("bob", PASSWORD)), "signedIn");
  assertEquals((await auth.run(watch.whenEnded)).code, "permissionDenied");
});

Deno.test("Server: enabling authentication refuses the connections that have not signed in, and disabling serves them again", async () => {
  await using auth = await AuthCluster.start();
  const early = await auth.connect(2);
  assertEquals(await auth.run(early.put("app/key")), "applied");
  const watch = await auth.run(early.watch({ keys: prefix("app/") }));
  await auth.enable();
  assertEquals((await auth.run(watch.whenEnded)).code, "unauthenticated");
  assertEquals(await auth.run(early.put("app/key")), "unauthenticated");
  assertEquals(await auth.run(early.get("app/key", "stale")), "unauthenticated");
  await auth.run(auth.root.change({ kind: "setEnabled", enabled: false }));
  assertEquals(await auth.run(early.put("app/key")), "applied");
  assertEquals(await auth.run(early.get("app/key")), "value");
});

Deno.test("Server: keep-alives of users are let through by their own rights, many in one turn", async () => {
  await using auth = await AuthCluster.enabled();
  await auth.addUser("alice", [WRITE_APP]);
  await auth.addUser("bob", [{ right: "write", keys: prefix("other/") }]);
  const { root } = auth;
  const { leader, follower } = await auth.nodes();
  const grant = (owner: UserClient, leaseId: number): Promise<unknown> =>
    auth.run(owner.write({ kind: "grantLease", session: null, leaseId, ttlMs: 600_000 }));
  const lease = async (leaseId: number, key: string): Promise<void> => {
    await grant(root, leaseId);
    const mutation = {
      kind: "expiringPut",
      key: new TextEncoder().encode(key),
      value: new Uint8Array(1),
      leaseId,
      expiresAtMs: null,
    } as const;
    await auth.run(root.write({ kind: "transaction", session: null, checks: [], mutations: [mutation] }));
  };
  await lease(1, "app/one");
  await lease(2, "lib/two");
  await grant(await auth.signedIn("alice", leader), 3);
  await grant(await auth.signedIn("bob", leader), 4);
  for (const node of [leader, follower]) {
    const [alice, bob] = [await auth.signedIn("alice", node), await auth.signedIn("bob", node)];
    await level(auth, alice);
    const keep = (client: UserClient, ...leaseIds: readonly number[]): Promise<string> =>
      client.outcome({ kind: "keepAlive", leaseIds });
    const outcomes = await auth.run(Promise.all([
      keep(alice, 1),
      keep(alice, 2),
      keep(alice, 1, 3),
      keep(bob, 4),
      keep(bob, 3),
      keep(bob, 1),
      keep(bob, 4, 1),
    ]));
    assertEquals(outcomes, [
      "keepAliveResult",
      "permissionDenied",
      "keepAliveResult",
      "keepAliveResult",
      "permissionDenied",
      "permissionDenied",
      "permissionDenied",
    ], `at node ${node}`);
  }
});
