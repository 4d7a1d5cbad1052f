/** Users of a gateway's clients: nodes check every sign-in, and users share no connections to the nodes. */
import { assertEquals } from "@std/assert";
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
