/**
 * One node of the cluster, put together: the core with its driver, the state machine with who waits for it, the way
 * of a write, and what follows from a change of leader. It knows no sockets: frames come and go through server.ts.
 */
import { StateMachine } from "../kv/mod.ts";
import type { NodeStatus } from "../net/client_messages.ts";
import { formatAddress, type NodeAddress } from "../net/address.ts";
import type { Clock, Random } from "../net/clock.ts";
import type { Logger } from "../net/logger.ts";
import type { PeerMessage } from "../net/peer_codec.ts";
import { type NodeId, Raft, type RecoveredState } from "../raft/mod.ts";
import { ClientService } from "./client_service.ts";
import { Driver, type LogStore } from "./driver.ts";
import { Forwarding } from "./forwarding.ts";
import { LeadershipWatch } from "./leadership.ts";
import { Replica } from "./replica.ts";
import type { ServerLimits } from "./server_limits.ts";
import { SessionClock } from "./session_clock.ts";
import { VERSION } from "./version.ts";
import { Writes } from "./writes.ts";

/** Ticks of the core between two heartbeats: fine enough that election timeouts differ between nodes. */
const TICKS_PER_HEARTBEAT = 5;

/** What a node is made from. */
export interface NodeOptions {
  readonly id: NodeId;
  readonly members: readonly NodeAddress[];
  readonly electionTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly maxValueBytes: number;
  readonly limits: ServerLimits;
  readonly log: LogStore;
  readonly recovered: RecoveredState;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Sends to another node; false when nothing left. */
  readonly send: (message: PeerMessage, to: NodeId) => boolean;
  /** The node can't go on. */
  readonly failed: (error: unknown) => void;
}

/** A running node. */
export class Node {
  readonly clients: ClientService;
  readonly leadership: LeadershipWatch;
  readonly #options: NodeOptions;
  readonly #raft: Raft;
  readonly #driver: Driver;
  readonly #replica: Replica;
  readonly #forwarding: Forwarding;
  readonly #writes: Writes;
  readonly #sessionClock: SessionClock;

  constructor(options: NodeOptions) {
    const { clock, random, logger, electionTimeoutMs, maxValueBytes, limits } = options;
    this.#options = options;
    this.#raft = makeRaft(options);
    this.leadership = new LeadershipWatch(this.#raft, logger);
    this.#replica = new Replica(
      new StateMachine({ ...limits.sessions, sessionTtlMs: limits.sessions.ttlMs }),
    );
    this.#driver = new Driver({
      raft: this.#raft,
      log: options.log,
      clock,
      logger,
      tickMs: options.heartbeatMs / TICKS_PER_HEARTBEAT,
      events: {
        send: (message) => options.send(message, message.to),
        apply: (entries) => this.#replica.apply(entries),
        read: (read) => this.#replica.confirmRead(read),
        settled: () => this.leadership.check(),
        failed: options.failed,
      },
    });
    this.#forwarding = new Forwarding({
      clock,
      firstId: Math.floor(random() * 2 ** 48),
      timeoutMs: 2 * electionTimeoutMs,
      send: (to, message) => options.send(message, to),
    });
    this.#writes = new Writes({
      driver: this.#driver,
      replica: this.#replica,
      forwarding: this.#forwarding,
      maxValueBytes,
    });
    this.clients = new ClientService({
      driver: this.#driver,
      replica: this.#replica,
      writes: this.#writes,
      leadership: this.leadership,
      clock,
      transferTimeoutMs: 2 * electionTimeoutMs,
      status: () => this.status(),
    });
    this.#sessionClock = new SessionClock({
      clock,
      isNeeded: () => this.#raft.isLeader && this.#replica.stateMachine.sessionCount > 0,
      propose: (command) => void this.#driver.ask((raft) => raft.propose(command)),
    });
    this.leadership.onChange(({ leader, term }) =>
      this.#replica.abandonWrites(leader === options.id ? term : null)
    );
  }

  /** Begins to take part. */
  start(): void {
    this.#driver.start();
    this.#sessionClock.start();
  }

  /** Hands leadership over if this node has it; resolves when another leads, or after `timeoutMs`. */
  handOver(timeoutMs: number): Promise<void> {
    const successor = this.#driver.ask((raft) => raft.transferLeadership(null));
    if (successor === null) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#options.clock.after(timeoutMs, resolve);
    const unwatch = this.leadership.onChange(({ leader }) => {
      if (leader !== null && leader !== this.#options.id) resolve();
    });
    return promise.finally(() => {
      timer.cancel();
      unwatch();
    });
  }

  /** Stops taking part: answers who waits, and resolves once the write under way is durable. */
  async stop(): Promise<void> {
    this.clients.stop();
    this.#sessionClock.stop();
    this.#forwarding.close();
    this.#replica.close();
    await this.#driver.stop();
  }

  /** A frame came in from another node. */
  receive(from: NodeId, message: PeerMessage): void {
    switch (message.kind) {
      case "forward": {
        const { forwardId } = message;
        return this.#writes.submitForwarded(message.command, (body) => {
          this.#options.send({ kind: "forwardResult", forwardId, body }, from);
        });
      }
      case "forwardResult":
        return this.#forwarding.answered(from, message);
      default:
        this.#driver.step(message);
    }
  }

  /** The lane for entries and writes to `node` came up or went down: what was on its way may be lost. */
  bulkLaneChanged(node: NodeId, connected: boolean): void {
    this.#driver.messagesLost(node);
    if (!connected) this.#forwarding.linkLost(node);
  }

  /** This node's view of itself. */
  status(): NodeStatus {
    const { id, role, term, leader, commitIndex, lastIndex } = this.#raft.status();
    const { appliedIndex, revision, keyCount, sessionCount } = this.#replica.stateMachine;
    const members = this.#options.members.map((member) => ({
      id: member.id,
      address: formatAddress(member.address),
    }));
    return {
      id,
      role,
      term,
      leader,
      commitIndex,
      appliedIndex,
      lastLogIndex: lastIndex,
      revision,
      keys: keyCount,
      sessions: sessionCount,
      version: VERSION,
      members,
    };
  }
}

function makeRaft(options: NodeOptions): Raft {
  const { id, members, electionTimeoutMs, heartbeatMs, limits, random, recovered } = options;
  const tickMs = heartbeatMs / TICKS_PER_HEARTBEAT;
  return new Raft({
    id,
    confState: {
      voters: members.map((member) => member.id).sort((a, b) => a - b),
      learners: [],
      votersOutgoing: [],
    },
    electionTicks: Math.round(electionTimeoutMs / tickMs),
    heartbeatTicks: TICKS_PER_HEARTBEAT,
    random,
    limits: limits.raft,
    recovered,
  });
}
