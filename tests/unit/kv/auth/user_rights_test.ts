/** Tests of merged rights, against a search through all grants. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { compareKeys, successor } from "../../../../lib/kv/keys.ts";
import { type Grant, type Right, RIGHTS, UserRights } from "../../../../lib/kv/mod.ts";
import { bytes } from "../support.ts";
import { hasKey } from "./naive_auth.ts";
import { anyGrant, anyKey, onPrefix } from "./support.ts";

function naiveAllows(grants: readonly Grant[], right: Right, key: Uint8Array): boolean {
  return grants.some((grant) =>
    (grant.right === right || grant.right === "admin") && hasKey(grant.keys, key)
  );
}

/** Rights change at the bounds of grants only, so a range is allowed if the keys at all bounds in it are. */
function naiveAllowsRange(
  grants: readonly Grant[],
  right: Right,
  [start, end]: readonly [Uint8Array, Uint8Array | null],
): boolean {
  const bounds = grants.flatMap(({ keys }) =>
    keys.kind === "key"
      ? [keys.key, successor(keys.key)]
      : keys.end === null
      ? [keys.start]
      : [keys.start, keys.end]
  );
  const first = start.length === 0 ? Uint8Array.of(0) : start;
  const isWithin = (key: Uint8Array): boolean =>
    compareKeys(key, first) >= 0 && (end === null || compareKeys(key, end) < 0);
  return [first, ...bounds].filter(isWithin).every((key) => naiveAllows(grants, right, key));
}

Deno.test("UserRights: keys and ranges are allowed as by a search through all grants", () => {
  const end = fc.option(anyKey(), { nil: null });
  fc.assert(
    fc.property(fc.array(anyGrant(), { maxLength: 8 }), anyKey(0), end, (grants, start, to) => {
      const rights = new UserRights(grants, { isRoot: false });
      for (const right of RIGHTS) {
        if (start.length > 0) assertEquals(rights.allows(right, start), naiveAllows(grants, right, start));
        assertEquals(rights.allowsRange(right, start, to), naiveAllowsRange(grants, right, [start, to]));
      }
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("UserRights: adjacent and overlapping grants are one range, read and write are independent", () => {
  const rights = new UserRights(
    [onPrefix("read", "a"), onPrefix("read", "b"), onPrefix("read", "bb"), onPrefix("write", "b")],
    { isRoot: false },
  );
  assertEquals(rights.ranges("read").ranges, [{ start: bytes("a"), end: bytes("c") }]);
  assertEquals(rights.allowsRange("read", bytes("a5"), bytes("b5")), true);
  assertEquals(rights.allowsRange("write", bytes("a5"), bytes("b5")), false);
  assertEquals(rights.allowsRange("write", bytes("b"), null), false);
  assertEquals(rights.allows("admin", bytes("b")), false);
});

Deno.test("UserRights: admin includes read and write; only all keys count as all", () => {
  const some = new UserRights([onPrefix("admin", "a")], { isRoot: false });
  assertEquals(RIGHTS.map((right) => some.allows(right, bytes("a"))), [true, true, true]);
  assertEquals(RIGHTS.map((right) => some.allowsAll(right)), [false, false, false]);
  const all = new UserRights([onPrefix("admin", "")], { isRoot: false });
  assertEquals(RIGHTS.map((right) => all.allowsAll(right)), [true, true, true]);
  const inParts = new UserRights([
    { right: "read", keys: { kind: "range", start: Uint8Array.of(0), end: bytes("k") } },
    { right: "read", keys: { kind: "range", start: bytes("k"), end: null } },
  ], { isRoot: false });
  assertEquals(RIGHTS.map((right) => inParts.allowsAll(right)), [true, false, false]);
  const root = new UserRights([], { isRoot: true });
  assertEquals(RIGHTS.map((right) => root.allowsAll(right)), [true, true, true]);
});

Deno.test("UserRights: a key of the greatest length is granted alone", () => {
  const key = new Uint8Array(4_096).fill(7);
  const rights = new UserRights([{ right: "write", keys: { kind: "key", key } }], { isRoot: false });
  assertEquals(rights.allows("write", key), true);
  assertEquals(rights.allows("write", key.subarray(1)), false);
  assertEquals(rights.allowsRange("write", key, null), false);
});
