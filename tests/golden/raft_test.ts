/**
 * Runs every golden script of the consensus core and compares its text with the actual behaviour.
 *
 * To record an intended change: `deno task golden`, then read the diff.
 */
import { assert, assertEquals } from "@std/assert";
import { runScript } from "../support/raft/script.ts";

const folder = new URL("./raft/", import.meta.url);
const update = Deno.args.includes("--update");

const names = [...Deno.readDirSync(folder)].map((file) => file.name).filter((name) => name.endsWith(".txt"))
  .sort();

for (const name of names) {
  Deno.test(`golden: the core behaves as raft/${name} describes`, () => {
    const file = new URL(name, folder);
    const expected = Deno.readTextFileSync(file);
    assert(expected.startsWith("# "), "a script begins with a sentence about its purpose");
    const actual = runScript(expected);
    if (update) Deno.writeTextFileSync(file, actual);
    else assertEquals(actual.split("\n"), expected.split("\n"));
  });
}

Deno.test("golden: scripts for the core exist", () => assert(names.length > 0));
