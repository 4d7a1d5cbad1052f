/** Node 1 listening on a network in memory, and connections to it. */
import { FEATURE_LEVEL } from "../../../lib/kv/feature_level.ts";
import { assertEquals } from "@std/assert";
import { ManualClock } from "../../support/fakes/manual_clock.ts";
import { MemoryNetwork, type MemoryNetworkOptions } from "../../support/fakes/memory_network.ts";
import {
  CLUSTER_ID,
  NetNode,
  type NetNodeOverrides,
  RawConnection,
  until,
} from "../../support/fakes/accepting_node.ts";

/** First frame of a client. */
export const CLIENT_HELLO = [0, "kvraft", 1, 1, 2, null, null, null, null];
/** First frame of a node. */
export const peerHello = (nodeId: number, lane = 1): (number | string | null)[] => [
  0,
  "kvraft",
  1,
  1,
  1,
  CLUSTER_ID,
  nodeId,
  lane,
  null,
  100 + nodeId,
  `n${nodeId}:${7_000 + nodeId}`,
];
/** Answer of node 1. */
export const WELCOME = [
  1,
  1,
  CLUSTER_ID,
  1,
  2,
  7,
  303,
  [[1, "n1:7001", "voter"], [2, "n2:7002", "voter"], [3, "n3:7003", "voter"]],
  [4_096, 1_000, 16_777_216],
  101,
  FEATURE_LEVEL,
];

/** A node that listens, and its dependencies. */
export interface Scene {
  readonly node: NetNode;
  readonly network: MemoryNetwork;
  readonly clock: ManualClock;
}

/** Runs a test with node 1 listening, and checks that closing it leaves neither timer nor fault. */
export async function withNode(
  test: (scene: Scene) => Promise<void>,
  options: {
    readonly overrides?: NetNodeOverrides;
    readonly network?: MemoryNetworkOptions;
  } = {},
): Promise<void> {
  const network = new MemoryNetwork(options.network);
  const clock = new ManualClock();
  const node = new NetNode({ network, clock, overrides: options.overrides ?? {} });
  await test({ node, network, clock });
  await node.listener.close();
  assertEquals([clock.timerCount, node.faults, node.listener.clientCount], [0, [], 0]);
}

/** Connects, sends the hello of a client, and returns once it is welcomed. */
export async function welcomed(network: MemoryNetwork, hello = CLIENT_HELLO): Promise<RawConnection> {
  const connection = await RawConnection.connect(network);
  await connection.send(hello);
  await until("the welcome has come", () => connection.received.length === 1);
  assertEquals(connection.received, [WELCOME]);
  return connection;
}
