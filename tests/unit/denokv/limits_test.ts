/** The limits of Deno KV: what a limit allows is taken, and one more is refused with Deno's words. */
import { assertEquals, assertThrows } from "@std/assert";
import type { AtomicWrite, Check, Mutation, ReadRange } from "../../../lib/denokv/datapath.ts";
import { checkRead, checkWrite } from "../../../lib/denokv/limits.ts";
import { WebError } from "../../../lib/web/mod.ts";

const RANGE: ReadRange = { start: Uint8Array.of(1), end: Uint8Array.of(2), limit: 1, reverse: false };
const CHECK: Check = { key: Uint8Array.of(1), versionstamp: new Uint8Array(0) };
const NONE = new Uint8Array(0);

function set(keyBytes: number, valueBytes: number): Mutation {
  const value = { data: new Uint8Array(valueBytes), encoding: 3 };
  return {
    key: new Uint8Array(keyBytes),
    value,
    type: 1,
    expireAtMs: 0,
    sumMin: NONE,
    sumMax: NONE,
    sumClamp: false,
  };
}

function write(parts: Partial<AtomicWrite>): AtomicWrite {
  return { checks: [], mutations: [], enqueues: 0, ...parts };
}

function times<T>(count: number, value: T): T[] {
  return Array.from({ length: count }, () => value);
}

const READS: Readonly<
  Record<string, readonly [allowed: readonly ReadRange[], refused: readonly ReadRange[]]>
> = {
  "Too many ranges (max 100)": [times(100, RANGE), times(101, RANGE)],
  "Too many entries (max 1000)": [
    [{ ...RANGE, limit: 999 }, RANGE],
    [{ ...RANGE, limit: 999 }, { ...RANGE, limit: 2 }],
  ],
  "limit must be greater than 0": [[], [{ ...RANGE, limit: 0 }]],
  "Key too large for read (max 2049 bytes)": [
    [{ ...RANGE, start: new Uint8Array(2_049), end: new Uint8Array(2_049) }],
    [{ ...RANGE, end: new Uint8Array(2_050) }],
  ],
};

for (const [message, [allowed, refused]] of Object.entries(READS)) {
  Deno.test(`limits of a read: ${message}`, () => {
    checkRead({ ranges: allowed });
    const error = assertThrows(() => checkRead({ ranges: refused }), WebError);
    assertEquals([error.status, error.message], [400, message]);
  });
}

const WRITES: Readonly<
  Record<string, readonly [allowed: Partial<AtomicWrite>, refused: Partial<AtomicWrite>]>
> = {
  "Enqueue operations are not supported in KV Connect": [{}, { enqueues: 1 }],
  "Too many checks (max 100)": [{ checks: times(100, CHECK) }, { checks: times(101, CHECK) }],
  "Too many mutations (max 1000)": [{ mutations: times(1_000, set(1, 0)) }, {
    mutations: times(1_001, set(1, 0)),
  }],
  "Key too large for read (max 2049 bytes)": [
    { checks: [{ ...CHECK, key: new Uint8Array(2_049) }] },
    { checks: [{ ...CHECK, key: new Uint8Array(2_050) }] },
  ],
  "Invalid check: a versionstamp has 10 bytes": [
    { checks: [{ ...CHECK, versionstamp: new Uint8Array(10) }] },
    { checks: [{ ...CHECK, versionstamp: new Uint8Array(1) }] },
  ],
  "key cannot be empty": [{ mutations: [set(1, 0)] }, { mutations: [set(0, 1)] }],
  "Key too large for write (max 2048 bytes)": [{ mutations: [set(2_048, 0)] }, {
    mutations: [set(2_049, 0)],
  }],
  "Value too large (max 65536 bytes)": [{ mutations: [set(1, 65_536)] }, { mutations: [set(1, 65_537)] }],
  "Total mutation size too large (max 819200 bytes)": [
    { mutations: times(16, set(1_200, 50_000)) },
    { mutations: [...times(16, set(1_200, 50_000)), set(1, 0)] },
  ],
  "Total key size too large (max 81920 bytes)": [
    { mutations: times(40, set(2_048, 1)) },
    { mutations: [...times(40, set(2_048, 1)), set(1, 1)] },
  ],
};

for (const [message, [allowed, refused]] of Object.entries(WRITES)) {
  Deno.test(`limits of a commit: ${message}`, () => {
    checkWrite(write(allowed));
    const error = assertThrows(() => checkWrite(write(refused)), WebError);
    assertEquals([error.status, error.message], [400, message]);
  });
}
