/** Versionstamps: 10 bytes in the order of revisions. */
import { assertEquals } from "@std/assert";
import { NO_REVISION, revisionOf, versionstampOf } from "../../../../lib/kv/mod.ts";
import { writeVersionstampElement } from "../../../../lib/kv/databases/versionstamp.ts";
import { compareKeys } from "../../../../lib/kv/keys.ts";

Deno.test("versionstampOf: the order is that of revisions, and revisionOf reads it back", () => {
  const revisions = [1, 255, 256, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 1_000_000_000_000, 2 ** 52];
  for (const [position, revision] of revisions.entries()) {
    const versionstamp = versionstampOf(revision);
    assertEquals([versionstamp.length, revisionOf(versionstamp)], [10, revision]);
    const next = revisions[position + 1];
    if (next !== undefined) assertEquals(compareKeys(versionstamp, versionstampOf(next)) < 0, true);
  }
  assertEquals(versionstampOf(247).toHex(), "00000000000000f70000");
});

Deno.test("revisionOf: a versionstamp that no write has is no revision", () => {
  for (
    const hex of [
      "00000000000000000000",
      "ffffffffffffffffffff",
      "00000000000000f70001",
      "00200000000000000000",
    ]
  ) {
    assertEquals(revisionOf(Uint8Array.fromHex(hex)), NO_REVISION, hex);
  }
});

Deno.test("writeVersionstampElement: a string element of the 20 digits, as Deno's commitVersionstamp() reads back", () => {
  const key = new Uint8Array(24);
  writeVersionstampElement(key, 1, 247);
  // Deno 2.9.6: ["cv", commitVersionstamp()] is listed as ["cv", "00000000000000f70000"].
  const text = Array.from("00000000000000f70000", (digit) => digit.charCodeAt(0));
  assertEquals(key, Uint8Array.of(0, 2, ...text, 0, 0));
});
