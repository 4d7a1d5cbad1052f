/** A node that connects with an id that no configuration has: it is taken, since this node may lag, and writes nothing. */
import { assert, assertEquals } from "@std/assert";
import { FEATURE_LEVEL } from "../../../../lib/kv/feature_level.ts";
import { parseAddress } from "../../../../lib/platform/address.ts";
import { encodeCommand } from "../../../../lib/protocol/command.ts";
import { encodePeerFrame } from "../../../../lib/protocol/peer_frames.ts";
import { dial } from "../../../../lib/transport/dial.ts";
import { MemoryCluster } from "../../../support/fakes/memory_cluster.ts";
import { putOf } from "../../../support/frames/user_client.ts";

const SIZES = { readBytes: 1_024, retainedBytes: 1_024, maxQueuedBytes: 65_536 };
const REFUSED = "Refused a forwarded write: its sender is no member";

Deno.test("Server: a write that a node forwards which is no member is refused and logged, and never applied", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1);
  const client = await cluster.client(1);
  await cluster.run(client.put("before", "value"));
  const { network, clock } = cluster;
  const clusterId = cluster.server(1)?.clusterId ?? "";
  const rest = { dataId: 199, featureLevel: FEATURE_LEVEL, etcdUrl: null, credentials: null } as const;
  const { channel } = await cluster.run(dial({
    network,
    clock,
    address: parseAddress("n1:7001"),
    caller: { role: "peer", clusterId, nodeId: 99, lane: "bulk", address: "laptop.example:1", ...rest },
    sizes: SIZES,
    timeoutMs: 1_000,
    signal: new AbortController().signal,
  }));
  const command = encodeCommand(putOf("key"));
  assert(channel.send(encodePeerFrame, { kind: "forward", forwardId: 1, command }));
  await cluster.until(() => cluster.logger.messages.includes(REFUSED));
  await cluster.run(client.put("after", "value"));
  assertEquals(await cluster.run(client.get("key")), null);
  channel.close("the test is done");
});
