/** The messages of the client's errors: one "Cannot …", the reason, and whether anything may have changed. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type KvClient, KvraftError, SessionExpiredError } from "../../../lib/mod.ts";
import { reasonOf } from "../../../lib/client/retry.ts";
import { parseAddress } from "../../../lib/platform/address.ts";
import type { ErrorCode } from "../../../lib/protocol/messages.ts";
import { FakeCluster, type FakeNode, writeResult } from "../../support/fakes/scripted_node.ts";

/** Returns the error of a call when its only node does this. */
async function messageWhen(prepare: (node: FakeNode) => void): Promise<string> {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  prepare(cluster.node(1));
  await cluster.pass(0);
  const { message } = await assertRejects(
    () => cluster.finish(client.put("k", "v", { timeoutMs: 500 })),
    KvraftError,
  );
  return message;
}

/** Makes a node refuse every request with a server's own message. */
function refuseWith(code: ErrorCode, message: string): (node: FakeNode) => void {
  return (node) => {
    node.answer = ({ requestId }) => ({
      kind: "error",
      requestId,
      code,
      message,
      outcome: "not-applied",
      leader: null,
    });
  };
}

Deno.test("ClientError: for any number of causes the message says once which call failed", async () => {
  const messages = await Promise.all([
    messageWhen((node) => node.kill()),
    messageWhen((node) => node.answer = () => "silence"),
    messageWhen((node) => node.answer = () => "disconnect"),
    messageWhen((node) => {
      node.refusal = { kind: "refusal", code: "busy", message: "Cannot take a client: there are too many." };
      node.disconnect();
    }),
    messageWhen(refuseWith("noLeader", "Cannot read: Cannot reach the leader: it is closed. Try again.")),
    messageWhen(refuseWith("storageFull", "Cannot write: the disk is full.")),
  ]);
  assertEquals(messages, [
    "Cannot put a key within 500 ms: at the last attempt, 10.0.0.1:7001: nothing listens there. Check that its nodes " +
    "run and the addresses are right. Nothing was changed.",
    "Cannot put a key within 500 ms: at the last attempt, node 1 did not answer within 50 ms. It may have been " +
    "applied, or may yet be: read before trying again.",
    "Cannot put a key within 500 ms: at the last attempt, the connection to node 1 was lost: the other end closed the " +
    "connection. It may have been applied, or may yet be: read before trying again.",
    "Cannot put a key within 500 ms: at the last attempt, 10.0.0.1:7001: there are too many. Check that its nodes run " +
    "and the addresses are right. Nothing was changed.",
    "Cannot put a key within 500 ms: at the last attempt, node 1 answered: it is closed. Try again. Nothing was changed.",
    "Cannot put a key: node 1 answered: the disk is full. Nothing was changed.",
  ]);
});

Deno.test("ClientError: for calls to one address the message says once which call failed, too", async () => {
  const cluster = new FakeCluster(2);
  await using client = await cluster.connect([1]);
  cluster.node(2).kill();
  const calls: readonly ((client: KvClient) => Promise<unknown>)[] = [
    (client) => client.cluster.stateHash(cluster.node(2).address),
    (client) => client.cluster.takeSnapshot({ node: 2 }),
  ];
  for (const call of calls) {
    const { message } = await assertRejects(() => cluster.finish(call(client)), KvraftError);
    assertEquals([message.split("Cannot").length, reasonOf(message)], [2, "nothing listens there."]);
  }
});

Deno.test("ClientError: an answered write may have been applied, and the message excludes a later effect", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const node = cluster.node(1);
  let attempts = 0;
  node.answer = (request) => {
    attempts += 1;
    return attempts === 1
      ? "disconnect"
      : writeResult(request, { kind: "refused", reason: "sessionExpired" });
  };
  const { message } = await assertRejects(() => cluster.finish(client.put("k", "v")), SessionExpiredError);
  assert(message.endsWith(". It may have been applied: read before trying again."), message);
});

Deno.test("ClientError: a server of another protocol at an address is named, and not dialled again", async () => {
  const cluster = new FakeCluster(1);
  cluster.node(1).kill();
  await cluster.pass(0);
  const listener = cluster.network.listen(parseAddress(cluster.node(1).address));
  const answering = (async () => {
    const connection = await listener.accept();
    await connection?.write(new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n"));
  })();
  const start = cluster.clock.now();
  const { message } = await assertRejects(() => cluster.connect(), KvraftError);
  assertEquals(
    message,
    "Cannot reach the cluster: 10.0.0.1:7001: it answers like an HTTP server, not like a node of kvraft. " +
      "Check that its nodes run and the addresses are right.",
  );
  assert(cluster.clock.now() - start < 100);
  await answering;
});

Deno.test("reasonOf: it removes every repetition of “Cannot …” from the beginning of a message", () => {
  const table: readonly (readonly [string, string])[] = [
    ["Cannot connect to [::1]:7001: nothing listens there.", "nothing listens there."],
    ["Cannot a: Cannot b: Cannot c: it is so. Do that.", "it is so. Do that."],
    ["Cannot tell who will lead.", "Cannot tell who will lead."],
    ["This node is busy: try again.", "This node is busy: try again."],
    ["", ""],
  ];
  for (const [message, reason] of table) assertEquals(reasonOf(message), reason);
});
