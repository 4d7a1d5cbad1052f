/** The commands on users, roles and tokens: text, JSON, exit codes, prompts, and where a password never is. */
import { assert, assertEquals } from "@std/assert";
import { AuthenticationError, PermissionDeniedError } from "../../../../lib/client/errors.ts";
import { type Ended, run } from "../support/run_client.ts";
import { FakeStore } from "../support/fake_store.ts";
import type { FakeEnvironmentOptions } from "../support/fake_environment.ts";

/** A store with the users ada (root) and deploy (a token), and the role app. */
async function withUsers(): Promise<FakeStore> {
  const store = new FakeStore();
  const { auth } = store;
  await auth.addUser("ada", { password: "s3cret" });
  await auth.grantRole("ada", "root");
  await auth.addRole("app");
  await auth.grant("app", "read", { prefix: "app/" });
  await auth.grant("app", "write", { key: "app/version" });
  await auth.grant("app", "read", { prefix: "user:" });
  await auth.addUser("deploy");
  await auth.grantRole("deploy", "app");
  await auth.createToken("deploy", { name: "ci", expiresInMs: 60_000 });
  await auth.createToken("deploy", { name: "cd" });
  store.calls.length = 0;
  return store;
}

/** Runs a command on that store; returns its output. */
async function shown(line: string, options: FakeEnvironmentOptions = {}): Promise<Ended> {
  return await run(line.split(" "), { store: await withUsers(), ...options });
}

const DONE = { code: 0, err: "" };

Deno.test("auth status: whether it is enabled, the user, its roles and what they allow", async () => {
  assertEquals(await shown("auth status"), {
    ...DONE,
    out: "authentication is disabled: every client may do everything\nnot signed in\n",
  });
  const store = await withUsers();
  store.auth.enabled = true;
  store.auth.signedIn = { user: "deploy", via: "token" };
  assertEquals(await run(["auth", "status"], { store }), {
    ...DONE,
    out: "authentication is enabled\nsigned in as deploy, by token\nroles: app\n" +
      "read   app/\nwrite  app/version\nread   user: --prefix\n",
  });
  const { out } = await run(["auth", "status", "--output", "json"], { store });
  assertEquals(JSON.parse(out), {
    enabled: true,
    authRevision: 10,
    user: "deploy",
    via: "token",
    roles: ["app"],
    grants: [
      { right: "read", prefix: "app/" },
      { right: "write", key: "app/version" },
      { right: "read", prefix: "user:" },
    ],
    hasMoreGrants: false,
  });
});

Deno.test("auth enable: without a root user it says what to type first", async () => {
  const refused = await run(["auth", "enable"]);
  assertEquals([refused.code, refused.out], [1, ""]);
  assert(
    refused.err.endsWith("Type user add <name>, then user grant <name> root, and try again.\n"),
    refused.err,
  );
  assertEquals(await shown("auth enable"), {
    code: 0,
    out: "ok  authentication is enabled\n",
    err: "-- this client has not signed in. From now on type: " +
      "kvraft client --cluster 127.0.0.1:7001,127.0.0.1:7002 --user <name>\n",
  });
  const store = await withUsers();
  store.auth.signedIn = { user: "ada", via: "password" };
  assertEquals(await run(["auth", "enable"], { store }), { ...DONE, out: "ok  authentication is enabled\n" });
  assertEquals(await shown("auth disable"), { ...DONE, out: "ok  authentication is disabled\n" });
});

Deno.test("auth sign-in: only the shell signs in by a command", async () => {
  const { code, err } = await run(["auth", "sign-in", "ada"]);
  assertEquals([code, err.includes("Here, give the option --user or --token-file.")], [2, true]);
});

Deno.test("user list and show: users with roles and tokens, and 1 for one that does not exist", async () => {
  assertEquals(await shown("user list"), { ...DONE, out: "ada\tpassword\troot\t0\ndeploy\t-\tapp\t2\n" });
  assertEquals(
    (await shown("user list", { terminal: true })).out,
    [
      "user    password  roles  tokens",
      "ada     password  root   0",
      "deploy  -         app    2",
      "",
    ].join("\n"),
  );
  assertEquals(await shown("user show deploy"), {
    ...DONE,
    out: "password: none\nroles: app\ntoken ci, expires 2030-03-17T17:47:40.000Z\ntoken cd\n",
  });
  assertEquals(await shown("user show eve"), { code: 1, out: "", err: "(no such user)\n" });
  const { out } = await shown("user show ada --output json");
  assertEquals(JSON.parse(out), { name: "ada", hasPassword: true, roles: ["root"], tokens: [] });
  const list = await shown("user list --output json");
  assertEquals(JSON.parse(list.out).users.length, 2);
});

Deno.test("user add and passwd: the password is asked for twice, and nothing shows it", async () => {
  for (const [command, said] of [["add", "user eve added"], ["passwd", "password of eve changed"]]) {
    const store = await withUsers();
    const options = { input: null, secrets: ["n3w", "n3w"] };
    assertEquals(await run(["user", `${command}`, "eve"], { store, ...options }), {
      ...DONE,
      out: `ok  ${said}\n`,
    });
    assertEquals(store.auth.passwords.get("eve"), "n3w");
  }
});

Deno.test("user add: two different passwords, or Ctrl-C, change nothing and are not sent", async () => {
  const store = await withUsers();
  const differ = await run(["user", "add", "eve"], { store, input: null, secrets: ["one", "two"] });
  assertEquals(differ, {
    code: 2,
    out: "",
    err: "kvraft: The two passwords differ. Nothing was changed; try again.\n",
  });
  const cancelled = await run(["user", "add", "eve"], { store, input: null, secrets: ["one"] });
  assertEquals([cancelled.code, cancelled.err], [
    3,
    "kvraft: Cancelled at the prompt. Nothing was changed.\n",
  ]);
  assertEquals(store.calls, []);
});

Deno.test("user add: the password comes from a file, from standard input, or there is none", async () => {
  const store = await withUsers();
  const files = { "p.txt": "from file\n" };
  const add = async (...args: readonly string[]) => {
    await run(["user", "add", ...args], { store, files, input: ["from stdin\n"] });
    return store.auth.passwords.get(args[0] ?? "");
  };
  assertEquals(await add("a", "--new-password-file", "p.txt"), "from file");
  assertEquals(await add("b", "--new-password-stdin"), "from stdin");
  assertEquals(await add("spiffe:c", "--no-password"), null);
});

Deno.test("user add: a password without a source, or with two, or in the name, is refused", async () => {
  const table: readonly (readonly [string, string])[] = [
    ["user add eve", "There is no terminal to ask for a secret on. Take it from a file or standard input."],
    [
      "user add eve --no-password --new-password-stdin",
      "--new-password-stdin and --no-password contradict each other.",
    ],
    [
      "user add eve:s3cret",
      'The name of a user with a password has no ":". Passwords and tokens are no arguments',
    ],
    ["user add eve s3cret", "user add takes 1 argument, not 2. Passwords and tokens are no arguments"],
    ["user add a/b", "Cannot use this name for a user"],
  ];
  for (const [line, message] of table) {
    const store = await withUsers();
    const { code, err } = await run(line.split(" "), { store, input: [] });
    assertEquals([code, store.calls], [2, []], line);
    assert(err.includes(message), err);
    assert(!err.includes("s3cret"), err);
  }
});

Deno.test("user grant, revoke and remove: a role beside root is granted with a remark that it adds nothing", async () => {
  assertEquals(await shown("user grant deploy root"), { ...DONE, out: "ok  deploy has the role root\n" });
  assertEquals(await shown("user grant ada app"), {
    code: 0,
    out: "ok  ada has the role app\n",
    err: "-- ada has the role root, and with it every right: the role app adds none\n",
  });
  assertEquals(await shown("user revoke deploy app"), {
    ...DONE,
    out: "ok  deploy has the role app no more\n",
  });
  assertEquals(await shown("user remove deploy"), { ...DONE, out: "ok  user deploy removed\n" });
  const { out } = await shown("user grant deploy root --output json");
  assertEquals(JSON.parse(out), { user: "deploy", role: "root", authRevision: 11 });
});

Deno.test("user token: a token is the only thing on standard output, and shown once", async () => {
  assertEquals(await shown("user token create deploy x --ttl 1h"), {
    code: 0,
    out: "kvt_secret\n",
    err: "-- token x of deploy, expires 2030-03-17T18:46:40.000Z; it is not shown again\n",
  });
  const { out } = await shown("user token create deploy x --output json");
  assertEquals(JSON.parse(out), {
    user: "deploy",
    name: "x",
    token: "kvt_secret",
    expiresAtMs: null,
    authRevision: 11,
  });
  assertEquals(await shown("user token list deploy"), {
    ...DONE,
    out: "ci\t2030-03-17T17:47:40.000Z\ncd\t-\n",
  });
  assertEquals(await shown("user token revoke deploy ci"), {
    ...DONE,
    out: "ok  token ci of deploy revoked\n",
  });
  assertEquals((await shown("user token list eve")).code, 1);
});

Deno.test("role: grants are given and taken by right and keys, and shown as they are typed", async () => {
  assertEquals(await shown("role list"), { ...DONE, out: "app\t3\n" });
  assertEquals(await shown("role show app"), {
    ...DONE,
    out: "read\tapp/\nwrite\tapp/version\nread\tuser: --prefix\n",
  });
  assertEquals(
    (await shown("role show app", { terminal: true })).out,
    "read   app/\nwrite  app/version\nread   user: --prefix\n",
  );
  assertEquals(await shown("role show eve"), { code: 1, out: "", err: "(no such role)\n" });
  assertEquals(await shown("role add ops"), { ...DONE, out: "ok  role ops added\n" });
  assertEquals(await shown("role remove app"), { ...DONE, out: "ok  role app removed\n" });
  const table: readonly (readonly [string, string, unknown])[] = [
    ["read log/", "may read the keys that begin with log/", { right: "read", prefix: "log/" }],
    ["write log", "may write the key log", { right: "write", key: "log" }],
    ["read log --prefix", "may read the keys that begin with log", { right: "read", prefix: "log" }],
    ["admin --all", "may administer all keys", { right: "admin", all: true }],
    ["read \\xff/ --escapes", "may read the keys that begin with \\xff/", {
      right: "read",
      prefixBase64: "/y8=",
    }],
  ];
  for (const [words, said, document] of table) {
    const store = await withUsers();
    assertEquals(await run(["role", "grant", "app", ...words.split(" ")], { store }), {
      ...DONE,
      out: `ok  app ${said}\n`,
    });
    const { out } = await run(["role", "show", "app", "--output", "json"], { store });
    assertEquals(JSON.parse(out).grants.at(-1), document);
  }
  assertEquals(await shown("role revoke app read app/"), {
    ...DONE,
    out: "ok  app lost the right to read the keys that begin with app/\n",
  });
});

Deno.test("role grant: a grant that others cover is given with a remark, one that cannot be is refused", async () => {
  const store = await withUsers();
  store.auth.isCovered = true;
  assertEquals(await run(["role", "grant", "app", "read", "app/x"], { store }), {
    code: 0,
    out: "ok  app may read the key app/x\n",
    err: "-- other grants of app covered this one before: it adds no right\n",
  });
  const wrong = await shown("role grant app owner k");
  assertEquals([wrong.code, wrong.out], [2, ""]);
  assert(wrong.err.includes("<right> must be read, write or admin."), wrong.err);
  assert((await shown("role grant app read --all --prefix")).err.includes("--all names all keys"));
});

Deno.test("exit codes: 6 for a client that is not signed in, and for one without the right", async () => {
  const errors = [
    new AuthenticationError("Cannot get a key: sign in.", { reason: "unauthenticated", user: null }),
    new AuthenticationError("Cannot sign in as ada: no.", { reason: "signInFailed", user: "ada" }),
    new PermissionDeniedError("Cannot get a key: no right."),
  ];
  const ends: unknown[] = [];
  for (const error of errors) {
    const store = new FakeStore();
    store.before = () => Promise.reject(error);
    const { code, err } = await run(["get", "k"], { store });
    ends.push([code, err]);
  }
  assertEquals(ends, [
    [
      6,
      "kvraft: Cannot get a key: sign in. Sign in: kvraft client --user <name>, or --token-file <path>.\n",
    ],
    [6, "kvraft: Cannot sign in as ada: no.\n"],
    [6, "kvraft: Cannot get a key: no right.\n"],
  ]);
});

Deno.test("list and watch: --visible-only is passed on, and in the line for the next page", async () => {
  const store = new FakeStore();
  for (const key of ["a", "b", "c"]) await store.put(key, "v");
  store.calls.length = 0;
  const { err } = await run(["list", "--visible-only", "--limit", "1"], { store });
  assert(err.includes("list --limit 1 --visible-only --after a"), err);
  assert(JSON.stringify(store.calls).includes('"visibleOnly":true'), JSON.stringify(store.calls));
});
