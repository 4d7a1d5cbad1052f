/** What each fault does to a world, and what ends it. */
import { ambush } from "./ambush.ts";
import { floodSessions, leapTerm, unreadClient } from "./intruders.ts";
import { changeMembership, takeSnapshot, transferLeadership } from "./operator.ts";
import type { Machine } from "./environment/machine.ts";
import type { Breakage, BreakageKind, Fault, FaultKind } from "./plan.ts";
import { clientHostOf, hostOf, type World } from "./world.ts";

/** A death in a disk operation comes within so many. */
const MAX_OPERATIONS = 30;
/** Operations that put a received snapshot in place of the log, about. */
const INSTALL_OPERATIONS = 12;

/** Ends a fault. */
export type EndOfFault = () => void;

/** What a fault strikes, once it is known who leads. */
interface Aim {
  readonly world: World;
  readonly fault: Fault;
  /** The node that it strikes, its machine, and all others. */
  readonly target: number;
  readonly machine: Machine;
  readonly others: readonly number[];
  /** A second node; the target itself only in a cluster of one. */
  readonly other: number;
}

/** Lets a fault happen. */
export function strike(world: World, fault: Fault): EndOfFault {
  const { machines, plan } = world;
  // As many as there are by now: faults strike nodes that came later, too.
  const nodes = machines.length;
  const at = (position: number): number =>
    position <= nodes && nodes === plan.nodes
      ? position
      : 1 + Math.floor((position + fault.chance * nodes) % nodes);
  const target = fault.target === "leader" ? world.invariants.leader ?? at(fault.other) : at(fault.target);
  const other = at(fault.other) === target ? 1 + target % nodes : at(fault.other);
  const others = machines.filter(({ id }) => id !== target).map(({ id }) => id);
  return STRIKES[fault.kind]({ world, fault, target, machine: world.machine(target), others, other });
}

/** Breaks a node for good. */
export function breakForGood(world: World, { node, kind }: Breakage): void {
  // What the operators have made of the cluster may need it; or what they are about to make of it, since the cluster
  // can't know yet that it has just gone.
  if (!mayLose(world, node)) return;
  world.trace(() => `n${node} is ${kind} for good`);
  if (kind !== "damaged") world.broken.add(node);
  if (world.invariants.leader === node) world.coverage.count("brokenLeaders");
  const others = world.machines.filter(({ id }) => id !== node).map(({ id }) => id);
  BREAKAGES[kind](world, { node, others });
}

const BREAKAGES: Readonly<Record<BreakageKind, (world: World, aim: BreakageAim) => void>> = {
  dead: (world, { node }) => world.machine(node).kill(),
  paused: (world, { node }) => void pause(world, [node]),
  deaf: (world, { node, others }) => void cut(world, others.map((one): Pair => [one, node])),
  mute: (world, { node, others }) => void cut(world, others.map((one): Pair => [node, one])),
  cornered: (world, { node, others }) =>
    void cut(world, others.slice(1).flatMap((one): Pair[] => [[one, node], [node, one]])),
  damaged: (world, { node }) => world.machine(node).damage(),
  flapping: (world, { node, others }) =>
    void flap(world, {
      // Long enough that a leader loses its lead: with a quicker one writes would go on, as slowly as its links allow.
      periodMs: world.plan.electionTimeoutMs * 2.5,
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
  powerLossOfAll: ({ world: { machines } }) => {
    for (const machine of machines) machine.losePower();
    return () => machines.forEach((machine) => machine.recover());
  },
  deathInDiskOperation: ({ machine: { drive }, fault }) => {
    drive.trouble.operationsToDeath = Math.floor(fault.chance * MAX_OPERATIONS);
    return nothing;
  },
  orderlyRestart: ({ world, machine }) => {
    world.coverage.count("orderlyStops");
    machine.restartInOrder();
    return nothing;
  },
  pause: ({ world, target }) => pause(world, [target]),
  pauseOfAll: ({ world, target, others }) => pause(world, [target, ...others]),
  clockJump: ({ machine, fault }) => {
    machine.jumpClock(fault.durationMs * 10 ** (4 * fault.chance));
    return nothing;
  },
  partition: ({ world, fault }) => {
    const ids = world.machines.map(({ id }) => id);
    const isInGroup = (id: number): boolean => (fault.chance * 1_000 * id) % 1 < 0.5;
    const apart = (a: number): number[] => ids.filter((b) => isInGroup(a) !== isInGroup(b));
    return cut(world, ids.flatMap((a) => apart(a).map((b): Pair => [a, b])));
  },
  isolation: ({ world, target, others }) =>
    cut(world, others.flatMap((one): Pair[] => [[one, target], [target, one]])),
  deafness: ({ world, target, others }) => cut(world, others.map((one): Pair => [one, target])),
  muteness: ({ world, target, others }) => cut(world, others.map((one): Pair => [target, one])),
  oneWayCut: ({ world, target, other }) => cut(world, [[target, other]]),
  partialCut: ({ world, target, other }) => cut(world, [[target, other], [other, target]]),
  flapping: ({ world, fault, target, other }) =>
    flap(world, {
      periodMs: world.plan.electionTimeoutMs * (0.1 + fault.chance),
      pairs: [[target, other], [other, target]],
    }),
  slowLink: ({ world: { fabric, plan }, fault, target, other }) => {
    const link = fabric.link(hostOf(target), hostOf(other));
    link.slow({ latencyMs: fault.chance * 2 * plan.electionTimeoutMs, bytesPerMs: 10 });
    return () => link.heal();
  },
  reset: ({ world: { fabric }, target, other }) => {
    fabric.reset(hostOf(target), hostOf(other));
    return nothing;
  },
  clientReset: ({ world: { fabric, plan }, target }) => {
    for (let client = 1; client <= plan.clients; client++) fabric.reset(clientHostOf(client), hostOf(target));
    return nothing;
  },
  slowDisk: ({ machine: { drive }, fault }) => {
    drive.trouble.slowness = 20 * fault.chance;
    return () => drive.speedUp();
  },
  stuckDisk: ({ world, machine: { drive }, fault }) => {
    drive.trouble.slowness = fault.durationMs / world.plan.syncMs;
    return () => drive.speedUp();
  },
  fullDisk: ({ world, machine, fault }) => {
    world.coverage.count("fullDisks");
    machine.fillDisk(Math.floor(fault.chance * 2_000));
    return () => machine.drive.setRoom(null);
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
  unreadClient: ({ world, target }) => unreadClient(world, target),
  sessionFlood: ({ world, fault, target }) => floodSessions(world, target, fault.chance),
  termLeap: ({ world, target, other }) =>
    target === other ? nothing : leapTerm(world, { from: other, to: target }),
  transfer: ({ world, other }) => {
    transferLeadership(world, other);
    return nothing;
  },
  takeSnapshot: ({ world, target }) => {
    takeSnapshot(world, target);
    return nothing;
  },
  rottenSnapshot: ({ world, machine, target, fault }) => {
    const status = world.invariants.statusOf(target);
    if (status !== null) {
      machine.rot(status.firstIndex, { mayBeLost: mayLose(world, target), isRunning: fault.chance < 0.4 });
    }
    return nothing;
  },
  ambush: ({ world, fault }) => ambush(world, { ...fault, strike: (blow) => strike(world, blow) }),
  deathBeforeInstall: ({ world, fault }) => {
    // What installs the snapshot is one turn: only in one of its disk operations can a death fall between its steps.
    const kinds = ["kill", "powerLoss", "deathInDiskOperation", "deathInDiskOperation"] as const;
    const kind = kinds[Math.floor(fault.chance * kinds.length)] ?? "kill";
    const soon = (blow: Fault): Fault => ({
      ...blow,
      chance: blow.chance * INSTALL_OPERATIONS / MAX_OPERATIONS,
    });
    return ambush(world, { ...fault, strike: (blow) => strike(world, soon(blow)) }, {
      occasion: "snapshotsReceived",
      kind,
      delayMs: 0,
    });
  },
  wipe: ({ world, machine, target, fault }) => {
    if (!mayWipe(world, target)) return nothing;
    const isFounder = target <= world.plan.nodes && fault.chance < 0.5;
    // A founder that was alone would found its cluster once more, and nobody could tell.
    machine.wipe(isFounder && world.plan.nodes > 2 ? null : world.contacts);
    return nothing;
  },
  addNode: change,
  removeNode: change,
  promoteNode: change,
  demoteNode: change,
  replaceNode: change,
  updateNode: change,
};

function change({ world, fault, target }: Aim): EndOfFault {
  changeMembership(world, { kind: fault.kind, target, chance: fault.chance });
  return nothing;
}

/** Whether the promise holds without a node. With a change under way, nobody knows who will be needed. */
function mayLose(world: World, node: number): boolean {
  return world.changes === 0 && world.isHealableWithout([node]);
}

/**
 * Whether a node may come back with an empty disk. Only one that is known by its data folder can be told from what it
 * was; and only one at a time, as two of them would not refuse each other.
 */
function mayWipe(world: World, node: number): boolean {
  const { invariants, machines } = world;
  const isMember = invariants.committedConfiguration.members.some(({ id }) => id === node);
  const isOther = machines.some(({ isWiped, isRetired }) => isWiped && !isRetired);
  return isMember && !isOther && !world.machine(node).isLost && invariants.isKnownByData(node) &&
    mayLose(world, node);
}

/** From one node to another. */
type Pair = readonly [number, number];

/** Ends what is over at once. */
function nothing(): void {}

function pause(world: World, nodes: readonly number[]): EndOfFault {
  const processes = nodes.flatMap((node) => world.machine(node).process ?? []);
  for (const process of processes) process.pause();
  return () => processes.forEach((process) => process.resume());
}

function cut(world: World, pairs: readonly Pair[]): EndOfFault {
  const links = pairs.map(([from, to]) => world.fabric.link(hostOf(from), hostOf(to)));
  for (const link of links) link.cut();
  return () => links.forEach((link) => link.heal());
}

/** Cuts and heals in turns. */
function flap(
  world: World,
  { periodMs, pairs }: { readonly periodMs: number; readonly pairs: readonly Pair[] },
): EndOfFault {
  let heal = cut(world, pairs);
  let isCut = true;
  let hasEnded = false;
  const turn = (): void => {
    if (hasEnded) return;
    if (isCut) heal();
    else heal = cut(world, pairs);
    isCut = !isCut;
    world.scheduler.after(periodMs, null, turn);
  };
  world.scheduler.after(periodMs, null, turn);
  return () => {
    hasEnded = true;
    heal();
  };
}
