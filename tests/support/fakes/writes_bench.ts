/** The path of a write through a node that leads, without its sockets. */
import { stampOf } from "../server_state.ts";
import { StateMachine } from "../../../lib/kv/mod.ts";
import { decodeResult, encodeCommand } from "../../../lib/protocol/command.ts";
import { DEFAULT_LIMITS, foundingState, Raft } from "../../../lib/raft/mod.ts";
import { CONFIGURATION_CODEC } from "../../../lib/protocol/configuration.ts";
import { FeatureLevels } from "../../../lib/server/membership/feature_levels.ts";
import { foundingConfiguration } from "../../../lib/server/membership/members.ts";
import { Quota } from "../../../lib/server/write_admission.ts";
import type { WriteAnswer } from "../../../lib/server/reply.ts";
import { Driver, type DriverEvents } from "../../../lib/server/driver.ts";
import { Forwarding } from "../../../lib/server/forwarding.ts";
import { Replica } from "../../../lib/server/replica.ts";
import { Writes } from "../../../lib/server/writes.ts";
import { FakeLog } from "./fake_log.ts";
import { ManualClock, settle } from "./manual_clock.ts";
import { accessTo, withoutSignIn } from "./auth.ts";
import { RecordingLogger } from "./recording_logger.ts";

const ELECTION_TICKS = 10;
const TICK_MS = 10;
const START = foundingState(foundingConfiguration([{ id: 1, address: "n1:7001" }]));

/** The writes of the only node of a cluster, which leads. */
export class WritesBench {
  readonly log = new FakeLog();
  /** The snapshot from which a replica begins. */
  readonly start = START.snapshot;
  readonly answers: string[] = [];
  readonly logger = new RecordingLogger();
  readonly replica: Replica;
  readonly driver: Driver;
  readonly writes: Writes;
  readonly levels: FeatureLevels;
  /** Whether the leader can count the log's time. */
  countsTime = true;
  /** The user of the clients of this node. */
  identity = withoutSignIn();
  readonly clock = new ManualClock();
  readonly forwarding = new Forwarding({ clock: this.clock, firstId: 1, timeoutMs: 50, send: () => true });

  private constructor(stateMachine: StateMachine) {
    this.replica = new Replica(stateMachine, START.snapshot);
    const raft = new Raft({
      id: 1,
      configurationCodec: CONFIGURATION_CODEC,
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: 1,
      random: () => 0,
      limits: DEFAULT_LIMITS,
      recovered: START,
    });
    this.driver = new Driver({
      raft,
      log: this.log,
      clock: this.clock,
      logger: new RecordingLogger(),
      tickMs: TICK_MS,
    });
    this.levels = new FeatureLevels({ self: 1, raft, peers: { isConnected: () => true } });
    const { driver, replica, forwarding } = this;
    const quota = new Quota({
      exceeded: () => {},
      live: { quotaBytes: null },
      stateMachine: () => replica.stateMachine,
      isDiskNearlyFull: () => false,
    });
    this.writes = new Writes({
      driver,
      replica,
      forwarding,
      access: accessTo(() => replica.stateMachine),
      maxValueBytes: 100,
      quota,
      clock: this.clock,
      isMember: (node) => node === 2,
      levels: this.levels,
      logger: this.logger,
      countTime: () => this.countsTime,
    });
  }

  #events(): DriverEvents {
    return {
      send: () => {},
      install: () => {},
      restore: () => {},
      sendSnapshot: () => {},
      apply: (entries) => this.replica.apply(entries),
      read: () => {},
      settled: () => {},
      failed: (error) => {
        throw error;
      },
    };
  }

  /** Returns once the node is elected, and has applied nothing to its state. */
  static async elected(stateMachine = new StateMachine()): Promise<WritesBench> {
    const bench = new WritesBench(stateMachine);
    bench.driver.start(bench.#events());
    for (let tick = 0; tick < ELECTION_TICKS; tick++) {
      bench.clock.advance(TICK_MS);
      await settle();
    }
    await bench.log.endSync();
    return bench;
  }

  /** Returns once the node leads, and its first entry is applied. */
  static async leading(): Promise<WritesBench> {
    const bench = await WritesBench.elected();
    await bench.log.endSync();
    return bench;
  }

  /** Ends syncs, and waits for the entries applied in later turns, until no write waits. */
  async drain(): Promise<void> {
    for (let sync = 0; this.replica.waitingWrites > 0 && sync < 100; sync++) {
      await this.log.endSync();
      this.clock.sleep(0);
    }
  }

  /** Takes a write of a client of this node. */
  submit(bytes: Uint8Array, answer: (answer: WriteAnswer) => void): void {
    this.writes.submit(bytes, this.identity, answer);
  }

  /** Takes a write that a node has forwarded: node 2, which is a member, unless another is given. */
  submitForwarded(bytes: Uint8Array, answer: (answer: WriteAnswer) => void, from = 2): void {
    this.writes.submitForwarded(bytes, from, answer);
  }

  /** Raises the feature level to 2. */
  async raiseFeatureLevel(): Promise<void> {
    this.driver.ask((raft) => raft.propose(encodeCommand({ kind: "raiseFeatureLevel", level: 2 })));
    this.submit(put(null), () => {});
    await this.drain();
  }

  /** Adds the answer to a write to `answers`, under a name. */
  answerTo(name: string): (answer: WriteAnswer) => void {
    return (answer) => {
      const { kind } = answer.kind === "result" ? decodeResult(answer.result) : { kind: answer.outcome };
      this.answers.push(`${name}: ${kind}`);
    };
  }

  /** Commands in the log. */
  get commands(): number {
    return this.log.entries.filter(({ kind }) => kind === "command").length;
  }
}

/** A write as a client encodes it; `sequence` null: without a session. */
export function put(sequence: number | null): Uint8Array {
  const value = new TextEncoder().encode("v");
  return encodeCommand({
    kind: "transaction",
    session: sequence === null ? null : stampOf(sequence),
    checks: [],
    mutations: [{ kind: "put", key: value, value }],
  });
}
