/** The history of the shell in a file: real files, of several shells, damaged, too long, and without secrets. */
import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { denoEnvironment } from "../../../../lib/cli/environment.ts";
import { UsageError } from "../../../../lib/cli/errors.ts";
import { HISTORY_LINES, HistoryFile } from "../../../../lib/cli/shell/history_file.ts";
import { TemporaryFolder } from "../../../support/temporary.ts";

const files = denoEnvironment();

/** Returns `line 1` to `line <count>`, each with its end. */
function text(count: number): string {
  return Array.from({ length: count }, (_, number) => `line ${number + 1}\n`).join("");
}

Deno.test("HistoryFile: a new file and its folders are their owner's alone, and the next shell has the lines", async () => {
  await using temporary = await TemporaryFolder.make();
  const path = `${temporary.path}/state/history`;
  const history = HistoryFile.open(path, files);
  assertEquals(history.lines, []);
  for (const line of ["put a 1", "put a 1", "get a", " get secret", "  ", "put a 1"]) history.add(line);
  assertEquals(Deno.readTextFileSync(path), "put a 1\nget a\nput a 1\n");
  assertEquals((Deno.statSync(path).mode ?? 0) & 0o777, 0o600);
  assertEquals((Deno.statSync(`${temporary.path}/state`).mode ?? 0) & 0o777, 0o700);
  assertEquals(HistoryFile.open(path, files).lines, ["put a 1", "get a"]);
});

Deno.test("HistoryFile: several shells add to one file, and one that starts meanwhile removes none of their lines", async () => {
  await using temporary = await TemporaryFolder.make();
  const path = `${temporary.path}/history`;
  Deno.writeTextFileSync(path, text(990));
  const [one, other] = [HistoryFile.open(path, files), HistoryFile.open(path, files)];
  for (let number = 0; number < 20; number += 1) {
    one.add(`one ${number}`);
    other.add(`other ${number}`);
  }
  const third = HistoryFile.open(path, files); // which shortens the file
  one.add("one behind");
  other.add("other behind");
  assertEquals(third.lines.slice(0, 2), ["other 19", "one 19"]);
  const lines = Deno.readTextFileSync(path).split("\n");
  assertEquals(lines.slice(-3), ["one behind", "other behind", ""]);
  assertEquals(lines.length - 1, HISTORY_LINES + 2);
  assertEquals(lines.filter((line) => /^(?:one|other) \d+$/.test(line)).length, 40);
});

Deno.test("HistoryFile: the oldest lines of a long file are removed when a shell starts, and no others", async () => {
  await using temporary = await TemporaryFolder.make();
  const path = `${temporary.path}/history`;
  Deno.writeTextFileSync(path, text(2 * HISTORY_LINES - 1));
  assertEquals(HistoryFile.open(path, files).lines.length, HISTORY_LINES);
  assertEquals(Deno.readTextFileSync(path), text(2 * HISTORY_LINES - 1));
  Deno.writeTextFileSync(path, text(2 * HISTORY_LINES + 7));
  HistoryFile.open(path, files);
  const kept = Deno.readTextFileSync(path).trimEnd().split("\n");
  assertEquals([kept.length, kept[0], kept.at(-1)], [HISTORY_LINES, "line 508", "line 1007"]);
  assertEquals([...Deno.readDirSync(temporary.path)].map(({ name }) => name), ["history"]);
});

Deno.test("HistoryFile: of a damaged file the lines are used, and a line written in part does not swallow the next", async () => {
  await using temporary = await TemporaryFolder.make();
  const path = `${temporary.path}/history`;
  const encoder = new TextEncoder();
  const parts = [
    "get a\n\n",
    "\x1b]0;owned\x07\nput \u{202e}x\n",
    `${"y".repeat(5_000)}\n`,
    "get b\nput tor",
  ];
  Deno.writeFileSync(path, encoder.encode(parts.join("")));
  Deno.writeFileSync(path, Uint8Array.of(0xff, 0x00, 0x0a), { append: true });
  Deno.writeTextFileSync(path, "put half", { append: true });
  const history = HistoryFile.open(path, files);
  assertEquals(history.lines, ["put half", "get b", "get a"]);
  history.add("get c");
  assertEquals(HistoryFile.open(path, files).lines, ["get c", "put half", "get b", "get a"]);
});

Deno.test("HistoryFile: one that cannot be used is refused at the start, and a full disk is reported once", async () => {
  await using temporary = await TemporaryFolder.make();
  const error = assertThrows(() => HistoryFile.open(temporary.path, files), UsageError);
  assertMatch(error.message, /^Cannot use the history file .*: it is a directory, not a file\.$/);
  let isFull = false;
  const history = HistoryFile.open(`${temporary.path}/history`, {
    ...files,
    appendFile: (path, text) => {
      if (isFull) throw new Error("the disk is full");
      files.appendFile(path, text);
    },
  });
  isFull = true;
  assertMatch(history.add("get a") ?? "", /history: the disk is full\. Further lines are not kept\.$/);
  assertEquals(history.add("get b"), null);
});
