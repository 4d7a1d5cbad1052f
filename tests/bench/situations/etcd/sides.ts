/** The two stores that etcd's Go client is measured on: three nodes of kvraft, and three of etcd. */
import { join } from "@std/path";
import { assert } from "@std/assert";
import { CHECKOUT } from "../../../support/checkout.ts";
import { Process } from "../../../support/processes/process.ts";
import { clientv3Command } from "../../peers/clientv3.ts";
import { PEERS, type RunningPeer } from "../../peers/peers.ts";
import type { Figure } from "../figures.ts";
import type { Lab } from "../lab.ts";
import type { Nodes } from "../nodes.ts";

/** Time after which a program counts as stuck. */
const END_MS = 1_800_000;

/** One of the two stores. */
export interface Side {
  readonly name: "kvraft" | "etcd";
  /** For etcd's clients, the leader's first. */
  readonly addresses: readonly string[];
  /** CPU time of each node so far, the leader's first. */
  readonly cpuMs: () => readonly number[];
  readonly residentBytes: () => readonly number[];
}

/** kvraft, then etcd. */
export type Sides = readonly [own: Side, theirs: Side];

async function ofKvraft(nodes: Nodes): Promise<Side> {
  const leader = await nodes.waitForLeader();
  const ids = [leader, ...nodes.ids.filter((id) => id !== leader)];
  return {
    name: "kvraft",
    addresses: ids.map((id) => nodes.etcdAddress(id)),
    cpuMs: () => ids.map((id) => nodes.cpuMs(id)),
    residentBytes: () => ids.map((id) => nodes.residentBytes(id)),
  };
}

function ofEtcd(running: RunningPeer): Side {
  const { addresses } = running;
  return {
    name: "etcd",
    addresses,
    cpuMs: () => running.cpuMs(),
    residentBytes: () => running.residentBytes(),
  };
}

/** Runs the client with an assignment and returns its answer. */
export async function client<T>(lab: Lab, assignment: unknown, onReady?: () => void): Promise<T> {
  const [program, ...args] = await clientv3Command(JSON.stringify(assignment));
  await using process = await lab.own(Process.start(program, args, { cwd: CHECKOUT, name: "clientv3" }));
  if (onReady !== undefined) {
    await process.waitForOutput(/ready/, { deadlineMs: END_MS });
    onReady();
  }
  const { code, stdout, stderr } = await process.end({ deadlineMs: END_MS });
  if (code !== 0) throw new Error(`clientv3 failed: ${stderr.trim().slice(-1_000)}`);
  return JSON.parse(stdout);
}

/** Starts both, measures them, and removes what they leave. */
export async function withSides(
  lab: Lab,
  measure: (sides: Sides, nodes: Nodes) => Promise<readonly Figure[]>,
): Promise<readonly Figure[]> {
  const peer = PEERS.find(({ name }) => name === "etcd");
  assert(peer !== undefined, "etcd is a peer");
  const availability = await peer.availability();
  if (availability.kind === "missing") throw new Error(availability.why);
  const parent = join(CHECKOUT, ".cache", "bench");
  Deno.mkdirSync(parent, { recursive: true });
  const directory = Deno.makeTempDirSync({ dir: parent, prefix: "etcd-" });
  try {
    await using nodes = await lab.startNodes({ etcd: true, isWarm: false });
    const theirs = ofEtcd(await lab.own(peer.start(directory)));
    return await measure([await ofKvraft(nodes), theirs], nodes);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Returns the two sides in an order that alternates. */
export function inTurn<T>(turn: number, [own, theirs]: readonly [T, T]): readonly [T, T] {
  return turn % 2 === 0 ? [own, theirs] : [theirs, own];
}
