/** A target for what programs store in Deno KV, and for keys and values that users type. */
import { assert, assertEquals } from "@std/assert";
import { type FuzzTarget, texts, unrepaired } from "./target.ts";
import { keyOfText, keyText } from "../../lib/cli/denokv/key_text.ts";
import { parseLiteral } from "../../lib/cli/denokv/literal.ts";
import { readableValue, storedValue } from "../../lib/cli/denokv/values.ts";
import { UsageError } from "../../lib/cli/errors.ts";
import { isPrintable } from "../../lib/cli/text.ts";

function run(input: Uint8Array<ArrayBuffer>): Promise<void> {
  const key = keyText(input);
  assert(isPrintable(key) && !key.includes("\n"), "a key is shown on one line");
  assertEquals(keyOfText(key), new Uint8Array(input), "the text of a key leads back to it");
  const { text } = readableValue(input);
  assert(isPrintable(text) && !text.includes("\n"), "a value is shown on one line");
  try {
    readableValue(storedValue(parseLiteral(new TextDecoder().decode(input))));
  } catch (refusal) {
    if (!(refusal instanceof UsageError)) throw refusal;
  }
  return Promise.resolve();
}

/** Keys and values as bytes, and as text. */
export const DENOKV_ENTRIES: FuzzTarget = {
  name: "denokv_entries",
  promise: "any bytes have a text on one line, and that of a key leads back to the same bytes",
  tokens: [
    Uint8Array.of(1, 0xff, 15),
    Uint8Array.of(1, 0xff, 16),
    Uint8Array.of(0, 0xff),
    Uint8Array.of(0x1d, 9),
    Uint8Array.of(0x0b, 0xf6),
    Uint8Array.of(0x21),
    ...texts(
      "o",
      "A",
      "a",
      "{",
      "$",
      ";",
      "Z",
      "B",
      "V",
      "^",
      "r",
      "R",
      '"',
      "c",
      "[",
      "17n",
      "-0",
      "\\u{",
      "new Uint8Array([",
    ),
  ],
  repair: unrepaired,
  run,
};
