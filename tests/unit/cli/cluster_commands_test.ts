/** The commands on the cluster itself: status, members, health, transfer-leader; and the deadline of every command. */
import { assert, assertEquals } from "@std/assert";
import type { PeerLink } from "../../../lib/mod.ts";
import { FakeStore, healthy, peer, STATUS } from "./support/fake_store.ts";
import { FakeEnvironment } from "./support/fake_environment.ts";
import { clientCommand } from "../../../lib/cli/client.ts";
import { ConnectionError, NoLeaderError } from "../../../lib/client/errors.ts";
import { settle } from "../../support/fakes/manual_clock.ts";
import { answersWith } from "../../support/fakes/member_reports.ts";

const CLUSTER = ["--cluster", "127.0.0.1:7001"];

async function run(
  args: readonly string[],
  { store }: { readonly store: FakeStore } = { store: new FakeStore() },
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const environment = new FakeEnvironment();
  const code = await clientCommand([...CLUSTER, ...args], {
    environment,
    connect: () => Promise.resolve(store),
  });
  return { code, out: environment.stdout.text, err: environment.stderr.text };
}

Deno.test("status, members and transfer-leader: text answers are tables and sentences", async () => {
  assertEquals(
    (await run(["status"])).out,
    [
      "leader n2, term 5, feature level 2\n",
      "node  address         role         term  commit  applied  version\n",
      "n1    127.0.0.1:7001  unreachable\n",
      "n2    127.0.0.1:7002  leader       5     12      12       0.1.0\n",
      "n3    127.0.0.1:7003  follower     5     12      12       0.1.0\n",
      "n1: nothing listens there\n",
    ].join(""),
  );
  assertEquals(
    (await run(["members"])).out,
    [
      "node  address         role          state        lag  last contact  version\n",
      "n1    127.0.0.1:7001  voter         unreachable  ?    ?             ?\n",
      "n2    [::1]:7002      voter, leads  up           0    now           0.1.0\n",
    ].join(""),
  );
  assertEquals((await run(["transfer-leader", "n3"])).out, "ok  leader n3\n");
});

Deno.test("status: a line says how nodes are authenticated, the least of what both say, unless none is", async () => {
  const lineOf = async (links: readonly (readonly PeerLink[])[]): Promise<string | undefined> => {
    const store = new FakeStore();
    const nodes = links.map((own, position) => ({ ...healthy(position + 1, "follower"), links: own }));
    store.clusterStatus = { ...STATUS, nodes };
    return /^nodes authenticated by: (.*)$/m.exec((await run(["status"], { store })).out)?.[1];
  };
  const link = (id: number, authenticatedBy: PeerLink["authenticatedBy"]): PeerLink => ({
    id,
    authenticatedBy,
  });
  assertEquals(await lineOf([[link(2, "none")], [link(1, "none")]]), undefined);
  assertEquals(await lineOf([[link(2, "secret")], [link(1, "secret")]]), "secret");
  assertEquals(
    await lineOf([[link(2, "secret"), link(3, "secret")], [link(1, "secret"), link(3, "certificate")], [
      link(1, "none"),
    ]]),
    "certificate (n2-n3), secret (n1-n2), none (n1-n3)",
  );
});

Deno.test("status and members: JSON answers have the documented fields", async () => {
  const sizes = { lastLogIndex: 12, firstLogIndex: 1, snapshotIndex: 0, keys: 1, stateBytes: 64 };
  const unsaidSizes = Object.fromEntries(Object.keys(sizes).map((name) => [name, null]));
  const up = { state: "up", reason: null, disk: "ok" };
  const node = {
    reachable: true,
    ...up,
    term: 5,
    commitIndex: 12,
    appliedIndex: 12,
    version: "0.1.0",
    featureLevel: 2,
    links: [],
    ...sizes,
  };
  const down = {
    ...unsaidSizes,
    role: null,
    reachable: false,
    state: "unreachable",
    reason: "nothing listens there",
    disk: null,
    term: null,
    commitIndex: null,
    appliedIndex: null,
    version: null,
    featureLevel: null,
    links: null,
  };
  const table: readonly (readonly [readonly string[], number, unknown])[] = [
    [["members"], 0, {
      members: [
        {
          id: 1,
          address: "127.0.0.1:7001",
          role: "voter",
          state: "unreachable",
          disk: null,
          lag: null,
          lastContactMs: null,
          version: null,
        },
        {
          id: 2,
          address: "[::1]:7002",
          role: "voter",
          state: "up",
          disk: "ok",
          lag: 0,
          lastContactMs: 0,
          version: "0.1.0",
        },
      ],
    }],
    [["status"], 0, {
      leader: 2,
      term: 5,
      featureLevel: 2,
      nodes: [
        { id: 1, address: "127.0.0.1:7001", ...down },
        { id: 2, address: "127.0.0.1:7002", role: "leader", ...node },
        { id: 3, address: "127.0.0.1:7003", role: "follower", ...node },
      ],
    }],
  ];
  for (const [args, code, document] of table) {
    const { code: ended, out, err } = await run([...args, "--output", "json"]);
    assertEquals([ended, JSON.parse(out), err], [code, document, ""]);
  }
});

Deno.test("status, members: status ends with 3 without a leader; members, which every node knows, with 0", async () => {
  const store = new FakeStore();
  store.clusterStatus = { ...STATUS, leader: null };
  for (const [command, expected] of [["status", 3], ["members", 0]] as const) {
    const { code, out, err } = await run([command], { store });
    assertEquals([code, out.includes("n2"), err], [expected, true, ""], command);
  }
});

Deno.test("status: a node that does not answer is distinct from an unreachable one", async () => {
  const store = new FakeStore();
  const frozen = { reachable: false, state: "notAnswering", reason: "no answer within 1000 ms" } as const;
  store.clusterStatus = { ...STATUS, nodes: [{ ...frozen, id: 1, address: "127.0.0.1:7001" }] };
  assertEquals((await run(["status"], { store })).out.split("\n").slice(2), [
    "n1    127.0.0.1:7001  not answering",
    "n1: no answer within 1000 ms",
    "",
  ]);
});

Deno.test("status and members: a full disk is reported by the node itself or by its leader", async () => {
  const store = new FakeStore();
  const [, leader, follower] = STATUS.nodes;
  assert(leader?.reachable === true && follower?.reachable === true);
  store.memberList = [1, 2, 3].map((id) => ({ id, address: `127.0.0.1:700${id}`, role: "voter" }));
  store.clusterStatus = {
    ...STATUS,
    nodes: [
      {
        reachable: false,
        id: 1,
        address: "127.0.0.1:7001",
        state: "unreachable",
        reason: "cut off from here",
      },
      { ...leader, disk: "nearlyFull", peers: [peer(1, { hasDiskSpace: false }), peer(3)] },
      { ...follower, disk: "full" },
    ],
  };
  const members = (await run(["members"], { store })).out.split("\n").map((line) => line.split(/ {2,}/)[3]);
  assertEquals(members.slice(1, 4), [
    "unreachable, disk nearly full",
    "up, disk nearly full",
    "up, disk full",
  ]);
  const status = (await run(["status"], { store })).out.split("\n").map((line) => line.split(/ {2,}/)[2]);
  assertEquals(status.slice(2, 5), ["unreachable", "leader, disk nearly full", "follower, disk full"]);
  const json = JSON.parse((await run(["members", "--output", "json"], { store })).out);
  assertEquals(json.members.map(({ disk }: { readonly disk: string }) => disk), [
    "nearlyFull",
    "nearlyFull",
    "full",
  ]);
});

Deno.test("health: it ends with 0 only if a linearizable read works", async () => {
  const store = new FakeStore();
  const json = ["--output", "json"];
  const healthy = await run(["health", ...json], { store });
  assertEquals([healthy.code, JSON.parse(healthy.out), healthy.err], [
    0,
    { healthy: true, elapsedMs: 0, code: null, reason: null },
    "",
  ]);
  assertEquals(await run(["health"], { store }), {
    code: 0,
    out: "healthy: a linearizable read took 0.0 ms\n",
    err: "",
  });
  assertEquals(store.calls, [{ name: "get" }, { name: "get" }]);
  store.before = () => Promise.reject(new NoLeaderError("Cannot get a key: node 2 knows of no leader."));
  const unhealthy = await run(["health", ...json], { store });
  assertEquals([unhealthy.code, JSON.parse(unhealthy.out), unhealthy.err], [
    3,
    { healthy: false, elapsedMs: 0, code: "noLeader", reason: "node 2 knows of no leader" },
    "",
  ]);
  assertEquals(await run(["health"], { store }), {
    code: 3,
    out: "not healthy: node 2 knows of no leader\n",
    err: "",
  });
});

Deno.test("health: an unreachable cluster is an answer, not an error", async () => {
  const environment = new FakeEnvironment();
  const connect = (): Promise<never> =>
    Promise.reject(new ConnectionError("Cannot reach the cluster: 127.0.0.1:7001: nothing listens there."));
  assertEquals(await clientCommand([...CLUSTER, "health"], { environment, connect }), 3);
  assertEquals([environment.stdout.text, environment.stderr.text], [
    "not healthy: 127.0.0.1:7001: nothing listens there\n",
    "",
  ]);
});

Deno.test("doctor: it ends with 0 for a healthy cluster, and names each finding with the reason and the remedy", async () => {
  const store = new FakeStore();
  store.descriptions = answersWith({});
  assertEquals(await run(["doctor"], { store }), { code: 0, out: "nothing found: 3 nodes asked\n", err: "" });
  store.descriptions = answersWith({ 3: null });
  assertEquals(await run(["doctor"], { store }), {
    code: 1,
    out: [
      "problem   n3 at 127.0.0.1:7003 does not answer: nothing listens there.",
      "          why  The cluster stops if one more voter fails, and clients that use the node have to find another one.",
      "          do   Start it again. If its data directory is lost, have a new node take its place: member replace.",
      "          see  docs/operations.md#silent-node",
      "1 finding (1 problem), 3 nodes asked\n",
    ].join("\n"),
    err: "",
  });
  store.descriptions = answersWith({ 2: null, 3: null });
  const { out: all } = await run(["doctor"], { store });
  assertEquals(all.split("\n").at(-2), "3 findings (1 critical and 2 problems), 3 nodes asked");
  store.descriptions = answersWith({ 3: null });
  const { code, out } = await run(["doctor", "--output", "json"], { store });
  const { healthy, findings, nodes } = JSON.parse(out);
  assertEquals([code, healthy, findings[0].rule, nodes.length], [1, false, "silent-node", 3]);
});

Deno.test("doctor: a cluster that cannot be reached is a finding, and ends with 3", async () => {
  const environment = new FakeEnvironment();
  const connect = (): Promise<never> =>
    Promise.reject(
      new ConnectionError("Cannot connect to the cluster: 127.0.0.1:7001: nothing listens there."),
    );
  assertEquals(await clientCommand([...CLUSTER, "doctor"], { environment, connect }), 3);
  assert(environment.stdout.text.startsWith("critical  No node answers.\n"), environment.stdout.text);
  assert(
    environment.stdout.text.includes("127.0.0.1:7001: nothing listens there\n"),
    environment.stdout.text,
  );
});

Deno.test("client: one deadline covers connecting and the request", async () => {
  const table: readonly (readonly [readonly string[], number, number])[] = [
    [["get", "k", "--timeout-ms", "3000"], 1_250, 1_750],
    [["put", "k", "v"], 1_250, 3_750],
    [["health", "--timeout-ms", "1000"], 1_250, 1],
    [["list", "--timeout-ms", "1000"], 0, 1_000],
  ];
  for (const [args, connectMs, timeoutMs] of table) {
    const environment = new FakeEnvironment();
    const store = new FakeStore();
    const connect = (): Promise<FakeStore> => {
      environment.clock.advance(connectMs);
      return Promise.resolve(store);
    };
    await clientCommand([...CLUSTER, ...args], { environment, connect });
    const [call] = store.calls;
    assertEquals(call, { ...Object(call), timeoutMs }, args.join(" "));
  }
});

Deno.test("client: a slow connection is reported by a line on the terminal, until it is there", async () => {
  for (const command of [["get", "k"], ["member", "promote", "3"]]) {
    const environment = new FakeEnvironment({ terminal: true });
    const connected = Promise.withResolvers<FakeStore>();
    const code = clientCommand([...CLUSTER, ...command], { environment, connect: () => connected.promise });
    await settle();
    environment.clock.advance(500);
    await settle();
    assertEquals(
      environment.stderr.text,
      "\r\x1b[2Kwaiting for a node to answer; Ctrl-C cancels",
      command[0],
    );
    connected.reject(new ConnectionError("Cannot reach the cluster: nothing listens there."));
    assertEquals([await code, environment.clock.timerCount], [3, 0]);
    assertEquals(
      environment.stderr.text.endsWith("\r\x1b[2Kkvraft: Cannot reach the cluster: nothing listens there.\n"),
      true,
      environment.stderr.text,
    );
  }
});
