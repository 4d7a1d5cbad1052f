/** The library against whole servers with authentication enabled: what a node refuses, and how the client goes on. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  AuthChangeRefusedError,
  AuthenticationError,
  type KvClient,
  PermissionDeniedError,
} from "../../../../lib/mod.ts";
import type { ConnectOptions } from "../../../../lib/client/types.ts";
import { connectOn } from "../../../../lib/testing.ts";
import { BatchReader } from "../../../support/fakes/batch_reader.ts";
import { MemoryCluster } from "../../../support/fakes/memory_cluster.ts";
import { SeededRandom } from "../../../support/seeded_random.ts";

/** Three servers with the users root (a token) and deploy (a role, tokens), and clients of them. */
class GuardedServers implements AsyncDisposable {
  readonly cluster = new MemoryCluster();
  readonly #clients: KvClient[] = [];
  readonly #random = new SeededRandom(3);
  #rootToken = "";

  /** Starts them, and enables authentication. */
  static async start(): Promise<GuardedServers> {
    const servers = new GuardedServers();
    const { cluster } = servers;
    await cluster.found(1, 2, 3);
    const client = await cluster.client(1, 2, 3);
    await cluster.untilHistory(client);
    const { auth } = client;
    const steps = [
      () => auth.addUser("root-user"),
      () => auth.grantRole("root-user", "root"),
      async () => servers.#rootToken = (await auth.createToken("root-user", { name: "first" })).token,
      () => auth.addRole("app"),
      () => auth.grant("app", "read", { prefix: "app/" }),
      () => auth.grant("app", "write", { prefix: "app/" }),
      () => auth.addUser("deploy"),
      () => auth.grantRole("deploy", "app"),
      () => auth.enable(),
    ];
    for (const step of steps) await cluster.run<unknown>(step());
    return servers;
  }

  /** Connects a client. */
  async connect(options: Partial<ConnectOptions>): Promise<KvClient> {
    const { network, clock } = this.cluster;
    const platform = { network, clock, random: () => this.#random.next() };
    const cluster = [1, 2, 3].map((id) => `${id}=n${id}:7001`);
    const client = await this.cluster.run(connectOn(platform, { cluster, timeoutMs: 20_000, ...options }));
    this.#clients.push(client);
    return client;
  }

  /** Connects a client with every right. */
  root(): Promise<KvClient> {
    return this.connect({ token: this.#rootToken });
  }

  /** Sign-ins with a result that the nodes recorded. */
  signIns(result: string): number {
    return this.cluster.logger.lines.filter(({ message, fields }) =>
      message.includes("sign-in") && fields["result"] === result
    ).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) await this.cluster.run(client.close());
    await this.cluster[Symbol.asyncDispose]();
  }
}

Deno.test("servers: a wrong password counts as one failed sign-in for each call to connect", async () => {
  await using servers = await GuardedServers.start();
  for (let call = 1; call <= 3; call++) {
    const error = await assertRejects(
      () => servers.connect({ user: "deploy", password: "wrong" }),
      AuthenticationError,
    );
    assertEquals([error.reason, error.user], ["signInFailed", "deploy"]);
    assertEquals(servers.signIns("failed"), call);
  }
});

Deno.test("servers: a client whose token is revoked goes on with the next one, calls and watch alike", async () => {
  await using servers = await GuardedServers.start();
  const { cluster } = servers;
  const root = await servers.root();
  const tokens: string[] = [];
  const renew = async (): Promise<string> => {
    const { token } = await root.auth.createToken("deploy", { name: `token ${tokens.length}` });
    tokens.push(token);
    return token;
  };
  const client = await servers.connect({ token: renew });
  const reader = new BatchReader(client, { prefix: "app/", progress: true });
  await cluster.run(reader.read());
  const reading = reader.readAll();
  reading.catch(() => {}); // it is read below
  const revisions: number[] = [];
  for (let put = 0; put < 10; put++) {
    revisions.push((await cluster.run(client.put("app/k", `${put}`))).revision);
    await cluster.run(root.auth.revokeToken("deploy", `token ${tokens.length - 1}`));
    await cluster.pass(100);
  }
  const seen = reader.batches.filter(({ kind }) => kind === "events").map(({ revision }) => revision);
  assertEquals(seen, revisions);
  assert(tokens.length > 10, `${tokens.length} tokens`);
  await cluster.run(reader.end());
  await cluster.run(reading);
});

Deno.test("servers: what a role does not allow is refused, listings say so or leave it out", async () => {
  await using servers = await GuardedServers.start();
  const { cluster } = servers;
  const root = await servers.root();
  const { token } = await cluster.run(root.auth.createToken("deploy", { name: "t" }));
  const client = await servers.connect({ token });
  await cluster.run(root.put("other", "v"));
  await cluster.run(client.put("app/k", "v"));
  const refused: readonly (() => Promise<unknown>)[] = [
    () => client.get("other"),
    () => client.list(),
    () =>
      client.transaction({
        then: [{ kind: "put", key: "app/k", value: "w" }, { kind: "delete", key: "other" }],
      }),
    () => client.auth.users(),
    () => client.cluster.takeSnapshot(),
    () => new BatchReader(client, { prefix: "" }).readAll(),
  ];
  for (const call of refused) await assertRejects(() => cluster.run(call()), PermissionDeniedError);
  const { entries } = await cluster.run(client.list({ visibleOnly: true }));
  assertEquals(entries.map(({ key }) => new TextDecoder().decode(key)), ["app/k"]);
  assertEquals((await cluster.run(client.get("app/k")))?.version, 1);
});

Deno.test("servers: a user that is removed is cut off, its watch as well, and the last root stays", async () => {
  await using servers = await GuardedServers.start();
  const { cluster } = servers;
  const root = await servers.root();
  const { token } = await cluster.run(root.auth.createToken("deploy", { name: "t" }));
  const client = await servers.connect({ token });
  const watched = new BatchReader(client, { prefix: "app/", progress: true });
  await cluster.run(watched.read());
  const ended = watched.readAll();
  ended.catch(() => {}); // it is read below
  await cluster.run(root.auth.removeUser("deploy"));
  await assertRejects(() => cluster.run(client.put("app/k", "v")), AuthenticationError);
  await assertRejects(() => cluster.run(ended), AuthenticationError);
  const last = await assertRejects(
    () => cluster.run(root.auth.removeUser("root-user")),
    AuthChangeRefusedError,
  );
  assertEquals(last.reason, "lastRoot");
  assertEquals((await cluster.run(root.auth.users())).map(({ name }) => name), ["root-user"]);
  assertEquals((await cluster.run(root.auth.status())).user, "root-user");
});
