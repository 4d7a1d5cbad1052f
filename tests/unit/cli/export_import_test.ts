/** `export` and `import`: round trips, rates, and bad lines. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { FakeStore } from "./support/fake_store.ts";
import { FakeEnvironment, type FakeEnvironmentOptions } from "./support/fake_environment.ts";
import { clientCommand } from "../../../lib/cli/client.ts";
import { lineOfPair, readPair } from "../../../lib/cli/json.ts";
import { isPrintable } from "../../../lib/cli/text.ts";
import {
  ConnectionError,
  StorageFullError,
  TimeoutError,
  ValueTooLargeError,
} from "../../../lib/client/errors.ts";
import { settle } from "../../support/fakes/manual_clock.ts";

const CLUSTER = ["--cluster", "127.0.0.1:7001"];

interface Begun {
  readonly environment: FakeEnvironment;
  readonly code: Promise<number>;
}

function begin(args: readonly string[], store: FakeStore, options: FakeEnvironmentOptions = {}): Begun {
  const environment = new FakeEnvironment(options);
  const code = clientCommand([...CLUSTER, ...args], { environment, connect: () => Promise.resolve(store) });
  return { environment, code };
}

async function run(
  args: readonly string[],
  store: FakeStore,
  options: FakeEnvironmentOptions = {},
): Promise<readonly [number, string, string]> {
  const { environment, code } = begin(args, store, options);
  return [await code, environment.stdout.text, environment.stderr.text];
}

async function filled(count: number): Promise<FakeStore> {
  const store = new FakeStore();
  for (let n = 0; n < count; n++) await store.put(`k${String(n).padStart(5, "0")}`, `${n}`);
  store.calls.length = 0;
  return store;
}

/** The names of the calls. */
function names(store: FakeStore): readonly unknown[] {
  return store.calls.map((call) => Object(call).name);
}

/** Keys and values by text. */
function contents(store: FakeStore): readonly (readonly [string, string])[] {
  return [...store.entries.values()].map(({ key, value }) => [key.toBase64(), value.toBase64()]);
}

Deno.test("export: each key is a line of JSON, and the note has the revision", async () => {
  const store = new FakeStore();
  await store.put("user:1", "ada");
  await store.put(Uint8Array.of(0xff), "x\x1b[2J\u{202e}\u{f0000}");
  await store.put("other", Uint8Array.of(0x80));
  assertEquals(await run(["export"], store), [
    0,
    '{"key":"other","valueBase64":"gA=="}\n{"key":"user:1","value":"ada"}\n' +
    '{"keyBase64":"/w==","value":"x\\u001b[2J\\u202e\\udb80\\udc00"}\n',
    "exported 3 keys, 128 B, in 0.0 ms, all at revision 3\n",
  ]);
  assertEquals(await run(["export", "user:", "--output", "json"], store), [
    0,
    '{"key":"user:1","value":"ada"}\n',
    '{"keys":1,"bytes":31,"firstRevision":3,"lastRevision":3}\n',
  ]);
  assertEquals((await run(["export", "none"], store)).slice(0, 2), [0, ""]);
});

Deno.test("export: it reads page by page, and reports changes of the store meanwhile", async () => {
  const store = await filled(2_500);
  const list = store.list.bind(store);
  let pages = 0;
  store.list = async (options) => {
    pages += 1;
    if (pages === 3) await store.put("zzz", "new");
    return await list(options);
  };
  const [code, out, err] = await run(["export"], store);
  assertEquals([code, pages, out.split("\n").length - 1], [0, 3, 2_501]);
  assertEquals(
    err,
    `exported 2 501 keys, ${(out.length / 1_000).toFixed(1)} kB, in 0.0 ms\n` +
      "The store changed meanwhile, from revision 2500 to 2501: these writes may be in it or not. " +
      "For one moment of the store use snapshot save.\n",
  );
});

Deno.test("export: it does not exceed its rate", async () => {
  const { environment, code } = begin(["export", "--rate", "10"], await filled(25));
  const lines = (): number => environment.stdout.text.split("\n").length - 1;
  await settle();
  assertEquals(lines(), 10);
  environment.clock.advance(999);
  await settle();
  assertEquals(lines(), 10);
  environment.clock.advance(1);
  await settle();
  assertEquals(lines(), 20);
  environment.clock.advance(1_000);
  assertEquals([await code, lines(), environment.clock.timerCount], [0, 25, 0]);
});

Deno.test("export: one that ends early says that it is incomplete; one that never started says why", async () => {
  const store = await filled(1_500);
  const list = store.list.bind(store);
  let pages = 0;
  store.list = (options) =>
    (pages += 1) % 2 === 0 ? Promise.reject(new ConnectionError("Gone.")) : list(options);
  const [code, , err] = await run(["export"], store);
  assertEquals([code, err], [
    3,
    "kvraft: The export ended after 1 000 keys: Gone. What was written is not everything.\n",
  ]);
  pages = 1;
  assertEquals(await run(["export"], store), [3, "", "kvraft: Gone.\n"]);
});

Deno.test("export: Ctrl-C ends a wait for the rate", async () => {
  const { environment, code } = begin(["export", "--rate", "1"], await filled(2));
  await settle();
  environment.signal();
  assertEquals([await code, environment.stderr.text, environment.clock.timerCount], [
    3,
    "kvraft: The export ended after 1 key: it was interrupted. What was written is not everything.\n",
    0,
  ]);
});

Deno.test("import: it restores what export wrote", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 6 }), fc.uint8Array({ maxLength: 9 })), {
        maxLength: 9,
      }),
      fc.integer({ min: 1, max: 200 }),
      async (pairs, cut) => {
        const store = new FakeStore();
        for (const [key, value] of pairs) await store.put(key, value);
        const [, out] = await run(["export"], store);
        const copy = new FakeStore();
        const [code] = await run(["import"], copy, { input: [out.slice(0, cut), out.slice(cut)] });
        assertEquals([code, contents(copy).toSorted()], [0, contents(store).toSorted()]);
      },
    ),
    { numRuns: 50 },
  );
});

Deno.test("lineOfPair: a line is printable, and readPair returns the same pair", () => {
  const bytes = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 20 }),
    fc.string({ minLength: 1, unit: "binary" }).map((text) => new TextEncoder().encode(text)),
  );
  const number = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
  const lifetimes = fc.record({ leaseId: number, expiresAtMs: number }, { requiredKeys: [] });
  fc.assert(fc.property(bytes, bytes, lifetimes, (key, value, lifetime) => {
    const pair = { key, value, ...lifetime };
    const line = lineOfPair(pair);
    assert(line.endsWith("\n") && isPrintable(line.slice(0, -1)), line);
    assertEquals(readPair(new TextEncoder().encode(line.slice(0, -1))), { kind: "pair", pair });
  }));
});

Deno.test("import: it accepts every form of line, and answers with the last revision", async () => {
  const store = new FakeStore();
  const input = [
    '{"key":"a","value":"1"}\r\n\n  \n{"value":"","key":"b"}\n{"keyBase64":"/w==","valueBase64":"gA=="}\n',
    '{"key":"a","value":"2","createRevision":1,"modRevision":1,"version":1}',
  ];
  assertEquals(await run(["import"], store, { input }), [
    0,
    "ok  revision 4, 4 keys, 7 B, in 0.0 ms (4/s)\n",
    "",
  ]);
  assertEquals(contents(store), [["YQ==", "Mg=="], ["Yg==", ""], ["/w==", "gA=="]]);
  assertEquals(
    (await run(["import", "--output", "json"], store, { input: [] }))[1],
    '{"keys":0,"bytes":0,"leftOut":0,"format":"ndjson","isDryRun":false,"reasons":[],"notKept":[]}\n',
  );
});

Deno.test("export and import: expiry is kept; keys of leases are left out, or become keys that stay", async () => {
  const store = new FakeStore();
  await store.put("a", "1", { expiresAtMs: 9_000 });
  await store.put("b", "2", { leaseId: 47 });
  const [, out] = await run(["export"], store);
  assertEquals(out, '{"key":"a","value":"1","expiresAtMs":9000}\n{"key":"b","value":"2","leaseId":47}\n');
  const copy = new FakeStore();
  assertEquals(await run(["import"], copy, { input: [out] }), [
    0,
    "ok  revision 1, 1 key, 2 B, in 0.0 ms (1/s); left out: 1 key of leases\n",
    "-- left out 1 key of leases: b\n",
  ]);
  assertEquals([...copy.entries.values()].map(({ expiresAtMs }) => expiresAtMs), [9_000]);
  await run(["import", "--drop-leases"], copy, { input: [out] });
  assertEquals([...copy.entries.values()].map(({ leaseId }) => leaseId), [undefined, undefined]);
  const wrong = '{"key":"a","value":"1","leaseId":"47"}\n';
  assertEquals((await run(["import"], copy, { input: [wrong] }))[0], 2);
});

Deno.test("import: a bad line is reported and ends with 2; no later line is written", async () => {
  const table: readonly (readonly [string | Uint8Array, string])[] = [
    ["[1]", 'it is no object such as {"key":"a","value":"1"}'],
    ['{"key":"a"}', "it has neither value nor valueBase64"],
    ['{"key":"a","keyBase64":"YQ==","value":""}', "it has both key and keyBase64"],
    ['{"key":1,"value":""}', "its key is no text"],
    ['{"key":"a","valueBase64":"*"}', "its valueBase64 is not base64"],
    ['{"key":"\\ud800","value":""}', "its key is no Unicode text; use keyBase64"],
    ['{"key":"","value":""}', "its key has 0 bytes; 1 to 4096 are allowed"],
    ['{"key":"a","value":"","ttl":1}', 'it has a field "ttl", which means nothing here'],
    [Uint8Array.of(0xff), "it is not UTF-8; bytes that are none go into keyBase64 and valueBase64"],
  ];
  for (const [line, reason] of table) {
    const store = new FakeStore();
    const input = ['{"key":"before","value":"1"}\n', line, '\n{"key":"after","value":"1"}\n'];
    assertEquals(await run(["import"], store, { input }), [
      2,
      "",
      `kvraft: line 2: ${reason}. The lines before it are written (1 key), it and those behind it are not.\n`,
    ]);
    assertEquals(store.calls.length, 1);
  }
  const [code, , err] = await run(["import"], new FakeStore(), { input: ["{\n"] });
  assertEquals([code, err.startsWith("kvraft: line 1: it is not JSON (")], [2, true]);
});

Deno.test("import: keys that come while a put is in flight share a transaction, without two of one key", async () => {
  const store = new FakeStore();
  const waiting: (() => void)[] = [];
  store.before = () => new Promise((resolve) => void waiting.push(resolve));
  const input = ["a", "b", "c", "b", "d"].map((key, n) => `{"key":"${key}","value":"${n}"}\n`);
  const { code } = begin(["import"], store, { input });
  await settle();
  assertEquals(names(store), ["put", "transaction"]);
  waiting[0]?.();
  await settle();
  assertEquals([names(store), contents(store)], [["put", "transaction"], [["YQ==", "MA=="]]]);
  waiting[1]?.();
  await settle();
  assertEquals(names(store), ["put", "transaction", "transaction"]);
  waiting[2]?.();
  assertEquals([await code, contents(store).toSorted()], [
    0,
    [["YQ==", "MA=="], ["Yg==", "Mw=="], ["Yw==", "Mg=="], ["ZA==", "NA=="]],
  ]);
});

Deno.test("import: at most 8 transactions of at most 128 keys are in flight", async () => {
  const store = new FakeStore();
  const gate = Promise.withResolvers<void>();
  store.before = () => gate.promise;
  const input = [Array.from({ length: 2_000 }, (_, n) => `{"key":"${n}","value":""}\n`).join("")];
  const { code } = begin(["import"], store, { input });
  for (let turn = 0; turn < 50; turn++) await settle();
  assertEquals(store.calls.length, 8);
  gate.resolve();
  assertEquals([await code, store.entries.size], [0, 2_000]);
});

Deno.test("import: a key that a transaction is refused for is named, and those before it are put", async () => {
  const store = new FakeStore();
  const gate = Promise.withResolvers<void>();
  // The calls: the put of a, the transaction of the others, and then a put of b and of c.
  store.before = () => {
    if (store.calls.length === 1) return gate.promise;
    const isRefused = [2, 4].includes(store.calls.length);
    return isRefused ? Promise.reject(new ValueTooLargeError("Too large.")) : Promise.resolve();
  };
  const input = [["a", "b", "c", "d"].map((key) => `{"key":"${key}","value":"1"}\n`).join("")];
  const { environment, code } = begin(["import"], store, { input });
  await settle();
  gate.resolve();
  assertEquals([await code, environment.stderr.text, names(store), store.entries.size], [
    2,
    "kvraft: line 3: Too large. The lines before it are written, some behind it may be. " +
    "To go on: tail -n +3 <file> | kvraft client … import\n",
    ["put", "transaction", "put", "put"],
    2,
  ]);
});

Deno.test("import: a failed put ends it, with the first such line and how to continue", async () => {
  const input = ['{"key":"a","value":""}\n{"key":"b","value":""}\n'];
  const table: readonly (readonly [Error, number])[] = [
    [new StorageFullError("No space."), 4],
    [new TimeoutError("Late.", { outcome: "unknown" }), 4],
  ];
  for (const [error, expected] of table) {
    const store = new FakeStore();
    store.before = () => store.calls.length === 1 ? Promise.resolve() : Promise.reject(error);
    assertEquals(await run(["import"], store, { input }), [
      expected,
      "",
      `kvraft: line 2: ${error.message} The lines before it are written, some behind it may be. ` +
      "To go on: tail -n +2 <file> | kvraft client … import\n",
    ]);
  }
  const store = new FakeStore();
  store.before = () => Promise.reject(new StorageFullError("No space."));
  const [code, , err] = await run(["import"], store, { input });
  assertEquals([code, err.startsWith("kvraft: line 1: No space.")], [3, true]);
});

Deno.test("import: Ctrl-C ends it after the puts in flight, and says how to continue", async () => {
  const store = new FakeStore();
  const input = ['{"key":"a","value":""}\n{"key":"b","value":""}\n{"key":"c","value":""}\n'];
  const { environment, code } = begin(["import", "--rate", "1"], store, { input });
  await settle();
  environment.signal();
  assertEquals([await code, environment.stderr.text, environment.clock.timerCount, store.entries.size], [
    4,
    "kvraft: The import was interrupted after 2 keys. To go on: tail -n +3 <file> | kvraft client … import\n",
    0,
    2,
  ]);
});

Deno.test("import: it is refused where the commands come from standard input", async () => {
  const [code, , err] = await run([], new FakeStore(), { input: ["import\n"] });
  assertEquals([code, err.startsWith("kvraft: line 1: Standard input has the commands")], [2, true]);
});

Deno.test("export and import: wrong rates are refused", async () => {
  const message = 'kvraft: --rate must be an integer from 1 to 1000000, not "0".\n';
  assertEquals(await run(["export", "--rate", "0"], new FakeStore()), [2, "", message]);
  assertEquals(await run(["import", "--rate", "0"], new FakeStore()), [2, "", message]);
});

Deno.test("export: a write error of standard output ends with 5 and says that the export is incomplete", async () => {
  const [code, , err] = await run(["export"], await filled(3), { isOutputFull: true });
  assertEquals([code, err], [
    5,
    "kvraft: Cannot write the export to standard output: No space left on device. It ended after 0 keys; what was " +
    "written is not everything.\n",
  ]);
});
