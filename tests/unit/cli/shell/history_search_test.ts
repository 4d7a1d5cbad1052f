/** The search of the history at Ctrl-R: what it finds, and with what line each key ends it. */
import { assertEquals } from "@std/assert";
import { HistorySearch } from "../../../../lib/cli/shell/history_search.ts";

const CTRL_R = "\x12";
const LINES = ["get user:2", "put user:1 ada", "list", "put user:1 grace", "put other x"];

/** Returns the search after some keys, and how it ended; null while it goes on. */
function searched(keys: readonly string[]): {
  readonly shown: string;
  readonly end: ReturnType<HistorySearch["take"]>;
} {
  const search = new HistorySearch({ lines: LINES, before: "half a li" });
  let end: ReturnType<HistorySearch["take"]> = null;
  for (const key of keys) end = search.take(key);
  return { shown: `${search.prompt}${search.line}`, end };
}

Deno.test("HistorySearch: it shows the newest line with the text, and at Ctrl-R the next older one", () => {
  const shown = (...keys: readonly string[]): string => searched(keys).shown;
  assertEquals(shown(""), "(reverse-i-search)'': half a li");
  assertEquals(shown(CTRL_R), "(reverse-i-search)'': half a li");
  assertEquals(shown("u"), "(reverse-i-search)'u': get user:2");
  assertEquals(shown("p", "u", "t"), "(reverse-i-search)'put': put user:1 ada");
  assertEquals(shown("put", CTRL_R), "(reverse-i-search)'put': put user:1 grace");
  assertEquals(shown("put", CTRL_R, " o"), "(reverse-i-search)'put o': put other x");
  assertEquals(
    shown("put", CTRL_R, " user:1 a"),
    "(failed reverse-i-search)'put user:1 a': put user:1 grace",
  );
});

Deno.test("HistorySearch: behind the oldest line it fails, and keeps that line", () => {
  assertEquals(searched(["grace", CTRL_R]).shown, "(failed reverse-i-search)'grace': put user:1 grace");
});

Deno.test("HistorySearch: Backspace takes back a character, and begins again with the newest line", () => {
  assertEquals(searched(["puts", "\x7f"]).shown, "(reverse-i-search)'put': put user:1 ada");
  assertEquals(searched(["put", CTRL_R, "\x7f"]).shown, "(reverse-i-search)'pu': put user:1 ada");
  assertEquals(searched(["x", "\x7f", "\x7f"]).shown, "(reverse-i-search)'': half a li");
});

Deno.test("HistorySearch: Enter, arrows and Tab end it with the line found, and are left to the editor", () => {
  for (const key of ["\r", "\n", "\x1b[D", "\x1bOA", "\t", "\x01"]) {
    assertEquals(searched(["ada", `${key}rest`]).end, { line: "put user:1 ada", rest: `${key}rest` });
  }
  assertEquals(searched(["\r"]).end, { line: "half a li", rest: "\r" });
});

Deno.test("HistorySearch: Esc, Ctrl-C and Ctrl-G end it with the line from before", () => {
  for (const key of ["\x1b", "\x03", "\x07"]) {
    assertEquals(searched(["ada", key]).end, { line: "half a li", rest: "" });
  }
});

Deno.test("HistorySearch: text that commands a terminal is not sent to it", () => {
  assertEquals(
    searched(["\u{9b}2J\u{202e}"]).shown,
    "(failed reverse-i-search)'\\xc2\\x9b2J\\xe2\\x80\\xae': half a li",
  );
});
