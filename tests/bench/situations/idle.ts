/** The cost of an idle cluster. */
import { join } from "@std/path";
import { CHECKOUT } from "../../support/checkout.ts";
import { type Peer, PEERS, type RunningPeer } from "../peers/peers.ts";
import type { PeerName } from "../workloads.ts";
import { atMost, type Figure, reported } from "./figures.ts";
import type { Lab, Situation } from "./lab.ts";

const IDLE_SECONDS = 20;
const SETTLE_SECONDS = 3;
const GOAL_CPU_PERCENT = 1;
const GOAL_RESIDENT_MB = 70;

/** A reading of a node. */
interface Usage {
  readonly cpuMs: number;
  readonly residentBytes: number;
}

/** The situation. */
export const idle: Situation = {
  name: "idle",
  about:
    `Three nodes without clients for ${IDLE_SECONDS} s; each is a figure. For comparison three nodes of etcd, and a Deno ` +
    "process that only listens on TCP (tests/bench/peers/echo_server.ts), the minimum for a server in this runtime.",
  rounds: 1,
  async measure(lab): Promise<readonly Figure[]> {
    const seconds = lab.isQuick ? 5 : IDLE_SECONDS;
    await using nodes = await lab.startNodes({ isWarm: false });
    await using owner = new AsyncDisposableStack();
    const etcd = await startPeer(lab, "etcd", owner);
    const bare = await startPeer(lab, "echo", owner);
    await lab.rest(SETTLE_SECONDS);
    const look = (): Record<string, readonly Usage[]> => ({
      kvraft: nodes.ids.map((id) => ({ cpuMs: nodes.cpuMs(id), residentBytes: nodes.residentBytes(id) })),
      etcd: usageOf(etcd),
      bare: usageOf(bare),
    });
    const startedAt = performance.now();
    const before = look();
    await lab.rest(seconds);
    const elapsedMs = performance.now() - startedAt;
    const after = look();
    const cpu = (name: string): readonly number[] =>
      (after[name] ?? []).map(({ cpuMs }, node) =>
        (cpuMs - (before[name]?.[node]?.cpuMs ?? 0)) / elapsedMs * 100
      );
    const memory = (name: string): readonly number[] =>
      (after[name] ?? []).map(({ residentBytes }) => residentBytes / 1e6);
    return [
      ...cpu("kvraft").map((share) => atMost(GOAL_CPU_PERCENT, "CPU of a node", share, "% of a core")),
      ...cpu("etcd").map((share) => reported("CPU of a node of etcd", share, "% of a core")),
      ...memory("kvraft").map((size) => atMost(GOAL_RESIDENT_MB, "resident memory of a node", size, "MB")),
      ...memory("etcd").map((size) => reported("resident memory of a node of etcd", size, "MB")),
      ...memory("bare").map((size) => reported("resident memory of a bare listener in Deno", size, "MB")),
    ];
  },
};

/** Returns null when the peer is not installed. */
async function startPeer(lab: Lab, name: PeerName, owner: AsyncDisposableStack): Promise<RunningPeer | null> {
  const peer: Peer | undefined = PEERS.find((one) => one.name === name);
  if (peer === undefined || (await peer.availability()).kind === "missing") return null;
  const folder = Deno.makeTempDirSync({ dir: join(CHECKOUT, ".cache", "bench"), prefix: `${name}-` });
  owner.defer(() => Deno.remove(folder, { recursive: true }));
  return owner.use(await lab.own(peer.start(folder)));
}

function usageOf(peer: RunningPeer | null): readonly Usage[] {
  if (peer === null) return [];
  const memory = peer.residentBytes();
  return peer.cpuMs().map((cpuMs, node) => ({ cpuMs, residentBytes: memory[node] ?? 0 }));
}
