/**
 * Limits on hostile clients that take effect after a time: connections that do not sign in and take all places, and frames
 * that do not end. Meanwhile a client that has signed in writes, and after that time a new one connects.
 */
import { assert, assertEquals } from "@std/assert";
import { KvClient } from "../../../lib/mod.ts";
import { SIGN_IN } from "../../../lib/protocol/auth_command.ts";
import { FRAME_CHECK_INTERVAL_MS, FRAME_CHECKS, SIGN_IN_CHECKS } from "../../../lib/protocol/limits.ts";
import { DEADLINE_MS, eventually } from "../../support/eventually.ts";
import { FRAME_KIND } from "../../support/frames/kinds.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { ConnectionFrom, HAS_MANY_LOOPBACK_ADDRESSES } from "../../support/processes/source_address.ts";
import { clientHello, frame } from "../../support/wire.ts";

const MAX_CLIENTS = 40;
const SLOW_FRAMES = 5;
/** Longer than a node takes to notice. */
const SIGN_IN_MS = (SIGN_IN_CHECKS + 1) * FRAME_CHECK_INTERVAL_MS + DEADLINE_MS;
const FRAME_MS = (FRAME_CHECKS + 2) * FRAME_CHECK_INTERVAL_MS + DEADLINE_MS;

/** Connects from an address and says hello; returns the connection and the kind of the answer. */
async function greeted(source: string, port: number): Promise<readonly [ConnectionFrom, unknown]> {
  const connection = await ConnectionFrom.open(source, port);
  await connection.sendFrame(clientHello());
  const [kind] = await connection.frameAt(1);
  return [connection, kind];
}

/** Adds the user root and enables authentication; returns a token of it. */
async function enableUsers(cluster: TestCluster): Promise<string> {
  await using client = await cluster.connect();
  await client.auth.addUser("root", { password: "root's password" });
  await client.auth.grantRole("root", "root");
  const { token } = await client.auth.createToken("root", { name: "test" });
  await client.auth.enable();
  return token;
}

Deno.test({
  name:
    "limits: connections that do not sign in are closed for a client that does, and those whose frame does not end, " +
    "while another is served",
  ignore: !HAS_MANY_LOOPBACK_ADDRESSES,
  async fn(): Promise<void> {
    await using cluster = await TestCluster.start({
      nodes: 1,
      flags: ["--max-connections", `${MAX_CLIENTS}`, "--connections-per-address", "30"],
    });
    const token = await enableUsers(cluster);
    const options = { cluster: [cluster.address(1)], token, timeoutMs: DEADLINE_MS };
    await using served = await KvClient.connect(options);
    await served.put("writes", "0");
    let [writes, isOver] = [0, false];
    const writing = (async (): Promise<void> => {
      while (!isOver) await served.put("writes", `${++writes}`);
    })();
    const progress = async (): Promise<void> => {
      const before = writes;
      await eventually("the other client is served", () => writes > before + 20 || null, {
        explain: cluster.logs,
      });
    };
    using hostile = new DisposableStack();

    // Signed in, so that nothing but their frame is a reason to close them.
    const slow: ConnectionFrom[] = [];
    for (let number = 0; number < SLOW_FRAMES; number++) {
      const [connection] = await greeted("127.0.0.4", cluster.port(1));
      slow.push(hostile.use(connection));
      await connection.sendFrame([FRAME_KIND.signIn, 1, [SIGN_IN.numbers.token, token]]);
      const [kind] = await connection.frameAt(2);
      assertEquals(kind, FRAME_KIND.signedIn);
      await connection.send(frame([FRAME_KIND.get, 2, new Uint8Array(100), 1]).subarray(0, 50));
    }
    let others = 0;
    for (let isFull = false; !isFull; others++) {
      const [connection, kind] = await greeted(others < 20 ? "127.0.0.2" : "127.0.0.3", cluster.port(1));
      hostile.use(connection);
      isFull = kind === FRAME_KIND.refusal;
    }
    assert(others > 30, "the hostile clients have all places");
    await progress();

    await using late = await KvClient.connect({ ...options, timeoutMs: SIGN_IN_MS });
    assert(await late.get("writes") !== null, "it is served in place of one that does not sign in");
    await progress();
    await eventually(
      "no frame is waited for any longer",
      () => slow.every(({ isClosed }) => isClosed) || null,
      {
        explain: cluster.logs,
        deadlineMs: FRAME_MS,
      },
    );
    assert(cluster.logs().includes("Closed a connection on which a frame did not end"), cluster.logs());
    await progress();
    isOver = true;
    await writing;
  },
});
