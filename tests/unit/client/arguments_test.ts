/** Wrong arguments of programs in JavaScript: every method refuses them by name, with a sentence, before it sends anything. */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { InvalidRequestError, KeyTooLargeError, type KvClient, KvraftError } from "../../../lib/mod.ts";
import { connectOn } from "../../../lib/testing.ts";
import { FakeCluster } from "../../support/fakes/scripted_node.ts";

/** Values that are wrong nearly everywhere. */
const STRANGE: readonly unknown[] = [
  undefined,
  null,
  5,
  true,
  "text",
  [],
  {},
  Symbol("s"),
  7n,
  () => {},
  NaN,
];

/** A method with arguments of which one is wrong. */
type WrongCall = readonly [method: string, ...args: readonly unknown[]];

const OPTIONS: readonly unknown[] = [
  null,
  5,
  "text",
  [],
  { timeoutMs: 0 },
  { timeoutMs: "1000" },
  { timeoutMs: null },
  { timeoutMs: Symbol("s") },
  { signal: 5 },
  { signal: {} },
];

const NO_BYTES: readonly unknown[] = [undefined, null, 5, [], {}, new Uint16Array(2), Symbol("s"), "\ud800"];

const CALLS: readonly WrongCall[] = [
  ...OPTIONS.flatMap((options): WrongCall[] => [
    ["put", "k", "v", options],
    ["get", "k", options],
    ["delete", "k", options],
    ["list", options],
    ["history", "k", options],
    ["compact", 1, options],
    ["cluster.status", options],
    ["cluster.members", options],
    ["cluster.transferLeadership", null, options],
    ["cluster.changeMembership", { kind: "remove", id: 3 }, options],
    ["cluster.takeSnapshot", options],
    ["cluster.openSnapshot", options],
    ["cluster.stateHash", "127.0.0.1:7001", options],
  ]),
  ...NO_BYTES.flatMap((bytes): WrongCall[] => [
    ["put", bytes, "v"],
    ["put", "k", bytes],
    ["get", bytes],
    ["delete", bytes],
    ["history", bytes],
    ["compareAndSet", bytes, { expect: null, value: "v" }],
    ["compareAndSet", "k", { expect: null, value: bytes }],
    ["transaction", { mutations: [{ kind: "put", key: bytes, value: "v" }] }],
    ["transaction", { mutations: [{ kind: "put", key: "k", value: bytes }] }],
    ["transaction", { checks: [{ key: bytes, exists: true }], mutations: [{ kind: "delete", key: "k" }] }],
  ]),
  ["get", "k", { consistency: "bogus" }],
  ["get", "k", { consistency: null }],
  ["get", "k", { revision: "1" }],
  ["get", "k", { revision: -1 }],
  ["list", { revision: Symbol("s") }],
  ["history", "k", { consistency: "bogus" }],
  ["history", "k", { limit: "10" }],
  ["history", "k", { limit: 0 }],
  ...STRANGE.filter((one) => one !== 5).map((one): WrongCall => ["compact", one]),
  ["list", { consistency: "bogus" }],
  ["list", { prefix: 5 }],
  ["list", { start: null }],
  ["list", { end: [] }],
  ["list", { reverse: "yes" }],
  ["list", { limit: "10" }],
  ["list", { limit: Symbol("s") }],
  ["list", { limit: 0.5 }],
  ["list", { cursor: 5 }],
  ["list", { cursor: "€" }],
  ...[undefined, null, 5, "text", []].flatMap((wrong): WrongCall[] => [
    ["compareAndSet", "k", wrong],
    ["transaction", wrong],
    ["transaction", { mutations: wrong }],
    ["transaction", { mutations: [wrong] }],
    ["transaction", { checks: [wrong], mutations: [{ kind: "delete", key: "k" }] }],
    ["cluster.changeMembership", wrong],
  ]),
  ["compareAndSet", "k", { value: "v" }],
  ["compareAndSet", "k", { expect: 5, value: "v" }],
  ["compareAndSet", "k", { expect: null, value: "v", timeoutMs: 0 }],
  ["transaction", { checks: "text", mutations: [{ kind: "delete", key: "k" }] }],
  ["transaction", { checks: null, mutations: [{ kind: "delete", key: "k" }] }],
  ["transaction", { checks: [{ key: "k", exists: "yes" }], mutations: [{ kind: "delete", key: "k" }] }],
  ["transaction", { checks: [{ key: "k", modRevision: "7" }], mutations: [{ kind: "delete", key: "k" }] }],
  ["transaction", { checks: [{ key: "k" }], mutations: [{ kind: "delete", key: "k" }] }],
  ["transaction", { mutations: [{ kind: "increment", key: "k" }] }],
  ["transaction", { mutations: [{ kind: Symbol("s"), key: "k" }] }],
  ["transaction", { mutations: [{ key: "k" }] }],
  ["transaction", { then: null }],
  ["transaction", { checks: [] }],
  ["transaction", { then: new Array(1) }],
  ["transaction", { checks: new Array(1), then: [] }],
  ["transaction", { mutations: new Array(1) }],
  ["transaction", { then: [], mutations: [{ kind: "delete", key: "k" }] }],
  ...NO_BYTES.flatMap((bytes): WrongCall[] => [
    ["transaction", { then: [{ kind: "put", key: bytes, value: "v" }] }],
    ["transaction", { then: [{ kind: "sum", key: bytes, operand: 1 }] }],
    ["transaction", { then: [{ kind: "get", key: bytes }] }],
    ["transaction", { else: [{ kind: "delete", prefix: bytes }] }],
    ["transaction", { checks: [{ start: bytes, exists: true }], then: [] }],
  ]),
  ...[
    undefined,
    null,
    5,
    {},
    { kind: "increment", key: "k" },
    { kind: "put", key: "k" },
    { kind: "put", key: "k", value: "v", keepValue: true },
    { kind: "put", key: "k", value: "v", returnPrevious: "yes" },
    { kind: "put", key: "k", keepValue: "yes" },
    { kind: "get" },
    { kind: "get", key: "k", prefix: "k" },
    { kind: "get", start: "a", end: 5 },
    { kind: "get", end: "z" },
    { kind: "get", key: "k", end: "z" },
    { kind: "delete", prefix: "k", end: "z" },
    { kind: "get", key: "k", limit: 0 },
    { kind: "get", key: "k", limit: 10_001 },
    { kind: "get", key: "k", limit: "10" },
    { kind: "get", key: "k", reverse: 1 },
    { kind: "get", key: "k", revision: -1 },
    { kind: "get", key: "k", revision: null },
    { kind: "delete", key: "k", returnPrevious: 1 },
    { kind: "sum", key: "k" },
    { kind: "sum", key: "k", operand: 0.5 },
    { kind: "sum", key: "k", operand: "1" },
    { kind: "sum", key: "k", operand: Object.create(null) },
    { kind: "sum", key: "k", operand: 2n ** 64n },
    { kind: "min", key: "k", operand: -1 },
    { kind: "transaction", then: {} },
    { kind: "transaction", then: [{ kind: "transaction", else: [null] }] },
  ].map((operation): WrongCall => ["transaction", { then: [operation] }]),
  ...[
    undefined,
    5,
    {},
    { key: "k" },
    { exists: true },
    { key: "k", prefix: "k", exists: true },
    { key: "k", exists: true, version: 1 },
    { key: "k", exists: 1 },
    { key: "k", exists: true, comparison: "!=" },
    { key: "k", end: "z", exists: true },
    { key: "k", version: "1" },
    { key: "k", version: -1 },
    { key: "k", modRevision: null },
    { key: "k", createRevision: 0.5 },
    { key: "k", value: 5 },
    { key: "k", version: 1, comparison: "==" },
    { key: "k", version: 1, comparison: null },
  ].map((check): WrongCall => ["transaction", { checks: [check], then: [{ kind: "delete", key: "k" }] }]),
  ["cluster.transferLeadership", undefined],
  ["cluster.transferLeadership", "2"],
  ["cluster.transferLeadership", Symbol("s")],
  ["cluster.changeMembership", { kind: "explode", id: 3 }],
  ["cluster.changeMembership", { kind: "remove" }],
  ["cluster.changeMembership", { kind: "add", id: 4, address: 5, learner: false }],
  ["cluster.changeMembership", { kind: "add", id: 4, address: "127.0.0.1:7004", learner: "no" }],
  ["cluster.changeMembership", { kind: "update", id: 4 }],
  ["cluster.changeMembership", { kind: "replace", id: 4, address: "127.0.0.1:7004" }],
  ["cluster.changeMembership", { kind: "remove", id: 3 }, { force: "yes" }],
  ["cluster.takeSnapshot", { node: "1" }],
  ["cluster.openSnapshot", { node: 0 }],
  ["cluster.stateHash", undefined],
  ["cluster.describe", null],
  ["cluster.describe", { scope: "some" }],
  ["cluster.stateHash", 5],
  ["cluster.stateHash", "nonsense"],
];

/** Calls a method without the help of its types. */
function call(client: KvClient, [method, ...args]: WrongCall): unknown {
  const [first = "", second] = method.split(".");
  const target: object = second === undefined ? client : client.cluster;
  return Reflect.apply(Reflect.get(target, second ?? first), target, args);
}

Deno.test("KvClient: every wrong argument is an InvalidRequestError with a sentence, and nothing is sent", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  for (const wrong of CALLS) {
    const said = `${wrong[0]}(${wrong.slice(1).map((arg) => Deno.inspect(arg)).join(", ")})`;
    const result = call(client, wrong);
    assert(result instanceof Promise, `${said} rejects, and does not throw`);
    const error = await cluster.finish(result.then(() => null, (error: unknown) => error));
    assert(error instanceof InvalidRequestError, `${said}: ${error}`);
    assertEquals(error.outcome, "not-applied", said);
    assertMatch(error.message, /^Cannot .+: .+\.$/, said);
  }
  assertEquals(cluster.node(1).requests, []);
});

Deno.test("KvClient: no argument of any type makes a method fail with anything but a KvraftError", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const methods = ["put", "get", "delete", "list", "history", "compact", "compareAndSet", "transaction"];
  const others = [
    "status",
    "members",
    "transferLeadership",
    "changeMembership",
    "stateHash",
    "describe",
    "describeEach",
  ];
  for (const method of [...methods, ...others.map((name) => `cluster.${name}`)]) {
    for (const one of STRANGE) {
      for (const other of STRANGE) {
        const said = `${method}(${Deno.inspect(one)}, ${Deno.inspect(other)})`;
        const result = call(client, [method, one, other]);
        assert(result instanceof Promise, said);
        const error = await cluster.finish(result.then(() => null, (error: unknown) => error));
        assert(error === null || error instanceof KvraftError, `${said}: ${error}`);
      }
    }
  }
});

Deno.test("KvClient: an empty key and one that is too long have errors of their own", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  await assertRejects(() => client.get(""), InvalidRequestError, "Cannot use an empty key");
  await assertRejects(() => client.get("k".repeat(4_097)), KeyTooLargeError);
});

Deno.test("KvClient.onStateChange: a listener that is no function is refused", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  for (const wrong of [undefined, null, "text", {}]) {
    assertThrows(() => call(client, ["onStateChange", wrong]), InvalidRequestError, "pass a function");
  }
});

Deno.test("KvClient.connect: wrong options are an InvalidRequestError, and no connection is opened", async () => {
  const { network, clock } = new FakeCluster(1);
  const platform = { network, clock, random: () => 0.5 };
  const cluster = ["10.0.0.1:7001"];
  const table: readonly unknown[] = [
    undefined,
    null,
    5,
    "10.0.0.1:7001",
    [],
    {},
    { cluster: "10.0.0.1:7001" },
    { cluster: [] },
    { cluster: [5] },
    { cluster: [null] },
    { cluster, timeoutMs: "5" },
    { cluster, timeoutMs: 0 },
    { cluster, signal: "stop" },
  ];
  for (const options of table) {
    const error = await assertRejects(
      async () => await Reflect.apply(connectOn, null, [platform, options]),
      InvalidRequestError,
    );
    assertMatch(error.message, /^Cannot .+: .+\.$/, Deno.inspect(options));
  }
});
