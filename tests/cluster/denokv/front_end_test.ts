/** The front end of real nodes, and a gateway, with the Deno client as it is: from any node, without a leader, and at a stop. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { TestCluster } from "../../support/processes/cluster.ts";
import { type Finished, Process, startKvraft } from "../../support/processes/process.ts";
import { parseMetrics, sumOf } from "../../support/prometheus.ts";
import { step } from "../../support/step.ts";
import { freePorts } from "../../support/temporary.ts";

/** A program of Deno KV; each line that it prints is a fact about its database. */
const PROGRAM = `
const kv = await Deno.openKv(Deno.args[0]);
const key = ["facts", Deno.args[1]];
const { versionstamp } = await kv.set(key, { name: "Ada", age: 36n });
const found = await kv.get(key);
console.log("get", found.value.name, found.value.age, found.versionstamp === versionstamp);
const guarded = await kv.atomic().check({ key, versionstamp: null }).set(key, 1).commit();
console.log("check", guarded.ok);
await Promise.all([1n, 2n, 3n].map((n) => kv.atomic().sum([...key, "sum"], n).commit()));
console.log("sum", String((await kv.get([...key, "sum"])).value));
for (let n = 0; n < 250; n++) await kv.atomic().set([...key, "list", n], n).commit();
let listed = 0;
for await (const { value } of kv.list({ prefix: [...key, "list"] })) listed += value === listed ? 1 : 1000;
console.log("list", listed);
const last = [];
for await (const { value } of kv.list({ prefix: [...key, "list"] }, { reverse: true, limit: 2 })) last.push(value);
console.log("reverse", last.join());
const many = await kv.getMany([[...key, "list", 7], [...key, "nothing"]]);
console.log("many", many[0].value, many[1].value);
await kv.set([...key, "expired"], 1, { expireIn: 0 });
console.log("expired", (await kv.get([...key, "expired"])).value);
const watched = kv.watch([[...key, "watched"]]).getReader();
console.log("watch", (await watched.read()).value[0].value);
await kv.set([...key, "watched"], "now");
console.log("watch", (await watched.read()).value[0].value);
await watched.cancel();
console.log("empty", (await kv.atomic().commit()).versionstamp.length);
kv.close();
`;

const FACTS = [
  "get Ada 36n true",
  "check false",
  "sum 6",
  "list 250",
  "reverse 249,248",
  "many 7 null",
  "expired null",
  "watch null",
  "watch now",
  "empty 20",
];

/** Runs the program with a URL. */
async function run(url: string, name: string, cwd: string): Promise<Finished> {
  await Deno.writeTextFile(`${cwd}/program.js`, PROGRAM);
  await using program = Process.start(
    Deno.execPath(),
    ["run", "--quiet", "--no-config", "--unstable-kv", "-A", "program.js", url, name],
    { cwd, name: "the program", env: { DENO_KV_ACCESS_TOKEN: "x" } },
  );
  return await program.end();
}

/** Asks a node for metadata, as the clients do. */
async function metadata(port: number): Promise<readonly [number, { readonly token: string }]> {
  const answer = await fetch(`http://127.0.0.1:${port}/`, {
    method: "POST",
    headers: { authorization: "Bearer x", "content-type": "application/json" },
    body: '{"supportedVersions":[1,2,3]}',
  });
  return [answer.status, await answer.json()];
}

/** Reads nothing by a data token; returns the status and the text. */
async function commit(port: number, token: string): Promise<readonly [number, string]> {
  const answer = await fetch(`http://127.0.0.1:${port}/kv/atomic_write`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
  });
  return [answer.status, await answer.text()];
}

Deno.test("denokv: an unmodified program works with every node and with a gateway, also without a leader's help", async (t) => {
  const first = freePorts(7);
  const port = (id: number): number => first + id - 1;
  const pages = (id: number): number => first + 3 + id;
  await using cluster = await TestCluster.start({
    flagsOf: (id) => ["--denokv", `127.0.0.1:${port(id)}`, "--http", `127.0.0.1:${pages(id)}`],
  });
  const leader = await cluster.waitForLeader();
  const cwd = cluster.folder.path;

  await step(t, "the program gives the same facts through each node", async () => {
    for (const id of cluster.ids) {
      const { stdout, stderr } = await run(`http://127.0.0.1:${port(id)}`, `node${id}`, cwd);
      assertEquals(stdout.trim().split("\n"), FACTS, `node ${id}: ${stderr}`);
    }
  });

  await step(t, "metrics and status have the numbers of the database", async () => {
    const metrics = parseMetrics(await (await fetch(`http://127.0.0.1:${pages(1)}/metrics`)).text());
    const labels = { database: "default", request: "atomic_write", status: "200" };
    assert(sumOf(metrics, "kvraft_denokv_requests_total", { labels }) > 250);
    const { denokv } = await (await fetch(`http://127.0.0.1:${pages(1)}/status`)).json();
    const [{ name, requests, failed, watches }] = denokv.databases;
    assertEquals([name, requests > 250, failed, watches], ["default", true, 0, 0]);
  });

  await step(t, "a gateway serves the same, and stops cleanly", async () => {
    const nodes = cluster.ids.map((id) => cluster.address(id)).join(",");
    const flags = ["--cluster", nodes, "--denokv", `127.0.0.1:${port(4)}`];
    await using gateway = startKvraft(["gateway", ...flags], { cwd, name: "the gateway" });
    await gateway.waitForOutput(/serves Deno KV on/);
    const { stdout, stderr } = await run(`http://127.0.0.1:${port(4)}`, "gateway", cwd);
    assertEquals(stdout.trim().split("\n"), FACTS, stderr);
    assertEquals((await gateway.stop()).code, 0, gateway.printed);
  });

  await step(
    t,
    "a follower without a leader still answers metadata, and 503 with the cause to all else",
    async () => {
      const [follower = 0, other = 0] = cluster.ids.filter((id) => id !== leader);
      const [, { token }] = await metadata(port(follower));
      await cluster.kill(leader);
      await cluster.kill(other);
      const begun = performance.now();
      const [status, text] = await commit(port(follower), token);
      const tookMs = performance.now() - begun;
      assertEquals(status, 503, text);
      assertMatch(text, /^node \d answered: .*\.$/);
      assert(tookMs >= 1_900 && tookMs < 9_000, `it waited ${tookMs} ms for a leader`);
      assertEquals((await metadata(port(follower)))[0], 200);
      await cluster.startNodes([leader, other]);
      await cluster.waitForLeader();
      assertEquals((await commit(port(follower), token))[0], 200);
    },
  );

  await step(t, "all nodes stop cleanly", async () => {
    const ends = await Promise.all(cluster.ids.map((id) => cluster.stop(id)));
    assertEquals(ends.map(({ code }) => code), [0, 0, 0], cluster.logs());
  });
});
