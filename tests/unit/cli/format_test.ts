/** The text of answers in the shell, and its width on a terminal. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { healthy, STATUS } from "./support/fake_store.ts";
import { describeWaiting } from "../../../lib/cli/cluster_view.ts";
import { type Answer, changeAnswer, type View } from "../../../lib/cli/command.ts";
import { getAnswer } from "../../../lib/cli/commands/keys/get.ts";
import { listAnswer } from "../../../lib/cli/commands/keys/list.ts";
import {
  columnsOf,
  dim,
  duration,
  escapeJson,
  fit,
  isPrintable,
  table,
  terminalLine,
  terminalText,
} from "../../../lib/cli/text.ts";
import type { KeyValue } from "../../../lib/kv/command.ts";

const VIEW: View = { isTerminal: true, color: false, columns: 60, isOneOfMany: false, elapsedMs: 1.234 };

function entry(key: string, value: string | Uint8Array): KeyValue {
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
  return { key: new TextEncoder().encode(key), value: bytes, createRevision: 1, modRevision: 7, version: 2 };
}

/** Returns the text of the shell. */
function shown(answer: Answer, view: View = VIEW): string {
  const { output, note } = answer.text(view);
  return `${typeof output === "string" ? output : new TextDecoder().decode(output)}${note}`;
}

function got(value: string | Uint8Array, isRaw = false): string {
  return shown(getAnswer(entry("k", value), { isRaw }));
}

Deno.test("shell: an answer has its revision and duration", () => {
  assertEquals(shown(changeAnswer({ line: "ok  revision 7", document: {} })), "ok  revision 7  1.2 ms\n");
  assertEquals(got("hello\nworld"), "hello\nworld\nrevision 7, version 2, 1.2 ms\n");
  assertEquals(shown(getAnswer(null, { isRaw: false })), "(not found)  1.2 ms\n");
});

Deno.test("shell: the duration is grey where colour is used", () => {
  const view = { ...VIEW, color: true };
  const text = terminalText(shown(changeAnswer({ line: "ok  revision 7", document: {} }), view));
  assertEquals(text, "ok  revision 7  \x1b[90m1.2 ms\x1b[39m\n");
});

Deno.test("get: a long or binary value is shown as its head with its size, and unchanged with --raw", () => {
  const [long = ""] = got("x".repeat(100_000)).split("\n");
  assertEquals(long, `${"x".repeat(400)}… (100 000 bytes)`);
  const [binary = ""] = got(Uint8Array.of(0, 1, 0xff)).split("\n");
  assertEquals(binary, "\\x00\\x01\\xff (3 bytes)");
  const [zeros = ""] = got(new Uint8Array(1_000_000)).split("\n");
  assert(zeros.length < 500 && zeros.endsWith("… (1 000 000 bytes)"));
  assertEquals(got("x".repeat(1_000), true).split("\n")[0], "x".repeat(1_000));
});

Deno.test("list: the table fits the terminal, and a hint says how to continue", () => {
  const entries = [entry("user:1", "ada"), entry("日本", "y".repeat(200))];
  const answer = listAnswer({ entries, cursor: "c", revision: 9 }, {
    isKeysOnly: false,
    nextPage: () => "list --after x",
  });
  const lines = shown(answer).split("\n");
  assertEquals(lines, [
    "key     revision  value",
    "user:1  7         ada",
    `日本    7         ${"y".repeat(29)}… (200 bytes)`,
    "-- 2 shown, and there are more: list --after x",
    "2 keys, revision 9, 1.2 ms",
    "",
  ]);
  assert(lines.slice(0, 3).every((line) => columnsOf(line) <= VIEW.columns));
});

Deno.test("columnsOf: it counts columns as a terminal does", () => {
  assertEquals(["abc", "käse", "日本", "e\u0301", "👍", "👩‍🔬", ""].map(columnsOf), [3, 4, 4, 1, 2, 2, 0]);
  assertEquals([fit("abcdef", 4), fit("日本語", 4), fit("abc", 3)], ["abc…", "日…", "abc"]);
  assertEquals(table([["日", "b"], ["abc", "d"]]), ["日   b", "abc  d"]);
});

Deno.test("terminalText: only printable characters, newlines, tabs and the program's styles reach a terminal", () => {
  const table: readonly (readonly [string, string])[] = [
    ["käse 日本\n\t👩‍🔬 ❤️ e\u0301 \\n", "käse 日本\n\t👩‍🔬 ❤️ e\u0301 \\n"],
    ["\x1b[2J\x07\r\0\x7f", "\\x1b[2J\\x07\\r\\x00\\x7f"],
    ["\u009b31m\u0085", "\\xc2\\x9b31m\\xc2\\x85"],
    ["a\u202eb\u2066c\u061c", "a\\xe2\\x80\\xaeb\\xe2\\x81\\xa6c\\xd8\\x9c"],
    ["a\u200bb\u200dc\ufeffd\u00ad", "a\\xe2\\x80\\x8bb\\xe2\\x80\\x8dc\\xef\\xbb\\xbfd\\xc2\\xad"],
    ["a\u3164b\u115fc\u2028", "a\\xe3\\x85\\xa4b\\xe1\\x85\\x9fc\\xe2\\x80\\xa8"],
    ["\ud800x\udcff", "\\xef\\xbf\\xbdx\\xef\\xbf\\xbd"],
    [`a ${dim("b\x1b[0m", { color: true })} c`, "a \x1b[90mb\\x1b[0m\x1b[39m c"],
  ];
  assertEquals(table.map(([text]) => terminalText(text)), table.map(([, shown]) => shown));
  assertEquals(terminalLine("n1: \x1b[2J\r"), "\r\x1b[2Kn1: \\x1b[2J\\r");
  fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 50 }), (text) => {
    assert(isPrintable(terminalText(text)));
    assertEquals(JSON.parse(escapeJson(JSON.stringify(text))), text);
    assert(isPrintable(escapeJson(JSON.stringify(text))));
  }));
});

Deno.test("duration: milliseconds, then seconds, with few digits", () => {
  assertEquals([0.04, 1.25, 9.99, 42.4, 999, 2_345].map(duration), [
    "0.0 ms",
    "1.3 ms",
    "10.0 ms",
    "42 ms",
    "999 ms",
    "2.3 s",
  ]);
});

Deno.test("describeWaiting: it names the nodes that are missing", () => {
  const [down, two, three] = STATUS.nodes;
  assert(down !== undefined && !down.reachable && two !== undefined && three !== undefined);
  const say = (leader: number | null, ...nodes: (typeof STATUS)["nodes"][number][]): string =>
    describeWaiting({ leader, term: 5, nodes });
  assertEquals(
    [
      say(null, down, two, three),
      say(null, down, { ...down, id: 2, state: "notAnswering" }, three),
      say(null, two, healthy(3, "follower")),
      say(null, down, { ...down, id: 2 }, { ...down, id: null, address: "127.0.0.1:7009" }),
      say(2, down, two, three),
      say(2, two, three),
      say(1, down, two, three),
    ],
    [
      "no leader yet: n1 unreachable, n2 and n3 electing",
      "no leader yet: n1 unreachable, n2 not answering, n3 electing",
      "no leader yet: n2 and n3 electing",
      "no node answers: n1, n2 and 127.0.0.1:7009 unreachable",
      "waiting for leader n2: n1 unreachable",
      "waiting for leader n2",
      "leader n1 does not answer: n1 unreachable",
    ],
  );
});
