/**
 * Keys and values appear in no log line, metric or page of a node, and values in no error of the library, also when calls
 * fail, frames are malformed, nodes crash, and their files are damaged.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { eventually } from "../../support/eventually.ts";
import { KvClient, KvraftError } from "../../../lib/mod.ts";
import { SeededRandom } from "../../support/seeded_random.ts";
import { FRAME_KIND } from "../../support/frames/kinds.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { KnownSecrets } from "../../support/processes/known_secrets.ts";
import { step } from "../../support/step.ts";
import { freePorts } from "../../support/temporary.ts";
import { clientHello, frame, Wire } from "../../support/wire.ts";
import { damageLog } from "../../torture/damage.ts";

const KEY = "key-opensesame-4711";
const VALUE = "value-swordfish-0815";
/** Values that the node refuses. */
const LONG_VALUE = VALUE.repeat(100);
const PEER_SECRET = "peer-abracadabra-0123456789abcdefghij";
const SECRET_FILE = "peer.secret";
const IN_NODES = new KnownSecrets({ "the key": KEY, "the value": VALUE, "the peer secret": PEER_SECRET });
const IN_ERRORS = new KnownSecrets({ "the value": VALUE });
const PAGES = ["/metrics", "/status", "/ready", "/live", `/${KEY}`, `/status?${VALUE}`];

/** Calls of the library that succeed, and some that fail; returns the texts of the errors. */
async function callAll(client: KvClient): Promise<readonly string[]> {
  await client.put(KEY, VALUE);
  await client.compareAndSet(KEY, { expect: "another", value: VALUE });
  await client.get(KEY);
  await client.list({ prefix: KEY });
  await client.history(KEY);
  const watch = client.watch({ key: KEY })[Symbol.asyncIterator]();
  const batch = watch.next();
  await using lease = await client.lease({ ttlMs: 60_000 });
  await client.put(`${KEY}/leased`, VALUE, { leaseId: lease.leaseId });
  await client.put(KEY, VALUE);
  await batch;
  await watch.return?.();
  await (await client.lock(`${KEY}/lock`)).release();
  const failing: readonly (() => Promise<unknown>)[] = [
    () => client.put(KEY, LONG_VALUE),
    () => client.put("", VALUE),
    () => client.put(KEY.repeat(1_000), VALUE),
    () => client.put(KEY, VALUE, { leaseId: 4_711 }),
    () => client.transaction({ then: [{ kind: "sum", key: KEY, operand: 1n }] }),
    () => client.get(KEY, { revision: 1_000_000 }),
  ];
  const errors: string[] = [];
  for (const call of failing) {
    const error = await assertRejects(call, Error);
    errors.push(`${error.message} ${error.stack} ${JSON.stringify(error)} ${Deno.inspect(error)}`);
    assert(error instanceof KvraftError || error instanceof TypeError, error.message);
  }
  return errors;
}

/** Sends malformed frames that contain key and value, each on a connection of its own. */
async function sendMalformed(port: number): Promise<void> {
  const malformed = [
    [FRAME_KIND.get, 1, KEY, 1],
    [FRAME_KIND.write, 1, `${KEY}${VALUE}`],
    [FRAME_KIND.write, 1, new TextEncoder().encode(`${KEY}${VALUE}`)],
    [199, 1, KEY, VALUE],
    [KEY, VALUE],
  ];
  for (const content of malformed) {
    using wire = await Wire.connect(port);
    await wire.send(frame(clientHello()));
    await wire.take([FRAME_KIND.welcome]);
    await wire.send(frame(content));
    await wire.send(frame([FRAME_KIND.status, 2]));
    if (content[0] === KEY) await wire.waitForEnd();
    else await wire.take([FRAME_KIND.error]);
  }
  using noHello = await Wire.connect(port);
  await noHello.send(new TextEncoder().encode(`GET /${KEY} HTTP/1.1\r\nX: ${VALUE}\r\n\r\n`));
  await noHello.waitForEnd();
}

Deno.test("secrets: no key and no value is in a log line, metric, page or error, with calls that fail", async (t) => {
  const firstPort = freePorts(3);
  await using cluster = await TestCluster.start({
    flags: [
      ...["--log-level", "debug", "--max-value-bytes", "1000", "--segment-bytes", "4096"],
      ...["--peer-secret-file", SECRET_FILE],
    ],
    flagsOf: (id) => ["--http", `${firstPort + id - 1}`],
    prepare: async ({ folder }) => {
      await Deno.writeTextFile(`${folder.path}/${SECRET_FILE}`, `${PEER_SECRET}\n`, { mode: 0o600 });
      return null;
    },
  });
  const secretFile = `${cluster.folder.path}/${SECRET_FILE}`;
  const leader = await cluster.waitForLeader();

  await step(t, "errors of the library name no value", async () => {
    for (const ids of [[leader], cluster.ids.filter((id) => id !== leader)]) {
      await using client = await cluster.connect(ids);
      for (const error of await callAll(client)) assertEquals(IN_ERRORS.foundIn(error), [], error);
    }
  });

  await step(t, "malformed frames leave nothing in the log", async () => {
    for (const id of cluster.ids) await sendMalformed(cluster.port(id));
  });

  await step(t, "pages of HTTP name neither", async () => {
    for (const id of cluster.ids) {
      for (const path of PAGES) {
        const answer = await fetch(`http://127.0.0.1:${firstPort + id - 1}${path}`);
        const text = `${JSON.stringify([...answer.headers])}${await answer.text()}`;
        assertEquals(IN_NODES.foundIn(text), [], `${path}: ${text}`);
      }
    }
  });

  await step(t, "a node that crashes, and finds its log damaged, says nothing of them", async () => {
    const [crashed] = cluster.ids.filter((id) => id !== leader);
    assert(crashed !== undefined);
    await cluster.kill(crashed);
    await cluster.startNode(crashed);
    await cluster.stop(crashed);
    const damage = damageLog(cluster.dataFolder(crashed), new SeededRandom(1));
    assert(damage !== null, "the log is not empty");
    const refused = await cluster.run(["server", ...cluster.serverArguments(crashed)]);
    assertEquals([refused.code, IN_NODES.foundIn(refused.stderr)], [1, []], refused.stderr);
    const inspected = await cluster.run(["server", "inspect", `data/node-${crashed}`]);
    const printed = `${inspected.stdout}${inspected.stderr}`;
    assertEquals(IN_NODES.foundIn(printed), [], printed);
    damage.undo();
    await cluster.startNode(crashed);
  });

  await step(t, "a file of a peer secret that cannot be used is named without its content", async () => {
    await Deno.writeTextFile(secretFile, `${PEER_SECRET} ${VALUE}\n`);
    await eventually(
      "a node has read it",
      () => cluster.logs().includes("Cannot read the peer secret again") || null,
      { explain: cluster.logs },
    );
    const [id] = cluster.ids;
    assert(id !== undefined);
    await cluster.stop(id);
    const refused = await cluster.run(["server", ...cluster.serverArguments(id)]);
    assertEquals([refused.code, IN_NODES.foundIn(refused.stderr)], [2, []], refused.stderr);
  });

  assertEquals(IN_NODES.foundIn(cluster.logs()), [], cluster.logs());
});
