/**
 * A program with Deno's own KV, run with `--unstable-kv`: sets the keys that its standard input has as expressions of
 * JavaScript, one a line, in a new database file, and prints for each key, in the order of Deno's list, the line number
 * and the bytes in the file.
 */
// deno-lint-ignore-file no-console no-eval -- a program prints its result; the test wrote the expressions
import { DatabaseSync } from "node:sqlite";

/** Mutations of a commit; Deno allows 1,000. */
const BATCH = 500;

const [path = ""] = Deno.args;
const lines = (await new Response(Deno.stdin.readable).text()).split("\n").filter((line) => line !== "");
{
  using kv = await Deno.openKv(path);
  for (let start = 0; start < lines.length; start += BATCH) {
    const commit = kv.atomic();
    for (const [offset, line] of lines.slice(start, start + BATCH).entries()) {
      const key: Deno.KvKey = eval(line);
      commit.set(key, start + offset);
    }
    await commit.commit();
  }
  const file = new DatabaseSync(path, { readOnly: true });
  const rows = file.prepare("select k from kv order by k").all();
  let row = 0;
  for await (const { value } of kv.list<number>({ prefix: [] })) {
    const bytes = rows[row]?.["k"];
    console.log(`${value} ${bytes instanceof Uint8Array ? bytes.toHex() : ""}`);
    row += 1;
  }
  file.close();
}
