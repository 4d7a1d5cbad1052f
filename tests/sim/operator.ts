/**
 * The operators of a run: they transfer leadership, request snapshots, and change the membership, during the other
 * faults. A refusal is an ordinary answer.
 *
 * They request no change after which no majority could be restored. (The cluster itself can't check that: it sees only
 * which nodes answer, and can't distinguish a lost disk from a stopped node.)
 */
import { type KvClient, KvraftError, type MembershipChange } from "../../lib/mod.ts";
import { connectOn } from "../../lib/testing.ts";
import type { Configuration, NodeId } from "../../lib/raft/mod.ts";
import type { FaultKind } from "./plan.ts";
import { addressOf, type SimClientPlatform, type Simulation } from "./simulation.ts";

/** Attempts of a refused change, and the pause between them. */
const ATTEMPTS = 4;
const PAUSE_MS = 1_500;
const TIMEOUT_MS = 8_000;

/** Transfers leadership, once. */
export function transferLeadership(simulation: Simulation, target: NodeId): void {
  simulation.operator(async (platform) => {
    await withClient(simulation, platform, async (client) => {
      await client.cluster.transferLeadership(target, { timeoutMs: 3_000 });
      simulation.coverage.count("leadershipTransfers");
    });
  });
}

/** Makes a node take a snapshot, and reads it as for a backup. */
export function takeSnapshot(simulation: Simulation, node: NodeId): void {
  simulation.operator(async (platform) => {
    await withClient(simulation, platform, async (client) => {
      await using download = await client.cluster.openSnapshot({ timeoutMs: 3_000 });
      let bytes = 0;
      for await (const chunk of download.chunks()) bytes += chunk.length;
      if (bytes !== download.bytes) {
        simulation.violated(`a snapshot of ${download.bytes} bytes came as ${bytes}`);
      }
      simulation.coverage.count("snapshotsOnDemand");
    }, [addressOf(node)]);
  });
}

/** A change, drawn by a plan. */
export interface Wish {
  readonly kind: FaultKind;
  readonly target: NodeId;
  readonly chance: number;
}

/** Changes the membership, or tries to. */
export function changeMembership(simulation: Simulation, wish: Wish): void {
  const change = changeOf(simulation, wish);
  if (change === null) return;
  simulation.trace(() => `an operator wants to ${JSON.stringify(change)}`);
  if (change.kind === "add" || change.kind === "replace") simulation.wereMembers.add(change.id);
  simulation.changes += 1;
  simulation.operator(async (platform) => {
    for (let attempt = 0; attempt < ATTEMPTS && isAllowed(simulation, change); attempt++) {
      if (await tryOnce(simulation, platform, change)) break;
      await new Promise<void>((resolve) => void platform.clock.after(PAUSE_MS, resolve));
    }
    simulation.changes -= 1;
  });
}

/** Returns whether the change was committed or finally refused. */
async function tryOnce(
  simulation: Simulation,
  platform: SimClientPlatform,
  change: MembershipChange,
): Promise<boolean> {
  return await withClient(simulation, platform, async (client) => {
    await client.cluster.changeMembership(change, { timeoutMs: TIMEOUT_MS });
    if (change.kind === "add") simulation.coverage.count("nodesAdded");
    if (change.kind === "replace") simulation.coverage.count("nodesReplaced");
  });
}

/** Returns the change of a wish for the current members; null when there is none. */
function changeOf(simulation: Simulation, { kind, target, chance }: Wish): MembershipChange | null {
  const { confState: { voters, learners }, members } = simulation.invariants.committedConfiguration;
  const lost = members.find(({ id }) => simulation.machine(id).isLost)?.id;
  const pick = (nodes: readonly NodeId[]): NodeId =>
    nodes.includes(target) ? target : nodes[Math.floor(chance * nodes.length)] ?? target;
  switch (kind) {
    case "addNode": {
      const machine = simulation.newMachine();
      // With no machine left: an id that was used before, at an arbitrary address.
      const id = machine?.id ?? target;
      return { kind: "add", id, address: addressOf(id), learner: chance < 0.3 };
    }
    case "removeNode":
      return { kind: "remove", id: chance < 0.5 ? lost ?? target : target };
    case "promoteNode":
      return { kind: "promote", id: pick(learners) };
    case "demoteNode":
      return { kind: "demote", id: pick(voters) };
    case "replaceNode": {
      const machine = simulation.newMachine();
      if (machine === null) return null;
      return {
        kind: "replace",
        dead: chance < 0.7 ? lost ?? pick(voters) : pick(voters),
        id: machine.id,
        address: addressOf(machine.id),
      };
    }
    default:
      return { kind: "update", id: target, address: addressOf(target) };
  }
}

/** Returns whether a majority could be restored after the change, in every configuration that may be in force. */
function isAllowed(simulation: Simulation, change: MembershipChange): boolean {
  return simulation.invariants.configurationsInForce.every((configuration) =>
    simulation.isHealable(behind(configuration, change))
  );
}

function behind(configuration: Configuration, change: MembershipChange): Configuration {
  const { voters } = configuration.confState;
  const without = (id: NodeId): readonly NodeId[] => voters.filter((voter) => voter !== id);
  const after = (): readonly NodeId[] => {
    switch (change.kind) {
      case "add":
      case "promote":
        return [...without(change.id), change.id];
      case "remove":
      case "demote":
        return without(change.id);
      case "replace":
        return [...without(change.dead), change.id];
      case "update":
        return voters;
    }
  };
  return { ...configuration, confState: { voters: after(), votersOutgoing: [], learners: [] } };
}

/** Returns whether it succeeded; errors and unknown outcomes are ordinary. */
async function withClient(
  simulation: Simulation,
  platform: SimClientPlatform,
  work: (client: KvClient) => Promise<void>,
  cluster: readonly string[] = simulation.cluster,
): Promise<boolean> {
  try {
    const client = await connectOn(platform, { cluster, timeoutMs: 1_000, ...simulation.credentials });
    try {
      await work(client);
      return true;
    } finally {
      await client.close();
    }
  } catch (error) {
    if (!(error instanceof KvraftError)) throw error;
    simulation.trace(() => `an operator failed (${error.code}, ${error.outcome}): ${error.message}`);
    if (error.code === "membershipRefused") simulation.coverage.count("changesRefused");
    if (error.outcome === "unknown") simulation.coverage.count("changesUnknown");
    return false;
  }
}
