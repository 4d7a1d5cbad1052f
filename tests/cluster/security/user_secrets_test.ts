/** Passwords and tokens appear in no log line, metric, page, error or file of a node, also when sign-ins fail. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type ConnectOptions, KvClient } from "../../../lib/mod.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { KnownSecrets } from "../../support/processes/known_secrets.ts";
import { freePorts } from "../../support/temporary.ts";

const PASSWORD = "password-swordfish-4711";
const NEW_PASSWORD = "password-mellon-0815";
const WRONG = "password-wrong-opensesame";
const TYPED_AS_NAME = "password-typed-in-place-of-a-name";
const WRONG_TOKEN = "kvt_wrong-abracadabra-wrong-abracadabra";

/** Returns the bytes of all files of a folder as text. */
function contentOf(folder: string): string {
  let text = "";
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    const path = `${folder}/${name}`;
    text += isDirectory ? contentOf(path) : new TextDecoder("latin1").decode(Deno.readFileSync(path));
  }
  return text;
}

Deno.test("secrets: no password and no token is in a log line, metric, page, error or file of a node", async () => {
  const httpPort = freePorts(1);
  await using cluster = await TestCluster.start({
    nodes: 1,
    flags: ["--log-level", "debug", "--audit-log", "on", "--http", `${httpPort}`],
  });
  const connect = (credentials: Partial<ConnectOptions>): Promise<KvClient> =>
    KvClient.connect({ cluster: [cluster.address(1)], ...credentials });
  await cluster.waitForLeader();
  await using founder = await connect({});
  await founder.auth.addUser("ada", { password: PASSWORD });
  await founder.auth.grantRole("ada", "root");
  await founder.auth.addUser("bob", { password: null });
  const { token } = await founder.auth.createToken("bob", { name: "program" });
  await founder.auth.enable();

  const errors: string[] = [];
  const failing: readonly Partial<ConnectOptions>[] = [
    { user: "ada", password: WRONG },
    { user: "unknown", password: WRONG },
    { token: WRONG_TOKEN },
  ];
  for (const credentials of failing) {
    const error = await assertRejects(async () => {
      await using client = await connect(credentials);
      await client.get("key");
    }, Error);
    errors.push(`${error.message} ${error.stack} ${JSON.stringify(error)} ${Deno.inspect(error)}`);
  }
  // A password that is typed in place of the name: the caller's own error names it, the node does not.
  await assertRejects(() => connect({ user: TYPED_AS_NAME, password: WRONG }), Error);
  await using bob = await connect({ token });
  const denied = await assertRejects(() => bob.put("key", "value"), Error);
  errors.push(`${denied.message} ${Deno.inspect(denied)} ${Deno.inspect(bob)}`);
  await using ada = await connect({ user: "ada", password: PASSWORD });
  await ada.put("key", "value");
  await ada.auth.setPassword("ada", NEW_PASSWORD);

  const secrets = new KnownSecrets({
    "the password": PASSWORD,
    "the new password": NEW_PASSWORD,
    "a wrong password": WRONG,
    "a wrong token": WRONG_TOKEN,
    "the token": token,
  });
  for (const error of errors) assertEquals(secrets.foundIn(error), [], error);
  for (const path of ["/metrics", "/status"]) {
    const page = await (await fetch(`http://127.0.0.1:${httpPort}${path}`)).text();
    assertEquals(secrets.foundIn(page), [], page);
  }
  assert(cluster.logs().includes("ada"), "sign-ins are logged");
  const logs = cluster.logs();
  assertEquals([secrets.foundIn(logs), logs.includes(TYPED_AS_NAME)], [[], false], logs);
  assertEquals(secrets.foundIn(contentOf(cluster.dataFolder(1))), []);
});
