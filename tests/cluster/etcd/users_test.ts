/** Users of etcd's clients over the JSON gateway of real nodes: tokens that every node accepts, rights, and refusals. */
import { assertEquals, assertMatch } from "@std/assert";
import { EtcdCluster } from "../../support/etcd/cluster.ts";
import { step } from "../../support/step.ts";

const base64 = (text: string): string => btoa(text);

/** Sends requests to the gateway of a node, with a token. */
async function ask(
  address: string,
  path: string,
  { body, token = null }: { readonly body: unknown; readonly token?: string | null },
): Promise<readonly [status: number, answer: Record<string, unknown>]> {
  const headers: Record<string, string> = token === null ? {} : { authorization: token };
  const url = `http://${address}/v3/${path}`;
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  const { header: _header, ...answer } = await response.json();
  return [response.status, answer];
}

/** Returns code and text of a refusal. */
function refusalIn(
  [status, { code, message }]: readonly [number, Record<string, unknown>],
): readonly unknown[] {
  return [status, code, message];
}

const OK = [200, {}] as const;

/** Returns a token of a user. */
async function signIn(address: string, name: string, password: string): Promise<string> {
  const [status, { token }] = await ask(address, "auth/authenticate", { body: { name, password } });
  assertEquals(status, 200);
  return String(token);
}

Deno.test("etcd users: every node accepts a token of another one, and refuses what the user may not do", async (t) => {
  await using cluster = await EtcdCluster.start();
  const { addresses } = cluster;
  await step(t, "the order in which etcdctl enables authentication", () => enablesInOrder(addresses));
  await step(
    t,
    "without a token, and with one that is none, no node answers",
    () => refusesOthers(addresses),
  );
  await step(
    t,
    "a token of one node is accepted by the others, for what its user may do",
    () => acceptsEverywhere(addresses),
  );
  await step(
    t,
    "a refused request and a refused watch are in the audit log with the client's address",
    () => recordsRefusals(addresses, () => cluster.cluster.logs()),
  );
  await step(t, "a wrong password has etcd's text", () => refusesPasswords(addresses));
  await step(
    t,
    "a changed right and a changed password count at every node at once",
    () => countsAtOnce(addresses),
  );
  await step(
    t,
    "a disabled authentication ignores tokens, at every node at once",
    () => ignoresTokens(addresses),
  );
});

/** Enables authentication in the order in which etcdctl does. */
async function enablesInOrder(addresses: readonly string[]): Promise<void> {
  const [first = "", second = "", third = ""] = addresses;
  assertEquals(
    refusalIn(await ask(first, "auth/authenticate", { body: { name: "root", password: "pw" } })),
    [
      400,
      9,
      "etcdserver: authentication is not enabled",
    ],
  );
  assertEquals(refusalIn(await ask(first, "auth/enable", { body: {} })), [
    400,
    9,
    "etcdserver: root user does not exist",
  ]);
  assertEquals(await ask(first, "auth/user/add", { body: { name: "root", password: "pw" } }), OK);
  assertEquals(refusalIn(await ask(second, "auth/enable", { body: {} })), [
    400,
    9,
    "etcdserver: root user does not have root role",
  ]);
  assertEquals(await ask(third, "auth/role/add", { body: { name: "root" } }), OK);
  assertEquals(await ask(third, "auth/user/grant", { body: { user: "root", role: "root" } }), OK);
  assertEquals(await ask(first, "auth/user/add", { body: { name: "ada", password: "a1" } }), OK);
  assertEquals(await ask(first, "auth/role/add", { body: { name: "app" } }), OK);
  const perm = { permType: "READWRITE", key: base64("app/"), range_end: base64("app0") };
  assertEquals(await ask(first, "auth/role/grant", { body: { name: "app", perm } }), OK);
  assertEquals(await ask(first, "auth/user/grant", { body: { user: "ada", role: "app" } }), OK);
  assertEquals(await ask(first, "auth/enable", { body: {} }), OK);
}

/** Checks that no node answers without a token, or with one that is none. */
async function refusesOthers(addresses: readonly string[]): Promise<void> {
  for (const address of addresses) {
    const body = { key: base64("app/a") };
    assertEquals(refusalIn(await ask(address, "kv/range", { body })), [
      400,
      3,
      "etcdserver: user name is empty",
    ]);
    assertEquals(refusalIn(await ask(address, "kv/range", { body, token: "hGHuYeyUKGkQIjis.13" })), [
      401,
      16,
      "etcdserver: invalid auth token",
    ]);
  }
}

/** Checks that a token of one node is accepted by the others. */
async function acceptsEverywhere(addresses: readonly string[]): Promise<void> {
  const [first = ""] = addresses;
  const token = await signIn(first, "ada", "a1");
  for (const address of addresses) {
    assertEquals(
      await ask(address, "kv/put", { body: { key: base64("app/a"), value: base64("1") }, token }),
      OK,
    );
    assertEquals((await ask(address, "kv/range", { body: { key: base64("app/a") }, token }))[0], 200);
    for (const path of ["kv/put", "kv/range"]) {
      assertEquals(refusalIn(await ask(address, path, { body: { key: base64("other") }, token })), [
        403,
        7,
        "etcdserver: permission denied",
      ]);
    }
    assertEquals(
      (await ask(address, "auth/user/add", { body: { name: "x", password: "x" }, token }))[0],
      403,
    );
    assertEquals(await ask(address, "auth/user/get", { body: { name: "ada" }, token }), [200, {
      roles: ["app"],
    }]);
    // Rights are checked before it matters whether there is such a member.
    for (const method of ["remove", "promote"]) {
      assertEquals(refusalIn(await ask(address, `cluster/member/${method}`, { body: { ID: "99" }, token })), [
        403,
        7,
        "etcdserver: permission denied",
      ]);
    }
  }
}

/** Checks that a wrong password has etcd's text. */
async function refusesPasswords(addresses: readonly string[]): Promise<void> {
  const [, second = ""] = addresses;
  for (const body of [{ name: "ada", password: "no" }, { name: "eve", password: "no" }]) {
    assertEquals(refusalIn(await ask(second, "auth/authenticate", { body })), [
      400,
      3,
      "etcdserver: authentication failed, invalid user ID or password",
    ]);
  }
}

/** Checks that a changed right and a changed password count at every node. */
async function countsAtOnce(addresses: readonly string[]): Promise<void> {
  const [first = "", second = "", third = ""] = addresses;
  const [root, ada] = [await signIn(second, "root", "pw"), await signIn(third, "ada", "a1")];
  const body = { key: base64("b") };
  const perm = { permType: "READ", key: base64("b") };
  assertEquals(await ask(first, "auth/role/grant", { body: { name: "app", perm }, token: root }), OK);
  for (const address of addresses) {
    assertEquals((await ask(address, "kv/range", { body, token: ada }))[0], 200);
  }
  const password = { name: "ada", password: "a2" };
  assertEquals(await ask(first, "auth/user/changepw", { body: password, token: root }), OK);
  for (const address of addresses) {
    assertEquals(refusalIn(await ask(address, "kv/range", { body, token: ada })), [
      401,
      16,
      "etcdserver: invalid auth token",
    ]);
  }
  assertEquals((await ask(third, "kv/range", { body, token: await signIn(second, "ada", "a2") }))[0], 200);
  assertEquals(refusalIn(await ask(third, "cluster/member/remove", { body: { ID: "99" }, token: root })), [
    404,
    5,
    "etcdserver: member not found",
  ]);
}

/** Checks the lines about refusals; a watch is refused while its stream goes on. */
async function recordsRefusals(addresses: readonly string[], logs: () => string): Promise<void> {
  const [first = ""] = addresses;
  const token = await signIn(first, "ada", "a1");
  await ask(first, "kv/deleterange", { body: { key: base64("other") }, token });
  const body = JSON.stringify({ create_request: { key: base64("other") } });
  const headers = { authorization: token };
  const stream = await fetch(`http://${first}/v3/watch`, { method: "POST", headers, body });
  for await (const part of stream.body ?? []) {
    assertMatch(new TextDecoder().decode(part), /permission denied/);
    break;
  }
  const lineOf = (path: string): RegExp =>
    new RegExp(
      `audit: client of etcd refused remote=127\\.0\\.0\\.1:\\d+ request=${path} code=permissionDenied reason=.*user ada`,
    );
  for (const path of ["/v3/kv/deleterange", "/v3/watch"]) assertMatch(logs(), lineOf(path));
}

/** Disables authentication, and checks that every node ignores tokens. */
async function ignoresTokens(addresses: readonly string[]): Promise<void> {
  const [first = "", second = ""] = addresses;
  const root = await signIn(first, "root", "pw");
  assertMatch(root, /^kve_/);
  assertEquals(await ask(second, "auth/disable", { body: {}, token: root }), OK);
  for (const address of addresses) {
    for (const token of [null, root, "hGHuYeyUKGkQIjis.13"]) {
      assertEquals((await ask(address, "kv/range", { body: { key: base64("other") }, token }))[0], 200);
    }
  }
}
