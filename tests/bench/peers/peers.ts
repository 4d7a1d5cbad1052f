/** The measured peers: how each is started, as three nodes on loopback with their data on one disk, and its leader. */
import { join } from "@std/path";
import { KvClient } from "../../../lib/mod.ts";
import deno from "../../../deno.json" with { type: "json" };
import { CHECKOUT } from "../../support/checkout.ts";
import { eventually } from "../../support/eventually.ts";
import { denoCommand, kvraftCommand, Process, READY_LINE } from "../../support/processes/process.ts";
import { cpuMsOf, residentBytesOf } from "../processes.ts";
import type { PeerName } from "../workloads.ts";

const HOST = "127.0.0.1";
const NODE_IDS = [1, 2, 3] as const;
/** The first port of each peer. */
const PORTS = { kvraft: 7600, etcdClients: 7650, etcdPeers: 7660, antietcd: 7670, echo: 7680 } as const;
const ANTIETCD_VERSION = "1.3.1";
const CACHE = join(CHECKOUT, ".cache", "bench");
/** etcd refuses writes above its quota, 2 GB by default; the large values of one round exceed that. */
const ETCD_QUOTA_BYTES = 8_589_934_592;

/** Whether a peer can be measured here. */
export type Availability =
  | { readonly kind: "here"; readonly version: string }
  | { readonly kind: "missing"; readonly why: string };

/** A peer whose nodes run. */
export interface RunningPeer extends AsyncDisposable {
  /** The addresses for clients, the leader's first. */
  readonly addresses: readonly string[];
  /** Resident memory of each node, the leader's first. */
  residentBytes(): readonly number[];
  /** CPU time that each node has used since its start, in the same order. */
  cpuMs(): readonly number[];
}

/** A store to measure. */
export interface Peer {
  readonly name: PeerName;
  readonly what: string;
  availability(): Promise<Availability>;
  /** Starts it with an empty `folder`, and waits until it has a leader. */
  start(folder: string): Promise<RunningPeer>;
}

const address = (firstPort: number, id: number): string => `${HOST}:${firstPort + id}`;

/** Starts processes; stops all of them when one can't be started or no leader is elected. */
async function startNodes(
  start: (own: (process: Process) => Process) => Promise<readonly Process[]>,
  findLeader: (
    processes: readonly Process[],
  ) => Promise<{ readonly leader: number; readonly addresses: readonly string[] }>,
): Promise<RunningPeer> {
  const owner = new AsyncDisposableStack();
  try {
    const processes = await start((process) => owner.use(process));
    const { leader, addresses } = await findLeader(processes);
    const order = [leader, ...processes.keys()].filter((node, position, all) =>
      all.indexOf(node) === position
    );
    return {
      addresses: order.map((node) => addresses[node] ?? ""),
      residentBytes: () => order.map((node) => residentBytesOf(processes[node]?.pid ?? 0)),
      cpuMs: () => order.map((node) => cpuMsOf(processes[node]?.pid ?? 0)),
      [Symbol.asyncDispose]: () => owner.disposeAsync(),
    };
  } catch (error) {
    await owner.disposeAsync();
    throw error;
  }
}

const KVRAFT: Peer = {
  name: "kvraft",
  what:
    "three nodes from source, with the permissions of the compiled executable; every write is on the disks of a majority",
  availability: () =>
    Promise.resolve({ kind: "here", version: `${deno.version}, Deno ${Deno.version.deno}` }),
  async start(folder): Promise<RunningPeer> {
    const addresses = NODE_IDS.map((id) => address(PORTS.kvraft, id));
    const cluster = NODE_IDS.map((id) => `${id}=${address(PORTS.kvraft, id)}`).join(",");
    return await startNodes(async (own) => {
      const processes = NODE_IDS.map((id) => {
        const flags = ["--node-id", `${id}`, "--bind", address(PORTS.kvraft, id), "--cluster", cluster];
        const [program, ...args] = kvraftCommand(["server", ...flags]);
        return own(Process.start(program, args, { cwd: folder, name: `kvraft ${id}` }));
      });
      await Promise.all(processes.map((process) => process.waitForOutput(READY_LINE)));
      return processes;
    }, async () => {
      await using client = await KvClient.connect({ cluster: addresses });
      const leader = await eventually(
        "kvraft has a leader",
        async () => (await client.cluster.status()).leader,
      );
      return { leader: leader - 1, addresses };
    });
  },
};

const ETCD: Peer = {
  name: "etcd",
  what:
    "three nodes with default settings; every write is on the disks of a majority; reads are linearizable",
  async availability(): Promise<Availability> {
    const text = await outputOf("etcd", ["--version"]);
    const [, version] = /etcd Version: (\S+)/.exec(text ?? "") ?? [];
    return version === undefined
      ? { kind: "missing", why: "there is no etcd here (Debian: apt-get install etcd-server)" }
      : { kind: "here", version };
  },
  async start(folder): Promise<RunningPeer> {
    const addresses = NODE_IDS.map((id) => address(PORTS.etcdClients, id));
    const cluster = NODE_IDS.map((id) => `n${id}=http://${address(PORTS.etcdPeers, id)}`).join(",");
    return await startNodes((own) =>
      Promise.resolve(NODE_IDS.map((id) => {
        const clientUrl = `http://${address(PORTS.etcdClients, id)}`;
        const peerUrl = `http://${address(PORTS.etcdPeers, id)}`;
        const args = [
          ...["--name", `n${id}`, "--data-dir", join(folder, `node-${id}`), "--log-level", "error"],
          ...["--listen-client-urls", clientUrl, "--advertise-client-urls", clientUrl],
          ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
          ...["--initial-cluster", cluster, "--initial-cluster-state", "new"],
          ...["--quota-backend-bytes", `${ETCD_QUOTA_BYTES}`],
        ];
        return own(Process.start("etcd", args, { cwd: folder, name: `etcd ${id}` }));
      })), async () => ({ leader: await leaderByStatus(addresses), addresses }));
  },
};

const ANTIETCD: Peer = {
  name: "antietcd",
  what:
    "three nodes under Node, --persist_interval 500: a write is answered before it is on any disk; gets may be stale",
  async availability(): Promise<Availability> {
    const node = await outputOf("node", ["--version"]);
    if (node === null) return { kind: "missing", why: "there is no node here to run it" };
    if (!await installAntietcd()) {
      return { kind: "missing", why: `npm could not install antietcd@${ANTIETCD_VERSION}` };
    }
    return { kind: "here", version: `${ANTIETCD_VERSION}, Node ${node.trim()}` };
  },
  async start(folder): Promise<RunningPeer> {
    const addresses = NODE_IDS.map((id) => address(PORTS.antietcd, id));
    const cluster = NODE_IDS.map((id) => `n${id}=http://${address(PORTS.antietcd, id)}`).join(",");
    return await startNodes((own) =>
      Promise.resolve(NODE_IDS.map((id) => {
        const args = [
          antietcdProgram(),
          ...["--ip", HOST, "--port", `${PORTS.antietcd + id}`, "--data", join(folder, `node-${id}.gz`)],
          ...[
            "--persist_interval",
            "500",
            "--node_id",
            `n${id}`,
            "--cluster_key",
            "bench",
            "--cluster",
            cluster,
          ],
        ];
        return own(Process.start("node", args, { cwd: folder, name: `antietcd ${id}` }));
      })), async () => ({ leader: await leaderByStatus(addresses), addresses }));
  },
};

const ECHO: Peer = {
  name: "echo",
  what: "one Deno process that returns what it receives: an upper bound for a store in this runtime",
  availability: () => Promise.resolve({ kind: "here", version: `Deno ${Deno.version.deno}` }),
  async start(folder): Promise<RunningPeer> {
    const port = PORTS.echo + 1;
    return await startNodes(async (own) => {
      const script = { permissions: ["--allow-net"], args: [`${port}`] };
      const [program, ...args] = denoCommand("tests/bench/peers/echo_server.ts", script);
      const process = own(Process.start(program, args, { cwd: folder, name: "echo" }));
      await process.waitForOutput(READY_LINE);
      return [process];
    }, () => Promise.resolve({ leader: 0, addresses: [`${HOST}:${port}`] }));
  },
};

/** All of them, in the order of the tables. */
export const PEERS: readonly Peer[] = [KVRAFT, ETCD, ANTIETCD, ECHO];

/** Returns the position of the leader; etcd and antietcd report it in the same form. */
async function leaderByStatus(addresses: readonly string[]): Promise<number> {
  return await eventually(`one of ${addresses} leads`, async () => {
    const answers = await Promise.all(addresses.map(statusAt));
    const [first] = answers;
    const leader = first?.leader;
    if (leader === undefined || leader === "0" || answers.some((answer) => answer?.leader !== leader)) {
      return null;
    }
    const position = answers.findIndex((answer) => answer?.id === leader);
    return position === -1 ? null : position;
  });
}

async function statusAt(node: string): Promise<{ readonly id: string; readonly leader: string } | null> {
  try {
    const headers = { "content-type": "application/json" };
    const url = `http://${node}/v3/maintenance/status`;
    const response = await fetch(url, { method: "POST", headers, body: "{}" });
    const { header, leader } = await response.json();
    return { id: String(header.member_id), leader: String(leader ?? "0") };
  } catch {
    return null;
  }
}

function antietcdProgram(): string {
  return join(CACHE, `antietcd-${ANTIETCD_VERSION}`, "node_modules", "antietcd", "antietcd-app.js");
}

/** Installs it into a folder under .cache: nothing of kvraft depends on it. */
async function installAntietcd(): Promise<boolean> {
  const isThere = (): boolean => {
    try {
      return Deno.statSync(antietcdProgram()).isFile;
    } catch {
      return false;
    }
  };
  if (isThere()) return true;
  const folder = join(CACHE, `antietcd-${ANTIETCD_VERSION}`);
  Deno.mkdirSync(folder, { recursive: true });
  const flags = ["--no-audit", "--no-fund", "--omit=optional", "--ignore-scripts"];
  await outputOf("npm", ["install", "--prefix", folder, ...flags, `antietcd@${ANTIETCD_VERSION}`]);
  return isThere();
}

/** Returns the output of a program; null when there is none of that name, or it fails. */
async function outputOf(program: string, args: readonly string[]): Promise<string | null> {
  try {
    const { success, stdout } = await new Deno.Command(program, { args: [...args], stderr: "null" }).output();
    return success ? new TextDecoder().decode(stdout) : null;
  } catch {
    return null;
  }
}
