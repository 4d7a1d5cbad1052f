/** The paged store at its limits: sizes of keys and values, what compaction frees, and what views keep. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { equals } from "@std/bytes";
import { checkStore } from "../../../../lib/kv/pages/check_store.ts";
import { PagedStore } from "../../../../lib/kv/pages/paged_store.ts";
import { StoreLoader, StoreLoadError } from "../../../../lib/kv/pages/store_loader.ts";
import { resultOf } from "../../../../lib/kv/state_records.ts";
import { InvariantError } from "../../../../lib/platform/assert.ts";
import { SeededRandom } from "../../../support/seeded_random.ts";
import { bytesOf, textOf } from "./store_model.ts";

const ALL = { lower: null, upper: null, reverse: false } as const;
const MIB = 1_048_576;

function keysOf(store: PagedStore, reverse = false): string[] {
  const keys: string[] = [];
  const cursor = store.scan({ ...ALL, reverse });
  for (let address = cursor.next(); address !== 0; address = cursor.next()) {
    keys.push(textOf(store.records.key(address)));
  }
  return keys;
}

Deno.test("PagedStore: keys of up to 4,096 bytes that differ in their last byte are distinguished, split and merged", () => {
  const store = new PagedStore();
  const long = "k".repeat(4_094);
  const keys: string[] = [];
  for (let number = 0; number < 2_000; number++) {
    keys.push(long + String.fromCharCode(number >>> 8, number & 0xff));
  }
  let revision = 0;
  for (const key of keys.toSorted((a, b) => a.charCodeAt(4_095) - b.charCodeAt(4_095))) {
    store.put(bytesOf(key), bytesOf("v"), ++revision);
  }
  using view = store.view();
  assertEquals(keysOf(store), keys);
  assertEquals(keysOf(store, true), keys.toReversed());
  for (const key of keys.filter((_, number) => number % 3 > 0)) store.delete(bytesOf(key), ++revision);
  checkStore(store);
  assertEquals(keysOf(store), keys.filter((_, number) => number % 3 === 0));
  assertEquals(view.size, keys.length);
  assertEquals(store.count({ lower: bytesOf(long), upper: bytesOf(keys[300] ?? "") }), 100);
});

Deno.test("PagedStore: a key, the same key followed by zeros, and the least and greatest keys are in the order of bytes", () => {
  const store = new PagedStore();
  const keys = ["\0", "\0\0", "a", "a\0", "a\0\0", "a\0\x01", "a\x01", "b", "\u00ff", "\u00ff\u00ff"];
  for (const [position, key] of keys.toReversed().entries()) {
    store.put(bytesOf(key), bytesOf(key), position + 1);
  }
  assertEquals(keysOf(store), keys);
  assertEquals(store.count({ lower: bytesOf("a"), upper: bytesOf("a\0\x01") }), 3);
  assertEquals(store.count({ lower: bytesOf("b"), upper: bytesOf("a") }), 0, "an end before the start");
  assertEquals(store.get(bytesOf("a\0\0\0")), 0);
});

Deno.test("PagedStore: values from 0 bytes to 1 MiB are read as they were at each revision", () => {
  const store = new PagedStore();
  const key = bytesOf("key");
  const sizes = [0, 1, 255, 4_096, 32_700, 32_733, 32_734, 32_800, 65_536, MIB];
  for (const [position, size] of sizes.entries()) {
    store.put(key, new Uint8Array(size).fill(position), position + 1);
    checkStore(store);
  }
  for (const [position, size] of sizes.entries()) {
    const value = store.records.value(store.getAt(key, position + 1));
    assert(equals(value, new Uint8Array(size).fill(position)), `${size} bytes`);
  }
  store.compact(sizes.length);
  store.delete(key, sizes.length + 1);
  store.compact(sizes.length + 1);
  while (!store.reclaim(100));
  checkStore(store);
  assertEquals(store.usage.liveBytes, 2 * 4_096, "the roots of two trees");
});

Deno.test("PagedStore: a version above 2^32 still increases by one", () => {
  const loader = new StoreLoader({ revision: 2 ** 40, compactedRevision: 2 ** 40 });
  const version = 2 ** 32 - 1;
  loader.addPresent(bytesOf("key"), bytesOf("v"), {
    createRevision: 5,
    modRevision: 2 ** 40,
    version,
    order: 0,
  });
  const store = resultOf(loader.finishing());
  for (let step = 1; step <= 3; step++) {
    const address = store.put(bytesOf("key"), bytesOf("w"), 2 ** 40 + step);
    assertEquals(store.records.version(address), version + step);
  }
  checkStore(store);
});

Deno.test("PagedStore: overwriting within a bounded history does not increase memory, with or without views", () => {
  const store = new PagedStore();
  const random = new SeededRandom(5);
  let revision = 0;
  let high = 0;
  const overwrite = (changes: number): void => {
    for (let change = 0; change < changes; change++) {
      store.tidy();
      store.put(bytesOf(`key ${random.below(5_000)}`), new Uint8Array(random.below(700)), ++revision);
      if (change % 100 === 0) store.compact(Math.max(store.compactedRevision, store.revisionToKeep(MIB)));
      if (change === 7_000) store.view().release();
    }
  };
  overwrite(50_000);
  high = store.usage.regionBytes;
  overwrite(150_000);
  assert(store.historyBytes <= MIB + 100 * 1_000);
  assert(store.usage.regionBytes <= high * 1.1, `${store.usage.regionBytes} bytes after ${high}`);
  checkStore(store);
});

Deno.test("PagedStore: when most keys are deleted their memory is released", () => {
  const store = new PagedStore();
  const random = new SeededRandom(6);
  let revision = 0;
  for (let number = 0; number < 60_000; number++) {
    const attached = number % 10 === 0 ? { leaseId: number + 1, expiresAtMs: number + 2 } : undefined;
    store.put(bytesOf(`key ${number}`), new Uint8Array(1_000).fill(number), ++revision, attached);
  }
  const full = store.usage.regionBytes;
  for (let number = 0; number < 60_000; number++) {
    if (random.chance(0.1)) continue;
    store.tidy();
    store.delete(bytesOf(`key ${number}`), ++revision);
    store.compact(revision);
  }
  for (let round = 0; round < 20_000; round++) {
    store.tidy();
    store.put(bytesOf("other"), new Uint8Array(1_000), ++revision);
    store.compact(revision);
  }
  checkStore(store);
  let { regionBytes, liveBytes } = store.usage;
  for (const { usage } of Object.values(store.indexes)) {
    // An index keeps what it has reserved up to this size, however few keys are left; it has a heap of its own.
    assert(usage.regionBytes <= 4 * MIB, `${usage.regionBytes} bytes of an index`);
    regionBytes -= usage.regionBytes;
    liveBytes -= usage.liveBytes;
  }
  assert(regionBytes <= liveBytes * 1.25 + 8 * MIB, `${regionBytes} of ${full} bytes for ${liveBytes}`);
  const cursor = store.scan(ALL);
  for (let address = cursor.next(); address !== 0; address = cursor.next()) {
    const number = Number(textOf(store.records.key(address)).slice(4));
    const value = store.records.value(address);
    assert(Number.isNaN(number) || equals(value, new Uint8Array(1_000).fill(number)), `key ${number}`);
  }
});

Deno.test("PagedStore: moving versions that the history names together updates the addresses of their events", () => {
  const store = new PagedStore();
  const value = new Uint8Array(1_000);
  let revision = 0;
  const deleteWhere = (isDeleted: (number: number) => boolean): void => {
    for (let number = 0; number < 60_000; number++) {
      if (isDeleted(number) && store.delete(bytesOf(`key ${number}`), revision + 1)) revision++;
    }
  };
  for (let number = 0; number < 60_000; number++) store.put(bytesOf(`key ${number}`), value, ++revision);
  deleteWhere((number) => number % 4 === 0);
  store.compact(revision);
  while (!store.reclaim(1_000));
  deleteWhere((number) => number % 8 !== 1);
  const compactTo = revision;
  // These take the cells that are free between versions that the next compaction frees.
  for (let number = 0; number < 3_000; number++) {
    store.put(bytesOf(`a later key ${number}`), value, ++revision);
  }
  const addresses = new Set<number>();
  const addressOf = (number: number): number => store.get(bytesOf(`a later key ${number}`));
  for (let number = 0; number < 3_000; number++) addresses.add(addressOf(number));
  store.compact(compactTo);
  while (!store.reclaim(1_000));
  for (let change = 0; change < 20_000; change++) {
    store.tidy();
    store.put(bytesOf("other"), new Uint8Array(0), ++revision);
  }
  let moved = 0;
  for (let number = 0; number < 3_000; number++) if (!addresses.has(addressOf(number))) moved++;
  assert(moved > 0, `${moved} versions were moved`);
  checkStore(store);
});

Deno.test("PagedStore: deleting an absent key changes nothing, and neither does a second compaction", () => {
  const store = new PagedStore();
  store.put(bytesOf("a"), bytesOf("1"), 1);
  assertEquals(store.delete(bytesOf("b"), 2), false);
  assertEquals([store.revision, store.eventCount], [1, 1]);
  store.compact(1);
  store.compact(0);
  assertEquals([store.compactedRevision, store.eventCount, store.historyBytes], [1, 0, 0]);
});

Deno.test("PagedStore: a view keeps its state until it is released; then reading its events is an error", () => {
  const store = new PagedStore();
  for (let revision = 1; revision <= 10; revision++) {
    store.put(bytesOf("a"), bytesOf(`${revision}`), revision);
  }
  const view = store.view();
  const value = view.records.value(view.get(bytesOf("a")));
  store.delete(bytesOf("a"), 11);
  store.compact(11);
  while (!store.reclaim(10));
  for (let revision = 12; revision < 50; revision++) store.put(bytesOf("b"), bytesOf("x"), revision);
  assertEquals(textOf(value), "10");
  assertEquals(textOf(view.records.value(view.getAt(bytesOf("a"), 3))), "3");
  assertEquals([...view.versions(bytesOf("a"))].length, 10);
  assertThrows(() => store.put(bytesOf("c"), bytesOf("y"), 8), InvariantError, "revisions do not fall");
  view.release();
  view.release();
  assertThrows(() => view.eventsFrom(1), InvariantError, "not read after its release");
  assertEquals(store.viewCount, 0);
});

Deno.test("PagedStore: a value that was read stays unchanged until tidy, after any changes and compactions", () => {
  const store = new PagedStore();
  let revision = 0;
  for (let number = 0; number < 100; number++) {
    store.put(bytesOf(`${number}`), bytesOf(`v${number}`), ++revision);
  }
  const value = store.keyValue(store.get(bytesOf("7"))).value;
  for (let round = 0; round < 10; round++) {
    for (let number = 0; number < 100; number++) {
      store.put(bytesOf(`${number}`), bytesOf("other"), ++revision);
    }
    store.compact(revision);
  }
  assertEquals(textOf(value), "v7");
  store.tidy();
  assertEquals(store.records.count, 100);
  checkStore(store);
});

Deno.test("PagedStore: the revision that keeps a number of bytes is the lowest that does", () => {
  const store = new PagedStore();
  for (let revision = 1; revision <= 5_000; revision++) {
    store.put(bytesOf(`key ${revision % 10}`), new Uint8Array(100), revision);
  }
  const total = store.historyBytes;
  assertEquals(total, 5_000 * 8 + 4_990 * (32 + 5 + 100));
  assertEquals(store.revisionToKeep(total), 0);
  assertEquals(store.revisionToKeep(total - 1), 1);
  const revision = store.revisionToKeep(100_000);
  store.compact(revision);
  assert(store.historyBytes <= 100_000 && store.historyBytes > 100_000 - 145);
});

Deno.test("StoreLoader: a snapshot whose versions are inconsistent is refused with the reason", () => {
  const put = { createRevision: 3, modRevision: 3, version: 1, order: 0 };
  const key = bytesOf("k");
  const cases: [string, (loader: StoreLoader) => void][] = [
    ["no version is above the revision", (loader): void => {
      loader.addPresent(key, key, { ...put, createRevision: 4, modRevision: 4 });
    }],
    ["the versions of a revision are numbered from 0", (loader): void => {
      loader.addPresent(key, key, { ...put, order: 1 });
    }],
    ["each place in the history has one version", (loader): void => {
      loader.addPresent(key, key, put);
      loader.addPresent(bytesOf("l"), key, put);
    }],
    ["the previous version of one in the history is in the snapshot", (loader): void => {
      loader.addPresent(key, key, { ...put, version: 2, createRevision: 1 });
    }],
    ["a tombstone is above the compacted revision", (loader): void => {
      loader.addTombstone(key, { modRevision: 2, order: 0 });
    }],
    ["a key is present or deleted", (loader): void => {
      loader.addPresent(key, key, { ...put, createRevision: 1, modRevision: 1 });
      loader.addTombstone(key, { modRevision: 3, order: 0 });
      loader.addSuperseded(key, key, { ...put, createRevision: 1, modRevision: 1, successor: put });
    }],
    ["a version supersedes one of the same key", (loader): void => {
      loader.addPresent(key, key, { ...put, version: 2, createRevision: 1 });
      loader.addSuperseded(bytesOf("l"), key, { ...put, createRevision: 1, modRevision: 1, successor: put });
    }],
    ["a key's version counts its puts", (loader): void => {
      loader.addPresent(key, key, { ...put, version: 3, createRevision: 1 });
      loader.addSuperseded(key, key, { ...put, createRevision: 1, modRevision: 1, successor: put });
    }],
    ["a version supersedes one other", (loader): void => {
      loader.addPresent(key, key, { ...put, version: 2, createRevision: 1 });
      const before = { ...put, createRevision: 1, modRevision: 1, successor: put };
      loader.addSuperseded(key, key, before);
      loader.addSuperseded(key, key, before);
    }],
    ["a place in the history is above the compacted revision", (loader): void => {
      loader.addPresent(key, key, put);
      loader.addSuperseded(key, key, { ...put, modRevision: 1, successor: { modRevision: 2, order: 0 } });
    }],
  ];
  for (const [reason, add] of cases) {
    const loader = new StoreLoader({ revision: 3, compactedRevision: 2 });
    assertThrows(
      () => {
        add(loader);
        resultOf(loader.finishing());
      },
      StoreLoadError,
      reason,
    );
  }
});
