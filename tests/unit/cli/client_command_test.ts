/** `kvraft client`: the output and exit code of each command. */
import { assertEquals } from "@std/assert";
import { FakeStore } from "./support/fake_store.ts";
import { FakeEnvironment } from "./support/fake_environment.ts";
import { CLUSTER, filled, run } from "./support/run_client.ts";
import { clientCommand } from "../../../lib/cli/client.ts";
import { DEFAULT_TIMEOUT_MS } from "../../../lib/client/core.ts";
import {
  ConnectionError,
  InvalidRequestError,
  KeyTooLargeError,
  NoLeaderError,
  TimeoutError,
} from "../../../lib/client/errors.ts";
import { settle } from "../../support/fakes/manual_clock.ts";

Deno.test("put, get: put prints the revision, get only the value's bytes, and both end with 0", async () => {
  const store = new FakeStore();
  assertEquals(await run(["put", "k", "two words"], { store }), {
    code: 0,
    out: "ok  revision 1\n",
    err: "",
  });
  assertEquals(await run(["get", "k"], { store }), { code: 0, out: "two words", err: "" });
  assertEquals(await run(["get", "k"], { store, terminal: true }), { code: 0, out: "two words\n", err: "" });
  assertEquals(await run(["get", "--raw", "k"], { store }), { code: 0, out: "two words", err: "" });
  assertEquals(store.closed, 4);
});

Deno.test("get: an absent key ends with 1, and standard output stays empty", async () => {
  assertEquals(await run(["get", "k"]), { code: 1, out: "", err: "(not found)\n" });
  assertEquals(await run(["delete", "k"]), { code: 1, out: "(not found)  revision 1\n", err: "" });
});

Deno.test("put and get: keys and values that look like switches and numbers stay text", async () => {
  const store = new FakeStore();
  for (const [key = "", value = ""] of [["true", "false"], ["007", "1e3"], ["", ""], ["-", "0x10"]]) {
    await run(["put", key, value], { store });
    assertEquals((await run(["get", "--raw", key], { store })).out, value);
  }
  await run(["put", "k", "--", "--raw"], { store });
  await run(["put", "--", "m", "-"], { store });
  assertEquals((await run(["get", "k"], { store })).out, "--raw");
  assertEquals((await run(["get", "m"], { store })).out, "-");
});

Deno.test("put: values come from standard input and from files, byte for byte", async () => {
  const store = new FakeStore();
  const bytes = Uint8Array.of(0, 255, 10, 13);
  await run(["put", "a", "-"], { store, input: [bytes.subarray(0, 1), bytes.subarray(1)] });
  await run(["put", "b", "--file", "photo"], { store, files: { photo: bytes } });
  await run(["cas", "b", "-", "--file", "new"], { store, input: [bytes], files: { new: "n" } });
  await run(["cas", "c", "--absent", "fresh"], { store });
  const values = [...store.entries.values()].map(({ value }) => value);
  assertEquals(values, [bytes, new TextEncoder().encode("n"), new TextEncoder().encode("fresh")]);
});

Deno.test("cas: a failed comparison shows the current value and ends with 1", async () => {
  const store = await filled();
  assertEquals(await run(["cas", "greeting", "hello", "bye"], { store }), {
    code: 0,
    out: "ok  revision 3\n",
    err: "",
  });
  assertEquals(await run(["cas", "greeting", "hello", "bye"], { store }), {
    code: 1,
    out: "failed: the key has the value bye, revision 3\n",
    err: "",
  });
  assertEquals((await run(["cas", "nope", "a", "b"], { store })).out, "failed: the key does not exist\n");
});

Deno.test("list: each line has a key and its value, escaped; standard error says that there are more", async () => {
  const store = await filled();
  assertEquals(await run(["list"], { store }), {
    code: 0,
    out: "greeting\thello\n\\xff\\n\t\\x00\\x80\n",
    err: "",
  });
  assertEquals(await run(["list", "--limit", "1"], { store }), {
    code: 0,
    out: "greeting\thello\n",
    err: "-- 1 shown, and there are more: list --limit 1 --after greeting\n",
  });
});

Deno.test("list: on a terminal it is a table, and no value can control the terminal", async () => {
  const store = await filled();
  assertEquals(
    (await run(["list"], { store, terminal: true })).out,
    [
      "key       revision  value\n",
      "greeting  1         hello\n",
      "\\xff\\n    2         \\x00\\x80\n",
    ].join(""),
  );
  await store.put("evil", "\x1b[2Jboo");
  assertEquals((await run(["get", "evil"], { store, terminal: true })).out, "\\x1b[2Jboo\n");
  assertEquals((await run(["get", "evil"], { store })).out, "\x1b[2Jboo");
});

Deno.test("list: --after continues after a key, in both directions", async () => {
  const store = new FakeStore();
  await run(["list", "u", "--after", "user:2", "--limit", "5"], { store });
  await run(["list", "--reverse", "--after", "user:2", "--start", "a", "--stale"], { store });
  await run(["list", "--cursor", "abc", "--consistency", "linearizable"], { store });
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  assertEquals(store.calls, [
    {
      name: "list",
      consistency: "linearizable",
      reverse: false,
      prefix: bytes("u"),
      limit: 5,
      start: bytes("user:2\0"),
    },
    { name: "list", consistency: "stale", reverse: true, start: bytes("a"), end: bytes("user:2") },
    { name: "list", consistency: "linearizable", reverse: false, cursor: "abc" },
  ]);
});

Deno.test("list: --keys-only writes no values, --count only a number, and --all every page of one revision", async () => {
  const store = await filled();
  assertEquals((await run(["list", "--keys-only"], { store })).out, "greeting\n\\xff\\n\n");
  assertEquals((await run(["list", "g", "--count"], { store })).out, "1\n");
  store.calls.length = 0;
  const all = ["list", "--all", "--limit", "1", "--keys-only"];
  assertEquals(await run(all, { store }), { code: 0, out: "greeting\n\\xff\\n\n", err: "" });
  const page = { name: "list", consistency: "linearizable", reverse: false, keysOnly: true, limit: 1 };
  assertEquals(store.calls, [{ ...page, cursor: null }, { ...page, cursor: "greeting", revision: 2 }]);
  const { out, err } = await run([...all, "--output", "json"], { store });
  const lines = out.trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(lines.map(({ entries, revision }) => [entries.length, entries[0].value, revision]), [
    [1, undefined, 2],
    [1, undefined, 2],
  ]);
  assertEquals(JSON.parse(err), { keys: 2, revision: 2 });
  for (const other of ["--all", "--limit=1", "--visible-only"]) {
    const refused = await run(["list", "--count", other], { store });
    assertEquals([refused.code, refused.err.includes("--count counts all keys of the range")], [2, true]);
  }
});

Deno.test("client: JSON answers have the documented fields", async () => {
  const store = await filled();
  const entry = { key: "greeting", value: "hello", createRevision: 1, modRevision: 1, version: 1 };
  const binary = { keyBase64: "/wo=", valueBase64: "AIA=", createRevision: 2, modRevision: 2, version: 1 };
  const table: readonly (readonly [readonly string[], number, unknown])[] = [
    [["get", "greeting"], 0, entry],
    [["get", "nope"], 1, null],
    [["list"], 0, { entries: [entry, binary], cursor: null, revision: 2 }],
    [["list", "--limit", "1"], 0, { entries: [entry], cursor: "greeting", revision: 2 }],
    [["cas", "greeting", "x", "y"], 1, { succeeded: false, current: entry, revision: 2 }],
    [["cas", "nope", "x", "y"], 1, { succeeded: false, current: null, revision: 2 }],
    [["put", "new", "v"], 0, { revision: 3 }],
    [["delete", "new"], 0, { deleted: true, revision: 4 }],
    [["delete", "new"], 1, { deleted: false, revision: 5 }],
    [["transfer-leader", "3"], 0, { leader: 3 }],
  ];
  for (const [args, code, document] of table) {
    const ended = await run([...args, "--output", "json"], { store });
    assertEquals([ended.code, JSON.parse(ended.out), ended.out.split("\n").length, ended.err], [
      code,
      document,
      2,
      "",
    ]);
  }
});

Deno.test("client: each error has its exit code, and is written to standard error as text or JSON", async () => {
  const table: readonly (readonly [Error, number, string])[] = [
    [new KeyTooLargeError("Key."), 2, "keyTooLarge"],
    [new NoLeaderError("No leader."), 3, "noLeader"],
    [new ConnectionError("No node."), 3, "unavailable"],
    [new TimeoutError("Late."), 3, "timeout"],
    [new TimeoutError("Late.", { outcome: "unknown" }), 4, "timeout"],
  ];
  for (const [error, code, name] of table) {
    const store = new FakeStore();
    store.before = () => Promise.reject(error);
    const { message } = error;
    assertEquals(await run(["put", "k", "v"], { store }), { code, out: "", err: `kvraft: ${message}\n` });
    assertEquals(await run(["put", "k", "v", "--output=json"], { store }), {
      code,
      out: "",
      err: `${JSON.stringify({ error: { code: name, message } })}\n`,
    });
  }
  const store = new FakeStore();
  store.before = () => Promise.reject(new TypeError("x is undefined"));
  assertEquals(await run(["get", "k"], { store }), {
    code: 70,
    out: "",
    err: "kvraft: A fault in kvraft: x is undefined\n",
  });
});

Deno.test("client: wrong usage ends with 2 before anything is sent, and says what is allowed", async () => {
  const store = new FakeStore();
  const table: readonly (readonly [readonly string[], string])[] = [
    [["lst"], 'There is no command "lst". Did you mean list?'],
    [["frobnicate"], 'There is no command "frobnicate". help lists the commands.'],
    [
      ["put", "k"],
      "put needs <value>. Usage: put <key> <value> [--file <path>] [--lease <lease>] [--ttl <time>]. Example: put greeting hello",
    ],
    [
      ["get", "a", "b"],
      "get takes 1 argument, not 2. Usage: get <key> [--raw] [--revision <n>] [--consistency linearizable|stale] " +
      "[--stale]. Text with spaces goes in quotes.",
    ],
    [
      ["put", "k", "v", "--limit", "1"],
      "put has no option --limit; list, history, lease list and denokv list have. See help put.",
    ],
    [["list", "--limt", "1"], "There is no option --limt. Did you mean --limit?"],
    [
      ["list", "--limit"],
      "--limit needs a value: --limit <n>. (For one that begins with a dash write --limit=…)",
    ],
    [["list", "--limit", "0"], '--limit must be an integer from 1 to 10000, not "0".'],
    [["list", "--limit", "1", "--limit", "2"], "--limit is given 2 times. Give it once."],
    [["get", "k", "--raw=no"], "--raw takes no value. Write --raw alone."],
    [["get", "k", "--output", "xml"], '--output must be text or json, not "xml". Example: --output json'],
    [["get", "k", "--timeout-ms", "soon"], '--timeout-ms must be an integer from 1 to 3600000, not "soon".'],
    [
      ["put", "k", "-5"],
      "There is no option -5. See --help for all options. To pass text that begins with a dash, put -- before it.",
    ],
    [
      ["get", "k", "--stale", "--consistency", "linearizable"],
      "--stale and --consistency linearizable contradict each other. Give one of them.",
    ],
    [
      ["list", "--after", "a", "--start", "b"],
      "--after says where to begin, and so does --start. Give one of them.",
    ],
    [["put", "k", "--file", "gone"], "Cannot read the file gone: there is no such file."],
    [
      ["cas", "k", "-", "-"],
      "cas can take only one of <expected> and <new> from standard input. Use --file for <new>.",
    ],
    [["transfer-leader", "two"], '<n> must be an integer from 1 to 9007199254740991, not "two".'],
  ];
  for (const [args, message] of table) {
    assertEquals(
      await run(args, { store }),
      { code: 2, out: "", err: `kvraft: ${message}\n` },
      args.join(" "),
    );
  }
  assertEquals(store.calls, []);
});

Deno.test("client: a missing or unreadable --cluster is wrong usage", async () => {
  const environment = new FakeEnvironment();
  const connect = (): Promise<never> => Promise.reject(new InvalidRequestError("Cannot read it."));
  assertEquals(await clientCommand(["get", "k"], { environment, connect }), 2);
  assertEquals(
    await clientCommand(["get", "k", "--cluster", "x", "--output", "json"], { environment, connect }),
    2,
  );
  const example = "Example: --cluster 127.0.0.1:7001,127.0.0.1:7002";
  assertEquals(environment.stderr.text.split("\n"), [
    "kvraft: --cluster is missing, and neither KVRAFT_CLUSTER, KVRAFT_CONTEXT nor a context in use names a cluster. " +
    example,
    JSON.stringify({ error: { code: "usage", message: "--cluster: Cannot read it." } }),
    "",
  ]);
});

Deno.test("put: a value that is too long for any cluster is not read to its end", async () => {
  const megabyte = new Uint8Array(1_048_576);
  const { code, err } = await run(["put", "k", "-"], { input: Array.from({ length: 100 }, () => megabyte) });
  assertEquals([code, err], [
    2,
    "kvraft: Cannot take the value from standard input: it is longer than 8388608 bytes, which no cluster takes.\n",
  ]);
});

Deno.test("client: deadline and consistency are passed to the library", async () => {
  const store = new FakeStore();
  await run(["--timeout-ms", "70", "get", "k", "--stale"], { store });
  await run(["put", "k", "v", "--timeout-ms=80"], { store });
  assertEquals(store.calls, [
    { name: "get", timeoutMs: 70, consistency: "stale" },
    { name: "put", timeoutMs: 80 },
  ]);
});

Deno.test("client: a message about the deadline names the one that was given, and not what connecting left of it", async () => {
  for (const [args, wholeMs] of [[["--timeout-ms", "900"], 900], [[], DEFAULT_TIMEOUT_MS]] as const) {
    const environment = new FakeEnvironment();
    const store = new FakeStore();
    store.get = (_key, { timeoutMs } = {}): Promise<never> =>
      Promise.reject(new TimeoutError(`Cannot get k within ${timeoutMs} ms.`, { outcome: "not-applied" }));
    const connect = (): Promise<FakeStore> => {
      environment.clock.advance(70.5);
      return Promise.resolve(store);
    };
    await clientCommand([...CLUSTER, ...args, "get", "k"], { environment, connect });
    assertEquals(environment.stderr.text, `kvraft: Cannot get k within ${wholeMs} ms.\n`);
  }
});

Deno.test("client: lines of standard input run one after the other, and the worst code is the exit code", async () => {
  const store = new FakeStore();
  const input = [
    "put a 'x y'\nget a\n\n# comment\nget no",
    "pe\r\nget a --output json\nput b ",
    '"\\xff"\nget a',
  ];
  assertEquals(await run([], { store, input }), {
    code: 1,
    out: "ok  revision 1\nx y\n" +
      '{"key":"a","value":"x y","createRevision":1,"modRevision":1,"version":1}\nok  revision 2\nx y\n',
    err: "(not found)\n",
  });
  assertEquals(store.entries.get("b")?.value, Uint8Array.of(0xff));
});

Deno.test("client: a line that cannot be run is reported by its number, and the next one runs", async () => {
  const input = ["pt a b\nput a 'b\nput a -\n", Uint8Array.of(0x70, 0xff, 0x0a), "put a b\nquit\nput a c\n"];
  assertEquals(await run([], { input }), {
    code: 2,
    out: "ok  revision 1\n",
    err: [
      'kvraft: line 1: There is no command "pt". Did you mean put?\n',
      "kvraft: line 2: The quote ' at column 7 is not closed.\n",
      "kvraft: line 3: Standard input has the commands, so it cannot be the data. Use --file, or give the " +
      "command as arguments.\n",
      "kvraft: line 4: The line is not UTF-8. Write other bytes as \\xHH.\n",
    ].join(""),
  });
});

Deno.test("client: a closed standard output ends it without a message", async () => {
  const environment = new FakeEnvironment({ input: ["put a b\nput a c\n"] });
  environment.stdout.isClosed = true;
  const store = new FakeStore();
  const code = await clientCommand(CLUSTER, { environment, connect: () => Promise.resolve(store) });
  assertEquals([code, environment.stderr.text, store.revision], [0, "", 1]);
});

Deno.test("help: it needs no cluster", async () => {
  const environment = new FakeEnvironment();
  const connect = (): Promise<never> => Promise.reject(new Error("not needed"));
  for (const args of [["--help"], ["help"], ["help", "put"], ["put", "--help"], ["exit"]]) {
    assertEquals(await clientCommand(args, { environment, connect }), 0);
  }
  assertEquals(environment.stdout.text.includes("put greeting hello"), true);
});

Deno.test("client: after half a second a line on the terminal says what it waits for, until the answer arrives", async () => {
  const environment = new FakeEnvironment({ terminal: true });
  const store = new FakeStore();
  store.clusterStatus = { leader: null, term: 5, nodes: store.clusterStatus.nodes };
  const waited = Promise.withResolvers<void>();
  store.before = () => waited.promise;
  const code = clientCommand([...CLUSTER, "put", "k", "v"], {
    environment,
    connect: () => Promise.resolve(store),
  });
  await settle();
  environment.clock.advance(499);
  await settle();
  assertEquals(environment.stderr.text, "");
  environment.clock.advance(1);
  await settle();
  assertEquals(
    environment.stderr.text,
    "\r\x1b[2Kno leader yet: n1 unreachable, n2 and n3 electing; Ctrl-C cancels",
  );
  waited.resolve();
  assertEquals([await code, environment.stderr.text.endsWith("\r\x1b[2K"), environment.clock.timerCount], [
    0,
    true,
    0,
  ]);
});
