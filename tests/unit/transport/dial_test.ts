/** Probes: of one node as a peer, and of any node as a caller without an id. */
import { assertEquals, assertRejects } from "@std/assert";
import { HandshakeError } from "../../../lib/protocol/errors.ts";
import { NetworkError } from "../../../lib/platform/errors.ts";
import { PEER_CONNECT_TIMEOUT_MS } from "../../../lib/protocol/limits.ts";
import { probeAny, type ProbeOptions, probePeer } from "../../../lib/transport/dial.ts";
import { ManualClock, settle } from "../../support/fakes/manual_clock.ts";
import { MemoryNetwork } from "../../support/fakes/memory_network.ts";
import {
  CALLER,
  CLUSTER_ID,
  NetNode,
  type NetNodeOverrides,
  until,
  VOTERS,
} from "../../support/fakes/accepting_node.ts";

const N1 = { host: "n1", port: 7001 };

/** Node 1, and the dependencies of a probe. */
function scene(
  overrides: NetNodeOverrides = {},
): { node: NetNode; network: MemoryNetwork; options: ProbeOptions } {
  const network = new MemoryNetwork();
  const clock = new ManualClock();
  const node = new NetNode({ network, clock, overrides });
  return { node, network, options: { network, clock, signal: new AbortController().signal } };
}

Deno.test("probePeer: a probe returns the welcome and closes, without replacing the caller's lanes", async () => {
  const { node, network, options } = scene();
  const welcome = await probePeer(N1, { ...options, caller: CALLER, expectedNodeId: 1 });
  assertEquals([welcome.nodeId, welcome.dataId, welcome.clusterId], [1, 101, CLUSTER_ID]);
  assertEquals(node.callers, [{ ...CALLER, lane: "probe", credentials: null }]);
  const [connection] = network.connections;
  await assertRejects(async () => await connection?.read(new Uint8Array(1)), Error, "broken");
  await node.listener.close();
});

Deno.test("probePeer: it rejects with the reason if nothing listens, or if the node refuses", async () => {
  const { node, options } = scene({
    authorizePeer: () => ({ kind: "refusal", code: "otherData", message: "Node 2 has lost its data." }),
  });
  const refused = await assertRejects(
    () => probePeer(N1, { ...options, caller: CALLER, expectedNodeId: 1 }),
    HandshakeError,
  );
  assertEquals(refused.code, "otherData");
  const closedAddress = { host: "n5", port: 1 };
  const missing = await assertRejects(
    () => probePeer(closedAddress, { ...options, caller: CALLER, expectedNodeId: 1 }),
    NetworkError,
  );
  assertEquals(missing.code, "refused");
  await node.listener.close();
});

Deno.test("probeAny: the first node that answers reports the cluster's id and its members", async () => {
  const { node, options } = scene();
  const welcome = await probeAny([{ host: "n5", port: 1 }, N1], options);
  assertEquals([welcome.clusterId, welcome.members], [CLUSTER_ID, VOTERS]);
  await until("the connection is closed", () => node.closedClients === 1);
  await node.listener.close();
});

Deno.test("probeAny: when no node answers, the error names each address and its reason", async () => {
  const { node, options } = scene();
  await node.listener.close();
  const error = await assertRejects(() => probeAny([N1, { host: "n5", port: 1 }], options), AggregateError);
  assertEquals(
    error.message,
    "Cannot reach the cluster. Cannot connect to n1:7001: nothing listens there. " +
      "Cannot connect to n5:1: nothing listens there.",
  );
});

Deno.test("probeAny: an address that does not answer is given up after a timeout, and the next one is tried", async () => {
  const network = new MemoryNetwork();
  const clock = new ManualClock();
  network.isSilent = true;
  const asked = probeAny([{ host: "n5", port: 1 }, N1], {
    network,
    clock,
    signal: new AbortController().signal,
  });
  await settle();
  network.isSilent = false;
  const node = new NetNode({ network, clock });
  clock.advance(PEER_CONNECT_TIMEOUT_MS);
  assertEquals((await asked).nodeId, 1);
  await node.listener.close();
  assertEquals(clock.timerCount, 0);
});
