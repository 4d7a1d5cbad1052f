/**
 * Credentials that end while their connections are in use, at real nodes: a token, the certificate of a client, and that of
 * a node. They are served until the end by the clock of the node, and nothing is served or applied for them after it.
 */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import {
  AuthenticationError,
  type ConnectOptions,
  KvClient,
  KvraftError,
  type ListResult,
} from "../../../lib/mod.ts";
import { errorMessage } from "../../../lib/platform/errors.ts";
import { DEADLINE_MS, eventually } from "../../support/eventually.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { Authority } from "../../support/tls/certificates.ts";

const DAY_MS = 86_400_000;
/** Lives of a credential: the next one is tried where a slow machine has not used the one before it in time. */
const LIVES_MS = [4_000, 16_000, 48_000];
/** Clients' writes in progress. */
const WRITERS = 8;
/** Writes of each of them after its first refusal. */
const REFUSED = 3;
const PASSWORD = "root's password";

/** The end of a client's requests. */
interface Used {
  readonly applied: readonly string[];
  /** Keys of writes whose outcome the client does not know. */
  readonly unknown: readonly string[];
  /** The errors of the writers, in order. */
  readonly errors: readonly unknown[];
  /** Keys whose events the watch has delivered, and the error that ended it. */
  readonly watched: readonly string[];
  readonly watchError: unknown;
}

/** Writes and watches keys until all that is refused. `afterEnd`: called when a writer was refused. */
async function useToTheEnd(
  client: KvClient,
  prefix: string,
  afterEnd: () => Promise<unknown>,
): Promise<Used> {
  const applied: string[] = [];
  const unknown: string[] = [];
  const errors: unknown[] = [];
  const watched: string[] = [];
  const watching = (async (): Promise<unknown> => {
    try {
      for await (const batch of client.watch({ prefix })) {
        if (batch.kind !== "events") continue;
        for (const event of batch.events) {
          const { key } = event.kind === "put" ? event.entry : event;
          watched.push(new TextDecoder().decode(key));
        }
      }
      return null;
    } catch (error) {
      return error;
    }
  })();
  const until = performance.now() + DEADLINE_MS;
  await Promise.all(Array.from({ length: WRITERS }, async (_, writer) => {
    for (let made = 0, refused = 0; refused < REFUSED; made++) {
      if (performance.now() > until) throw new Error("The credentials were served without an end.");
      const key = `${prefix}${writer}.${made}`;
      try {
        await client.put(key, "value");
        assertEquals(refused, 0, `${key} was applied after a refusal of its writer`);
        applied.push(key);
      } catch (error) {
        if (!(error instanceof KvraftError)) throw error;
        errors.push(error);
        if (error.outcome === "unknown") unknown.push(key);
        if (refused++ === 0) await afterEnd();
      }
    }
  }));
  return { applied, unknown, errors, watched, watchError: await watching };
}

/** Adds root and a user that has no password and may use the keys below its name, and enables authentication. */
async function addUsers(options: ConnectOptions, user: string): Promise<void> {
  await using admin = await KvClient.connect(options);
  await admin.auth.addUser("root", { password: PASSWORD });
  await admin.auth.grantRole("root", "root");
  await admin.auth.addUser(user);
  await admin.auth.addRole(user);
  for (const right of ["read", "write"] as const) await admin.auth.grant(user, right, { prefix: `${user}/` });
  await admin.auth.grantRole(user, user);
  await admin.auth.enable();
}

/** Returns all stored keys with a prefix. */
async function keysOf(client: KvClient, prefix: string): Promise<readonly string[]> {
  const keys: string[] = [];
  for (let cursor: string | null = null;;) {
    const page: ListResult = await client.list({ prefix, cursor });
    keys.push(...page.entries.map(({ key }) => new TextDecoder().decode(key)));
    cursor = page.cursor;
    if (cursor === null) return keys;
  }
}

/**
 * Uses credentials that end, and asserts that they were served before and not after. `connect`: connects by credentials of
 * this life. `reason`: of the errors.
 */
async function assertEnds(
  root: KvClient,
  connect: (lifeMs: number) => Promise<KvClient>,
  reason: AuthenticationError["reason"],
): Promise<void> {
  for (const lifeMs of LIVES_MS) {
    const prefix = `alice/${lifeMs}/`;
    let used: Used;
    try {
      await using client = await connect(lifeMs);
      used = await useToTheEnd(client, prefix, () => root.put(`${prefix}late`, "of root"));
    } catch (error) {
      // It was over before it was used.
      if (error instanceof AuthenticationError) continue;
      throw error;
    }
    if (used.applied.length === 0 || used.watched.length === 0) continue;
    for (const error of used.errors) {
      assertInstanceOf(error, AuthenticationError);
      assertEquals(error.reason, reason);
    }
    assertInstanceOf(used.watchError, AuthenticationError);
    assertEquals(used.watchError.reason, reason);
    assert(!used.watched.includes(`${prefix}late`), "the watch has no event from after the end");
    const stored = await keysOf(root, prefix);
    const known = stored.filter((key) => !used.unknown.includes(key));
    assertEquals(known.sort(), [...used.applied, `${prefix}late`].sort());
    return;
  }
  throw new Error(`No client could use credentials of ${LIVES_MS.join(", ")} ms.`);
}

/** Writes the files of a node: the key first, then its certificate. Until both are there, the node keeps the earlier. */
async function issue(cluster: TestCluster, id: number, authority: Authority, lifeMs = DAY_MS): Promise<void> {
  const { cert, key } = authority.node({ name: `node${id}`, validToDays: lifeMs / DAY_MS });
  for (const [name, text] of [[`node${id}.key`, key], [`node${id}.crt`, cert]] as const) {
    const path = join(cluster.folder.path, name);
    await Deno.writeTextFile(`${path}.new`, text, { mode: 0o600 });
    await Deno.rename(`${path}.new`, path);
  }
}

async function startWithTls(authority: Authority, nodes: number): Promise<TestCluster> {
  return await TestCluster.start({
    nodes,
    flagsOf: (id) => [
      ...["--tls-cert", `node${id}.crt`, "--tls-key", `node${id}.key`, "--tls-ca", "ca.crt"],
    ],
    prepare: async (cluster) => {
      await Deno.writeTextFile(join(cluster.folder.path, "ca.crt"), authority.cert);
      for (const id of cluster.ids) await issue(cluster, id, authority);
      return null;
    },
  });
}

/** Returns why a client cannot connect to a node; null if it can. */
async function refusalOf(tls: { readonly ca: string }, address: string): Promise<string | null> {
  try {
    await (await KvClient.connect({ cluster: [address], tls })).close();
    return null;
  } catch (error) {
    return errorMessage(error);
  }
}

Deno.test("expiry: a token that ends during writes and a watch is served until then, and for nothing afterwards", async () => {
  await using cluster = await TestCluster.start();
  const target = { cluster: cluster.ids.map((id) => cluster.address(id)), timeoutMs: DEADLINE_MS };
  await addUsers(target, "alice");
  await using root = await KvClient.connect({ ...target, user: "root", password: PASSWORD });
  await assertEnds(root, async (lifeMs) => {
    const { token } = await root.auth.createToken("alice", { name: `t${lifeMs}`, expiresInMs: lifeMs });
    return await KvClient.connect({ ...target, token });
  }, "tokenExpired");
});

Deno.test("expiry: a client's certificate that ends during writes and a watch names its user until then", async () => {
  const authority = new Authority();
  await using cluster = await startWithTls(authority, 3);
  const tls = { ca: authority.cert };
  const target = { cluster: cluster.ids.map((id) => cluster.address(id)), timeoutMs: DEADLINE_MS };
  await addUsers({ ...target, tls }, "alice");
  await using root = await KvClient.connect({ ...target, tls, user: "root", password: PASSWORD });
  const connect = (lifeMs: number): Promise<KvClient> => {
    const own = authority.issue({ name: "alice", usages: ["client"], validToDays: lifeMs / DAY_MS });
    return KvClient.connect({ ...target, tls: { ...tls, ...own } });
  };
  await assertEnds(root, connect, "unauthenticated");
  const error = await assertRejects(() => connect(-60_000), KvraftError);
  assertStringIncludes(error.message, "it expired on");
  await using renewed = await connect(DAY_MS);
  await renewed.put("alice/renewed", "value");
});

Deno.test("expiry: a node whose certificate ends keeps its connections, gets no new ones, and is back when it is renewed", async () => {
  const authority = new Authority();
  await using cluster = await startWithTls(authority, 3);
  const cut = 3;
  const certificate = `node${cut}.crt`;
  const tls = { ca: authority.cert };
  await using client = await KvClient.connect({
    cluster: cluster.ids.map((id) => cluster.address(id)),
    tls,
    timeoutMs: DEADLINE_MS,
  });
  const count = (pattern: RegExp): number => cluster.logs().match(pattern)?.length ?? 0;
  const reloaded = new RegExp(`event=certificateReloaded [^\\n]*${certificate}`, "g");
  const until = (what: string, pattern: RegExp, times = 1): Promise<unknown> =>
    eventually(what, () => count(pattern) >= times || null, { explain: cluster.logs });
  await client.put("before", "the end");

  await issue(cluster, cut, authority, 15_000);
  await until("the node reads the certificate that ends soon", reloaded);
  await until("the end is announced", new RegExp(`event=certificateExpired [^\\n]*${certificate}`, "g"));
  await client.put("after", "the end");

  // In TLS a certificate is good for the whole of its last second.
  const refusal = await eventually("a client refuses the node", () => refusalOf(tls, cluster.address(cut)));
  assertStringIncludes(refusal, "expired");
  await cluster.kill(2);
  await cluster.startNode(2);
  await until("another node refuses the certificate", /certificate[^\n]*expired/gi, 2);
  await client.put("while", "node 2 and node 3 have no connection");

  await issue(cluster, cut, authority);
  await until("the node reads the renewed certificate", reloaded, 2);
  await cluster.kill(1);
  await client.put("renewed", "value");
  assertEquals((await client.get("after"))?.key, new TextEncoder().encode("after"));
});
