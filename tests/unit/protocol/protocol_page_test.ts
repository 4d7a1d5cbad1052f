/** docs/protocol.md shows bytes: they must be those of the golden files. */
import { assertEquals } from "@std/assert";
import { FRAME_KIND } from "../../support/frames/kinds.ts";

const page = Deno.readTextFileSync(new URL("../../../docs/protocol.md", import.meta.url));
const wire = new URL("../../golden/wire/", import.meta.url);

/** The examples of the page: the name of a golden file, and the bytes shown. */
const examples = [...page.matchAll(/<!-- wire: (\w+) -->\n\n((?: {4}.*\n)+)/g)]
  .map(([, name = "", shown = ""]) => ({ name, shown: shown.replaceAll(/^ {4}/gm, "") }));

Deno.test("docs/protocol.md: every example has the bytes of its golden file", () => {
  const golden = examples.map(({ name }) => ({
    name,
    shown: Deno.readTextFileSync(new URL(`${name}.hex`, wire)),
  }));
  assertEquals(examples, golden);
});

Deno.test("docs/protocol.md: every request and every message to clients has an example", () => {
  const shown = new Set(examples.map(({ name }) => name));
  const missing = Object.entries(FRAME_KIND).filter(([name, kind]) => kind >= 40 && !shown.has(name));
  assertEquals(missing, []);
});
