/** Passwords and tokens of the command line: their sources, and the places where they never are. */
import { assert, assertEquals } from "@std/assert";
import { clientCommand, type Connect } from "../../../lib/cli/client.ts";
import { SecretLine } from "../../../lib/cli/sign_in/secret_line.ts";
import { FakeEnvironment, type FakeEnvironmentOptions } from "./support/fake_environment.ts";
import { FakeStore } from "./support/fake_store.ts";
import { CLUSTER, type Ended } from "./support/run_client.ts";

const LONG = "x".repeat(1_025);

/** The end of a command, the prompts it showed, and how it signed in, with what its functions return. */
interface SignedIn extends Ended {
  readonly prompts: readonly string[];
  readonly signIns: readonly Record<string, unknown>[];
}

/** Runs a client command; returns its end and the options by which it connected. */
async function run(args: readonly string[], options: FakeEnvironmentOptions = {}): Promise<SignedIn> {
  const environment = new FakeEnvironment(options);
  const connected: Parameters<Connect>[0][] = [];
  const code = await clientCommand([...CLUSTER, ...args], {
    environment,
    connect: (how) => Promise.resolve((connected.push(how), new FakeStore())),
  });
  const { stdout, stderr, prompts } = environment;
  const signIns = connected.map(({ cluster: _, ...how }) => {
    const secrets = Object.entries(how).map(([name, given]): [string, unknown] => [
      name,
      typeof given === "function" ? given() : given,
    ]);
    return Object.fromEntries(secrets);
  });
  return { code, out: stdout.text, err: stderr.text, prompts, signIns };
}

Deno.test("SecretLine: Backspace, Ctrl-U and arrow keys work, Enter ends it, and what follows is left", () => {
  const take = (...chunks: readonly string[]): unknown => {
    const line = new SecretLine();
    return chunks.map((chunk) => line.take(chunk)).at(-1);
  };
  const typed = (secret: string, rest = "") => ({ end: { kind: "typed", secret }, rest });
  assertEquals(take("ab"), null);
  assertEquals(take("ab", "c\r"), typed("abc"));
  assertEquals(take("abx\x7f\bc\n"), typed("ac"));
  assertEquals(take("wrong\x15right\rnext\r"), typed("right", "next\r"));
  assertEquals(take("\x1b[200~pass\x1b[201~\x1b[D\x1bOAword\r\nrest"), typed("password", "rest"));
  assertEquals(take("日本😀\x7f\r"), typed("日本"));
  assertEquals(take("a\x01\tb\r"), typed("ab"));
  assertEquals(take("ab\x03\r"), { end: { kind: "cancelled" }, rest: "\r" });
  assertEquals(take("\x04"), { end: { kind: "cancelled" }, rest: "" });
  assertEquals(take("a\x04b\r"), typed("ab"));
  assertEquals(take(`${LONG}${LONG}\r`), typed(LONG));
});

Deno.test("sign-in: --user asks for the password on the terminal, once, and nothing shows it", async () => {
  const options = { input: null, secrets: ["s3cret"] };
  const { code, out, err, prompts, signIns } = await run(["--user", "ada", "put", "k", "v"], options);
  assertEquals([code, out, err], [0, "ok  revision 1\n", ""]);
  assertEquals(prompts, ["Password of ada: "]);
  assertEquals(signIns, [{ user: "ada", password: "s3cret" }]);
});

Deno.test("sign-in: a file or the first line of standard input has the password, a file the token", async () => {
  const files = { "p.txt": "s3cret\n", "t.txt": "kvt_abc\r\n" };
  const of = async (...args: readonly string[]) =>
    (await run([...args, "get", "k"], { files, input: ["from stdin\nmore"] })).signIns;
  assertEquals(await of("--user", "ada", "--password-file", "p.txt"), [{ user: "ada", password: "s3cret" }]);
  assertEquals(await of("--user", "ada", "--password-stdin"), [{ user: "ada", password: "from stdin" }]);
  assertEquals(await of("--token-file", "t.txt"), [{ token: "kvt_abc" }]);
  assertEquals(await of(), [{}]);
});

Deno.test("sign-in: a secret among the arguments is refused with the reason, and not repeated", async () => {
  const table: readonly (readonly [readonly string[], string])[] = [
    [["--user", "ada", "--password", "s3cret"], "There is no option --password. Passwords and tokens are no"],
    [["--user", "ada", "--password=s3cret"], "There is no option --password. Passwords and tokens are no"],
    [["--token", "s3cret"], "There is no option --token. Passwords and tokens are no arguments"],
    [["--token=s3cret"], "--token-file names the file that has it."],
    [
      ["--user", "ada:s3cret"],
      '--user takes a name, without ":" and a password. Passwords and tokens are no',
    ],
  ];
  for (const [args, reason] of table) {
    const { code, err, signIns } = await run([...args, "get", "k"]);
    assertEquals([code, signIns], [2, []], args.join(" "));
    assert(err.includes(reason), err);
    assert(!err.includes("s3cret"), err);
  }
});

Deno.test("sign-in: options that contradict each other, or have no source, are refused", async () => {
  const files = { "p.txt": "s3cret", "empty.txt": "\n", "two.txt": "a\nb\n", "long.txt": LONG };
  const table: readonly (readonly [readonly string[], string])[] = [
    [["--user", "ada"], "There is no terminal to ask for the password on. Use --password-file or"],
    [["--password-file", "p.txt"], "--password-file has a password; --user says whose it is. Give both."],
    [
      ["--user", "a", "--password-file", "p.txt", "--password-stdin"],
      "--password-file and --password-stdin contra",
    ],
    [["--user", "ada", "--token-file", "p.txt"], "--token-file says who signs in, and so does --user."],
    [
      ["--user", "ada", "--password-file", "none"],
      "Cannot read the password from the file none: there is no such",
    ],
    [["--token-file", "none"], "Cannot read the token from the file none: there is no such file."],
    [
      ["--user", "ada", "--password-file", "empty.txt"],
      "Cannot take a secret from the file empty.txt: it is empty.",
    ],
    [["--user", "ada", "--password-file", "two.txt"], "it has to be one line of UTF-8"],
    [["--user", "ada", "--password-file", "long.txt"], "it has more than 1024 characters"],
    [["--user", "ada", "--password-stdin"], "Standard input is empty, so it has no password."],
  ];
  for (const [args, reason] of table) {
    const { code, err, signIns } = await run([...args, "get", "k"], { files });
    assertEquals([code, signIns], [2, []], args.join(" "));
    assert(err.includes(reason), err);
  }
});

Deno.test("sign-in: standard input with the password is neither commands nor data", async () => {
  const input = { input: ["s3cret\nget k\n"] };
  const lines = await run(["--user", "ada", "--password-stdin"], input);
  assertEquals([lines.code, lines.signIns], [2, []]);
  assert(lines.err.includes("--password-stdin needs a command"), lines.err);
  const value = await run(["--user", "ada", "--password-stdin", "put", "k", "-"], input);
  assertEquals([value.code, value.signIns], [2, []]);
  assert(value.err.includes("Standard input has the password, so it cannot be the data."), value.err);
});

Deno.test("sign-in: Ctrl-C at the prompt ends the command, which did nothing", async () => {
  const { code, err, signIns } = await run(["--user", "ada", "get", "k"], { input: null, secrets: [] });
  assertEquals([code, err, signIns], [3, "kvraft: Cancelled at the prompt. Nothing was changed.\n", []]);
});
