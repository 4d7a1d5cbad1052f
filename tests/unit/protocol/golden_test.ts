/**
 * The bytes of one message of each kind, in `tests/golden/wire`, and their values, in `tests/golden/wire.txt`: a format
 * that other programs use must not change unnoticed.
 *
 * To add the files of a new frame, or to accept a change: `deno task golden`, then
 * read the diff.
 */
import { assertEquals } from "@std/assert";
import { dirname, join } from "@std/path";
import { describe, kindsIn, kindsOf, samplesOf } from "../../support/frames/samples.ts";
import { forEachFormat, type Format, GOLDEN_FOLDER, goldenBytes, goldenSamples } from "./formats.ts";

const MEANINGS = join(dirname(GOLDEN_FOLDER), "wire.txt");
const BYTES_PER_LINE = 32;
const CUSTOM = {
  entries: [{ index: 8, term: 7, kind: "noop", data: new Uint8Array() }],
  embeddedCommand: { kind: "grantLease", session: null, leaseId: 2, ttlMs: 3_000 },
};
const update = Deno.args.includes("--update");

if (update) {
  forEachFormat(writeMissing);
  Deno.writeTextFileSync(MEANINGS, [...meanings()].map(([name, text]) => `${name}: ${text}\n`).join(""));
}

const expected = new Map(
  [...Deno.readTextFileSync(MEANINGS).matchAll(/^(\w+): ([^]*?)\n(?=\w|$(?![^]))/gm)]
    .map(([, name = "", text = ""]) => [name, text]),
);

forEachFormat((format) => {
  for (const [name, value] of goldenSamples(format)) {
    Deno.test(`golden file ${name}: decodes to the recorded value, which encodes to the same bytes`, () => {
      assertEquals(describe(value), expected.get(name));
      assertEquals(toHex(format.encode(value)), toHex(goldenBytes(name)));
    });
  }

  const { shape } = format;
  if (shape !== null) {
    Deno.test(`golden files: every kind of ${format.name} has one`, () => {
      assertEquals(missing(format), [], "write them with -- --update");
    });
  }
});

Deno.test("golden files: each belongs to one format", () => {
  const files = [...Deno.readDirSync(GOLDEN_FOLDER)].map(({ name }) => name.replace(/\.hex$/, "")).sort();
  assertEquals([...meanings().keys()].sort(), files);
});

function meanings(): ReadonlyMap<string, string> {
  const all = new Map<string, string>();
  forEachFormat((format) => {
    for (const [name, value] of goldenSamples(format)) all.set(name, describe(value));
  });
  return all;
}

/** The kinds that no golden file has. */
function missing<T>(format: Format<T>): readonly string[] {
  const seen = new Set([...goldenSamples(format).values()].flatMap((value) => kindsOf(value)));
  return format.shape === null ? [] : kindsIn(format.shape).filter((kind) => !seen.has(kind));
}

/** Writes a golden file of each sample that has a kind which no golden file has. */
function writeMissing<T>(format: Format<T>): void {
  if (format.shape === null) return;
  const lacking = new Set(missing(format));
  for (const { name, value } of samplesOf(format.shape, CUSTOM)) {
    if (!kindsOf(value).some((kind) => lacking.has(kind))) continue;
    // The shape is that of the table that gives the type.
    const bytes = format.encode(value as T);
    assertEquals(format.decode(bytes), value);
    Deno.writeTextFileSync(join(GOLDEN_FOLDER, `${format.prefix}${name}.hex`), toHex(bytes));
  }
}

function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const [position, byte] of bytes.entries()) {
    const isLast = position === bytes.length - 1 || position % BYTES_PER_LINE === BYTES_PER_LINE - 1;
    text += byte.toString(16).padStart(2, "0") + (isLast ? "\n" : " ");
  }
  return text;
}
