/** Locks and elections: order, fencing, lost answers and nodes, lost leases, and what is left behind. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  AbortError,
  ClosedError,
  InvalidRequestError,
  type KeyValue,
  type KvClient,
  LeaseLostError,
  type Lock,
} from "../../../lib/mod.ts";
import { FakeCluster, type Reply } from "../../support/fakes/scripted_node.ts";
import { SharedStore } from "../../support/fakes/shared_store.ts";

const TTL_MS = 3_000;

const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);

/** A call whose result is kept when it comes. */
class Pending<T> {
  readonly promise: Promise<T>;
  result: T | null = null;
  error: unknown = null;

  constructor(promise: Promise<T>) {
    this.promise = promise;
    promise.then((result) => this.result = result, (error) => this.error = error);
  }
}

/** Starts to wait for a lock, and has its key made. */
async function waitFor(
  cluster: FakeCluster,
  client: Pick<KvClient, "lock">,
  name = "l",
): Promise<Pending<Lock>> {
  const pending = new Pending(client.lock(name, { ttlMs: TTL_MS }));
  await cluster.pass(200);
  return pending;
}

async function isHeld(
  cluster: FakeCluster,
  client: Pick<KvClient, "transaction">,
  lock: Lock,
): Promise<boolean> {
  return (await cluster.finish(client.transaction({ checks: [lock.check], then: [] }))).succeeded;
}

Deno.test("lock: contenders get it in the order in which they came, with growing tokens", async () => {
  const cluster = new FakeCluster(1);
  const store = new SharedStore(cluster);
  const clients = await Promise.all([cluster.connect(), cluster.connect()]);
  const waiting: Pending<Lock>[] = [];
  for (let position = 0; position < 6; position++) {
    const client = clients[position % 2];
    assert(client !== undefined);
    waiting.push(await waitFor(cluster, client));
  }
  const tokens: number[] = [];
  for (const [position, { result }] of waiting.entries()) {
    assert(result !== null, `contender ${position} holds the lock`);
    assertEquals(waiting.slice(position + 1).every(({ result }) => result === null), true);
    assertEquals([result.name, result.lost.aborted], ["l", false]);
    tokens.push(result.fencingToken);
    await cluster.finish(result.release());
    await cluster.pass(40);
  }
  assertEquals(tokens, tokens.toSorted((a, b) => a - b));
  assertEquals(new Set(tokens).size, 6);
  assertEquals([store.keys, store.machine.leaseCount, store.watchCount], [[], 0, 0]);
  for (const client of clients) await client.close();
});

Deno.test("lock: a name may begin with a byte-order mark, and is another one than without", async () => {
  const cluster = new FakeCluster(1);
  new SharedStore(cluster);
  const client = await cluster.connect();
  const marked = await waitFor(cluster, client, "\uFEFFl");
  const plain = await waitFor(cluster, client, "l");
  assert(marked.result !== null && plain.result !== null, "both are taken");
  assertEquals([await isHeld(cluster, client, marked.result), await isHeld(cluster, client, plain.result)], [
    true,
    true,
  ]);
  await client.close();
});

Deno.test("lock: one change wakes one contender", async () => {
  const cluster = new FakeCluster(1);
  new SharedStore(cluster);
  await using client = await cluster.connect();
  const [first, second, third] = [
    await waitFor(cluster, client),
    await waitFor(cluster, client),
    await waitFor(cluster, client),
  ];
  const lists = (): number => cluster.node(1).requests.filter(({ kind }) => kind === "list").length;
  const before = lists();
  await cluster.finish(first.promise.then((lock) => lock.release()));
  await cluster.pass(100);
  assertEquals([second.result !== null, third.result, lists() - before], [true, null, 1]);
  await cluster.finish(second.promise.then((lock) => lock.release()));
  await cluster.finish(third.promise.then((lock) => lock.release()));
});

Deno.test("lock: the next gets it when the lease of its holder ends, and the check of the former one fails", async () => {
  const cluster = new FakeCluster(2);
  const store = new SharedStore(cluster);
  await using holder = await cluster.connect([1]);
  await using other = await cluster.connect([2]);
  const { promise } = await waitFor(cluster, holder);
  const lock = await promise;
  const waiting = await waitFor(cluster, other);
  assertEquals([await isHeld(cluster, holder, lock), waiting.result], [true, null]);
  // The holder is suspended: none of its requests arrives.
  const { serve } = cluster.node(2);
  let isSuspended = true;
  for (const node of cluster.nodes) {
    node.serve = (request, send) =>
      isSuspended && request.kind === "keepAlive" && request.leaseIds.includes(lock.leaseId)
        ? "silence"
        : serve(request, send);
  }
  await cluster.pass(TTL_MS + 1_500);
  isSuspended = false;
  const next = waiting.result as Lock | null;
  assert(next !== null && next.fencingToken > lock.fencingToken);
  assertEquals(lock.lost.aborted, true);
  assertEquals(await isHeld(cluster, holder, lock), false);
  assertEquals(await isHeld(cluster, other, next), true);
  await cluster.finish(lock.release());
  assertEquals(store.keys, [next.key]);
  await cluster.finish(next.release());
});

Deno.test("lock: a lost answer to the creation of its key makes no second key", async () => {
  const cluster = new FakeCluster(2);
  const store = new SharedStore(cluster);
  await using client = await cluster.connect();
  const { serve } = cluster.node(1);
  let lost = 0;
  for (const node of cluster.nodes) {
    node.serve = (request, send): Reply | null => {
      const reply = serve(request, send);
      if (request.kind !== "write" || ++lost > 8) return reply;
      return lost % 2 === 0 ? "disconnect" : "silence";
    };
  }
  const lock = await cluster.finish(client.lock("l", { ttlMs: 60_000 }));
  assertEquals(store.keys, [lock.key]);
  assertEquals(await isHeld(cluster, client, lock), true);
  await cluster.finish(lock.release());
  assertEquals(store.keys, []);
});

Deno.test("lock: a wait survives the loss of its node, and the compaction of the history", async () => {
  const cluster = new FakeCluster(2);
  const store = new SharedStore(cluster);
  await using holder = await cluster.connect([2]);
  await using client = await cluster.connect();
  const { promise } = await waitFor(cluster, holder);
  const lock = await promise;
  const waiting = await waitFor(cluster, client);
  for (let round = 0; round < 4; round++) {
    await cluster.finish(holder.put("other", `${round}`));
    store.apply({ kind: "compact", revision: store.machine.revision });
    cluster.node(1).disconnect();
    await cluster.pass(500);
  }
  assertEquals([waiting.result, waiting.error], [null, null]);
  await cluster.finish(lock.release());
  await cluster.finish(waiting.promise.then((lock) => lock.release()));
});

Deno.test("lock: abort of a wait removes its key, and those behind it go on", async () => {
  const cluster = new FakeCluster(1);
  const store = new SharedStore(cluster);
  await using client = await cluster.connect();
  const first = await waitFor(cluster, client);
  const abort = new AbortController();
  const second = new Pending(client.lock("l", { ttlMs: TTL_MS, signal: abort.signal }));
  await cluster.pass(40);
  const third = await waitFor(cluster, client);
  assertEquals(store.keys.length, 3);
  abort.abort("enough");
  const error = await assertRejects(() => cluster.finish(second.promise), AbortError, "take the lock l");
  assertEquals([error.cause, store.keys.length, third.result], ["enough", 2, null]);
  await cluster.finish(first.promise.then((lock) => lock.release()));
  await cluster.finish(third.promise.then((lock) => lock.release()));
  assertEquals([store.keys, store.watchCount], [[], 0]);
  await assertRejects(() => client.lock("l", { signal: AbortSignal.abort() }), AbortError);
});

Deno.test("lock: a contender whose lease ends while it waits joins again at the end", async () => {
  const cluster = new FakeCluster(1);
  const store = new SharedStore(cluster);
  await using client = await cluster.connect();
  const first = await waitFor(cluster, client);
  const second = await waitFor(cluster, client);
  const third = await waitFor(cluster, client);
  const ids = store.keys.map((key) => Number.parseInt(key.slice(2), 16));
  const byAge = ids.toSorted((a, b) => created(store, a) - created(store, b));
  assert(byAge[1] !== undefined);
  store.apply({ kind: "revokeLease", session: null, leaseId: byAge[1] });
  await cluster.pass(TTL_MS);
  assertEquals([store.keys.length, second.error], [3, null]);
  await cluster.finish(first.promise.then((lock) => lock.release()));
  await cluster.pass(100);
  assertEquals([second.result, third.result !== null], [null, true]);
  await cluster.finish(third.promise.then((lock) => lock.release()));
  await cluster.finish(second.promise.then((lock) => lock.release()));
});

/** The revision in which the key of a lease was created. */
function created(store: SharedStore, leaseId: number): number {
  const key = new TextEncoder().encode(`l/${leaseId.toString(16).padStart(14, "0")}`);
  return store.machine.get(key)?.createRevision ?? 0;
}

Deno.test("lock: names are separate, also where one begins with another, and below prefixes", async () => {
  const cluster = new FakeCluster(1);
  const store = new SharedStore(cluster);
  await using client = await cluster.connect();
  const app = client.prefix("app/");
  const locks: Lock[] = [];
  for (
    const [space, name] of [[client, "a"], [client, "a/0"], [client, "a/b"], [app, "a"], [
      client,
      "app",
    ]] as const
  ) {
    const { promise } = await waitFor(cluster, space, name);
    locks.push(await cluster.finish(promise));
  }
  const [, , , inApp] = locks;
  assert(inApp !== undefined);
  assertEquals([inApp.name, inApp.key.startsWith("a/")], ["a", true]);
  assert(store.keys.includes(`app/${inApp.key}`));
  assertEquals([await isHeld(cluster, app, inApp), await isHeld(cluster, client, inApp)], [true, false]);
  await cluster.finish(Promise.all(locks.map((lock) => lock.release())));
});

Deno.test("lock: close of the client ends a wait by name", async () => {
  const cluster = new FakeCluster(1);
  new SharedStore(cluster);
  const client = await cluster.connect();
  await waitFor(cluster, client);
  const second = await waitFor(cluster, client);
  await client.close();
  await assertRejects(() => second.promise, ClosedError, "take the lock l: the client was closed");
});

Deno.test("lock: it is released even if its owner throws", async () => {
  const cluster = new FakeCluster(1);
  const store = new SharedStore(cluster);
  await using client = await cluster.connect();
  const work = async (): Promise<void> => {
    await using lock = await client.lock("l");
    assertEquals(store.keys, [lock.key]);
    throw new Error("the owner fails");
  };
  await assertRejects(() => cluster.finish(work()), Error, "the owner fails");
  assertEquals(store.keys, []);
});

Deno.test("lock, elect, observe: wrong arguments are refused before anything is sent", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  for (const name of ["", 7 as never, null as never]) {
    await assertRejects(() => client.lock(name), InvalidRequestError, "name");
    await assertRejects(() => client.elect(name, "v"), InvalidRequestError, "name");
  }
  await assertRejects(() => client.lock("l", { ttlMs: 10 }), InvalidRequestError, "time to live");
  await assertRejects(() => client.elect("l", 7 as never), InvalidRequestError, "value");
  await assertRejects(() => client.lock("l", { signal: {} as never }), InvalidRequestError, "AbortSignal");
  assertEquals(cluster.node(1).requests, []);
});

Deno.test("elect: leaders follow one another, with their values, and an observer sees each", async () => {
  const cluster = new FakeCluster(2);
  new SharedStore(cluster);
  await using client = await cluster.connect();
  const seen: (string | null)[] = [];
  const iterator = client.observe("e")[Symbol.asyncIterator]();
  const observing = (async () => {
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
      const entry: KeyValue | null = next.value;
      seen.push(entry === null ? null : text(entry.value));
    }
  })();
  await cluster.pass(40);
  const alice = await cluster.finish(client.elect("e", "alice", { ttlMs: TTL_MS }));
  const elected = new Pending(client.elect("e", "bob", { ttlMs: TTL_MS }));
  await cluster.pass(40);
  await cluster.finish(alice.proclaim("alice again"));
  cluster.node(1).disconnect();
  await cluster.pass(500);
  await cluster.finish(alice.resign());
  const bob = await cluster.finish(elected.promise);
  assert(bob.fencingToken > alice.fencingToken);
  await assertRejects(() => cluster.finish(alice.proclaim("alice still")), LeaseLostError);
  await cluster.finish(bob[Symbol.asyncDispose]());
  await cluster.pass(40);
  assertEquals(seen, [null, "alice", "alice again", "bob", null]);
  await iterator.return?.();
  await observing;
});

Deno.test("observe: it begins with the present leader, and ends with its signal", async () => {
  const cluster = new FakeCluster(1);
  const store = new SharedStore(cluster);
  await using client = await cluster.connect();
  const app = client.prefix("app/");
  const leader = await cluster.finish(app.elect("e", "alice", { ttlMs: TTL_MS }));
  const abort = new AbortController();
  const iterator = app.observe("e", { signal: abort.signal })[Symbol.asyncIterator]();
  const first = await cluster.finish(iterator.next());
  assertEquals([text(first.value?.key), text(first.value?.value)], [leader.key, "alice"]);
  const next = assertRejects(() => iterator.next(), AbortError);
  await cluster.pass(0);
  abort.abort();
  await cluster.finish(next);
  assertEquals((await iterator.next()).done, true);
  await cluster.finish(leader.resign());
  assertEquals(store.watchCount, 0);
});
