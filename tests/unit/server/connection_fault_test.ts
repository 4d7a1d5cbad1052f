/** An unexpected error while one client is served ends that client's connection, and nothing else. */
import { assertEquals } from "@std/assert";
import { StateMachine } from "../../../lib/kv/mod.ts";
import { FRAME_KIND } from "../../support/frames/kinds.ts";
import { MemoryCluster } from "../../support/fakes/memory_cluster.ts";
import { RawConnection } from "../../support/fakes/accepting_node.ts";

const NO_BYTES = new Uint8Array(0);

/** Plants a fault in the listing of keys until it is disposed of. */
function brokenListing(): Disposable {
  const { list } = StateMachine.prototype;
  StateMachine.prototype.list = () => {
    throw new Error("a planted fault");
  };
  return { [Symbol.dispose]: () => void (StateMachine.prototype.list = list) };
}

for (const [consistency, code] of [["linearizable", 1], ["stale", 2]] as const) {
  Deno.test(`Server: an unexpected error in a ${consistency} read ends the connection that asked, and the node continues`, async () => {
    await using cluster = new MemoryCluster();
    await cluster.found(1);
    const client = await cluster.client(1);
    await cluster.run(client.put("key", "value"));
    const caller = await RawConnection.connect(cluster.network);
    await caller.send([0, "kvraft", 1, 1, 2, null, null, null, null]);
    using _fault = brokenListing();
    await caller.send([FRAME_KIND.list, 1, NO_BYTES, null, null, null, false, 10, code]);
    await cluster.until(() => caller.end !== null);
    assertEquals(cluster.logger.connectionFaults.map(({ reason }) => reason), ["a planted fault"]);
    await cluster.run(client.put("key", "afterwards"));
    assertEquals((await cluster.run(client.get("key")))?.value, new TextEncoder().encode("afterwards"));
  });
}
