/** The accepting end: the connections it accepts, the messages it passes on, and its protection from misbehaving callers. */
import { FEATURE_LEVEL } from "../../../lib/kv/feature_level.ts";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { FRAME_KIND } from "../../support/frames/kinds.ts";
import {
  CLIENT_QUEUE_MAX_BYTES,
  CLIENT_QUEUE_PAUSE_BYTES,
  HELLO_TIMEOUT_MS,
  MAX_CLIENT_REQUESTS_IN_FLIGHT,
  MAX_FRAME_BYTES,
  MAX_PEER_LANES,
} from "../../../lib/protocol/limits.ts";
import { encodeResult } from "../../../lib/protocol/command.ts";
import { ManualClock, settle } from "../../support/fakes/manual_clock.ts";
import { MemoryNetwork } from "../../support/fakes/memory_network.ts";
import { OPENINGS } from "../../support/openings.ts";
import { NetNode, RawConnection, until, VOTERS } from "../../support/fakes/accepting_node.ts";
import { CLIENT_HELLO, peerHello, welcomed, withNode } from "./listener_scene.ts";

Deno.test("ConnectionListener: a client is welcomed with the cluster, the leader and the limits, and its requests arrive", () =>
  withNode(async ({ node, network }) => {
    const client = await welcomed(network);
    await client.send([40, 1, new Uint8Array([1, 2])]);
    await client.send([41, 2, new Uint8Array([3]), 2]);
    await until("both requests are there", () => node.requests.length === 2);
    assertEquals(node.requests.map(({ request }) => request), [
      { kind: "write", requestId: 1, command: new Uint8Array([1, 2]) },
      { kind: "get", requestId: 2, key: new Uint8Array([3]), consistency: "stale" },
    ]);
    node.clients[0]?.send({ kind: "writeResult", requestId: 1, result: new Uint8Array([9]) });
    await until("the answer has come", () => client.received.length === 2);
    assertEquals(client.received[1], [70, 1, new Uint8Array([9])]);
    client.close();
    await until("the close was reported", () => node.closedClients === 1);
  }));

Deno.test("ConnectionListener: a client may send requests after its hello without waiting for the welcome", () =>
  withNode(async ({ node, network }) => {
    const client = await RawConnection.connect(network);
    await client.send(CLIENT_HELLO);
    await client.send([43, 1]);
    await until("the request is there", () => node.requests.length === 1);
  }));

Deno.test("ConnectionListener: a caller of another cluster, version or protocol gets the reason, and is closed", () =>
  withNode(async ({ node, network }) => {
    const refusals: readonly [(number | string | null)[], string, string][] = [
      [
        [0, "kvraft", 999, 999],
        "versionMismatch",
        "versions 1 to 1 of the protocol, the other end 999 to 999",
      ],
      [[0, "kvraft", 1, 1, 2, "another", null, null, null], "wrongCluster", "is meant for another"],
      [
        [0, "kvraft", 1, 1, 1, "another", 2, 1, null, 1, "n2:7002"],
        "wrongCluster",
        "is meant for another",
      ],
      [peerHello(1), "unknownNode", "This is node 1 itself"],
      [peerHello(4), "removedNode", "Node 4 was removed."],
      [peerHello(2, 4), "badHello", "lane must be 1 for control, 2 for bulk, or 3 for probe"],
      [peerHello(2).slice(0, 9), "badHello", "dataId is missing"],
      [[...peerHello(2).slice(0, 10), "nowhere"], "badHello", "address must be host:port"],
      [[0, "etcd", 1, 1], "badHello", 'magic must be "kvraft"'],
      [[43, 1], "badHello", "kind must be 0"],
      [[0, "kvraft", 1], "badHello", "maxVersion is missing"],
    ];
    for (const [hello, code, reason] of refusals) {
      const connection = await RawConnection.connect(network);
      await connection.send(hello);
      await until("it was closed", () => connection.end !== null);
      const [answer] = connection.received;
      assert(Array.isArray(answer), "a refusal is a frame");
      assertEquals(answer.slice(0, 2), [FRAME_KIND.refusal, code]);
      assertStringIncludes(String(answer[2]), reason);
    }
    assertEquals(node.logger.messages, refusals.map(() => "Refused a connection"));
    assertEquals([node.clients, node.messages, node.callers], [[], [], []]);
  }, {
    overrides: {
      authorizePeer: ({ nodeId }) =>
        nodeId === 4 ? { kind: "refusal", code: "removedNode", message: "Node 4 was removed." } : null,
    },
  }));

Deno.test("ConnectionListener: a peer's hello is reported before the first of its messages", () => {
  const events: string[] = [];
  return withNode(async ({ network }) => {
    const peer = await RawConnection.connect(network);
    await peer.send(peerHello(2));
    await peer.send([18, 2, 1, 7]);
    await until("the message is there", () => events.length === 2);
    assertEquals(events, ['hello of 2, data 102, at n2:7002, lane "control"', "timeoutNow"]);
  }, {
    overrides: {
      onPeerHello: ({ nodeId, dataId, address, lane }) =>
        void events.push(`hello of ${nodeId}, data ${dataId}, at ${address}, lane "${lane}"`),
      onPeerMessage: ({ kind }) => void events.push(kind),
    },
  });
});

Deno.test("ConnectionListener: the welcome has the members of that moment", () => {
  let members = VOTERS;
  return withNode(async ({ network }) => {
    await welcomed(network);
    members = [{ id: 4, address: "n4:7004", role: "learner" }];
    const late = await RawConnection.connect(network);
    await late.send(CLIENT_HELLO);
    await until("the welcome has come", () => late.received.length === 1);
    const [welcome] = late.received;
    assertEquals(Array.isArray(welcome) && welcome[7], [[4, "n4:7004", "learner"]]);
  }, { overrides: { members: () => members } });
});

Deno.test("ConnectionListener: dropPeer closes the connections of that peer alone, which may call again", () =>
  withNode(async ({ node, network }) => {
    const dropped = [await welcomed(network, peerHello(2, 1)), await welcomed(network, peerHello(2, 2))];
    const other = await welcomed(network, peerHello(3));
    assertEquals([2, 3, 4].map((id) => node.listener.hasPeer(id)), [true, true, false]);
    node.listener.dropPeer(2);
    await until("both lanes are closed", () => dropped.every(({ end }) => end !== null));
    assertEquals([other.end, node.listener.hasPeer(2), node.listener.hasPeer(3)], [null, false, true]);
    await welcomed(network, peerHello(2));
  }));

Deno.test("ConnectionListener.dropPeer: connections with the data directory that is kept stay", () =>
  withNode(async ({ node, network }) => {
    const control = await welcomed(network, peerHello(2, 1));
    const other = peerHello(2, 2);
    other[9] = 999;
    const bulk = await welcomed(network, other);
    node.listener.dropPeer(2, { keptDataId: 102 });
    await until("the other folder's lane is closed", () => bulk.end !== null);
    assertEquals(control.end, null);
  }));

Deno.test("connections of nodes that do not know a feature level are closed, and no others", () =>
  withNode(async ({ node, network }) => {
    const earlier = await welcomed(network, peerHello(2));
    const present = await welcomed(network, [...peerHello(3), FEATURE_LEVEL]);
    node.listener.dropPeersBelow(FEATURE_LEVEL);
    await until("the earlier version's lane is closed", () => earlier.end !== null);
    assertEquals([present.end, node.listener.hasPeer(2)], [null, false]);
  }));

Deno.test("ConnectionListener: above the bound on lanes the oldest lane of a non-member is closed", () =>
  withNode(async ({ network }) => {
    const member = await welcomed(network, peerHello(2));
    const others: RawConnection[] = [];
    for (let id = 100; others.length < MAX_PEER_LANES - 1; id++) {
      others.push(await welcomed(network, peerHello(id)));
    }
    await settle();
    assertEquals(others.filter(({ end }) => end !== null).length, 0);
    await welcomed(network, peerHello(3));
    await until("one was closed", () => others.some(({ end }) => end !== null));
    assertEquals([others.map(({ end }) => end !== null).indexOf(false), member.end], [1, null]);
  }));

Deno.test("ConnectionListener: a notice of the members does not count as the answer to a request", () =>
  withNode(async ({ node, network }) => {
    const client = await welcomed(network);
    await client.send([43, 1]);
    await until("the request is there", () => node.requests.length === 1);
    node.clients[0]?.send({ kind: "members", appliedIndex: 304, members: VOTERS });
    await until("the notice has come", () => client.received.length === 2);
    assertEquals(client.received[1], [82, 304, VOTERS.map(({ id, address, role }) => [id, address, role])]);
    assertEquals(node.clients[0]?.requestsInFlight, 1);
  }));

Deno.test("ConnectionListener: garbage, a length bomb and half a frame end their own connection and no other", () =>
  withNode(async ({ node, network, clock }) => {
    const client = await welcomed(network);
    const garbage = await RawConnection.connect(network);
    await garbage.sendBytes(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"));
    const bomb = await RawConnection.connect(network);
    await bomb.sendBytes(new Uint8Array([0xff, 0xff, 0xff, 0xff]));
    const overHello = await RawConnection.connect(network);
    await overHello.sendBytes(new Uint8Array([0, 0, 0x20, 0x01]));
    await until("the first are closed", () => [garbage, bomb, overHello].every(({ end }) => end !== null));
    const half = await RawConnection.connect(network);
    await half.sendBytes(new Uint8Array([0, 0, 0, 20, 0x99]));
    await settle();
    assertEquals(half.end, null);
    clock.advance(HELLO_TIMEOUT_MS);
    await until("the half frame is closed", () => half.end !== null);
    await client.send([43, 1]);
    await until("the client is served", () => node.requests.length === 1);
    assertEquals(
      node.logger.lines.filter(({ level }) => level === "info").map(({ fields }) => fields["looksLike"]),
      ["HTTP", "unknown", "unknown"],
    );
  }));

Deno.test("ConnectionListener: each silent connection is closed after a time of its own, and one with a hello is not", () =>
  withNode(async ({ network, clock }) => {
    const first = await RawConnection.connect(network);
    await settle();
    clock.advance(HELLO_TIMEOUT_MS - 1_000);
    const second = await RawConnection.connect(network);
    const client = await welcomed(network);
    await settle();
    clock.advance(1_000);
    await until("the first is closed", () => first.end !== null);
    assertEquals(second.end, null, "the second has time left");
    clock.advance(HELLO_TIMEOUT_MS - 1_000);
    await until("the second is closed", () => second.end !== null);
    assertEquals(client.end, null, "the client has sent its hello");
  }));

Deno.test("ConnectionListener: a connection with another protocol is closed at once, and a log line names protocol and address", () =>
  withNode(async ({ node, network }) => {
    for (const { bytes } of OPENINGS) {
      const connection = await RawConnection.connect(network);
      await connection.sendBytes(bytes);
      await until("it was closed", () => connection.end !== null);
    }
    assertEquals(
      node.logger.lines.filter(({ level }) => level === "info").map(({ message, fields }) => [
        message,
        fields["looksLike"],
        fields["remote"],
      ]),
      OPENINGS.map((
        { looksLike },
      ) => ["Closed a connection that speaks another protocol", looksLike, "here:1"]),
    );
  }));

Deno.test("ConnectionListener: a frame over the limit closes a client's connection without being read", () =>
  withNode(async ({ node, network }) => {
    const client = await welcomed(network);
    await client.sendBytes(new Uint8Array([0x01, 0x00, 0x00, 0x01, 0x93]));
    await until("it was closed", () => client.end !== null && node.closedClients === 1);
  }));

Deno.test("ConnectionListener: an unknown kind is refused by name, and the connection stays open", () =>
  withNode(async ({ node, network }) => {
    const client = await welcomed(network);
    await client.send([200, 17, "new"]);
    await client.send([43, 18]);
    await until("the next request is there", () => node.requests.length === 1);
    await until("the refusal is there", () => client.received.length === 2);
    const message = "Cannot decode a client's frame: kind 200 is not known to this version.";
    assertEquals(client.received[1], [76, 17, "unknownKind", message, "not-applied", null]);
  }));

Deno.test("ConnectionListener: a request that can't be decoded is answered, and the connection is closed", () =>
  withNode(async ({ node, network }) => {
    const client = await welcomed(network);
    await client.send([41, 17, "a key as text", 1]);
    await client.send([43, 18]);
    await until("it was closed", () => client.end !== null && node.closedClients === 1);
    const message = "Cannot decode get: key must be bytes.";
    assertEquals(client.received[1], [76, 17, "invalidRequest", message, "not-applied", null]);
    assertEquals(node.requests, []);
  }));

Deno.test("ConnectionListener: clients above the limit are refused as busy, and peers are still accepted", () =>
  withNode(async ({ node, network }) => {
    const [first] = [await welcomed(network), await welcomed(network)];
    const third = await RawConnection.connect(network);
    await third.send(CLIENT_HELLO);
    await until("it was closed", () => third.end !== null);
    const message = "This node has 2 clients, as many as it may. Try another node, or later.";
    assertEquals(third.received, [[2, "busy", message]]);
    await welcomed(network, peerHello(2));
    first.close();
    await until("a place is free", () => node.listener.clientCount === 1);
    await welcomed(network);
  }));

Deno.test("ConnectionListener: a peer's messages arrive with its id, and its pings are answered", () =>
  withNode(async ({ node, network }) => {
    const peer = await welcomed(network, peerHello(2));
    await peer.send([16, 2, 1, 7, 300, 41]);
    await peer.send([3]);
    await peer.send([30, 5, new Uint8Array([1])]);
    await until("the pong is there", () => peer.received.length === 2);
    await until("the messages are there", () => node.messages.length === 2);
    assertEquals(peer.received[1], [4]);
    assertEquals(node.messages, [
      { from: 2, message: { kind: "heartbeat", from: 2, to: 1, term: 7, leaderCommit: 300, round: 41 } },
      { from: 2, message: { kind: "forward", forwardId: 5, command: new Uint8Array([1]) } },
    ]);
  }));

Deno.test("ConnectionListener: a peer whose message has another sender or recipient is closed", () =>
  withNode(async ({ node, network }) => {
    for (const message of [[18, 3, 1, 7], [18, 2, 3, 7]]) {
      const peer = await welcomed(network, peerHello(2));
      await peer.send(message);
      await until("it was closed", () => peer.end !== null);
    }
    assertEquals(node.messages, []);
    assertEquals(
      node.logger.lines.filter(({ level }) => level === "warn").map(({ fields }) => fields["reason"]),
      [
        "it sent a timeoutNow from node 3 to node 1",
        "it sent a timeoutNow from node 2 to node 3",
      ],
    );
  }));

Deno.test("ConnectionListener: a peer's frames of an unknown kind are logged once and ignored", () =>
  withNode(async ({ node, network }) => {
    const peer = await welcomed(network, peerHello(2));
    for (let count = 0; count < 3; count++) await peer.send([39, 1, 2]);
    await peer.send([18, 2, 1, 7]);
    await until("the message behind is there", () => node.messages.length === 1);
    assertEquals(node.logger.messages, ["Ignored a peer's frame of an unknown kind"]);
  }));

Deno.test("ConnectionListener: a newer connection of a peer's lane replaces the one before, but not the other lane", () =>
  withNode(async ({ network }) => {
    const old = await welcomed(network, peerHello(2, 1));
    const other = await welcomed(network, peerHello(2, 2));
    const fresh = await welcomed(network, peerHello(2, 1));
    await until("the old one is closed", () => old.end !== null);
    assertEquals([other.end, fresh.end], [null, null]);
  }));

Deno.test("ConnectionListener: reading pauses while too many requests wait for answers", () =>
  withNode(async ({ node, network }) => {
    const client = await welcomed(network);
    for (let requestId = 1; requestId <= MAX_CLIENT_REQUESTS_IN_FLIGHT + 5; requestId++) {
      await client.send([43, requestId]);
    }
    await settle();
    assertEquals(node.requests.length, MAX_CLIENT_REQUESTS_IN_FLIGHT);
    const [connection] = node.clients;
    connection?.send({ kind: "writeResult", requestId: 1, result: new Uint8Array() });
    await until("one more was read", () => node.requests.length === MAX_CLIENT_REQUESTS_IN_FLIGHT + 1);
    await settle();
    assertEquals(connection?.requestsInFlight, MAX_CLIENT_REQUESTS_IN_FLIGHT);
  }));

Deno.test("ConnectionListener: a client that does not read its answers is paused, then answered busy, then closed", () =>
  withNode(async ({ node, network }) => {
    const client = await welcomed(network);
    await client.send([43, 1]);
    await until("a request is there", () => node.requests.length === 1);
    const [connection] = node.clients;
    const [transport] = network.connections;
    assert(connection !== undefined && transport !== undefined, "there is a connection");
    transport.stall();
    const value = new Uint8Array(CLIENT_QUEUE_PAUSE_BYTES);
    const entry = { key: new Uint8Array([1]), value, createRevision: 1, modRevision: 1, version: 1 };
    const answers: number[] = [];
    while (connection.send({ kind: "getResult", requestId: 2, entry, revision: 1 }) && answers.length < 100) {
      answers.push(connection.queuedBytes);
    }
    const short = answers.findIndex((bytes, position) => bytes - (answers[position - 1] ?? 0) < 1_000);
    assertEquals(short, 32, "the answer after 32 of a MiB is the error busy");
    const failed = { kind: "checksFailed", revision: 1, failedChecks: [0] } as const;
    const result = encodeResult({ ...failed, current: entry });
    const before = connection.queuedBytes;
    assert(connection.send({ kind: "writeResult", requestId: 2, result }));
    assert(connection.queuedBytes - before < 1_000, "a write's result leaves without the value");
    const filler = new Uint8Array(2 ** 20);
    while (connection.send({ kind: "writeResult", requestId: 2, result: filler })) {
      assert(connection.queuedBytes < 2 * CLIENT_QUEUE_MAX_BYTES, "the queue is bounded");
    }
    await until("the close was reported", () => node.closedClients === 1);
    assert(!connection.send({ kind: "leader", leader: 1, term: 8 }), "nothing is sent any more");
  }));

Deno.test("ClientConnection: the server can pause and resume the reading of a client", () =>
  withNode(async ({ node, network }) => {
    const client = await welcomed(network);
    node.clients[0]?.pauseReading();
    await client.send([43, 1]);
    await settle();
    assertEquals(node.requests.length, 0);
    node.clients[0]?.resumeReading();
    await until("the request is there", () => node.requests.length === 1);
  }));

Deno.test("ClientConnection: an answer that can't be encoded ends its own connection, and no other", () =>
  withNode(async ({ node, network }) => {
    const [requester, other] = [await welcomed(network), await welcomed(network)];
    await requester.send([43, 1]);
    await until("the request is there", () => node.requests.length === 1);
    const entry = { key: new Uint8Array(1), value: new Uint8Array(MAX_FRAME_BYTES) };
    const versions = { createRevision: 1, modRevision: 1, version: 1 };
    const answer = {
      kind: "getResult",
      requestId: 1,
      entry: { ...entry, ...versions },
      revision: 1,
    } as const;
    assertEquals(node.clients[0]?.send(answer), false);
    await until("it was closed", () => requester.end !== null);
    assertEquals(node.logger.connectionFaults.map(({ reason }) => reason), [
      `Invariant violated: a frame fits into ${MAX_FRAME_BYTES} bytes`,
    ]);
    node.clients[1]?.send({ kind: "leader", leader: 3, term: 8 });
    await until("the other has its notice", () => other.received.length === 2);
    node.logger.lines.length = 0;
  }));

Deno.test("ConnectionListener: an unexpected error ends the connection that caused it, and is logged", async () => {
  const network = new MemoryNetwork();
  const fault = new Error("a fault");
  const node = new NetNode({
    network,
    clock: new ManualClock(),
    overrides: {
      onPeerMessage: () => {
        throw fault;
      },
    },
  });
  const peer = await welcomed(network, peerHello(2));
  await peer.send([18, 2, 1, 7]);
  await until("it was closed", () => peer.end !== null);
  assertEquals(node.faults.map(({ reason }) => reason), ["a fault"]);
  await node.listener.close();
});

Deno.test("ConnectionListener: close flushes queued answers, and ends connections that do not take them", async () => {
  const network = new MemoryNetwork();
  const clock = new ManualClock();
  const node = new NetNode({ network, clock });
  const reading = await welcomed(network);
  const stuck = await welcomed(network);
  network.connections[1]?.stall();
  for (const client of node.clients) client.send({ kind: "leader", leader: null, term: 8 });
  const closed = node.listener.close();
  await until("the answer has come", () => reading.received.length === 2 && reading.end !== null);
  assertEquals(node.closedClients, 1);
  clock.advance(1_000);
  await closed;
  assertEquals([reading.received[1], stuck.received.length, node.closedClients], [[77, null, 8], 1, 2]);
});
