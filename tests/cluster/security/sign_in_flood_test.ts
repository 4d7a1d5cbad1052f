/** Programs that try passwords: they fill the queue of checks, and users sign in and are served meanwhile. */
import { assert, assertEquals } from "@std/assert";
import { KvClient } from "../../../lib/mod.ts";
import { MAX_HASHING, MAX_WAITING_CHECKS } from "../../../lib/server/auth/password_checks.ts";
import { FRAME_KIND } from "../../support/frames/kinds.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { ConnectionFrom, HAS_MANY_LOOPBACK_ADDRESSES } from "../../support/processes/source_address.ts";
import { parseMetrics, sumOf } from "../../support/prometheus.ts";
import { freePorts } from "../../support/temporary.ts";
import { clientHello } from "../../support/wire.ts";

const PASSWORD = "the right password";
/** Number of the method "password" in a request to sign in. */
const BY_PASSWORD = 1;
/** More than hashes are computed and wait at a time. */
const ATTEMPTS = MAX_HASHING + MAX_WAITING_CHECKS + 40;
/** Time limit of an attempt, on a busy machine: each hash takes a tenth of a second of a core. */
const PATIENCE_MS = 120_000;

/** Opens a connection and tries a password; resolves to the code of the refusal. */
async function attempt(source: string, port: number): Promise<string> {
  using connection = await ConnectionFrom.open(source, port);
  await connection.sendFrame(clientHello());
  await connection.frameAt(1);
  await connection.sendFrame([FRAME_KIND.signIn, 1, [BY_PASSWORD, "ada", "a wrong password"]]);
  const [kind, , code] = await connection.frameAt(2, { deadlineMs: PATIENCE_MS });
  assertEquals(kind, FRAME_KIND.error);
  return `${code}`;
}

Deno.test({
  name: "sign-ins: while programs fill the queue with wrong passwords, a user signs in and is served",
  ignore: !HAS_MANY_LOOPBACK_ADDRESSES,
  async fn(): Promise<void> {
    const httpPort = freePorts(1);
    await using cluster = await TestCluster.start({ nodes: 1, flags: ["--http", `${httpPort}`] });
    await cluster.waitForLeader();
    const connect = (user?: string): Promise<KvClient> =>
      KvClient.connect({
        cluster: [cluster.address(1)],
        timeoutMs: PATIENCE_MS,
        ...user === undefined ? {} : { user, password: PASSWORD },
      });
    await using founder = await connect();
    for (const user of ["ada", "bob"]) {
      await founder.auth.addUser(user, { password: PASSWORD });
      await founder.auth.grantRole(user, "root");
    }
    await founder.auth.enable();
    await using signedIn = await connect("bob");

    const codes: string[] = [];
    const attempts = Promise.all(Array.from({ length: ATTEMPTS }, async (_, position) => {
      codes.push(await attempt(`127.0.0.${2 + position % 50}`, cluster.port(1)));
    }));
    await signedIn.put("during", "the attack");
    await using other = await connect("bob");
    await other.put("another", "user signs in");
    await attempts;
    const kinds = new Set(codes);
    assert(kinds.has("busy") && kinds.has("signInFailed") && kinds.size === 2, JSON.stringify([...kinds]));
    const page = await (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text();
    const metrics = parseMetrics(page);
    const count = (result: string): number => sumOf(metrics, "kvraft_sign_ins_total", { labels: { result } });
    const refused = (code: string): number => codes.filter((other) => other === code).length;
    assertEquals(count("failed"), refused("signInFailed"));
    // The sign-in of bob is tried again while all places are taken.
    assert(count("busy") >= refused("busy"), `${count("busy")} were busy`);
    assertEquals((await other.get("during"))?.version, 1);
  },
});
