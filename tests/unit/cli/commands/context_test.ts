/** Contexts: the commands that keep them, what names the cluster of a client, and the file as it is on disk. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { clientCommand } from "../../../../lib/cli/client.ts";
import { denoEnvironment } from "../../../../lib/cli/environment.ts";
import { greetingFor } from "../../../../lib/cli/shell/shell.ts";
import { ConnectionError } from "../../../../lib/client/errors.ts";
import { denoCommand, Process } from "../../../support/processes/process.ts";
import { TemporaryFolder } from "../../../support/temporary.ts";
import { FakeEnvironment, type FakeEnvironmentOptions } from "../support/fake_environment.ts";
import { FakeStore } from "../support/fake_store.ts";

const PATH = "/home/ann/.config/kvraft/contexts.json";
const TWO_CONTEXTS = JSON.stringify({
  version: 1,
  inUse: "orders",
  contexts: {
    orders: { "cluster": "10.0.0.1:7001,10.0.0.2:7001", "user": "ann", "password-file": "/secrets/ann" },
    tests: { "cluster": "127.0.0.1:7001", "token-file": "/secrets/tests" },
  },
});
const FILES = { [PATH]: TWO_CONTEXTS, "/secrets/ann": "hunter2\n", "/secrets/tests": "token1\n" };

/** A command that ended. */
interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** The options of each connection. */
  readonly connections: readonly object[];
  readonly environment: FakeEnvironment;
}

async function run(args: readonly string[], options: FakeEnvironmentOptions = {}): Promise<Ended> {
  const environment = new FakeEnvironment({
    ...options,
    variables: { HOME: "/home/ann", ...options.variables },
  });
  const connections: object[] = [];
  const code = await clientCommand(args, {
    environment,
    connect: (connection) => {
      connections.push(connection);
      return Promise.resolve(new FakeStore());
    },
  });
  return { code, out: environment.stdout.text, err: environment.stderr.text, connections, environment };
}

/** Returns the nodes and the user of the one connection that `put k v` with these options makes. */
async function connectionOf(args: readonly string[], options: FakeEnvironmentOptions = {}): Promise<unknown> {
  const { code, err, connections } = await run([...args, "put", "k", "v"], { files: FILES, ...options });
  assertEquals([code, err, connections.length], [0, "", 1], args.join(" "));
  const [{ cluster, user = null, token = null }] = connections as [Record<string, unknown>];
  return { cluster, user, token: typeof token === "function" ? token() : token };
}

Deno.test("client: flags name the cluster, else variables, else the context in use", async () => {
  const orders = { cluster: ["10.0.0.1:7001", "10.0.0.2:7001"], user: "ann", token: null };
  const tests = { cluster: ["127.0.0.1:7001"], user: null, token: "token1" };
  const nodes = (address: string): unknown => ({ cluster: [address], user: null, token: null });
  const KVRAFT_CLUSTER = "10.9.9.9:7001";
  assertEquals(await connectionOf([]), orders);
  assertEquals(await connectionOf([], { variables: { KVRAFT_CONTEXT: "tests" } }), tests);
  assertEquals(await connectionOf(["--context", "tests"]), tests);
  assertEquals(await connectionOf(["--context", "tests"], { variables: { KVRAFT_CLUSTER } }), tests);
  // Nodes alone: nothing of the context in use is sent to them.
  assertEquals(await connectionOf([], { variables: { KVRAFT_CLUSTER } }), nodes(KVRAFT_CLUSTER));
  assertEquals(
    await connectionOf(["--cluster", "10.1.1.1:7001"], { variables: { KVRAFT_CLUSTER } }),
    nodes("10.1.1.1:7001"),
  );
  assertEquals(
    await connectionOf(["--cluster", "10.1.1.1:7001"], { variables: { KVRAFT_CONTEXT: "tests" } }),
    nodes("10.1.1.1:7001"),
  );
});

Deno.test("client: an option of the sign-in replaces that of the context", async () => {
  const files = { ...FILES, "/secrets/bob": "hunter3\n", "/secrets/other": "token2\n" };
  const options = { files };
  const cluster = ["127.0.0.1:7001"];
  assertEquals(
    await connectionOf(["--context", "tests", "--user", "bob", "--password-file", "/secrets/bob"], options),
    { cluster, user: "bob", token: null },
  );
  assertEquals(
    await connectionOf(["--context", "orders", "--token-file", "/secrets/other"], options),
    { cluster: ["10.0.0.1:7001", "10.0.0.2:7001"], user: null, token: "token2" },
  );
  // The password of ann is not tried for bob.
  const { code, err } = await run(["--context", "orders", "--user", "bob", "get", "k"], options);
  assertEquals(code, 2);
  assertStringIncludes(err, "There is no terminal to ask for the password on.");
});

Deno.test("client: what names two clusters, none, or a context that does not exist is wrong usage", async () => {
  const table: readonly (readonly [readonly string[], FakeEnvironmentOptions, string])[] = [
    [["--cluster", "a:1", "--context", "tests"], {}, "--cluster and --context both name a cluster."],
    [
      [],
      { variables: { KVRAFT_CLUSTER: "a:1", KVRAFT_CONTEXT: "tests" } },
      "KVRAFT_CLUSTER and KVRAFT_CONTEXT both name a cluster.",
    ],
    [["--context", "test"], {}, '--context: there is no context "test". Did you mean tests?'],
    [
      [],
      { variables: { KVRAFT_CONTEXT: "x" } },
      'KVRAFT_CONTEXT: there is no context "x". There are orders, tests.',
    ],
    [
      [],
      { files: {} },
      "--cluster is missing, and neither KVRAFT_CLUSTER, KVRAFT_CONTEXT nor a context in use",
    ],
  ];
  for (const [args, options, message] of table) {
    const { code, err, connections } = await run([...args, "get", "k"], { files: FILES, ...options });
    assertEquals([code, connections.length], [2, 0], message);
    assertStringIncludes(err, message);
  }
});

Deno.test("client: a damaged file of contexts is refused with the reason, and flags work without it", async () => {
  const damages: Readonly<Record<string, string>> = {
    "{": "it is not JSON",
    "[]": "it is not a JSON object",
    '{"version":2,"inUse":null,"contexts":{}}': "its version is not 1",
    '{"version":1,"inUse":"a","contexts":{}}': '"inUse" names "a", and there is no such context',
    '{"version":1,"inUse":null,"contexts":{"a":{}}}': 'the context a has no "cluster"',
    '{"version":1,"inUse":null,"contexts":{"a":{"cluster":"a:1","password":"x"}}}':
      'unknown setting "password"',
    '{"version":1,"inUse":null,"contexts":{"a":{"cluster":"nowhere"}}}': "nowhere",
  };
  for (const [text, reason] of Object.entries(damages)) {
    const files = { [PATH]: text };
    for (const args of [["get", "k"], ["context", "list"], ["context", "add", "b", "--cluster", "b:1"]]) {
      const { code, err, environment } = await run(args, { files });
      assertEquals([code, environment.written.size], [2, 0], text);
      assertStringIncludes(err, `Cannot use the contexts in ${PATH}: `);
      assertStringIncludes(err, reason);
    }
    assertEquals((await run(["--cluster", "a:1", "put", "k", "v"], { files })).code, 0);
  }
});

Deno.test("context: add keeps absolute paths and no secrets, use and remove choose", async () => {
  const { environment } = await run(["context", "list"]);
  const next = async (line: string): Promise<string> => {
    const before = environment.stdout.text.length;
    const connect = (): Promise<never> => Promise.reject(new Error("not dialled"));
    assertEquals(await clientCommand(line.split(" "), { environment, connect }), 0, environment.stderr.text);
    return environment.stdout.text.slice(before);
  };
  assertEquals(
    await next("context add orders --cluster n1:7001 --tls-ca ca.crt --user ann"),
    "ok  orders is a context\n",
  );
  assertEquals(
    await next("context add tests --cluster 127.0.0.1:7001 --token-file t"),
    "ok  tests is a context\n",
  );
  assertEquals(await next("context use orders"), "ok  orders is in use\n");
  assertEquals(JSON.parse(environment.written.get(PATH) ?? ""), {
    version: 1,
    inUse: "orders",
    contexts: {
      orders: { "cluster": "n1:7001", "tls-ca": "/work/ca.crt", "user": "ann" },
      tests: { "cluster": "127.0.0.1:7001", "token-file": "/work/t" },
    },
  });
  assertEquals(
    await next("context list"),
    "* orders  n1:7001  TLS  user ann\n  tests   127.0.0.1:7001  token-file /work/t\n",
  );
  assertEquals(
    await next("context show"),
    "from     the context orders (in use)\ncluster  n1:7001\ntls-ca   /work/ca.crt\nuser     ann\n",
  );
  assertEquals(JSON.parse(await next("context show tests --output json")), {
    "name": "tests",
    "cluster": "127.0.0.1:7001",
    "token-file": "/work/t",
  });
  assertEquals(
    await next("context add orders --cluster n2:7001 --replace"),
    "ok  orders is a context, and in use\n",
  );
  assertEquals(await next("context show orders"), "cluster  n2:7001\n");
  assertEquals(await next("context remove orders"), "ok  orders is removed; no context is in use\n");
  assertEquals(await next("context list"), "  tests  127.0.0.1:7001  token-file /work/t\n");
});

Deno.test("context: what cannot be kept is refused, and nothing is written", async () => {
  const table: readonly (readonly [string, string])[] = [
    ["context add orders --cluster a:1", "There is a context orders already. --replace"],
    ["context add ../x --cluster a:1", 'A context cannot be named "../x".'],
    ["context add x", "context add needs --cluster."],
    ["context add x --cluster nowhere", "nowhere"],
    ["context add x --cluster a:1 --user ann --token-file t", "--token-file says who signs in"],
    ["context add x --cluster a:1 --password-stdin", "A context has no password"],
    ["context use order", 'there is no context "order". Did you mean orders?'],
    ["context remove x", 'there is no context "x".'],
  ];
  for (const [line, message] of table) {
    const { code, err, environment } = await run(line.split(" "), { files: FILES });
    assertEquals([code, environment.written.size], [2, 0], line);
    assertStringIncludes(err, message);
  }
  const nowhere = new FakeEnvironment();
  const connect = (): Promise<never> => Promise.reject(new Error("not dialled"));
  assertEquals(
    await clientCommand(["context", "add", "x", "--cluster", "a:1"], { environment: nowhere, connect }),
    2,
  );
  assertStringIncludes(nowhere.stderr.text, "neither XDG_CONFIG_HOME nor HOME is set");
});

Deno.test("client: an error of not reaching the cluster, and the greeting, say what names it", async () => {
  const environment = new FakeEnvironment({ files: FILES, variables: { HOME: "/home/ann" } });
  const connect = (): Promise<never> => Promise.reject(new ConnectionError("No node answers."));
  assertEquals(await clientCommand(["get", "k"], { environment, connect }), 3);
  assertEquals(
    environment.stderr.text,
    "kvraft: No node answers. (The cluster is from the context orders (in use).)\n",
  );
  assertEquals(
    greetingFor({ leader: null, term: 0, nodes: [] }, "KVRAFT_CLUSTER"),
    "Connected: 0 of 0 nodes, no leader (cluster from KVRAFT_CLUSTER)",
  );
});

Deno.test("withLock: processes that change a file at once follow one another, and none loses a change", async () => {
  await using temporary = await TemporaryFolder.make();
  const path = `${temporary.path}/contexts.json`;
  await Deno.writeTextFile(path, "");
  const script = { permissions: ["--allow-all"], args: [path] };
  const [program, ...args] = denoCommand("tests/unit/cli/support/lock_holder.ts", script);
  const ended = [1, 2, 3].map(async () => {
    await using process = Process.start(program, args, { cwd: temporary.path });
    return (await process.end()).code;
  });
  assertEquals(await Promise.all(ended), [0, 0, 0]);
  assertEquals((await Deno.readTextFile(path)).length, 150);
});

Deno.test("replaceFile: the file is its owner's alone, replaced as a whole, through a symbolic link, and without leftovers", async () => {
  await using temporary = await TemporaryFolder.make();
  const folder = temporary.path;
  const environment = denoEnvironment();
  const path = `${folder}/kvraft/contexts.json`;
  environment.replaceFile(path, "one");
  Deno.renameSync(path, `${folder}/real.json`);
  Deno.symlinkSync(`${folder}/real.json`, path);
  environment.replaceFile(path, "two");
  assertEquals(Deno.readTextFileSync(`${folder}/real.json`), "two");
  assertEquals(Deno.lstatSync(path).isSymlink, true);
  assertEquals((Deno.statSync(path).mode ?? 0) & 0o777, 0o600);
  assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["kvraft", "real.json"]);
});
