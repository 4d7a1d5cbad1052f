/** Tests of permissions as etcd's clients see them. */
import { assertEquals, assertThrows } from "@std/assert";
import {
  changesOf,
  grantedKeysOf,
  grantsOver,
  permissionsOf,
} from "../../../../lib/etcd/auth/permissions.ts";
import { EtcdError } from "../../../../lib/etcd/rpc/status.ts";
import type { GrantedKeys, Right } from "../../../../lib/kv/auth/auth_command.ts";

const NONE = new Uint8Array(0);
const ZERO = Uint8Array.of(0);
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const range = (start: string, end: string | null): GrantedKeys => ({
  kind: "range",
  start: bytes(start),
  end: end === null ? null : bytes(end),
});
const grants = (keys: GrantedKeys, ...rights: readonly Right[]) => rights.map((right) => ({ right, keys }));

Deno.test("permissions: a key, a range, the keys from one on, and all keys", () => {
  const cases: readonly (readonly [Uint8Array, Uint8Array, GrantedKeys])[] = [
    [bytes("a"), NONE, { kind: "key", key: bytes("a") }],
    [bytes("a"), bytes("b"), range("a", "b")],
    [bytes("a"), ZERO, range("a", null)],
    [ZERO, ZERO, range("", null)],
    [ZERO, NONE, { kind: "key", key: ZERO }],
  ];
  for (const [key, rangeEnd, keys] of cases) assertEquals(grantedKeysOf({ key, rangeEnd }), keys);
});

Deno.test("permissions: keys that etcd refuses are refused with its text", () => {
  const cases = [[NONE, NONE], [NONE, ZERO], [NONE, bytes("a")], [bytes("b"), bytes("a")], [
    bytes("a"),
    bytes("a"),
  ]] as const;
  for (const [key, rangeEnd] of cases) {
    assertThrows(() => grantedKeysOf({ key, rangeEnd }), EtcdError, "etcdserver: invalid auth management");
  }
  assertThrows(() => grantedKeysOf({ key: new Uint8Array(4_097), rangeEnd: NONE }), EtcdError, "4096");
});

Deno.test("permissions: one over keys replaces another one over the same keys", () => {
  const keys = range("a", "b");
  const of = (permType: number) => changesOf({ permType, key: bytes("a"), rangeEnd: bytes("b") });
  assertEquals(of(0), { added: grants(keys, "read"), removed: grants(keys, "write", "admin") });
  assertEquals(of(1), { added: grants(keys, "write"), removed: grants(keys, "read", "admin") });
  assertEquals(of(2), { added: grants(keys, "read", "write"), removed: [] });
  assertThrows(() => of(3), EtcdError, "etcdserver: invalid auth management");
  assertEquals(grantsOver(keys), grants(keys, "read", "write", "admin"));
});

Deno.test("permissions: grants of a role over the same keys are one permission", () => {
  const all = range("", null);
  const key: GrantedKeys = { kind: "key", key: bytes("a") };
  const shown = permissionsOf([
    ...grants(range("a", "b"), "read", "write"),
    ...grants(key, "write"),
    ...grants(all, "admin"),
    ...grants(range("b", null), "read"),
  ]);
  assertEquals(shown, [
    { permType: 2, key: ZERO, rangeEnd: ZERO },
    { permType: 1, key: bytes("a") },
    { permType: 2, key: bytes("a"), rangeEnd: bytes("b") },
    { permType: 0, key: bytes("b"), rangeEnd: ZERO },
  ]);
});
