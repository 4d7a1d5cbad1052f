/** The cost of mutual TLS and of users: throughput against a plain cluster, and the CPU of new connections. */
import { TlsDialer } from "../../../../lib/platform/tls/tls_dialer.ts";
import { CHECKOUT } from "../../../support/checkout.ts";
import { DEADLINE_MS } from "../../../support/eventually.ts";
import { denoCommand, Process, READY_LINE } from "../../../support/processes/process.ts";
import { Authority, type Credentials } from "../../../support/tls/certificates.ts";
import { freePorts } from "../../../support/temporary.ts";
import { clientHello, frame } from "../../../support/wire.ts";
import { cpuMsOf } from "../../processes.ts";
import { atLeast, atMost, type Figure, reported } from "../figures.ts";
import { GETS, type Lab, type Situation } from "../lab.ts";
import { Nodes, PATIENCE_MS } from "../nodes.ts";
import type { BareListener } from "./bare_listener_main.ts";

const HOST = "127.0.0.1";
/** A multiple of the number of clusters of a turn, so that each has each place in the order equally often. */
const TURNS = 8;
const SECONDS = 4;
const WARM_SECONDS = 4;
const IN_FLIGHT = 16;
const PREFIX = "bench/";
const CONNECTIONS = 2_000;
const CONNECTION_TURNS = 9;
const QUICK_CONNECTIONS = 200;
const DIALS = 8;
const ANSWER_BYTES = 4_096;
const GOAL_TLS = 0.8;
const GOAL_USERS = 0.97;
const GOAL_CONNECTION = 1.2;

/** The situation. */
export const security: Situation = {
  name: "security",
  about:
    `64 clients with ${IN_FLIGHT} requests in flight each, put and then get on four clusters in turn: a plain one, one with ` +
    "mutual TLS, a plain one whose clients are a user with rights over the keys, and another plain one, which shows how much " +
    "two equal clusters differ. Each runs alone, and is started again for each turn: the same code is compiled differently in " +
    "each process, which two processes show as a difference for as long as they run. The ratios are to the mean of both plain " +
    "ones. The generator's own cost of TLS is part of the result, and the CPU time includes opening the connections. A new " +
    "connection over mutual TLS, with its hello: CPU time of a node against that of a bare node:tls listener, " +
    `${DIALS} at a time, in turn.`,
  rounds: 1,
  async measure(lab): Promise<readonly Figure[]> {
    const authority = new Authority("kvraft bench authority");
    const client = authority.issue({ name: "bench", usages: ["client"] });
    const start: Readonly<Record<Protection, () => Promise<Nodes>>> = {
      plain: () => lab.startNodes({ isWarm: false }),
      tls: () => lab.startNodes({ ...tlsOptions(authority, client), isWarm: false }),
      users: () => startWithUsers(lab),
      plainAgain: () => lab.startNodes({ isWarm: false }),
    };
    const figures: Figure[] = [];
    for (let turn = 0; turn < lab.count(TURNS, 1); turn++) {
      const costs = await costsOf(lab, { start, turn });
      for (const kind of LOADS) figures.push(...throughputFigures(kind, costs[kind]));
    }
    await using tls = await start.tls();
    figures.push(...await connectionFigures(lab, tls, { authority, client }));
    return figures;
  },
};

/** The clusters of a turn, in the order of the first one. */
const PROTECTIONS = ["plain", "tls", "users", "plainAgain"] as const;
type Protection = typeof PROTECTIONS[number];
const LOADS = ["puts", "gets"] as const;
type LoadKind = typeof LOADS[number];

/** Throughput, and CPU of the three nodes and of the load generator for a request, of one load. */
interface Cost {
  readonly perSecond: number;
  readonly nodesMicroseconds: number;
  readonly generatorMicroseconds: number;
}

type Costs = Readonly<Record<LoadKind, Readonly<Record<Protection, Cost>>>>;

/** Measures each cluster of a turn, each in another place of the order than in the turn before. */
async function costsOf(
  lab: Lab,
  { start, turn }: {
    readonly start: Readonly<Record<Protection, () => Promise<Nodes>>>;
    readonly turn: number;
  },
): Promise<Costs> {
  const costs: Record<LoadKind, Partial<Record<Protection, Cost>>> = { puts: {}, gets: {} };
  for (let place = 0; place < PROTECTIONS.length; place++) {
    const protection = PROTECTIONS[(place + turn) % PROTECTIONS.length] ?? "plain";
    await using nodes = await start[protection]();
    const mix = { put: 1, get: 1 };
    await lab.load(nodes, { seconds: lab.seconds(WARM_SECONDS), prefix: PREFIX, inFlight: IN_FLIGHT, mix });
    for (const kind of LOADS) costs[kind][protection] = await costOf(lab, nodes, kind);
  }
  return { puts: whole(costs.puts), gets: whole(costs.gets) };
}

function whole(
  { plain, tls, users, plainAgain }: Partial<Record<Protection, Cost>>,
): Readonly<Record<Protection, Cost>> {
  if (plain === undefined || tls === undefined || users === undefined || plainAgain === undefined) {
    throw new Error("A turn has not measured every cluster.");
  }
  return { plain, tls, users, plainAgain };
}

/** The options of a cluster that takes connections with mutual TLS only. */
function tlsOptions(authority: Authority, client: Credentials): Parameters<Lab["startNodes"]>[0] {
  const node = authority.node();
  return {
    flags: [
      ...["--tls-cert", "node.crt", "--tls-key", "node.key", "--tls-ca", "ca.crt"],
      ...["--tls-client-auth", "required"],
    ],
    files: { "node.crt": node.cert, "node.key": node.key, "ca.crt": authority.cert },
    credentials: { tls: { ca: authority.cert, ...client } },
  };
}

/** Starts a cluster with authentication on. All clients use the token of a user with rights over the keys of the load. */
async function startWithUsers(lab: Lab): Promise<Nodes> {
  const nodes = await lab.startNodes({ isWarm: false });
  await using client = await nodes.connect();
  await client.auth.addUser("operator", { password: crypto.randomUUID() });
  await client.auth.grantRole("operator", "root");
  await client.auth.addRole("bench");
  for (const right of ["read", "write"] as const) {
    await client.auth.grant("bench", right, { prefix: PREFIX });
  }
  await client.auth.addUser("bench");
  await client.auth.grantRole("bench", "bench");
  const { token } = await client.auth.createToken("bench", { name: "bench" });
  await client.auth.enable();
  nodes.signInWith(token);
  return nodes;
}

async function costOf(lab: Lab, nodes: Nodes, kind: LoadKind): Promise<Cost> {
  const cpuMs = (): number => nodes.ids.reduce((sum, id) => sum + nodes.cpuMs(id), 0);
  const before = cpuMs();
  const { throughput, operations, errors, generator } = await lab.load(nodes, {
    seconds: lab.seconds(SECONDS),
    prefix: PREFIX,
    inFlight: IN_FLIGHT,
    ...(kind === "gets" ? { mix: GETS, loadsKeys: true } : {}),
  });
  const failed = Object.entries(errors).map(([text, count]) => `${count} × ${text}`);
  if (failed.length > 0) throw new Error(`Requests failed: ${failed.join(", ")}`);
  return {
    perSecond: throughput,
    nodesMicroseconds: (cpuMs() - before) / operations * 1_000,
    generatorMicroseconds: generator.cpuShare / throughput * 1e6,
  };
}

function throughputFigures(
  kind: LoadKind,
  { plain, tls, users, plainAgain }: Readonly<Record<Protection, Cost>>,
): readonly Figure[] {
  const ratio = (cost: Cost, of: keyof Cost): number => cost[of] * 2 / (plain[of] + plainAgain[of]);
  const perSecond = ([
    [plain, "plain"],
    [tls, "mutual TLS"],
    [users, "users"],
  ] as const).map(([cost, what]) => reported(`${kind}, ${what}`, cost.perSecond, `${kind}/s`));
  const cpu = ([
    ["nodesMicroseconds", "nodes"],
    ["generatorMicroseconds", "load generator"],
  ] as const).flatMap(([of, whose]) => [
    reported(`CPU of the ${whose}, ${kind}, mutual TLS against plain`, ratio(tls, of), "×"),
    reported(`CPU of the ${whose}, ${kind}, users against none`, ratio(users, of), "×"),
    reported(`CPU of the ${whose}, ${kind}, plain against plain`, plainAgain[of] / plain[of], "×"),
  ]);
  return [
    ...perSecond,
    atLeast(GOAL_TLS, `${kind}, mutual TLS against plain`, ratio(tls, "perSecond"), "×"),
    atLeast(GOAL_USERS, `${kind}, users against none`, ratio(users, "perSecond"), "×"),
    reported(`${kind}, plain against plain`, plainAgain.perSecond / plain.perSecond, "×"),
    ...cpu,
  ];
}

/** Compares the CPU of new connections at a follower, which has least to do besides, with that of a bare listener. */
async function connectionFigures(
  lab: Lab,
  nodes: Nodes,
  { authority, client }: { readonly authority: Authority; readonly client: Credentials },
): Promise<readonly Figure[]> {
  const listener: BareListener = { host: HOST, port: freePorts(1), ca: authority.cert, ...authority.node() };
  const [program, ...args] = denoCommand("tests/bench/situations/security/bare_listener_main.ts", {
    permissions: [
      "--allow-net",
      "--v8-flags=--max-semi-space-size=8,--heap-growing-percent=50,--no-allocation-site-pretenuring",
    ],
    args: [JSON.stringify(listener)],
  });
  await using bare = await lab.own(Process.start(program, args, { cwd: CHECKOUT, name: "bare listener" }));
  await bare.waitForOutput(READY_LINE, { deadlineMs: PATIENCE_MS });
  const leader = await nodes.waitForLeader();
  const follower = nodes.ids.find((id) => id !== leader) ?? leader;
  const dialer = new TlsDialer({
    credentials: () => ({ ca: authority.cert, ...client }),
    serverName: null,
    minVersion: "TLSv1.3",
  });
  const count = lab.count(CONNECTIONS, QUICK_CONNECTIONS);
  const cpuOf = async (port: number, cpuMs: () => number): Promise<number> => {
    const before = cpuMs();
    await open(dialer, { port, count });
    return (cpuMs() - before) / count;
  };
  const figures: Figure[] = [];
  // The first turn only warms both up.
  for (let turn = 0; turn <= lab.count(CONNECTION_TURNS, 1); turn++) {
    const own = await cpuOf(Number(nodes.address(follower).split(":").at(-1)), () => nodes.cpuMs(follower));
    const theirs = await cpuOf(listener.port, () => cpuMsOf(bare.pid));
    if (turn === 0) continue;
    figures.push(
      reported("CPU of a new connection, node", own, "ms"),
      reported("CPU of a new connection, bare listener", theirs, "ms"),
      atMost(GOAL_CONNECTION, "CPU of a new connection, node against bare listener", own / theirs, "×"),
    );
  }
  return figures;
}

/** Opens connections, a few at a time, sends a hello on each, and closes it when the answer begins. */
async function open(
  dialer: TlsDialer,
  { port, count }: { readonly port: number; readonly count: number },
): Promise<void> {
  const hello = frame(clientHello());
  let left = count;
  const dial = async (): Promise<void> => {
    const answer = new Uint8Array(ANSWER_BYTES);
    while (left-- > 0) {
      const connection = await dialer.connect({ host: HOST, port }, AbortSignal.timeout(DEADLINE_MS));
      try {
        await connection.write(hello);
        if (await connection.read(answer) === null) throw new Error("A new connection was closed.");
      } finally {
        connection.close();
      }
    }
  };
  await Promise.all(Array.from({ length: DIALS }, dial));
}
