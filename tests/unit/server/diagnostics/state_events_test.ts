/** Changes of a node's state: each is logged once, and with what an operator needs to know. */
import { assertEquals } from "@std/assert";
import { StateEvents } from "../../../../lib/server/diagnostics/state_events.ts";
import { LeadershipWatch } from "../../../../lib/server/leadership.ts";
import { foundingConfiguration } from "../../../../lib/server/membership/members.ts";
import type { WindowFigures } from "../../../../lib/server/metrics/latency_window.ts";
import type { RecentLatency } from "../../../../lib/server/metrics/metrics.ts";
import type { Configuration } from "../../../../lib/raft/mod.ts";
import { RecordingLogger } from "../../../support/fakes/recording_logger.ts";

const NONE: WindowFigures = { p50: null, p99: null, max: null };
const UNKNOWN: number | null = null;
const FOUNDERS = foundingConfiguration([1, 2, 3].map((id) => ({ id, address: `n${id}:7001` })));

/** A node whose state a test sets. */
class Bench {
  readonly logger = new RecordingLogger();
  readonly node = {
    configuration: FOUNDERS,
    appliedIndex: 10,
    isAuthEnabled: false,
    stateBytes: 90,
    isNearlyFull: false,
    syncMicros: 0,
    loopMicros: 0,
  };
  readonly events: StateEvents;
  #endPeriod = (): void => {};

  constructor({ recoveredIndex = 0 }: { readonly recoveredIndex?: number } = {}) {
    const { node } = this;
    this.events = new StateEvents({
      logger: this.logger,
      recoveredIndex,
      live: { quotaBytes: 100 },
      diskSpace: node,
      metrics: {
        onPeriod: (listener) => void (this.#endPeriod = listener),
        latency: (): RecentLatency => ({
          write: NONE,
          get: NONE,
          sync: { ...NONE, p99: node.syncMicros },
          loop: { ...NONE, p99: node.loopMicros },
        }),
      },
      replica: {
        get appliedIndex() {
          return node.appliedIndex;
        },
        get applied() {
          return { index: node.appliedIndex, term: 1, configuration: node.configuration };
        },
        get stateMachine() {
          return { auth: { enabled: node.isAuthEnabled }, stateBytes: node.stateBytes };
        },
      },
    });
  }

  /** Ends so many periods; returns the events since the last call. */
  periods(count = 1): readonly unknown[] {
    for (let at = 0; at < count; at++) this.#endPeriod();
    return this.taken();
  }

  /** Applies a configuration; returns the events that it causes. */
  apply(configuration: Configuration): readonly unknown[] {
    this.node.configuration = configuration;
    this.events.settled();
    this.events.settled();
    return this.taken();
  }

  taken(): readonly unknown[] {
    return this.logger.lines.splice(0).map(({ fields }) => fields);
  }
}

function withRoles(voters: readonly number[], learners: readonly number[] = []): Configuration {
  const configuration = foundingConfiguration(
    [...voters, ...learners].map((id) => ({ id, address: `n${id}:7001` })),
  );
  return {
    ...configuration,
    confState: { voters: [...voters], learners: [...learners], votersOutgoing: [] },
  };
}

Deno.test("StateEvents: members that are added, promoted, demoted, moved and removed are named once", () => {
  const bench = new Bench();
  assertEquals(bench.apply(withRoles([1, 2, 3], [4])), [
    { event: "memberAdded", node: 4, address: "n4:7001", role: "learner" },
  ]);
  assertEquals(bench.apply(withRoles([1, 2, 3, 4])), [{ event: "memberPromoted", node: 4 }]);
  assertEquals(bench.apply(withRoles([1, 2, 4], [3])), [{ event: "memberDemoted", node: 3 }]);
  const { members, ...others } = withRoles([1, 2, 4], [3]);
  const moved = members.map((member) => member.id === 2 ? { ...member, address: "m:1" } : member);
  assertEquals(bench.apply({ ...others, members: moved }), [
    { event: "memberMoved", node: 2, address: "m:1", before: "n2:7001" },
  ]);
  assertEquals(bench.apply({ ...withRoles([1, 2, 4]), members: moved.filter(({ id }) => id !== 3) }), [
    { event: "memberRemoved", node: 3, address: "n3:7001" },
  ]);
});

Deno.test("StateEvents: the entries of an earlier start, and the first members that a node learns of, are no news", () => {
  const restarted = new Bench({ recoveredIndex: 10 });
  restarted.node.isAuthEnabled = true;
  assertEquals(restarted.apply(withRoles([1, 2, 3, 4])), []);
  restarted.node.appliedIndex = 11;
  assertEquals(restarted.apply(withRoles([1, 2, 3])), [{
    event: "memberRemoved",
    node: 4,
    address: "n4:7001",
  }]);
  const joining = new Bench();
  joining.apply(withRoles([]));
  assertEquals(joining.apply(FOUNDERS), []);
});

Deno.test("StateEvents: authentication that is enabled and disabled is logged", () => {
  const bench = new Bench();
  bench.node.isAuthEnabled = true;
  assertEquals(bench.apply(FOUNDERS), [{ event: "authEnabled" }]);
  bench.node.isAuthEnabled = false;
  assertEquals(bench.apply(FOUNDERS), [{ event: "authDisabled" }]);
});

Deno.test("StateEvents: a quota is left once the smallest refused write would fit", () => {
  const bench = new Bench();
  bench.events.quotaExceeded(30);
  bench.events.quotaExceeded(20);
  assertEquals(bench.taken(), [{ event: "quotaReached", bytes: 90, quotaBytes: 100, refusedBytes: 30 }]);
  bench.node.stateBytes = 81;
  assertEquals(bench.periods(), []);
  bench.node.stateBytes = 80;
  assertEquals(bench.periods(2), [{ event: "quotaLeft", bytes: 80, quotaBytes: 100 }]);
});

Deno.test("StateEvents: a disk that is nearly full, and has space again", () => {
  const bench = new Bench();
  bench.node.isNearlyFull = true;
  assertEquals(bench.periods(2), [{ event: "diskNearlyFull" }]);
  bench.node.isNearlyFull = false;
  assertEquals(bench.periods(2), [{ event: "diskHasSpace" }]);
});

Deno.test("StateEvents: a node is slow after three slow periods, and no longer after a calm minute", () => {
  const bench = new Bench();
  bench.node.syncMicros = 100_000;
  assertEquals(bench.periods(2), []);
  bench.node.syncMicros = 99_000;
  assertEquals(bench.periods(1), []);
  bench.node.loopMicros = 250_000;
  assertEquals(bench.periods(4), [{ event: "nodeSlow", syncP99Ms: 99, loopDelayP99Ms: 250 }]);
  bench.node.loopMicros = 1_000;
  assertEquals(bench.periods(11), []);
  assertEquals(bench.periods(2), [{ event: "nodeNotSlow", syncP99Ms: 99, loopDelayP99Ms: 1 }]);
});

Deno.test("LeadershipWatch: a leader that steps down says why, also if it learns of the next one at once", () => {
  const logger = new RecordingLogger();
  const raft = { leader: UNKNOWN, term: 1, status: () => ({ id: 1 }) };
  const watch = new LeadershipWatch(raft, logger);
  const at = (leader: number | null, term: number): readonly unknown[] => {
    Object.assign(raft, { leader, term });
    watch.check();
    return logger.lines.splice(0).map(({ fields: { event, reason = "" } }) => `${event} ${reason}`.trim());
  };
  assertEquals(at(1, 1), ["becameLeader"]);
  assertEquals(at(null, 1), ["steppedDown no majority of the voters answered for an election timeout"]);
  assertEquals(at(1, 2), ["becameLeader"]);
  assertEquals(at(3, 3), [
    "steppedDown a newer term has begun: another node was elected, or asks for votes",
    "leaderKnown",
  ]);
  assertEquals(at(null, 4), ["leaderLost"]);
});
