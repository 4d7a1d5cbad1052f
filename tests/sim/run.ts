/**
 * One run: a seed's simulation runs with its faults, is healed, and must then settle without a violation.
 */
import { connectOn } from "../../lib/testing.ts";
import { check, CHECK_LIMITS, type Operation, type Verdict } from "../../lib/lincheck/mod.ts";
import type { Coverage } from "./coverage.ts";
import { orderProblems } from "./invariants/order_check.ts";
import { type Fault, faultText, type Plan, readsPastInTransactions } from "./plan.ts";
import { fencingProblems } from "./invariants/fenced_writes.ts";
import { LOOK_MS } from "./invariants/lease_times.ts";
import { observe } from "./invariants/probes.ts";
import { watchRejections } from "./environment/rejections.ts";
import { breakForGood, type EndOfFault, strike } from "./strike.ts";
import { type SimClientPlatform, Simulation, type Trace } from "./simulation.ts";

/** Time limit of an election and a first write after the faults, in election timeouts. */
const RECOVERY_TIMEOUTS = 12;
/** Constant additional time for dials, pings and back-off. */
const RECOVERY_MS = 15_000;
/** The longest call of a client, with the time to notice its end. */
const LAST_CALL_MS = 30_000;
/** Time limit for removed nodes to learn of their removal: they wait between two calls. */
const EXPULSION_MS = 30_000;
/** Time limit for watchers to be sent the newest revision, with that of connections to nodes that do not answer. */
const LEVEL_MS = 60_000;
/** Time limit for the ends of the longest lease, and of the last key that expires. */
const END_MS = 40_000;
/** Most configurations that the linearizability checker may remember: few histories need as many. */
const MAX_CONFIGURATIONS = 200_000;

/** The results of a run. */
export interface RunReport {
  readonly plan: Plan;
  /** The violations, the first first; empty for a good run. */
  readonly violations: readonly string[];
  readonly virtualMs: number;
  readonly steps: number;
  readonly operations: number;
  readonly answered: number;
  readonly faults: number;
  /** The verdict of lib/lincheck on the clients' history; null when the run failed before its end. */
  readonly verdict: Verdict["kind"] | null;
  /** Equal for equal runs. */
  readonly hash: string;
  readonly coverage: Coverage;
}

/** Runs a plan. `trace` gets a line for everything that happens. */
export async function run(plan: Plan, trace: Trace | null = null): Promise<RunReport> {
  const simulation = new Simulation(plan, trace);
  if (plan.firstTerm > 0) {
    await Promise.all(simulation.machines.map((machine) => machine.prepare(plan.firstTerm)));
  }
  let verdict: RunReport["verdict"] = null;
  const stopObserving = observe(simulation.invariants);
  using _ = watchRejections(simulation);
  try {
    const endFaults = await live(simulation);
    if (simulation.violations.length === 0) await settle(simulation, endFaults);
    if (simulation.violations.length === 0) verdict = verdictOn(simulation);
  } finally {
    stopObserving();
  }
  const operations = historyOf(simulation);
  return {
    plan,
    violations: simulation.violations,
    virtualMs: simulation.scheduler.nowMs,
    steps: simulation.scheduler.steps,
    operations: operations.length,
    answered: operations.filter(({ outcome }) => outcome.kind === "answered").length,
    faults: plan.faults.length,
    verdict,
    hash: simulation.scheduler.hash,
    coverage: simulation.coverage,
  };
}

/** Runs faults and clients; returns the end of faults that last longer than their time. */
async function live(simulation: Simulation): Promise<EndOfFault> {
  const { scheduler, plan } = simulation;
  for (const machine of simulation.machines) {
    scheduler.after(simulation.random.next() * 500, null, () => machine.start());
  }
  const { administrator, clients, watchers, holders, restricted } = simulation;
  const begin = (): void => {
    for (const client of [...clients, ...watchers, ...holders, ...restricted]) {
      scheduler.after(simulation.random.next() * 500, null, () => client.start());
    }
  };
  // Clients that sign in need users first.
  if (administrator === null) begin();
  else {
    administrator.whenSetUp(begin);
    administrator.start();
  }
  if (simulation.holders.length > 0) lookAtLeases(simulation);
  const lasting = new Map<Fault, EndOfFault>();
  const beginFault = (fault: Fault): void => {
    simulation.trace(() => faultText(fault));
    lasting.set(fault, strike(simulation, fault));
    scheduler.after(fault.durationMs, null, () => {
      const end = lasting.get(fault);
      if (end === undefined) return;
      lasting.delete(fault);
      simulation.trace(() => `end of fault ${fault.id}`);
      end();
    });
  };
  for (const fault of plan.faults) scheduler.after(fault.atMs, null, () => beginFault(fault));
  for (const breakage of plan.breakages) {
    if (breakage.kind === "damaged") {
      scheduler.after(breakage.atMs, null, () => breakForGood(simulation, breakage));
    }
  }
  await scheduler.run(plan.chaosMs, () => simulation.violations.length > 0);
  const ends = [...lasting.values()];
  lasting.clear();
  return () => ends.forEach((end) => end());
}

/** Measures the time without a leader, and checks the ends of leases, until the run ends. */
function lookAtLeases(simulation: Simulation): void {
  const { scheduler, leaseTimes } = simulation;
  leaseTimes.look(simulation.workingLeader);
  scheduler.after(LOOK_MS, null, () => lookAtLeases(simulation));
}

/**
 * Ends the faults, except for a minority that stays broken, and checks that within bounds a leader is elected, a new write
 * succeeds, every call ends, and the other replicas are equal.
 */
async function settle(simulation: Simulation, endFaults: EndOfFault): Promise<void> {
  const { scheduler, fabric, machines, plan } = simulation;
  const isBroken = (): boolean => simulation.violations.length > 0;
  simulation.trace(() => "all faults end");
  fabric.heal();
  for (const machine of machines) machine.healAll();
  // A repeated fault (a flapping link) ends only by its own end. Otherwise it would delay all votes and deliver them in
  // one instant, again and again: every election of two nodes could be split.
  endFaults();
  for (const breakage of plan.breakages) {
    if (breakage.kind !== "damaged") breakForGood(simulation, breakage);
  }
  simulation.isOver = true;
  const recoveredBy = scheduler.nowMs + RECOVERY_TIMEOUTS * plan.electionTimeoutMs + RECOVERY_MS;
  const state: { written: boolean; hashes: readonly string[] } = { written: false, hashes: [] };
  const { process, platform } = simulation.clientProcess("operator", "10.0.2.1");
  process.wake(() => void writeLast(simulation, platform).then(() => state.written = true));
  if (!await scheduler.run(recoveredBy, () => state.written || isBroken())) {
    return simulation.violated(
      `no write succeeded within ${RECOVERY_TIMEOUTS} election timeouts of the last fault`,
    );
  }
  const endedBy = scheduler.nowMs + LAST_CALL_MS;
  if (!await scheduler.run(endedBy, () => isBroken() || simulation.clients.every(({ isIdle }) => isIdle))) {
    const open = simulation.clients.flatMap(({ openCalls }, position) =>
      openCalls > 0 ? [`c${position + 1}`] : []
    );
    return simulation.violated(`calls of ${open.join(", ")} never ended`);
  }
  await endLeases(simulation);
  process.wake(() => void hashAll(simulation, platform).then((hashes) => state.hashes = hashes));
  if (!await scheduler.run(scheduler.nowMs + RECOVERY_MS, () => state.hashes.length > 0 || isBroken())) {
    simulation.violated(`the replicas did not become equal: ${
      machines.map(({ id }) => {
        const status = simulation.invariants.statusOf(id);
        return `n${id} ${status?.role} commit ${status?.commitIndex} applied ${status?.appliedIndex}`;
      }).join("; ")
    }`);
  }
  await levelWatchers(simulation);
  await expel(simulation);
}

/** Checks that all leases end, which are no longer kept alive, and that keys expire. No lease may be late meanwhile. */
async function endLeases(simulation: Simulation): Promise<void> {
  const { scheduler, leaseTimes, invariants, violations, holders } = simulation;
  if (holders.length === 0) return;
  // The clock of the leader may be late.
  const areOver = (): boolean => leaseTimes.areAllOver && invariants.nextExpiresAtMs === Infinity;
  if (await scheduler.run(scheduler.nowMs + END_MS, () => violations.length > 0 || areOver())) return;
  simulation.violated(`leases that are not renewed, or keys that expire, did not end within ${END_MS} ms`);
}

/** Checks that every watcher is sent everything up to the newest revision, and ends them. */
async function levelWatchers(simulation: Simulation): Promise<void> {
  const { scheduler, watchers, violations } = simulation;
  const isOver = (): boolean => violations.length > 0 || watchers.every(({ isLevel }) => isLevel);
  if (!await scheduler.run(scheduler.nowMs + LEVEL_MS, isOver)) {
    const behind = watchers.flatMap(({ isLevel, name }) => isLevel ? [] : [name]);
    simulation.violated(`${behind.join(", ")} are not sent the newest revision`);
  }
  for (const watcher of watchers) watcher.stop();
}

/**
 * Checks that every removed node that can reach the members has learned of its removal and has ended. A node that was
 * added and removed before it received the members, or that was suspended until all members that it knew were replaced,
 * has no address to dial: it waits, wins no election, and does no harm.
 */
async function expel(simulation: Simulation): Promise<void> {
  const { scheduler, machines, invariants, broken } = simulation;
  const hasEnded = (): boolean => {
    const { removedIds } = invariants.committedConfiguration;
    return machines.every(({ id, isRetired, isWiped }) =>
      isRetired || broken.has(id) || invariants.knowsNoMember(id) || !(isWiped || removedIds.includes(id))
    );
  };
  const isBroken = (): boolean => simulation.violations.length > 0;
  if (await scheduler.run(scheduler.nowMs + EXPULSION_MS, () => hasEnded() || isBroken())) return;
  const { removedIds } = invariants.committedConfiguration;
  const left = machines.filter(({ id, isRetired, isWiped }) =>
    !isRetired && !invariants.knowsNoMember(id) && (isWiped || removedIds.includes(id))
  );
  simulation.violated(
    `${left.map(({ id }) => `n${id}`)} did not learn that the cluster refuses it`,
  );
}

/** Writes through a new client. */
async function writeLast(simulation: Simulation, platform: SimClientPlatform): Promise<void> {
  while (true) {
    try {
      await using client = await connectOn(platform, {
        cluster: simulation.cluster,
        timeoutMs: 5_000,
        ...simulation.credentials,
      });
      await client.put("last", "word", { timeoutMs: 10_000 });
      return;
    } catch {
      // The deadline of the run ends this loop.
      await new Promise<void>((resolve) => void platform.clock.after(100, resolve));
    }
  }
}

/** Resolves to the hashes of all nodes that must catch up, once they are equal at one applied index. */
async function hashAll(simulation: Simulation, platform: SimClientPlatform): Promise<readonly string[]> {
  while (true) {
    try {
      await using client = await connectOn(platform, {
        cluster: simulation.cluster,
        timeoutMs: 5_000,
        ...simulation.credentials,
      });
      const hashes = await Promise.all(
        simulation.following.map((address) => client.cluster.stateHash(address)),
      );
      const [first] = hashes;
      if (first !== undefined && hashes.every(({ appliedIndex }) => appliedIndex === first.appliedIndex)) {
        if (hashes.some(({ hash }) => hash !== first.hash)) {
          simulation.violated("replicas differ at one applied index");
        }
        return hashes.map(({ hash }) => hash);
      }
    } catch {
      // As above.
    }
    await new Promise<void>((resolve) => void platform.clock.after(200, resolve));
  }
}

function historyOf(simulation: Simulation): readonly Operation[] {
  return simulation.clients.flatMap(({ history }) => history);
}

/**
 * Checks that the answers to clients agree with the applied entries, and that their history is linearizable for a checker
 * that sees only the answers, unless its transactions use revisions in ways that this checker does not know.
 */
function verdictOn(simulation: Simulation): Verdict["kind"] {
  const history = historyOf(simulation);
  for (const problem of orderProblems(history, simulation.invariants.history)) simulation.violated(problem);
  for (const problem of fencingProblems(simulation.invariants.history)) simulation.violated(problem);
  if (readsPastInTransactions(simulation.plan)) return "linearizable";
  // No clock, so that the verdict does not depend on the load of the machine.
  const verdict = check(history, { ...CHECK_LIMITS, configurations: MAX_CONFIGURATIONS, now: () => 0 });
  if (verdict.kind === "violation") {
    simulation.violated(
      `the history is not linearizable in ${verdict.keys}: ${JSON.stringify(verdict.cause)}`,
    );
  }
  return verdict.kind;
}
