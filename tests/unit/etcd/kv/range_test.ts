/** Range and RangeStream: answers equal those of a simple model, and are encoded and bounded as they must be. */
import fc from "fast-check";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { EncodedEntries, MAX_ANSWER_BYTES, PlainEntries } from "../../../../lib/etcd/kv/range/answer.ts";
import { encodeEntries } from "../../../../lib/etcd/kv/range/entry_output.ts";
import { rangeMethod } from "../../../../lib/etcd/kv/range/range.ts";
import { readRange } from "../../../../lib/etcd/kv/range/read.ts";
import { MAX_SORTED_BYTES, SortedRuns } from "../../../../lib/etcd/kv/range/sorted_runs.ts";
import { MAX_LARGE_ANSWERS, MAX_WAITING, Turns } from "../../../../lib/etcd/kv/range/turns.ts";
import { RANGE_REQUEST, RANGE_RESPONSE, SORT_ORDER, SORT_TARGET } from "../../../../lib/etcd/messages/kv.ts";
import type { GivenOf, MessageOf } from "../../../../lib/etcd/protobuf/message.ts";
import { etcdKeyValue } from "../../../../lib/etcd/revisions.ts";
import type { Call, MessageParts } from "../../../../lib/etcd/rpc/method.ts";
import { EtcdError } from "../../../../lib/etcd/rpc/status.ts";
import { compareKeys, type KeyValue } from "../../../../lib/kv/mod.ts";
import type { MethodsOnStore } from "../../../support/etcd/methods_on_store.ts";
import { SeededRandom } from "../../../support/seeded_random.ts";
import { bytes } from "../../kv/support.ts";
import { KV, openKv, path, text } from "./support.ts";

type Request = GivenOf<typeof RANGE_REQUEST>;
type Entry = MessageOf<typeof RANGE_RESPONSE>["kvs"][number];

/** More than a page of the cluster. */
const KEYS = 1_050;
const LEASE = 77;

/** Writes keys of random versions, of which some are attached to a lease; returns the entries by revision, as etcd has them. */
function fill({ store }: MethodsOnStore): ReadonlyMap<number, readonly Entry[]> {
  const random = new SeededRandom(5);
  store.apply({ kind: "grantLease", session: null, leaseId: LEASE, ttlMs: 2 ** 40 });
  const write = (keys: readonly number[]): void => {
    const mutations = keys.map((key) => ({
      kind: "expiringPut",
      key: bytes(`k${String(key).padStart(4, "0")}`),
      value: bytes(`v${random.below(50)}`),
      leaseId: key % 2 === 0 ? LEASE : null,
      expiresAtMs: key % 2 === 0 ? null : 2 ** 50,
    } as const));
    store.apply({ kind: "transaction", session: null, checks: [], mutations });
  };
  const all = Array.from({ length: KEYS }, (_, key) => key);
  for (let first = 0; first < KEYS; first += 100) write(all.slice(first, first + 100));
  const states = new Map<number, readonly Entry[]>();
  const remember = (): void => {
    const query = {
      prefix: bytes(""),
      start: null,
      end: null,
      after: null,
      reverse: false,
      limit: 10_000,
    };
    const { entries } = store.machine.list(query);
    states.set(store.machine.revision + 1, entries.map((entry) => entryOf(structuredClone(entry))));
  };
  remember();
  for (let round = 0; round < 8; round++) {
    write([...new Set(Array.from({ length: 20 }, () => random.below(KEYS + 200)))]);
    const key = bytes(`k${String(random.below(KEYS)).padStart(4, "0")}`);
    store.apply({ kind: "transaction", session: null, checks: [], mutations: [{ kind: "delete", key }] });
    remember();
  }
  return states;
}

function entryOf(entry: KeyValue): Entry {
  return {
    lease: 0n,
    ...RANGE_RESPONSE.decode(RANGE_RESPONSE.encode({ kvs: [etcdKeyValue(entry)] })).kvs[0],
  } as Entry;
}

/** Returns the answer of a simple model. */
function modelOf(request: Request, entries: readonly Entry[], present: number): unknown {
  const { key = bytes(""), rangeEnd = bytes(""), limit = 0, sortOrder = 0, sortTarget = 0 } = request;
  const isAll = rangeEnd.length === 1 && rangeEnd[0] === 0;
  const inRange = entries.filter((one) =>
    rangeEnd.length === 0
      ? compareKeys(one.key, key) === 0
      : compareKeys(one.key, key) >= 0 && (isAll || compareKeys(one.key, rangeEnd) < 0)
  );
  const { minModRevision = 0, maxModRevision = 0, minCreateRevision = 0, maxCreateRevision = 0 } = request;
  let found = inRange.filter((one) =>
    (minModRevision === 0 || one.modRevision >= minModRevision) &&
    (maxModRevision === 0 || one.modRevision <= maxModRevision) &&
    (minCreateRevision === 0 || one.createRevision >= minCreateRevision) &&
    (maxCreateRevision === 0 || one.createRevision <= maxCreateRevision)
  );
  const orders: Readonly<Record<number, (a: Entry, b: Entry) => number>> = {
    [SORT_TARGET.key]: (a, b) => compareKeys(a.key, b.key),
    [SORT_TARGET.version]: (a, b) => a.version - b.version,
    [SORT_TARGET.create]: (a, b) => a.createRevision - b.createRevision,
    [SORT_TARGET.mod]: (a, b) => a.modRevision - b.modRevision,
    [SORT_TARGET.value]: (a, b) => compareKeys(a.value, b.value),
  };
  const order = orders[sortTarget] ?? (() => 0);
  found = found.toSorted(sortOrder === SORT_ORDER.descend ? (a, b) => order(b, a) : order);
  const more = limit > 0 && found.length > limit;
  const kept = request.countOnly === true ? [] : more ? found.slice(0, limit) : found;
  return {
    revision: present,
    kvs: kept.map((one) => textOf(one, { keysOnly: request.keysOnly === true, sortTarget })),
    more: more && request.countOnly !== true,
    count: inRange.length,
  };
}

function answered({ header, kvs, more, count }: MessageOf<typeof RANGE_RESPONSE>): unknown {
  const fields = { keysOnly: false, sortTarget: 0 };
  return { revision: header?.revision, kvs: kvs.map((one) => textOf(one, fields)), more, count };
}

/** Returns an entry as a text: thousands of them are compared. */
function textOf(
  { key, value, createRevision, modRevision, version, lease }: Entry,
  { keysOnly, sortTarget }: { readonly keysOnly: boolean; readonly sortTarget: number },
): string {
  const hasLease = !keysOnly || sortTarget === SORT_TARGET.value;
  return [text(key), keysOnly ? "" : text(value), createRevision, modRevision, version, hasLease ? lease : 0n]
    .join();
}

Deno.test("Range: random requests have the answers of a simple model, at the present and at past revisions", async () => {
  await using kv = await openKv();
  const states = fill(kv);
  const present = kv.store.machine.revision + 1;
  const anyKey = fc.nat(KEYS + 300).map((key) => bytes(`k${String(key).padStart(4, "0")}`));
  const anyRevision = fc.constantFrom(0, -1, ...states.keys());
  const anyFilter = fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.nat(present));
  const anyRequest = fc.record({
    key: fc.oneof(anyKey, fc.constant(bytes("\0"))),
    rangeEnd: fc.oneof(anyKey, fc.constant(bytes("\0")), fc.constant(bytes(""))),
    limit: fc.constantFrom(0, 0, 1, 3, 999, 1_000, 1_001, 1_040, -1),
    revision: anyRevision,
    sortOrder: fc.constantFrom(0, 0, 1, 2),
    sortTarget: fc.constantFrom(0, 0, 1, 2, 3, 4),
    serializable: fc.boolean(),
    keysOnly: fc.boolean(),
    countOnly: fc.constantFrom(false, false, true),
    minModRevision: anyFilter,
    maxModRevision: anyFilter,
    minCreateRevision: anyFilter,
    maxCreateRevision: anyFilter,
  });
  await fc.assert(
    fc.asyncProperty(anyRequest, async (request) => {
      const entries = states.get(request.revision <= 0 ? present : request.revision) ?? [];
      const answer = await kv.ask(path("Range"), KV.Range, request);
      assertEquals(answered(answer), modelOf(request, entries, present));
    }),
    { numRuns: 100 },
  );
});

Deno.test("RangeStream: 10, 20, 40 … entries of one revision, and the header, count and more at last", async () => {
  await using kv = await openKv();
  const states = fill(kv);
  const present = kv.store.machine.revision + 1;
  const entries = states.get(present) ?? [];
  const all = { key: bytes("\0"), rangeEnd: bytes("\0") };
  const streamed = async (given: Request): Promise<readonly MessageOf<typeof RANGE_RESPONSE>[]> => {
    const stream = kv.open(path("RangeStream"), KV.RangeStream);
    await stream.send(given);
    await kv.cluster.finish((async () => {
      while (stream.ended === null) await kv.cluster.clock.after(1, () => {});
    })());
    assertEquals(stream.ended, "ok");
    return stream.received.map(({ rangeResponse }) => {
      assert(rangeResponse !== null);
      return rangeResponse;
    });
  };
  const messages = await streamed(all);
  assertEquals(messages.slice(0, 4).map(({ kvs }) => kvs.length), [10, 20, 40, 80]);
  assertEquals(
    messages.flatMap(({ kvs }) => kvs).map(({ key }) => text(key)),
    entries.map(({ key }) => text(key)),
  );
  const last = messages.at(-1);
  assertEquals([last?.header?.revision, last?.count, last?.more], [present, entries.length, false]);
  for (const { header, count, more } of messages.slice(0, -1)) {
    assertEquals([header, count, more], [null, 0, false]);
  }
  const limited = await streamed({ ...all, limit: 15 });
  assertEquals(limited.map(({ kvs, more, count }) => [kvs.length, more, count]), [
    [10, false, 0],
    [5, true, entries.length],
  ]);
  const counted = await streamed({ ...all, countOnly: true });
  assertEquals(counted.map(({ kvs, count }) => [kvs.length, count]), [[0, entries.length]]);
});

Deno.test("encodeEntries: the bytes are those of the declared messages", () => {
  const anyNumber = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 2 ** 53 - 2 }));
  const anyEntry: fc.Arbitrary<KeyValue> = fc.record({
    key: fc.uint8Array({ minLength: 1, maxLength: 200 }),
    value: fc.uint8Array({ maxLength: 300 }),
    createRevision: anyNumber,
    modRevision: anyNumber,
    version: anyNumber,
    leaseId: anyNumber,
  }, { requiredKeys: ["key", "value", "createRevision", "modRevision", "version"] });
  fc.assert(fc.property(fc.array(anyEntry, { maxLength: 4 }), fc.boolean(), (entries, withValues) => {
    const fields = { values: withValues, leases: withValues };
    const kvs = entries.map((entry) => ({
      ...etcdKeyValue(entry, { keysOnly: !withValues }),
      ...(withValues ? {} : { lease: undefined }),
    }));
    assertEquals(encodeEntries(entries, fields), RANGE_RESPONSE.encode({ kvs }));
  }));
});

Deno.test("SortedRuns: pages in any order have the first entries of all, in order, and equal ones as they came", async () => {
  const entry = (version: number, key: number): KeyValue => ({
    key: bytes(String(key)),
    value: new Uint8Array(0),
    createRevision: 1,
    modRevision: 1,
    version,
  });
  const order = (a: KeyValue, b: KeyValue): number => a.version - b.version;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.nat(5), { maxLength: 9 }), { maxLength: 9 }),
      fc.constantFrom(1, 2, 7, Infinity),
      async (pages, limit) => {
        const sorted = new SortedRuns({ order, limit, yieldToOthers: () => Promise.resolve() });
        let key = 0;
        const entries = pages.map((page) => page.map((version) => entry(version, key++)));
        for (const page of entries) await sorted.add(page);
        const expected = entries.flat().toSorted(order).slice(0, limit);
        assertEquals(await sorted.finish(), expected);
      },
    ),
  );
});

Deno.test("SortedRuns: more bytes than may be sorted are refused, but not where a limit keeps few of them", async () => {
  const page = Array.from({ length: 4 }, (_, version) => ({
    key: bytes("k"),
    value: new Uint8Array(1_048_576),
    createRevision: 1,
    modRevision: 1,
    version,
  }));
  const pages = Math.ceil(MAX_SORTED_BYTES / (4 * 1_048_576)) + 1;
  const add = async (limit: number): Promise<void> => {
    const order = (a: KeyValue, b: KeyValue): number => a.version - b.version;
    const sorted = new SortedRuns({ order, limit, yieldToOthers: () => Promise.resolve() });
    for (let count = 0; count < pages; count++) await sorted.add(page);
  };
  await add(1);
  await assertRejects(() => add(Infinity), EtcdError, "sorted");
});

/** Returns a call without a user. */
function callOf({ core }: MethodsOnStore, timeoutMs: number): Call {
  return {
    core,
    token: null,
    needsLeader: false,
    timeoutMs,
    signal: new AbortController().signal,
    noteWaiting: () => {},
    remote: "",
    noteRefusal: () => {},
  };
}

Deno.test("Range: a sort of several pages takes a turn, and one of a page does not wait for it", async () => {
  await using kv = await openKv();
  fill(kv);
  const sorts = new Turns(1);
  const call = callOf(kv, 1_000);
  const limits = { turns: new Turns(1), context: kv.core.context({ timeoutMs: 1_000 }) };
  const sorted = async (rangeEnd: string): Promise<number> => {
    const given = { key: bytes("k"), rangeEnd: bytes(rangeEnd), sortTarget: SORT_TARGET.value };
    const request = RANGE_REQUEST.decode(RANGE_REQUEST.encode({ ...given, sortOrder: SORT_ORDER.ascend }));
    const sink = new PlainEntries(request, limits);
    await readRange(kv.context, request, { call, sink, sorts });
    return sink.entries.length;
  };
  const endTurn = await sorts.begin(kv.core.context({ timeoutMs: 1_000 }));
  const [few, late] = await kv.cluster.finish(Promise.allSettled([sorted("k0100"), sorted("l")]));
  assertEquals(few.status === "fulfilled" && few.value > 0, true);
  assert(late.status === "rejected" && late.reason instanceof EtcdError, "it has had no turn in its time");
  assertEquals(late.reason.message, "etcdserver: too many requests");
  endTurn();
  const all = await kv.cluster.finish(Promise.all([sorted("l"), sorted("l")]));
  assertEquals(all[0] > 1_000, true);
  assertEquals(all[1], all[0]);
});

Deno.test("EncodedEntries: a large answer takes a turn, and one that is too large is refused", async () => {
  await using kv = await openKv();
  const context = kv.core.context({ timeoutMs: 1_000 });
  const turns = new Turns(MAX_LARGE_ANSWERS);
  const request = RANGE_REQUEST.decode(new Uint8Array(0));
  const page = Array.from({ length: 8 }, () => ({
    key: bytes("k"),
    value: new Uint8Array(1_048_576),
    createRevision: 1,
    modRevision: 1,
    version: 1,
  }));
  const large = Array.from(
    { length: MAX_LARGE_ANSWERS },
    () => new EncodedEntries(request, { turns, context }),
  );
  for (const one of large) await one.add(page);
  const another = new EncodedEntries(request, { turns, context });
  let isAdded = false;
  const adding = another.add(page).then(() => isAdded = true);
  await kv.cluster.finish(Promise.resolve());
  assertEquals(isAdded, false);
  large[0]?.release();
  await adding;
  const late = new EncodedEntries(request, { turns, context });
  await assertRejects(() => kv.cluster.finish(late.add(page)), EtcdError, "too many requests");
  const rest = Math.floor(MAX_ANSWER_BYTES / (8 * 1_048_576));
  const addAll = async (): Promise<void> => {
    for (let count = 0; count < rest; count++) await another.add(page);
  };
  await assertRejects(addAll, EtcdError, "more than");
});

Deno.test("PlainEntries: an answer of more than a page takes a turn until it is encoded, and keeps none while it is read again", async () => {
  await using kv = await openKv();
  const context = kv.core.context({ timeoutMs: 1_000 });
  const turns = new Turns(1);
  const request = RANGE_REQUEST.decode(new Uint8Array(0));
  const entry = (valueBytes: number): KeyValue => ({
    key: bytes("k"),
    value: new Uint8Array(valueBytes),
    createRevision: 1,
    modRevision: 1,
    version: 1,
  });
  const [small, large, late] = [1, 2, 3].map(() => new PlainEntries(request, { turns, context }));
  await large?.add([entry(1_048_577)]);
  await small?.add([entry(1_048_575)]);
  await assertRejects(
    async () => await kv.cluster.finish(late?.add([entry(1_048_577)]) ?? Promise.resolve()),
    EtcdError,
  );
  late?.clear();
  large?.clear();
  await late?.add([entry(1_048_577)]);
  late?.release();
  await large?.add([entry(1_048_577)]);
});

Deno.test("Turns: a hundred wait in their order, and one more is refused at once", async () => {
  await using kv = await openKv();
  const context = kv.core.context({ timeoutMs: 1_000 });
  const turns = new Turns(1);
  const ended: number[] = [];
  const running = await turns.begin(context);
  const waiting = Array.from({ length: MAX_WAITING }, async (_, position) => {
    const end = await turns.begin(context);
    ended.push(position);
    end();
  });
  await assertRejects(() => turns.begin(context), EtcdError, "too many requests");
  running();
  await Promise.all(waiting);
  assertEquals([MAX_WAITING, ended], [100, Array.from({ length: 100 }, (_, position) => position)]);
});

Deno.test("Range: clients that do not read large answers keep the turns of others for seconds only", async () => {
  await using kv = await openKv();
  const value = new Uint8Array(1_000_000);
  for (const name of ["a", "b", "c", "d", "e"]) {
    const mutations = [{ kind: "put", key: bytes(name), value }] as const;
    kv.store.apply({ kind: "transaction", session: null, checks: [], mutations });
  }
  const { runInParts } = rangeMethod(kv.context);
  assert(runInParts !== undefined);
  const body = RANGE_REQUEST.encode({ key: bytes("a"), rangeEnd: bytes("z") });
  const read = (): Promise<MessageParts> => kv.cluster.finish(runInParts(body, callOf(kv, 7_000)));
  const unread = [];
  for (let count = 0; count < MAX_LARGE_ANSWERS; count++) unread.push(await read());
  const { parts, sent } = await read();
  assert(parts.reduce((sum, { length }) => sum + length, 0) > 5_000_000);
  for (const one of [...unread, { sent }]) one.sent();
});
