/** Snapshots: taking them, and reading their file over the connection on which they were taken. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { SNAPSHOT_READS_IN_FLIGHT } from "../../../lib/client/snapshot_download.ts";
import {
  ClosedError,
  ConnectionError,
  InternalError,
  InvalidRequestError,
  type KvClient,
  type SnapshotDownload,
  TimeoutError,
} from "../../../lib/mod.ts";
import { MAX_SNAPSHOT_PART_BYTES } from "../../../lib/protocol/limits.ts";
import { FakeCluster, type FakeNode } from "../../support/fakes/scripted_node.ts";

/** A file of ten parts and a part of one. */
const FILE = new Uint8Array(10 * MAX_SNAPSHOT_PART_BYTES + 17).map((_, position) => position * 31 >> 8);

/** One node with a file, and a client. */
async function scene(): Promise<{ cluster: FakeCluster; node: FakeNode; client: KvClient }> {
  const cluster = new FakeCluster(1);
  const node = cluster.node(1);
  node.snapshot = FILE;
  return { cluster, node, client: await cluster.connect() };
}

async function readAll(download: SnapshotDownload): Promise<Uint8Array> {
  const file = new Uint8Array(download.bytes);
  let length = 0;
  for await (const chunk of download.chunks()) {
    file.set(chunk, length);
    length += chunk.length;
  }
  assertEquals(length, download.bytes);
  return file;
}

/** Offsets of the reads at the node. */
function offsets({ requests }: FakeNode): readonly number[] {
  return requests.filter((request) => request.kind === "readSnapshot").map(({ offset }) => offset);
}

Deno.test("takeSnapshot: the leader takes it, and nothing is kept for reading", async () => {
  const cluster = new FakeCluster(2);
  cluster.node(1).snapshot = FILE;
  await using client = await cluster.connect([2]);
  assertEquals(await cluster.finish(client.cluster.takeSnapshot()), {
    nodeId: 1,
    index: 10,
    term: 1,
    revision: 1,
    bytes: FILE.length,
  });
  assertEquals(cluster.node(1).requests, [{ kind: "takeSnapshot", requestId: 1, keep: false }]);
});

Deno.test("takeSnapshot: the named node takes it, or none", async () => {
  const cluster = new FakeCluster(2);
  cluster.node(2).snapshot = FILE;
  await using client = await cluster.connect([1]);
  assertEquals((await cluster.finish(client.cluster.takeSnapshot({ node: 2 }))).nodeId, 2);
  {
    await using download = await cluster.finish(client.cluster.openSnapshot({ node: 2 }));
    assertEquals([download.nodeId, await cluster.finish(readAll(download))], [2, FILE]);
  }
  const notMember = await assertRejects(
    () => cluster.finish(client.cluster.takeSnapshot({ node: 9 })),
    InvalidRequestError,
  );
  assertEquals(notMember.message, "Cannot take a snapshot: node 9 is no member. Members: 1, 2.");
  cluster.node(2).answer = () => "disconnect";
  await assertRejects(() => cluster.finish(client.cluster.takeSnapshot({ node: 2 })), ConnectionError);
});

Deno.test("takeSnapshot: a slow snapshot is requested once, and waited for until the deadline", async () => {
  const { cluster, node, client } = await scene();
  node.answer = () => "silence";
  const error = await assertRejects(
    () => cluster.finish(client.cluster.takeSnapshot({ timeoutMs: 20_000 })),
    TimeoutError,
  );
  assertEquals([error.outcome, node.requests.length], ["not-applied", 1]);
  await client.close();
});

Deno.test("takeSnapshot: if the node is lost, another one is asked", async () => {
  const cluster = new FakeCluster(2);
  cluster.node(1).answer = () => "disconnect";
  await using client = await cluster.connect();
  assertEquals((await cluster.finish(client.cluster.takeSnapshot())).nodeId, 2);
});

Deno.test("openSnapshot: the file is complete and in order, and closed at the end", async () => {
  const { cluster, node, client } = await scene();
  {
    await using download = await cluster.finish(client.cluster.openSnapshot());
    assertEquals([download.bytes, download.revision, node.keptSnapshots], [FILE.length, 1, 1]);
    assertEquals(await cluster.finish(readAll(download)), FILE);
    assertEquals(offsets(node), Array.from({ length: 11 }, (_, part) => part * MAX_SNAPSHOT_PART_BYTES));
  }
  assertEquals(node.keptSnapshots, 0);
  await client.close();
});

Deno.test("openSnapshot: no more parts are requested than a few ahead of the reader", async () => {
  const { cluster, node, client } = await scene();
  const download = await cluster.finish(client.cluster.openSnapshot());
  const chunks = download.chunks()[Symbol.asyncIterator]();
  for (let taken = 1; taken <= 3; taken++) {
    await cluster.finish(chunks.next());
    await cluster.pass(0);
    assertEquals(offsets(node).length, SNAPSHOT_READS_IN_FLIGHT + taken - 1);
  }
  await chunks.return?.();
  await client.close();
});

Deno.test("openSnapshot: after a part that is shorter than requested, the rest is requested", async () => {
  const { cluster, node, client } = await scene();
  node.snapshot = FILE.subarray(0, 3 * MAX_SNAPSHOT_PART_BYTES / 2);
  const obey = node.answer;
  node.answer = (request) => {
    const reply = obey(request);
    if (typeof reply === "string" || reply.kind !== "snapshotPart") return reply;
    return { ...reply, data: reply.data.subarray(0, 100_000) };
  };
  const download = await cluster.finish(client.cluster.openSnapshot());
  assertEquals(await cluster.finish(readAll(download)), node.snapshot);
  await client.close();
});

Deno.test("openSnapshot: a lost connection ends the download with an error that says so", async () => {
  const { cluster, node, client } = await scene();
  const download = await cluster.finish(client.cluster.openSnapshot());
  const obey = node.answer;
  node.answer = (request) => offsets(node).length < 6 ? obey(request) : "disconnect";
  const error = await assertRejects(() => cluster.finish(readAll(download)), ConnectionError);
  assertEquals(
    error.message,
    "Cannot read a snapshot to its end: the connection to node 1 was lost: the other end closed the connection. Begin again.",
  );
  await cluster.finish(Promise.resolve(download[Symbol.asyncDispose]()));
  await client.close();
});

Deno.test("openSnapshot: a node that does not answer, refuses, or gives another part ends the download by name", async () => {
  const { cluster, node, client } = await scene();
  const obey = node.answer;
  const download = await cluster.finish(client.cluster.openSnapshot({ timeoutMs: 3_000 }));
  node.answer = () => "silence";
  await assertRejects(() => cluster.finish(readAll(download)), TimeoutError, "no part within 3000 ms");
  const failedAt = cluster.clock.now();
  await cluster.finish(Promise.resolve(download[Symbol.asyncDispose]()));
  assertEquals(cluster.clock.now(), failedAt, "a reader that has waited in vain does not wait again");
  node.answer = obey;
  const second = await cluster.finish(client.cluster.openSnapshot());
  node.answer = ({ requestId }) => ({
    kind: "error",
    requestId,
    code: "invalidRequest",
    message: "There is no such snapshot.",
    outcome: "not-applied",
    leader: 1,
  });
  await assertRejects(
    () => cluster.finish(readAll(second)),
    InvalidRequestError,
    "There is no such snapshot",
  );
  for (const part of [{ offset: 1, data: new Uint8Array(1) }, { offset: 0, data: new Uint8Array(0) }]) {
    node.answer = ({ requestId }) => ({ kind: "snapshotPart", requestId, ...part });
    await assertRejects(() => cluster.finish(readAll(second)), InternalError, "another part");
  }
  await client.close();
});

Deno.test("takeSnapshot: a leader that does not answer does not delay a snapshot of another node", async () => {
  const cluster = new FakeCluster(3);
  await using client = await cluster.connect();
  cluster.node(1).isHung = true;
  const start = cluster.clock.now();
  const { nodeId } = await cluster.finish(client.cluster.takeSnapshot({ node: 2, timeoutMs: 50_000 }));
  assertEquals([nodeId, cluster.clock.now() - start < 5_000], [2, true]);
});

Deno.test("openSnapshot: close of the client ends a download, and so does its caller's signal", async () => {
  const { cluster, node, client } = await scene();
  const controller = new AbortController();
  const download = await cluster.finish(client.cluster.openSnapshot({ signal: controller.signal }));
  node.answer = () => "silence";
  const aborted = readAll(download);
  await cluster.pass(0);
  controller.abort();
  const error = await assertRejects(() => cluster.finish(aborted), Error, "the caller's signal");
  assertEquals(error.name, "AbortError");
  node.answer = (request) => request.kind === "takeSnapshot" ? takenBy(request.requestId) : "silence";
  const second = await cluster.finish(client.cluster.openSnapshot());
  const closed = readAll(second);
  await cluster.pass(0);
  await client.close();
  await assertRejects(() => closed, ClosedError);
  assert(cluster.clock.timerCount === 0, "nothing is left behind");
});

function takenBy(requestId: number): {
  readonly kind: "snapshotTaken";
  readonly requestId: number;
  readonly snapshotId: number;
  readonly index: number;
  readonly term: number;
  readonly revision: number;
  readonly bytes: number;
  readonly takenBy: null;
} {
  return {
    kind: "snapshotTaken",
    requestId,
    snapshotId: 1,
    index: 10,
    term: 1,
    revision: 1,
    bytes: FILE.length,
    takenBy: null,
  };
}
