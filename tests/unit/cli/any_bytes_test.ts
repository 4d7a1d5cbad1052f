/** Keys and values that are not UTF-8, in process arguments and in printed commands. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { FakeStore } from "./support/fake_store.ts";
import { run } from "./support/run_client.ts";
import { escapeArgument } from "../../../lib/cli/text.ts";
import { tokenize } from "../../../lib/cli/tokenize.ts";

Deno.test("arguments: bytes that Deno replaced are refused, with the options for giving them", async () => {
  const store = new FakeStore();
  const refusal =
    'kvraft: The argument "a\ufffd" has bytes that are not UTF-8, or the character U+FFFD, which cannot ' +
    "be distinguished from them. Nothing was done. Write bytes as \\xHH with --escapes (U+FFFD as " +
    "\\u{fffd}), a key also as --key-base64, a value also as - (standard input) or --file.\n";
  for (const args of [["put", "a\ufffd", "v"], ["put", "k", "a\ufffd"], ["list", "--after", "a\ufffd"]]) {
    assertEquals(await run(args, { store }), { code: 2, out: "", err: refusal });
  }
  assertEquals(store.calls, []);
});

Deno.test("arguments: --escapes and --key-base64 allow any bytes in keys and values", async () => {
  const store = new FakeStore();
  const key = Uint8Array.of(0x61, 0xff, 0x00);
  await run(["put", "a\\xff\\0", "\\u{fffd}\\\\ '\"\\n", "--escapes"], { store });
  await run(["put", "--key-base64", "Yf8B", "\\xff"], { store });
  assertEquals([...store.entries.values()].map(({ key, value }) => [key, new TextDecoder().decode(value)]), [
    [key, "\ufffd\\ '\"\n"],
    [Uint8Array.of(0x61, 0xff, 0x01), "\\xff"],
  ]);
  assertEquals((await run(["get", "--key-base64", "Yf8A", "--raw"], { store })).code, 0);
  assertEquals(
    (await run(["cas", "a\\xff\\0", "\\u{fffd}\\\\ '\"\\n", "x", "--escapes"], { store })).code,
    0,
  );
  assertEquals(
    (await run(["list", "a\\xff", "--escapes"], { store })).out,
    "a\\xff\\x00\tx\na\\xff\\x01\t\\\\xff\n",
  );
  assertEquals(
    (await run(["export", "a\\xff\\0", "--escapes"], { store })).out,
    '{"keyBase64":"Yf8A","value":"x"}\n',
  );
  assertEquals((await run(["delete", "a\\xff\\0", "--escapes"], { store })).code, 0);
  assertEquals([...store.entries.values()].map(({ version }) => version), [1]);
  assertEquals(await run(["get", "--key-base64", "?"], { store }), {
    code: 2,
    out: "",
    err: 'kvraft: --key-base64 is not base64: "?". Example: --key-base64 /w==\n',
  });
  assertEquals((await run(["get", "a\\q", "--escapes"], { store })).code, 2);
});

/** The words that a POSIX shell makes of a line. */
async function wordsOfShell(line: string): Promise<readonly string[]> {
  const { stdout } = await new Deno.Command("sh", { args: ["-c", `printf '%s\\0' ${line}`] }).output();
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(stdout).split("\0").slice(0, -1);
}

Deno.test("list: the hint of the next page means the same keys in a POSIX shell and in the client's shell", async () => {
  const text = fc.string({
    unit: fc.constantFrom(..."a-'\"\\ $`!*~#;&é日\ufffd\u202e\n=%".split("")),
    maxLength: 6,
  });
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 4 }),
    text.map((key) => new TextEncoder().encode(key)),
  );
  await fc.assert(
    fc.asyncProperty(bytes, bytes.filter(({ length }) => length > 0), async (prefix, rest) => {
      const store = new FakeStore();
      const last = Uint8Array.of(...prefix, ...rest);
      for (const end of [[], [0xff]]) await store.put(Uint8Array.of(...last, ...end), "v");
      const prefixed = prefix.length === 0 ? [] : ["--", escapeArgument(prefix)];
      const { err } = await run(["list", "--limit", "1", "--escapes", ...prefixed], { store });
      const hint = err.replace(/^-- 1 shown, and there are more: /, "").trimEnd();
      const lines = [await wordsOfShell(hint), tokenize(hint).map(({ word }) => word)];
      for (const words of lines) {
        store.calls.length = 0;
        await run(words, { store });
        const start = Uint8Array.of(...last, 0);
        const options = { name: "list", consistency: "linearizable", reverse: false, limit: 1, start };
        assertEquals(store.calls, [prefix.length === 0 ? options : { ...options, prefix }]);
      }
    }),
    {
      numRuns: 40,
      examples: [[Uint8Array.of(0x2d), Uint8Array.of(0x27, 0x20)], [new Uint8Array(), Uint8Array.of(0xff)]],
    },
  );
});
