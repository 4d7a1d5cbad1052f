/** Users of a gateway's clients: nodes check every sign-in, and users share no connections to the nodes. */
import { assert, assertEquals } from "@std/assert";
import { MAX_LANES_OF_USER } from "../../../lib/gateway/upstreams.ts";
import { sha256Of } from "../../../lib/platform/secrets.ts";
import { readTicket } from "../../../lib/protocol/ticket.ts";
import { passwordHash } from "../../support/fakes/auth.ts";
import { AuthCluster, PASSWORD } from "../../support/fakes/auth_cluster.ts";
import { prefix } from "../../support/frames/user_client.ts";
import { Scene } from "./scene.ts";

Deno.test("gateway: users have lanes of their own, and a change of user ends the watches of the one before", async () => {
  const auth = await AuthCluster.enabled(1);
  const { cluster } = auth;
  await using scene = new Scene(cluster);
  for (const name of ["ada", "bob"]) {
    const keys = prefix(`${name}/`);
    await auth.addUser(name, [{ right: "read", keys }, { right: "write", keys }]);
  }
  await scene.gateway("g1", 1);
  using ada = await scene.user("g1");
  using bob = await scene.user("g1");
  using none = await scene.user("g1");
  assertEquals(await cluster.run(ada.signIn("ada", PASSWORD)), "signedIn");
  assertEquals(await cluster.run(bob.signIn("bob", PASSWORD)), "signedIn");
  assertEquals(await cluster.run(none.signIn("ada", "another")), "signInFailed");
  const put = (client: typeof ada, key: string): Promise<string> => cluster.run(client.put(key));
  assertEquals([await put(ada, "ada/1"), await put(bob, "bob/1")], ["applied", "applied"]);
  assertEquals([await put(ada, "bob/1"), await put(bob, "ada/1")], ["permissionDenied", "permissionDenied"]);
  assertEquals(await put(none, "ada/1"), "unauthenticated");
  const watch = await cluster.run(ada.watch({ keys: prefix("ada/") }));
  assertEquals(await cluster.run(ada.signIn("bob", PASSWORD)), "signedIn");
  assertEquals(watch.ended?.code, "stopping");
  assertEquals([await put(ada, "ada/1"), await put(ada, "bob/1")], ["permissionDenied", "applied"]);
  assertEquals(await cluster.run(ada.outcome({ kind: "signIn", method: { kind: "none" } })), "signedIn");
  assertEquals(await put(ada, "bob/1"), "unauthenticated");
});

Deno.test("gateway: one without a user asks for nothing that nodes refuse", async () => {
  const auth = await AuthCluster.enabled(1);
  const { cluster } = auth;
  await using scene = new Scene(cluster);
  await scene.gateway("g1", 1);
  await cluster.pass(5_000);
  const refused = cluster.logger.lines.filter(({ message }) => message.includes("refused"));
  assertEquals(refused, []);
});

Deno.test("gateway: a token whose text a user has chosen gives it no lanes of another user", async () => {
  const auth = await AuthCluster.enabled(1);
  const { cluster } = auth;
  await using scene = new Scene(cluster);
  await auth.addUser("eve");
  await scene.gateway("g1", 1);
  using root = await scene.user("g1");
  const method = { kind: "password", user: "root", password: PASSWORD } as const;
  const answer = await cluster.run(root.ask({ kind: "signIn", method }));
  assert(answer.kind === "signedIn");
  assertEquals(await cluster.run(root.put("secret")), "applied");
  const ticket = readTicket(answer.ticket ?? "");
  const numbers = `${ticket?.userId}.${ticket?.credential}`;
  for (const [position, text] of [numbers, `ticket ${numbers}`].entries()) {
    const token = {
      kind: "addToken",
      user: "eve",
      token: `${position}`,
      hash: sha256Of(text),
      expiresAtMs: null,
    } as const;
    await cluster.run(auth.root.change(token));
    using eve = await scene.user("g1");
    assertEquals(await cluster.run(eve.signInByToken(text)), "signedIn");
    assertEquals(await cluster.run(eve.get("secret")), "permissionDenied", text);
  }
});

Deno.test("gateway: a user that changes its password while it stays connected does not keep others out", async () => {
  const auth = await AuthCluster.enabled(1);
  const { cluster } = auth;
  await using scene = new Scene(cluster);
  for (const name of ["eve", "ada"]) await auth.addUser(name);
  await scene.gateway("g1", 1);
  const eves = [];
  try {
    for (let number = 0; number < MAX_LANES_OF_USER; number++) {
      await cluster.run(
        auth.root.change({ kind: "setPassword", user: "eve", password: passwordHash(PASSWORD) }),
      );
      const eve = await scene.user("g1");
      eves.push(eve);
      assertEquals(await cluster.run(eve.signIn("eve", PASSWORD)), "signedIn", `${number}`);
    }
    await cluster.run(
      auth.root.change({ kind: "setPassword", user: "eve", password: passwordHash(PASSWORD) }),
    );
    using next = await scene.user("g1");
    assertEquals(await cluster.run(next.signIn("eve", PASSWORD)), "busy");
    using ada = await scene.user("g1");
    assertEquals(await cluster.run(ada.signIn("ada", PASSWORD)), "signedIn");
    eves.shift()?.close();
    await cluster.until(async () => await next.signIn("eve", PASSWORD) === "signedIn");
  } finally {
    for (const eve of eves) eve.close();
  }
});
