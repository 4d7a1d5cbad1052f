/** Lines about slow requests, of real processes in which one part of the way is made slow on purpose: the line names it. */
import { assert, assertEquals } from "@std/assert";
import { encodeCommand } from "../../../lib/protocol/command.ts";
import { eventually } from "../../support/eventually.ts";
import { FRAME_KIND } from "../../support/frames/kinds.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { skip } from "../../support/processes/process.ts";
import { slowSyncs } from "../../torture/slow_syncs.ts";
import { TemporaryFolder } from "../../support/temporary.ts";
import { clientHello, frame, Wire } from "../../support/wire.ts";

/** A line of the log about a slow request. */
interface SlowLine {
  readonly kind: string;
  readonly outcome: string;
  readonly waitedFor: string;
  readonly [field: string]: unknown;
}

/** Shorter than a slow sync and than an election timeout, longer than requests take on a machine that runs other tests. */
const FLAGS = ["--slow-ms", "150", "--log-format", "json"];
const KEY = "the-key-of-no-line";
/** Of a read, in its frame. */
const LINEARIZABLE = 1;

/** Returns the lines about slow requests that a node has written. */
function linesOf(cluster: TestCluster, id: number): readonly SlowLine[] {
  const [, printed = ""] = cluster.logs().split(`--- node ${id}, process 1 ---\n`);
  return printed.split("--- node")[0]?.split("\n").filter((line) => line.includes('"event":"slowRequest"'))
    .map((line) => JSON.parse(line)) ?? [];
}

/** Waits for a line of a node with these fields, and checks that the part which it names is its greatest. */
async function lineOf(cluster: TestCluster, id: number, fields: Partial<SlowLine>): Promise<SlowLine> {
  const line = await eventually(
    `node ${id} logs a slow request with ${JSON.stringify(fields)}`,
    () =>
      linesOf(cluster, id).find((one) =>
        Object.entries(fields).every(([name, value]) => one[name] === value)
      ) ?? null,
    { explain: cluster.logs },
  );
  const parts = ["queued", "sync", "majority", "apply", "confirm", "answer", "leader"]
    .map((name) => [name, line[`${name}Ms`]] as const)
    .filter((part): part is readonly [string, number] => typeof part[1] === "number");
  const sum = parts.reduce((before, [, ms]) => before + ms, 0);
  assertEquals(parts.toSorted(([, one], [, other]) => other - one)[0]?.[0], line.waitedFor);
  assert(Math.abs(sum - Number(line["elapsedMs"])) < 1, `the parts add up: ${JSON.stringify(line)}`);
  return line;
}

/** Connects to one node as a client that knows no other. */
async function connectTo(cluster: TestCluster, id: number): Promise<Wire> {
  const wire = await Wire.connect(cluster.port(id));
  await wire.send(frame(clientHello()));
  await wire.take([FRAME_KIND.welcome]);
  return wire;
}

/** Returns the frame of a put. */
function put(requestId: number): Uint8Array {
  const text = (of: string): Uint8Array => new TextEncoder().encode(of);
  const mutations = [{ kind: "put", key: text(KEY), value: text("value") }] as const;
  return frame([
    FRAME_KIND.write,
    requestId,
    encodeCommand({ kind: "transaction", session: null, checks: [], mutations }),
  ]);
}

Deno.test("slow requests: without a majority, a write names it, and a read the confirmation that it waited for", async () => {
  await using cluster = await TestCluster.start({ flags: FLAGS });
  const leader = await cluster.waitForLeader();
  using wire = await connectTo(cluster, leader);
  await wire.send(put(1));
  await wire.take([FRAME_KIND.writeResult]);
  const followers = cluster.ids.filter((id) => id !== leader);
  for (const id of followers) cluster.pause(id);
  await wire.send(put(2));
  await wire.send(frame([FRAME_KIND.get, 3, new TextEncoder().encode(KEY), LINEARIZABLE]));
  const write = await lineOf(cluster, leader, { kind: "write", outcome: "leadershipLost" });
  assertEquals(write.waitedFor, "majority");
  const get = await lineOf(cluster, leader, { kind: "get", outcome: "noLeader" });
  assertEquals(get.waitedFor, "confirm");
  for (const id of followers) cluster.resume(id);
  await cluster.waitForLeader();
  assertEquals(cluster.logs().includes(KEY), false, "no line names a key");
});

Deno.test("slow requests: with slow disks the leader's line names the sync, and the line of the forwarding node the leader", async () => {
  await using folder = await TemporaryFolder.make();
  const env = await slowSyncs(folder.path);
  if (env === null) return skip("there is no C compiler to make syncs slow with");
  await using cluster = await TestCluster.start({ flags: [...FLAGS, "--election-timeout-ms", "5000"], env });
  const leader = await cluster.waitForLeader();
  const [follower = 0] = cluster.ids.filter((id) => id !== leader);
  using wire = await connectTo(cluster, follower);
  await eventually("the leader names the sync of a forwarded write", async () => {
    await wire.send(put(1));
    await wire.take([FRAME_KIND.writeResult, FRAME_KIND.error]);
    return linesOf(cluster, leader).some(({ kind, waitedFor }) =>
      kind === "forward" && waitedFor === "sync"
    ) ||
      null;
  }, { explain: cluster.logs });
  await lineOf(cluster, leader, { kind: "forward", outcome: "ok", waitedFor: "sync", from: follower });
  await lineOf(cluster, follower, { kind: "write", outcome: "ok", waitedFor: "leader", leader });
});
