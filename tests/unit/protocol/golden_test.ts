/**
 * The bytes of one message of each kind, written down: a format that other programs speak must not change unseen.
 *
 * To write down a wanted change: `deno task unit tests/unit/protocol/golden_test.ts -- --update`, then read the diff.
 */
import { assertEquals } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { forEachFormat } from "./formats.ts";

const FOLDER = fromFileUrl(new URL("../../golden/wire", import.meta.url));
const BYTES_PER_LINE = 32;
const update = Deno.args.includes("--update");

forEachFormat((format) => {
  for (const [name, value] of Object.entries(format.samples)) {
    const path = join(FOLDER, `${name}.hex`);
    Deno.test(`the bytes of ${name} are those in its golden file, and mean what they meant`, () => {
      const bytes = format.encode(value);
      if (update) Deno.writeTextFileSync(path, toHex(bytes));
      const golden = Deno.readTextFileSync(path);
      assertEquals(toHex(bytes), golden);
      assertEquals(format.decode(fromHex(golden)), value);
    });
  }
});

function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const [position, byte] of bytes.entries()) {
    const isLast = position === bytes.length - 1 || position % BYTES_PER_LINE === BYTES_PER_LINE - 1;
    text += byte.toString(16).padStart(2, "0") + (isLast ? "\n" : " ");
  }
  return text;
}

function fromHex(text: string): Uint8Array {
  return Uint8Array.from(text.trim().split(/\s+/), (byte) => Number.parseInt(byte, 16));
}
