/** `client mirror` from a real etcd to a real cluster: both hold the same in the end, with either side killed meanwhile. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { DEADLINE_MS, eventually } from "../../support/eventually.ts";
import { EtcdCluster } from "../../support/etcd/cluster.ts";
import { EtcdServer, etcdVersion } from "../../support/etcd/server.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { type Process, skip, startKvraft } from "../../support/processes/process.ts";
import { Authority } from "../../support/tls/certificates.ts";

/** Keys that are written while the mirror runs. */
const KEYS = 60;
/** Keys that are there before it. */
const KEYS_BEFORE = 450;

type Pairs = ReadonlyMap<string, string>;

/** A client of etcd's JSON gateway. */
class Etcd {
  readonly #origin: string;

  constructor(address: string) {
    this.#origin = `http://${address}`;
  }

  async post(method: string, request: unknown): Promise<Readonly<Record<string, unknown>>> {
    const body = JSON.stringify(request);
    const response = await fetch(`${this.#origin}/v3/${method}`, { method: "POST", body });
    const text = await response.text();
    assert(response.ok, `${method}: ${text}`);
    return JSON.parse(text);
  }

  async put(key: string, value: string, lease?: string): Promise<void> {
    await this.post("kv/put", {
      key: btoa(key),
      value: btoa(value),
      ...lease === undefined ? {} : { lease },
    });
  }

  async delete(key: string): Promise<void> {
    await this.post("kv/deleterange", { key: btoa(key) });
  }

  /** Puts the same value under two keys at once. */
  async putBoth(first: string, second: string, value: string): Promise<void> {
    const success = [first, second].map((key) => ({
      request_put: { key: btoa(key), value: btoa(value) },
    }));
    await this.post("kv/txn", { success });
  }

  /** Returns all keys with their values, both in base64. */
  async all(): Promise<Pairs> {
    const { kvs } = await this.post("kv/range", { key: btoa("\0"), range_end: btoa("\0") });
    assert(Array.isArray(kvs));
    return new Map(kvs.map(({ key, value = "" }) => [key, value]));
  }

  async revision(): Promise<number> {
    const { header } = await this.post("kv/range", { key: btoa("\0") });
    return Number(Object(header).revision);
  }
}

/** Writes without a pause until it is stopped; what is asked for during a failure is lost. */
class Writer {
  #isStopped = false;
  #writes = 0;
  readonly #done: Promise<void>;

  constructor(etcd: Etcd) {
    this.#done = this.#run(etcd);
  }

  /** Resolves once so many more writes were made. */
  async made(count: number): Promise<void> {
    const goal = this.#writes + count;
    await eventually(`${count} more writes were made`, () => this.#writes >= goal || null);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#done;
  }

  async #run(etcd: Etcd): Promise<void> {
    for (let n = 0; !this.#isStopped; n++) {
      try {
        if (n % 5 === 4) await etcd.delete(`live/${(n * 7) % KEYS}`);
        else if (n % 5 === 3) await etcd.putBoth("pair/a", "pair/b", `${n}`);
        else await etcd.put(`live/${(n * 11) % KEYS}`, `value ${n}`);
        this.#writes += 1;
      } catch {
        await eventually("etcd answers again", () => etcd.revision());
      }
    }
  }
}

async function contentsOf(cluster: TestCluster): Promise<Pairs> {
  await using client = await cluster.connect();
  const pairs = new Map<string, string>();
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<typeof client.list>> = await client.list({ limit: 1_000, cursor });
    for (const { key, value } of page.entries) pairs.set(key.toBase64(), value.toBase64());
    cursor = page.cursor;
  } while (cursor !== null);
  return pairs;
}

/** Waits until the cluster holds what etcd holds, key by key. */
async function waitForEqual(cluster: TestCluster, etcd: Etcd, mirror: Process): Promise<Pairs> {
  const wanted = await etcd.all();
  return await eventually("the cluster holds what etcd holds", async () => {
    assertEquals(await contentsOf(cluster), wanted);
    return wanted;
  }, { explain: () => mirror.printed });
}

function startMirror(cluster: TestCluster, from: string, options: readonly string[] = []): Process {
  const addresses = cluster.ids.map((id) => cluster.address(id)).join(",");
  const args = ["client", "--cluster", addresses, "mirror", "--from-etcd", from, ...options];
  return startKvraft(args, { cwd: cluster.folder.path, name: "mirror" });
}

/** Waits until a line was printed again, so many times in all. */
async function waitForLines(mirror: Process, pattern: RegExp, count: number): Promise<void> {
  const what = `the mirror has printed ${pattern} ${count} times`;
  await eventually(what, () => (mirror.printed.match(pattern)?.length ?? 0) >= count || null, {
    explain: () => mirror.printed,
  });
}

Deno.test("mirror: it follows etcd through kills of both sides and a compaction, and never shows half a transaction", async () => {
  if (etcdVersion() === null) return skip("etcd is not installed");
  await using server = await EtcdServer.start();
  const etcd = new Etcd(server.address);
  for (let n = 0; n < KEYS_BEFORE; n++) await etcd.put(`before/${n}`, `${n}`);
  await etcd.putBoth("pair/a", "pair/b", "first");
  await using cluster = await TestCluster.start();
  await cluster.waitForLeader();
  await using watching = await watchPairs(cluster);
  await using mirror = startMirror(cluster, server.address);
  const writer = new Writer(etcd);
  await mirror.waitForOutput(/following etcd from revision/);
  await writer.made(50);

  await cluster.kill(await cluster.waitForLeader());
  await writer.made(50);
  await server.kill();
  await mirror.waitForOutput(/etcd was lost, trying again/);
  await server.startAgain();
  await writer.made(50);
  await writer.stop();
  await waitForEqual(cluster, etcd, mirror);
  assertEquals(mirror.printed.match(/copied \d+ keys/g)?.length, 1, mirror.printed);

  // While the mirror cannot find etcd, keys are deleted there, and the history of that is compacted.
  await server.kill();
  await waitForLines(mirror, /etcd was lost, trying again/g, 2);
  await server.startAgain({ address: server.hiddenAddress });
  const hidden = new Etcd(server.hiddenAddress);
  await hidden.post("kv/deleterange", { key: btoa("before/1"), range_end: btoa("before/2") });
  await hidden.put("after", "compaction");
  await hidden.post("kv/compaction", { revision: `${await hidden.revision()}`, physical: true });
  await server.kill();
  await server.startAgain();
  await waitForLines(mirror, /copied \d+ keys/g, 2);
  assertStringIncludes(mirror.printed, "etcd no longer has the changes from revision");
  await etcd.put("last", "one");
  const wanted = await waitForEqual(cluster, etcd, mirror);
  assert(!wanted.has(btoa("before/17")) && wanted.has(btoa("after")));

  mirror.signal("SIGINT");
  const { code, stdout, stderr } = await mirror.end();
  assertEquals(code, 0, stderr);
  assertStringIncludes(stdout, `ok  up to revision ${await etcd.revision()} of etcd`);
  assert(watching.seen > 0);
  assertEquals(watching.halves, []);
});

/** Watches the two keys that are always put together, and notes each moment at which they differ. */
async function watchPairs(
  cluster: TestCluster,
): Promise<AsyncDisposable & { seen: number; readonly halves: string[] }> {
  const client = await cluster.connect();
  const ended = new AbortController();
  const values = new Map<string, string>();
  const halves: string[] = [];
  const result = { seen: 0, halves, [Symbol.asyncDispose]: async (): Promise<void> => await stop() };
  const decoder = new TextDecoder();
  const watching = (async (): Promise<void> => {
    for await (const batch of client.watch({ prefix: "pair/", signal: ended.signal })) {
      if (batch.kind !== "events") continue;
      for (const event of batch.events) {
        if (event.kind === "put") {
          values.set(decoder.decode(event.entry.key), decoder.decode(event.entry.value));
        }
      }
      result.seen += 1;
      const [a, b] = ["pair/a", "pair/b"].map((key) => values.get(key));
      if (a !== b) halves.push(`revision ${batch.revision}: ${a} and ${b}`);
    }
  })().catch((error: unknown) => {
    if (!ended.signal.aborted) halves.push(String(error));
  });
  const stop = async (): Promise<void> => {
    ended.abort();
    await watching;
    await client.close();
  };
  return result;
}

Deno.test("mirror: another cluster of kvraft is followed by its etcd interface when its leader is killed", async () => {
  await using source = await EtcdCluster.start();
  await using target = await TestCluster.start({ nodes: 1 });
  await using writer = await source.cluster.connect();
  for (let n = 0; n < 20; n++) await writer.put(`key/${n}`, "before");
  await using mirror = startMirror(target, source.addresses.join(","));
  await mirror.waitForOutput(/following etcd from revision/);
  await writer.put("key/0", "followed");
  await source.cluster.kill(await source.cluster.waitForLeader());
  await writer.transaction({
    mutations: [{ kind: "put", key: "key/1", value: "after" }, { kind: "delete", key: "key/2" }],
  });
  const wanted = await contentsOf(source.cluster);
  assertEquals(wanted.size, 19);
  await eventually("both clusters hold the same", async () => {
    assertEquals(await contentsOf(target), wanted);
    return true;
  }, { explain: () => mirror.printed });
  mirror.signal("SIGINT");
  assertEquals((await mirror.end()).code, 0);
});

Deno.test("mirror --once: keys that kvraft cannot hold and keys of leases are named, and all others compared", async () => {
  if (etcdVersion() === null) return skip("etcd is not installed");
  await using server = await EtcdServer.start();
  const etcd = new Etcd(server.address);
  await etcd.post("lease/grant", { ID: "7", TTL: "600" });
  await etcd.put("service/1", "10.0.0.1", "7");
  await etcd.put("app/large", "x".repeat(1_048_577));
  await etcd.put("k".repeat(4_097), "long");
  await etcd.put("app/color", "blue");
  await using cluster = await TestCluster.start({ nodes: 1 });
  await using client = await cluster.connect();
  await client.put("app/old", "here");
  const run = async (
    options: readonly string[],
  ): Promise<{ code: number; stdout: string; stderr: string }> => {
    await using mirror = startMirror(cluster, server.address, ["--once", ...options]);
    return await mirror.end();
  };
  const refused = await run([]);
  assertEquals(refused.code, 2);
  assertStringIncludes(refused.stderr, "The cluster has keys already");
  assertEquals((await client.get("app/old"))?.value, new TextEncoder().encode("here"));

  const first = await run(["--overwrite"]);
  assertEquals(first.code, 1, first.stderr);
  assertStringIncludes(first.stdout, "1 key put, 1 deleted, 0 were the same");
  assertStringIncludes(first.stderr, "left out 1 key of leases: service/1");
  assertStringIncludes(first.stderr, "left out 1 key with a value of more than 1048576 bytes: app/large");
  assertStringIncludes(first.stderr, "left out 1 key longer than 4096 bytes: kkk");
  assertEquals((await client.list()).entries.map(({ key }) => new TextDecoder().decode(key)), ["app/color"]);

  const again = await run(["--overwrite", "--drop-leases"]);
  assertStringIncludes(again.stdout, "1 key put, 0 deleted, 1 were the same");

  // Only app/, under another name.
  const part = await run(["--prefix", "app/", "--to-prefix", "copy/"]);
  assertStringIncludes(part.stdout, "1 key put, 0 deleted");
  assertEquals((await client.get("copy/color"))?.value, new TextEncoder().encode("blue"));
});

/** A file for each name, which only its owner may read. Returns the path of one. */
async function writeFiles(
  directory: string,
  files: Readonly<Record<string, string>>,
): Promise<(name: string) => string> {
  const path = (name: string): string => join(directory, name);
  for (const [name, text] of Object.entries(files)) {
    await Deno.writeTextFile(path(name), text, { mode: 0o600 });
  }
  return path;
}

Deno.test("mirror: with users and TLS; a token that etcd has forgotten is renewed", async () => {
  if (etcdVersion() === null) return skip("etcd is not installed");
  const authority = new Authority();
  const { cert, key } = authority.issue({ name: "etcd", altNames: ["IP:127.0.0.1"] });
  await using cluster = await TestCluster.start({ nodes: 1 });
  const path = await writeFiles(cluster.folder.path, {
    "ca.pem": authority.cert,
    "cert.pem": cert,
    "key.pem": key,
    "password": "secret\n",
    "wrong": "no\n",
  });
  const flags = ["--cert-file", path("cert.pem"), "--key-file", path("key.pem")];
  await using server = await EtcdServer.start(flags);
  const etcdctl = async (...args: string[]): Promise<void> => {
    const signIn = ["--cacert", path("ca.pem"), "--user", "root:secret"];
    const all = ["--endpoints", `https://${server.address}`, ...signIn, ...args];
    const { success, stderr } = await new Deno.Command("etcdctl", { args: all }).output();
    assert(success, new TextDecoder().decode(stderr));
  };
  await etcdctl("put", "a", "1");
  await etcdctl("user", "add", "root:secret");
  await etcdctl("user", "grant-role", "root", "root");
  await etcdctl("auth", "enable");
  const options = ["--from-ca", "ca.pem"];
  const from = `https://${server.address}`;

  await using unsigned = startMirror(cluster, from, options);
  const { code, stderr } = await unsigned.end();
  assertEquals(code, 6, stderr);
  assertStringIncludes(stderr, "user name is empty");
  const wrongPassword = ["--from-user", "root", "--from-password-file", "wrong"];
  await using wrong = startMirror(cluster, from, [...options, ...wrongPassword]);
  assertEquals((await wrong.end()).code, 6);

  const signIn = ["--from-user", "root", "--from-password-file", "password"];
  await using mirror = startMirror(cluster, from, [...options, ...signIn]);
  await mirror.waitForOutput(/following etcd from revision/);
  await etcdctl("put", "b", "2");
  await server.kill();
  // A new process does not know the tokens of the one before.
  await server.startAgain();
  await etcdctl("put", "c", "3");
  await using client = await cluster.connect();
  await eventually("the last put is mirrored", async () => await client.get("c"), {
    explain: () => mirror.printed,
    deadlineMs: DEADLINE_MS,
  });
  assertEquals((await client.list()).entries.map(({ key }) => new TextDecoder().decode(key)), [
    "a",
    "b",
    "c",
  ]);
});
