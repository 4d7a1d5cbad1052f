/** Watches, leases, snapshots and calls at one node go on after a new sign-in. */
import { assertEquals, assertRejects } from "@std/assert";
import { AuthenticationError, PermissionDeniedError, TimeoutError } from "../../../../lib/mod.ts";
import { MAX_SNAPSHOT_PART_BYTES } from "../../../../lib/protocol/limits.ts";
import type { ErrorCode } from "../../../../lib/protocol/messages.ts";
import { BatchReader } from "../../../support/fakes/batch_reader.ts";
import { ADA, connectAs, guard, kindsAt, refusal, signInsOf } from "../../../support/fakes/guarded_nodes.ts";
import { FakeCluster } from "../../../support/fakes/scripted_node.ts";
import { WatchedLog } from "../../../support/fakes/watched_log.ts";

Deno.test("watch: one that ends with its token goes on after a new sign-in, without a gap", async () => {
  const cluster = new FakeCluster(1);
  const log = new WatchedLog(cluster);
  const right = { secret: "one" };
  guard(cluster, right);
  await using client = await connectAs(cluster, { token: () => right.secret });
  const reader = new BatchReader(client, { prefix: "" });
  const reading = reader.readAll();
  await cluster.pass(0);
  log.put("a");
  await cluster.pass(0);
  right.secret = "two";
  log.end(1, "unauthenticated");
  log.put("b");
  await cluster.pass(0);
  log.put("c");
  await cluster.pass(0);
  assertEquals(reader.revisions, [1, 2, 3]);
  assertEquals(kindsAt(cluster.node(1)), ["signIn", "watch", "signIn", "watch"]);
  await reader.end();
  await reading;
});

Deno.test("watch: one that begins with an expired token signs in again, once for many", async () => {
  const cluster = new FakeCluster(1);
  const log = new WatchedLog(cluster);
  const right = { secret: "one", code: "tokenExpired" as const };
  guard(cluster, right);
  await using client = await connectAs(cluster, { token: () => right.secret });
  right.secret = "two";
  const readers = Array.from({ length: 20 }, () => new BatchReader(client, { key: "a" }));
  const reading = readers.map((reader) => reader.readAll());
  await cluster.pass(0);
  log.put("a");
  await cluster.pass(0);
  assertEquals(readers.map(({ revisions }) => revisions), readers.map(() => [1]));
  assertEquals(signInsOf(cluster), 2);
  await Promise.all([...readers.map((reader) => reader.end()), ...reading]);
});

Deno.test("watch: it ends with the reason when the right is taken away, or the user", async () => {
  const cluster = new FakeCluster(1);
  const log = new WatchedLog(cluster);
  const right = { secret: "s3cret" };
  guard(cluster, right);
  await using client = await connectAs(cluster, ADA);
  for (const code of ["permissionDenied", "unauthenticated"] as const) {
    const ended = new BatchReader(client, { prefix: "" }).readAll();
    await cluster.pass(0);
    const before = signInsOf(cluster);
    if (code === "unauthenticated") right.secret = "changed";
    log.end(1, code);
    if (code === "permissionDenied") {
      await assertRejects(() => cluster.finish(ended), PermissionDeniedError, "ended it");
    } else await assertRejects(() => cluster.finish(ended), AuthenticationError, "Cannot sign in as ada");
    assertEquals(signInsOf(cluster) - before, code === "unauthenticated" ? 1 : 0);
  }
});

Deno.test("leases: a lease is kept alive over the end of a token", async () => {
  const cluster = new FakeCluster(1);
  const right = { secret: "one", code: "tokenExpired" as const };
  guard(cluster, right);
  const node = cluster.node(1);
  const obey = node.answer;
  node.answer = (request) =>
    request.kind === "keepAlive"
      ? { kind: "keepAliveResult", requestId: request.requestId, ttlsMs: request.leaseIds.map(() => 3_000) }
      : obey(request);
  await using client = await connectAs(cluster, { token: () => right.secret });
  assertEquals(await cluster.finish(client.leases.keepAlive([7])), [{ leaseId: 7, ttlMs: 3_000 }]);
  right.secret = "two";
  assertEquals(await cluster.finish(client.leases.keepAlive([7])), [{ leaseId: 7, ttlMs: 3_000 }]);
  assertEquals(kindsAt(node), ["signIn", "keepAlive", "keepAlive", "signIn", "keepAlive"]);
});

Deno.test("openSnapshot: the download goes on over the same connection after a new sign-in", async () => {
  const cluster = new FakeCluster(1);
  const right = { secret: "one", code: "tokenExpired" as const };
  guard(cluster, right);
  const node = cluster.node(1);
  node.snapshot = new Uint8Array(9 * MAX_SNAPSHOT_PART_BYTES + 1).map((_, position) => position * 31 >> 8);
  await using client = await connectAs(cluster, { token: () => right.secret });
  await using download = await cluster.finish(client.cluster.openSnapshot());
  const read: Uint8Array[] = [];
  for await (const chunk of download.chunks()) {
    read.push(chunk);
    if (read.length === 2) right.secret = "two";
  }
  assertEquals(new Uint8Array(await new Blob(read as BlobPart[]).arrayBuffer()), node.snapshot);
  assertEquals([signInsOf(cluster), node.connections], [2, 1]);
});

Deno.test("status and stateHash: a call at one node signs in again there, and ends with the reason if refused", async () => {
  const cluster = new FakeCluster(2);
  const right = { secret: "one", code: "tokenExpired" as const };
  guard(cluster, right);
  const given = { secret: "one" };
  await using client = await connectAs(cluster, { token: () => given.secret });
  await cluster.finish(client.cluster.status());
  right.secret = given.secret = "two";
  const { nodes } = await cluster.finish(client.cluster.status());
  assertEquals(nodes.map(({ reachable }) => reachable), [true, true]);
  right.secret = given.secret = "three";
  await cluster.finish(client.cluster.stateHash(cluster.node(2).address));
  right.secret = "four";
  await assertRejects(
    () => cluster.finish(client.cluster.status()),
    AuthenticationError,
    "signing in by the token failed: node",
  );
});

/** Has a node answer sign-ins with noLeader while `isLost` says so. */
function loseLeader(cluster: FakeCluster, isLost: () => boolean): void {
  for (const node of cluster.nodes) {
    const { serve } = node;
    node.serve = (request, send) =>
      request.kind === "signIn" && isLost()
        ? refusal(request, "noLeader", "Cannot sign in: this node knows of no leader. Try again.")
        : serve(request, send);
  }
}

Deno.test("call: a new sign-in that finds no leader is repeated, and does not end the call", async () => {
  for (const nodes of [1, 2]) {
    const cluster = new FakeCluster(nodes);
    const right = { secret: "one" };
    guard(cluster, right);
    let lost = 0;
    loseLeader(cluster, () => lost-- > 0);
    await using client = await connectAs(cluster, { token: () => right.secret });
    await cluster.finish(client.put("k", "v"));
    right.secret = "two";
    lost = 3;
    await cluster.finish(client.put("k", "w"));
    assertEquals(lost < 0, true, "three sign-ins were not answered");
    lost = 1_000_000;
    right.secret = "three";
    const error = await assertRejects(
      () => cluster.finish(client.get("k", { timeoutMs: 500 })),
      TimeoutError,
      "this node knows of no leader",
    );
    assertEquals(error.outcome, "not-applied");
  }
});

Deno.test("watch: a new sign-in that finds no leader is repeated, and does not end the watch", async () => {
  const cluster = new FakeCluster(1);
  const log = new WatchedLog(cluster);
  const right = { secret: "one" };
  guard(cluster, right);
  let lost = 0;
  loseLeader(cluster, () => lost-- > 0);
  await using client = await connectAs(cluster, { token: () => right.secret });
  const reader = new BatchReader(client, { prefix: "" });
  const reading = reader.readAll();
  await cluster.pass(0);
  right.secret = "two";
  lost = 2;
  log.end(1, "unauthenticated");
  log.put("a");
  await cluster.pass(1_000);
  assertEquals(reader.revisions, [1]);
  await reader.end();
  await reading;
});

Deno.test("calls and watches: each of two tokens that end in one call is renewed, with an election between them", async () => {
  const cluster = new FakeCluster(1);
  const node = cluster.node(1);
  const log = new WatchedLog(cluster);
  await using client = await connectAs(cluster, ADA);
  const { serve } = node;
  let refusals: ErrorCode[] = [];
  node.serve = (request, send) => {
    const code = request.kind === "signIn" ? undefined : refusals.shift();
    return code === undefined ? serve(request, send) : refusal(request, code);
  };
  const twice = ["tokenExpired", "noLeader", "tokenExpired"] as const;
  refusals = [...twice];
  const before = signInsOf(cluster);
  await cluster.finish(client.get("k"));
  assertEquals(signInsOf(cluster) - before, 2);
  refusals = [...twice];
  const reader = new BatchReader(client, { key: "a" });
  const reading = reader.readAll();
  await cluster.pass(1_000);
  log.put("a");
  await cluster.pass(0);
  assertEquals([reader.revisions, signInsOf(cluster) - before], [[1], 4]);
  await reader.end();
  await reading;
});
