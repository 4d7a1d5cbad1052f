/** Standard input, standard output and the terminal of the client: their errors, and text that must not reach them. */
import { assertEquals } from "@std/assert";
import { FakeStore } from "./support/fake_store.ts";
import { filled, run } from "./support/run_client.ts";
import { InputError } from "../../../lib/cli/errors.ts";
import { isPrintable } from "../../../lib/cli/text.ts";
import { NoLeaderError } from "../../../lib/client/errors.ts";

Deno.test("client: an answer that cannot be written is reported on standard error, with 5", async () => {
  const store = await filled();
  const full = { store, isOutputFull: true };
  const lost = "kvraft: Cannot write the answer to standard output: No space left on device. ";
  assertEquals(await run(["put", "k", "v"], full), {
    code: 5,
    out: "",
    err: `${lost}The command was carried out: revision 3.\n`,
  });
  assertEquals(
    (await run(["delete", "k"], full)).err,
    `${lost}The command was carried out: revision 4.\n`,
  );
  assertEquals(
    (await run(["cas", "greeting", "nope", "x"], full)).err,
    `${lost}Nothing was changed: the key has the value hello, revision 1.\n`,
  );
  const read = await run(["get", "greeting", "--output", "json"], full);
  assertEquals([read.code, JSON.parse(read.err)], [5, {
    error: {
      code: "output",
      message:
        "Cannot write the answer to standard output: No space left on device. Nothing was changed; what was " +
        "written is not everything.",
    },
  }]);
  const lines = await run([], { ...full, input: ["put a 1\nput b 2\n"] });
  assertEquals([lines.code, lines.err.split("\n").length, store.revision], [5, 3, 6]);
});

Deno.test("client: standard input that cannot be read is wrong usage, and nothing is written", async () => {
  const store = new FakeStore();
  const input = "Cannot read standard input: Is a directory. Give it a file or a pipe.";
  const inputError = new InputError(input);
  assertEquals(await run(["put", "k", "-"], { store, inputError }), {
    code: 2,
    out: "",
    err: `kvraft: ${input}\n`,
  });
  assertEquals(await run([], { store, inputError }), { code: 2, out: "", err: `kvraft: ${input}\n` });
  assertEquals(await run(["import"], { store, inputError }), {
    code: 2,
    out: "",
    err:
      `kvraft: ${input} 0 keys were written before. To go on: tail -n +1 <file> | kvraft client … import\n`,
  });
  assertEquals(store.revision, 0);
});

Deno.test("client: a byte order mark before the first line is skipped, and kept in a value", async () => {
  const store = new FakeStore();
  const text = "\ufeff";
  assertEquals((await run([], { store, input: [`${text}put a 1\nput b ${text}2\n`] })).code, 0);
  assertEquals((await run(["import"], { store, input: [`${text}{"key":"c","value":"3"}\n`] })).code, 0);
  assertEquals((await run(["put", "d", "-"], { store, input: [`${text}4`] })).code, 0);
  assertEquals(
    [...store.entries.values()].map(({ value }) =>
      new TextDecoder("utf-8", { ignoreBOM: true }).decode(value)
    ),
    ["1", `${text}2`, "3", `${text}4`],
  );
});

Deno.test("client: no error text can control a terminal, start a new line or hide a part of it", async () => {
  const store = new FakeStore();
  store.before = () => Promise.reject(new NoLeaderError("n1: \x1b[2J\u009b1m\u202e\nkvraft: done\u200b."));
  const shown = "kvraft: n1: \\x1b[2J\\xc2\\x9b1m\\xe2\\x80\\xae\\nkvraft: done\\xe2\\x80\\x8b.\n";
  for (const terminal of [true, false]) {
    assertEquals((await run(["get", "k"], { store, terminal })).err, shown);
  }
  const { err } = await run(["get", "k", "--output", "json"], { store, terminal: true });
  assertEquals(isPrintable(err), true);
});

Deno.test("client: JSON on a terminal is the same document, and cannot control it", async () => {
  const store = new FakeStore();
  const key = "k\u009b31m\u202e\u2066\u200b";
  await store.put(key, key);
  const { out } = await run(["list", "--output", "json"], { store, terminal: true });
  assertEquals([isPrintable(out), JSON.parse(out).entries[0].key], [true, key]);
  assertEquals(isPrintable((await run(["get", key], { store, terminal: true })).out), true);
});
