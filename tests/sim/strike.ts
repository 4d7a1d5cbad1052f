/** The effect of each fault on a simulation, and its end. */
import { ambush } from "./ambush.ts";
import { floodSessions, leapTerm, unreadClient } from "./intruders.ts";
import { changeMembership, takeSnapshot, transferLeadership } from "./operator.ts";
import type { Machine } from "./environment/machine.ts";
import type { Breakage, BreakageKind, Fault, FaultKind } from "./plan.ts";
import { clientHostOf, hostOf, type Simulation } from "./simulation.ts";

/** Most disk operations before a death in one. */
const MAX_OPERATIONS = 30;
/** Approximate number of operations that install a received snapshot. */
const INSTALL_OPERATIONS = 12;

/** Ends a fault. */
export type EndOfFault = () => void;

/** Returns the target of a fault, given the current leader. */
interface Aim {
  readonly simulation: Simulation;
  readonly fault: Fault;
  /** The node that it strikes, its machine, and all others. */
  readonly target: number;
  readonly machine: Machine;
  readonly others: readonly number[];
  /** A second node; the target itself only in a cluster of one. */
  readonly other: number;
}

/** Lets a fault happen. */
export function strike(simulation: Simulation, fault: Fault): EndOfFault {
  const { machines, plan } = simulation;
  // All current machines: faults strike nodes that were added later, too.
  const nodes = machines.length;
  const at = (position: number): number =>
    position <= nodes && nodes === plan.nodes
      ? position
      : 1 + Math.floor((position + fault.chance * nodes) % nodes);
  const target = fault.target === "leader"
    ? simulation.invariants.leader ?? at(fault.other)
    : at(fault.target);
  const other = at(fault.other) === target ? 1 + target % nodes : at(fault.other);
  const others = machines.filter(({ id }) => id !== target).map(({ id }) => id);
  return STRIKES[fault.kind]({
    simulation,
    fault,
    target,
    machine: simulation.machine(target),
    others,
    other,
  });
}

/** Breaks a node permanently. */
export function breakForGood(simulation: Simulation, { node, kind }: Breakage): void {
  // The current configuration may need the node, or one that is about to be committed, since the cluster has not
  // noticed the loss yet.
  if (!mayLose(simulation, node)) return;
  simulation.trace(() => `n${node} is ${kind} for good`);
  if (kind !== "damaged") simulation.broken.add(node);
  if (simulation.invariants.leader === node) simulation.coverage.count("brokenLeaders");
  const others = simulation.machines.filter(({ id }) => id !== node).map(({ id }) => id);
  BREAKAGES[kind](simulation, { node, others });
}

const BREAKAGES: Readonly<Record<BreakageKind, (simulation: Simulation, aim: BreakageAim) => void>> = {
  dead: (simulation, { node }) => simulation.machine(node).kill(),
  paused: (simulation, { node }) => void pause(simulation, [node]),
  deaf: (simulation, { node, others }) => void cut(simulation, others.map((one): Pair => [one, node])),
  mute: (simulation, { node, others }) => void cut(simulation, others.map((one): Pair => [node, one])),
  cornered: (simulation, { node, others }) =>
    void cut(simulation, others.slice(1).flatMap((one): Pair[] => [[one, node], [node, one]])),
  damaged: (simulation, { node }) => simulation.machine(node).damage(),
  flapping: (simulation, { node, others }) =>
    void flap(simulation, {
      // Long enough that a leader steps down: with a shorter period writes would go on, slowly.
      periodMs: simulation.plan.electionTimeoutMs * 2.5,
      pairs: others.flatMap((one): Pair[] => [[one, node], [node, one]]),
    }),
};

interface BreakageAim {
  readonly node: number;
  readonly others: readonly number[];
}

const STRIKES: Readonly<Record<FaultKind, (aim: Aim) => EndOfFault>> = {
  kill: ({ machine }) => {
    machine.kill();
    return () => machine.recover();
  },
  powerLoss: ({ machine }) => {
    machine.losePower();
    return () => machine.recover();
  },
  powerLossOfAll: ({ simulation: { machines } }) => {
    for (const machine of machines) machine.losePower();
    return () => machines.forEach((machine) => machine.recover());
  },
  deathInDiskOperation: ({ machine: { drive }, fault }) => {
    drive.trouble.operationsToDeath = Math.floor(fault.chance * MAX_OPERATIONS);
    return nothing;
  },
  orderlyRestart: ({ simulation, machine }) => {
    simulation.coverage.count("orderlyStops");
    machine.restartInOrder();
    return nothing;
  },
  pause: ({ simulation, target }) => pause(simulation, [target]),
  pauseOfAll: ({ simulation, target, others }) => pause(simulation, [target, ...others]),
  clockJump: ({ simulation, machine, fault }) => {
    simulation.leaseTimes.jumped();
    machine.jumpClock(fault.durationMs * 10 ** (4 * fault.chance));
    return nothing;
  },
  partition: ({ simulation, fault }) => {
    const ids = simulation.machines.map(({ id }) => id);
    const isInGroup = (id: number): boolean => (fault.chance * 1_000 * id) % 1 < 0.5;
    const apart = (a: number): number[] => ids.filter((b) => isInGroup(a) !== isInGroup(b));
    return cut(simulation, ids.flatMap((a) => apart(a).map((b): Pair => [a, b])));
  },
  isolation: ({ simulation, target, others }) =>
    cut(simulation, others.flatMap((one): Pair[] => [[one, target], [target, one]])),
  deafness: ({ simulation, target, others }) => cut(simulation, others.map((one): Pair => [one, target])),
  muteness: ({ simulation, target, others }) => cut(simulation, others.map((one): Pair => [target, one])),
  oneWayCut: ({ simulation, target, other }) => cut(simulation, [[target, other]]),
  partialCut: ({ simulation, target, other }) => cut(simulation, [[target, other], [other, target]]),
  flapping: ({ simulation, fault, target, other }) =>
    flap(simulation, {
      periodMs: simulation.plan.electionTimeoutMs * (0.1 + fault.chance),
      pairs: [[target, other], [other, target]],
    }),
  slowLink: ({ simulation: { fabric, plan }, fault, target, other }) => {
    const link = fabric.link(hostOf(target), hostOf(other));
    link.slow({ latencyMs: fault.chance * 2 * plan.electionTimeoutMs, bytesPerMs: 10 });
    return () => link.heal();
  },
  reset: ({ simulation: { fabric }, target, other }) => {
    fabric.reset(hostOf(target), hostOf(other));
    return nothing;
  },
  clientReset: ({ simulation: { fabric, plan }, target }) => {
    const { watchers, libraryWatchers, holders, lockUsers, databaseUsers } = plan.coordination;
    const clients = plan.clients + watchers + libraryWatchers + holders + lockUsers + databaseUsers;
    for (let client = 1; client <= clients; client++) fabric.reset(clientHostOf(client), hostOf(target));
    return nothing;
  },
  slowDisk: ({ machine: { drive }, fault }) => {
    drive.trouble.slowness = 20 * fault.chance;
    return () => drive.speedUp();
  },
  stuckDisk: ({ simulation, machine: { drive }, fault }) => {
    drive.trouble.slowness = fault.durationMs / simulation.plan.syncMs;
    return () => drive.speedUp();
  },
  fullDisk: ({ simulation, machine, fault }) => {
    simulation.coverage.count("fullDisks");
    machine.fillDisk(Math.floor(fault.chance * 2_000));
    return () => machine.drive.setFreeBytes(null);
  },
  failingWrite: ({ machine: { drive } }) => {
    drive.trouble.failNext = "write";
    return () => drive.trouble.failNext = null;
  },
  failingSync: ({ machine: { drive } }) => {
    drive.trouble.failNext = "syncData";
    return () => drive.trouble.failNext = null;
  },
  noDescriptors: ({ machine }) => {
    machine.takeDescriptors();
    return () => machine.giveDescriptors();
  },
  unreadClient: ({ simulation, target }) => unreadClient(simulation, target),
  sessionFlood: ({ simulation, fault, target }) => floodSessions(simulation, target, fault.chance),
  termLeap: ({ simulation, target, other }) =>
    target === other ? nothing : leapTerm(simulation, { from: other, to: target }),
  transfer: ({ simulation, other }) => {
    transferLeadership(simulation, other);
    return nothing;
  },
  takeSnapshot: ({ simulation, target }) => {
    takeSnapshot(simulation, target);
    return nothing;
  },
  rottenSnapshot: ({ simulation, machine, target, fault }) => {
    const status = simulation.invariants.statusOf(target);
    if (status !== null) {
      machine.rot(status.firstIndex, {
        mayBeLost: mayLose(simulation, target),
        isRunning: fault.chance < 0.4,
      });
    }
    return nothing;
  },
  ambush: ({ simulation, fault }) =>
    ambush(simulation, { ...fault, strike: (blow) => strike(simulation, blow) }),
  deathBeforeInstall: ({ simulation, fault }) => {
    // A snapshot is installed in one turn: a death between its steps is possible only within a disk operation.
    const kinds = ["kill", "powerLoss", "deathInDiskOperation", "deathInDiskOperation"] as const;
    const kind = kinds[Math.floor(fault.chance * kinds.length)] ?? "kill";
    const soon = (blow: Fault): Fault => ({
      ...blow,
      chance: blow.chance * INSTALL_OPERATIONS / MAX_OPERATIONS,
    });
    return ambush(simulation, { ...fault, strike: (blow) => strike(simulation, soon(blow)) }, {
      occasion: "snapshotsReceived",
      kind,
      delayMs: 0,
    });
  },
  wipe: ({ simulation, machine, target, fault }) => {
    if (!mayWipe(simulation, target)) return nothing;
    const isFounder = target <= simulation.plan.nodes && fault.chance < 0.5;
    // A single founder would found its cluster a second time, undetected.
    machine.wipe(isFounder && simulation.plan.nodes > 2 ? null : simulation.contacts);
    return nothing;
  },
  addNode: change,
  removeNode: change,
  promoteNode: change,
  demoteNode: change,
  replaceNode: change,
  updateNode: change,
};

function change({ simulation, fault, target }: Aim): EndOfFault {
  changeMembership(simulation, { kind: fault.kind, target, chance: fault.chance });
  return nothing;
}

/** Returns whether a node may be lost. During a change it is unknown which nodes will be needed. */
function mayLose(simulation: Simulation, node: number): boolean {
  return simulation.changes === 0 && simulation.isHealableWithout([node]);
}

/**
 * Returns whether a node may restart with an empty disk. The cluster detects that only for a node whose data directory id is
 * recorded, and only for one node at a time, as two of them would not refuse each other.
 */
function mayWipe(simulation: Simulation, node: number): boolean {
  const { invariants, machines } = simulation;
  const isMember = invariants.committedConfiguration.members.some(({ id }) => id === node);
  const isOther = machines.some(({ isWiped, isRetired }) => isWiped && !isRetired);
  return isMember && !isOther && !simulation.machine(node).isLost && invariants.isKnownByData(node) &&
    mayLose(simulation, node);
}

/** Returns the link from one node to another. */
type Pair = readonly [number, number];

/** Ends what is over at once. */
function nothing(): void {}

function pause(simulation: Simulation, nodes: readonly number[]): EndOfFault {
  const processes = nodes.flatMap((node) => simulation.machine(node).process ?? []);
  for (const process of processes) process.pause();
  return () => processes.forEach((process) => process.resume());
}

function cut(simulation: Simulation, pairs: readonly Pair[]): EndOfFault {
  const links = pairs.map(([from, to]) => simulation.fabric.link(hostOf(from), hostOf(to)));
  for (const link of links) link.cut();
  return () => links.forEach((link) => link.heal());
}

/** Cuts and heals in turns. */
function flap(
  simulation: Simulation,
  { periodMs, pairs }: { readonly periodMs: number; readonly pairs: readonly Pair[] },
): EndOfFault {
  let heal = cut(simulation, pairs);
  let isCut = true;
  let hasEnded = false;
  const turn = (): void => {
    if (hasEnded) return;
    if (isCut) heal();
    else heal = cut(simulation, pairs);
    isCut = !isCut;
    simulation.scheduler.after(periodMs, null, turn);
  };
  simulation.scheduler.after(periodMs, null, turn);
  return () => {
    hasEnded = true;
    heal();
  };
}
