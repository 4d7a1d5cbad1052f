/** Clients of etcd that have thousands of valid requests in progress, and others that are served meanwhile. */
import { assert, assertEquals } from "@std/assert";
import { DEFAULT_LIMITS } from "../../../lib/web/limits.ts";
import { eventually } from "../../support/eventually.ts";
import { EtcdCluster } from "../../support/etcd/cluster.ts";
import { GrpcTestClient } from "../../support/etcd/grpc_client.ts";
import { PutFlood } from "../../support/etcd/put_flood.ts";
import { HAS_MANY_LOOPBACK_ADDRESSES } from "../../support/processes/source_address.ts";
import { step } from "../../support/step.ts";

const HOSTILE = "127.0.0.2";
const PUTS_OF_OTHERS = 10;
const { maxStreamsPerConnection: IN_PROGRESS, maxInWork } = DEFAULT_LIMITS;
/**
 * Answers of the hostile client within one put of another: the requests in work, and those that begin while the put is
 * replicated and its answer waits for this program. If all requests were served in their order, there would be
 * {@link IN_PROGRESS} at least.
 */
const MOST_BETWEEN = 8 * maxInWork;

const scenes = [
  { title: "one connection of another address", source: HOSTILE, connections: 1 },
  { title: "one connection of the same address", source: "127.0.0.1", connections: 1 },
  { title: "four connections of another address", source: HOSTILE, connections: 4 },
] as const;

Deno.test({
  name:
    "request flood: a client with one put in progress waits for few of another's thousands, and no leader is elected",
  ignore: !HAS_MANY_LOOPBACK_ADDRESSES,
  async fn(t): Promise<void> {
    await using etcd = await EtcdCluster.start();
    const { cluster } = etcd;
    const leader = await cluster.waitForLeader();
    const term = (await cluster.status(leader))?.term;
    const port = Number(etcd.address(leader).split(":")[1]);
    await using other = await GrpcTestClient.connect(etcd.address(leader));
    for (const { title, source, connections } of scenes) {
      await step(t, title, async () => {
        using held = new DisposableStack();
        const floods: PutFlood[] = [];
        for (let count = 0; count < connections; count++) {
          floods.push(held.use(await PutFlood.begin(source, port, IN_PROGRESS)));
        }
        const answers = (): number => floods.reduce((sum, flood) => sum + flood.answers, 0);
        await eventually("the flood is served", () => answers() > IN_PROGRESS || null, {
          explain: cluster.logs,
        });
        const between: number[] = [];
        for (let put = 0; put < PUTS_OF_OTHERS; put++) {
          const before = answers();
          const { code } = await other.call("etcdserverpb.KV/Put", { key: "other", value: "value" });
          assertEquals(code, 0);
          between.push(answers() - before);
        }
        const median = between.toSorted((one, two) => one - two)[PUTS_OF_OTHERS / 2] ?? Infinity;
        assert(
          median < MOST_BETWEEN,
          `of the flood's answers, ${between} came within puts of the other client`,
        );
        const last = answers();
        await eventually("the flood is served on", () => answers() > last || null, { explain: cluster.logs });
        assertEquals(floods.filter(({ isClosed }) => isClosed), []);
      });
    }
    assertEquals(await cluster.waitForLeader(), leader, cluster.logs());
    assertEquals((await cluster.status(leader))?.term, term, "nothing here was a reason for an election");
  },
});
