/** The status page's requests to whole servers: by which names, for which users, and with what content. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { MAX_AUTH_NAME_CHARACTERS, MAX_SECRET_CHARACTERS } from "../../../../lib/kv/mod.ts";
import { sha256Of } from "../../../../lib/platform/secrets.ts";
import type { HttpResponse, HttpStreamWriter } from "../../../../lib/platform/network.ts";
import { EVENT_INTERVAL_MS } from "../../../../lib/server/status_page/viewers.ts";
import { passwordHash } from "../../../support/fakes/auth.ts";
import { AuthCluster, PASSWORD } from "../../../support/fakes/auth_cluster.ts";
import { MemoryCluster } from "../../../support/fakes/memory_cluster.ts";

const HTTP = { http: { host: "n1", port: 9101 } };
const ADDRESS = "n1:9101";
const CLUSTER_PAGES = ["/", "/status", "/status/events", "/status/cluster.json"];
const OPEN_PAGES = ["/live", "/metrics"];

/** A viewer that keeps what it is sent. */
class Viewer implements HttpStreamWriter {
  readonly events: string[] = [];
  isClosed = false;
  readonly #left: () => void;

  constructor({ stream }: HttpResponse) {
    assert(stream !== undefined, "the answer is a stream");
    this.#left = stream(this);
  }

  send(text: string): boolean {
    this.events.push(text);
    return true;
  }

  close(): void {
    this.isClosed = true;
    this.#left();
  }
}

function basic(user: string, password: string): Readonly<Record<string, string>> {
  return { authorization: `Basic ${new TextEncoder().encode(`${user}:${password}`).toBase64()}` };
}

/** Asks for a page; returns the status of the answer, or all of it. */
function ask(cluster: MemoryCluster, path: string, headers = {}): Promise<HttpResponse> {
  return cluster.run(cluster.http.ask(ADDRESS, path, { headers }));
}

async function statusesOf(cluster: MemoryCluster, paths: readonly string[], headers = {}): Promise<number[]> {
  const statuses: number[] = [];
  for (const path of paths) statuses.push((await ask(cluster, path, headers)).status);
  return statuses;
}

/** Starts three nodes, of which node 1 serves HTTP. */
async function threeNodes(): Promise<MemoryCluster> {
  const cluster = new MemoryCluster();
  for (const id of [1, 2, 3]) {
    await cluster.start(id, { founders: [1, 2, 3], ...id === 1 ? { changes: HTTP } : {} });
  }
  return cluster;
}

Deno.test("status page: pages that show the cluster are not given by a name of another site", async () => {
  await using cluster = await threeNodes();
  for (const host of ["n1:9101", "N1", "n3:9101", "127.0.0.1:9101", "[::1]:9101", "localhost"]) {
    assertEquals(await statusesOf(cluster, CLUSTER_PAGES, { host }), [200, 200, 200, 200], host);
  }
  for (const host of ["rebound.example:9101", "n4", "n1.example", ""]) {
    assertEquals(await statusesOf(cluster, CLUSTER_PAGES, { host }), [421, 421, 421, 421], host);
    assertEquals(await statusesOf(cluster, OPEN_PAGES, { host }), [200, 200], host);
  }
});

Deno.test("status page: cluster.json has a report of every member, and of one that is dead why there is none", async () => {
  await using cluster = await threeNodes();
  const kinds = async (): Promise<unknown> => {
    const view = JSON.parse((await ask(cluster, "/status/cluster.json")).body);
    return [
      view.node,
      view.members.map(({ id, kind, reason }: Record<string, string>) => [
        id,
        kind,
        typeof reason,
      ]),
    ];
  };
  const member = (id: number): unknown[] => [id, "reachable", "undefined"];
  await cluster.until(async () =>
    JSON.stringify(await kinds()) === JSON.stringify([1, [1, 2, 3].map(member)])
  );
  await cluster.stop(3);
  assertEquals(await kinds(), [1, [member(1), member(2), [3, "unreachable", "string"]]]);
});

Deno.test("status page: an event shows the next leader soon after the old one has ended", async () => {
  await using cluster = await threeNodes();
  const answer = await ask(cluster, "/status/events");
  assertEquals([answer.status, answer.contentType], [200, "text/event-stream"]);
  const viewer = new Viewer(answer);
  /** The leader, by the newest event. */
  const leader = (): number | null => {
    const newest = viewer.events.at(-1);
    if (newest === undefined) return null;
    const { members } = JSON.parse(newest.replace(/^data: /, ""));
    return members.find(({ id }: { readonly id: number }) => id === 1)?.report.status.leader ?? null;
  };
  await cluster.until(() => leader() !== null);
  const client = await cluster.client(1, 2, 3);
  if (leader() !== 2) await cluster.run(client.cluster.transferLeadership(2));
  await cluster.until(() => leader() === 2);
  await cluster.stop(2);
  await cluster.until(() => leader() !== null && leader() !== 2);
});

Deno.test("status page: with authentication a user is asked for, by password or token, and other pages stay open", async () => {
  await using auth = await AuthCluster.enabled(1, HTTP);
  const { cluster } = auth;
  await auth.addUser("alice");
  const token = "kvraft-token-of-alice";
  await auth.run(
    auth.root.change({
      kind: "addToken",
      user: "alice",
      token: "page",
      hash: sha256Of(token),
      expiresAtMs: null,
    }),
  );
  const refused = [401, 401, 401, 401];
  assertEquals(await statusesOf(cluster, CLUSTER_PAGES), refused);
  assertEquals(await statusesOf(cluster, OPEN_PAGES), [200, 200]);
  const { headers, body } = await ask(cluster, "/");
  assertEquals(headers, { "www-authenticate": 'Basic realm="kvraft", charset="UTF-8"' });
  assertStringIncludes(body, "it needs a user");
  for (const credentials of [basic("alice", PASSWORD), { authorization: `bearer ${token}` }]) {
    assertEquals(await statusesOf(cluster, CLUSTER_PAGES, credentials), [200, 200, 200, 200]);
  }
  const wrong = [
    basic("alice", "wrong"),
    basic("bob", PASSWORD),
    { authorization: "Bearer unknown" },
    { authorization: "Basic !" },
    { authorization: "Basic YWxpY2U=" },
    { authorization: `Digest ${PASSWORD}` },
    basic("alice", "x".repeat(2_000)),
  ];
  for (const credentials of wrong) {
    assertEquals((await ask(cluster, "/", credentials)).status, 401, JSON.stringify(credentials));
  }
});

Deno.test("status page: a user with the longest name and the longest password that there can be signs in", async () => {
  await using auth = await AuthCluster.enabled(1, HTTP);
  const [user, password] = ["n".repeat(MAX_AUTH_NAME_CHARACTERS), "ö".repeat(MAX_SECRET_CHARACTERS)];
  await auth.run(auth.root.change({ kind: "addUser", user, password: passwordHash(password) }));
  const statuses: number[] = [];
  for (
    const credentials of [basic(user, password), basic(user, `${password}ö`), basic(`${user}n`, password)]
  ) {
    statuses.push((await ask(auth.cluster, "/", credentials)).status);
  }
  assertEquals(statuses, [200, 401, 401]);
});

Deno.test("status page: a user is signed in once, and its pages and streams end when it is removed", async () => {
  await using auth = await AuthCluster.enabled(1, HTTP);
  const { cluster } = auth;
  await auth.addUser("alice");
  const alice = basic("alice", PASSWORD);
  const viewer = new Viewer(await ask(cluster, "/status/events", alice));
  for (let page = 0; page < 5; page++) assertEquals((await ask(cluster, "/status", alice)).status, 200);
  const { body } = await ask(cluster, "/metrics");
  assertStringIncludes(body, 'kvraft_sign_ins_total{result="ok"} 2\n'); // root's and hers
  await cluster.pass(EVENT_INTERVAL_MS);
  assertEquals(viewer.isClosed, false);
  await auth.run(auth.root.change({ kind: "removeUser", user: "alice" }));
  await auth.run(auth.root.change({ kind: "addUser", user: "alice", password: passwordHash("another") }));
  const seen = viewer.events.length;
  await cluster.pass(2 * EVENT_INTERVAL_MS);
  assertEquals([viewer.isClosed, viewer.events.length], [true, seen]);
  assertEquals((await ask(cluster, "/status", alice)).status, 401);
});

Deno.test("status page: a stream that began without users ends when authentication is enabled", async () => {
  await using auth = await AuthCluster.start(1, HTTP);
  const viewer = new Viewer(await ask(auth.cluster, "/status/events"));
  await auth.cluster.pass(EVENT_INTERVAL_MS);
  assertEquals([viewer.isClosed, viewer.events.length > 0], [false, true]);
  await auth.enable();
  await auth.cluster.pass(2 * EVENT_INTERVAL_MS);
  assertEquals(viewer.isClosed, true);
});

Deno.test("status page: a node that does not run yet has the document, and no events", async () => {
  await using cluster = new MemoryCluster();
  const stop = new AbortController();
  const starting = cluster.begin(1, { join: [2], changes: HTTP, signal: stop.signal }).catch(() => null);
  await cluster.until(() => cluster.http.addresses.length > 0);
  assertEquals(await statusesOf(cluster, CLUSTER_PAGES), [200, 503, 503, 503]);
  stop.abort();
  await cluster.run(starting);
});
