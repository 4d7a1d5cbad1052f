/**
 * Carries out changes of membership at the leader: those that a client requests, and those that the leader makes by
 * itself. It promotes a learner that has caught up (thesis §4.2.1), records the data directories of the first members, and
 * raises the feature level once all members know it.
 *
 * The data id of each member is part of the replicated configuration. So a node that returns with its old id and an empty
 * directory, without its vote and the entries that it acknowledged, is distinguished from the original member.
 */
import { errorMessage } from "../../platform/errors.ts";
import { assertNever } from "../../platform/assert.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import type { RequestFrame } from "../../protocol/client_frames.ts";
import type { Member, MembershipChange } from "../../protocol/messages.ts";
import type { Logger } from "../../platform/logger.ts";
import type { Configuration, Entry, NodeId, PeerView, Raft } from "../../raft/mod.ts";
import { type ErrorAnswer, notApplied, unknownOutcome } from "../reply.ts";
import type { Driver } from "../driver.ts";
import { FEATURE_LEVEL } from "../../kv/mod.ts";
import { encodeCommand } from "../../protocol/command.ts";
import type { PeerCaller } from "../../protocol/hello.ts";
import type { FeatureLevels } from "./feature_levels.ts";
import { membersOf } from "./members.ts";
import {
  type JoiningNode,
  type MembershipPlan,
  type MembershipSituation,
  planChange,
  planProblem,
  planPromotion,
  withDataIds,
} from "./membership_change.ts";

/** A learner that lacks at most this many entries may become a voter: they take it less than a second. */
const CLOSE_ENTRIES = 1_000;
/** Intervals for which the leader waits for all first members before it records the data ids of those that have called. */
const PATIENCE_INTERVALS = 50;
/** Maximum number of changes that wait for their end. */
const MAX_WAITING_CHANGES = 64;
/** Maximum number of changes for which other nodes are being asked; one more is refused as busy. */
const MAX_ASKING = 16;
/** Maximum number of callers whose data ids are kept: more than a cluster has members. The oldest is removed. */
const MAX_SEEN = 64;

/** The id in a change that adds the node at an address, however it is numbered. */
export const ANY_NODE = 0;

/** A change that names an address; the node that answers there must be the one that the change names. */
export type AddressedChange = Extract<MembershipChange, { kind: "add" | "replace" | "update" }>;

/** The end of a change of membership. */
export type MembershipAnswer =
  | { readonly kind: "changed"; readonly members: readonly Member[] }
  | ErrorAnswer;

/** The client that requests a change. */
export interface MembershipRequester {
  /** Returns why its user may not request it any more, or null: other nodes are asked first, which takes time. */
  readonly lateRefusal: () => ErrorAnswer | null;
  readonly answer: (answer: MembershipAnswer) => void;
}

/** The parts of a node that changes of membership involve. */
export interface MembershipOptions {
  readonly self: NodeId;
  readonly dataId: number;
  readonly raft: Raft;
  readonly driver: Driver;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Interval between two calls of reconcile. */
  readonly intervalMs: number;
  /** Ticks of the core without a message after which a node counts as unreachable. */
  readonly contactTicks: number;
  /** Voters that do not answer a round of heartbeats within this time count as unreachable. */
  readonly roundTimeoutMs: number;
  /** Time after which a change that is not committed is answered with an unknown outcome. */
  readonly timeoutMs: number;
  /** Whether messages can be sent to a node. A broken connection shows a stopped process sooner than the last contact. */
  readonly isConnected: (node: NodeId) => boolean;
  /** Returns the feature level of the state that this node has applied. */
  readonly featureLevel: () => number;
  /** Notes the levels that the nodes that call know. */
  readonly levels: FeatureLevels;
  /** Resolves to the node at the address of a change; to the reason, without a full stop, if it is not the one that is named. */
  readonly probe: (change: AddressedChange, configuration: Configuration) => Promise<JoiningNode | string>;
}

/** A change that was proposed and is not finished. */
interface WaitingChange {
  /** Index and term of its first entry; the core appends the second by itself. */
  readonly index: number;
  readonly term: number;
  /** Whether its first entry was applied; the entry at its index may be another leader's. */
  isApplied: boolean;
  readonly answer: (answer: MembershipAnswer) => void;
  /** The answer where the outcome stays unknown. */
  readonly unknown: ErrorAnswer;
  readonly timer: Timer;
}

/** The answers of other nodes before a change. */
interface Evidence {
  /** The node at the address of the change; null where none was asked. */
  readonly joiningNode: JoiningNode | null;
  /** The round of heartbeats that reachable voters have answered; null where the last contact decides. */
  readonly round: number | null;
}

const NO_EVIDENCE: Evidence = { joiningNode: null, round: null };

/** A wait for the answers to a round of heartbeats. */
interface WaitingRound {
  readonly round: number;
  /** The voters after the change; a majority of them has to answer. */
  readonly voters: readonly NodeId[];
  readonly end: () => void;
}

/** Carries out changes of membership. */
export class Membership {
  readonly #options: MembershipOptions;
  readonly #waiting = new Set<WaitingChange>();
  readonly #rounds = new Set<WaitingRound>();
  /** Data ids of the nodes that have called, by node. */
  readonly #seenDataIds = new Map<NodeId, number>();
  /** The term in which this node proposed to raise the feature level. */
  #raisedInTerm = 0;
  /** The time at which the members are next reconciled; null while another node leads. */
  #dueMs: number | null = null;
  #impatience = 0;
  /** Number of changes for which other nodes are being asked. */
  #asking = 0;
  #stopped = false;

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#seenDataIds.set(options.self, options.dataId);
  }

  /** Begins to reconcile the members periodically, as the leader, until {@link leadershipLost}. */
  start(): void {
    const { clock, intervalMs } = this.#options;
    if (!this.#stopped) this.#dueMs = clock.now() + intervalMs;
  }

  /** Ends every wait, and refuses requests from now on. */
  stop(): void {
    this.#stopped = true;
    this.leadershipLost();
  }

  /** Notes the data id with which a node has called, and the highest feature level that it knows. */
  seen(node: NodeId, { dataId, featureLevel }: Pick<PeerCaller, "dataId" | "featureLevel">): void {
    if (node === this.#options.self) return;
    this.#seenDataIds.delete(node);
    this.#seenDataIds.set(node, dataId);
    this.#options.levels.seen(node, featureLevel);
    if (this.#seenDataIds.size <= MAX_SEEN) return;
    const oldest = [...this.#seenDataIds.keys()].find((known) => known !== this.#options.self);
    if (oldest !== undefined) this.#seenDataIds.delete(oldest);
  }

  /** Carries out a requested change; `answer` is called once, when it is finished or refused. Never rejects. */
  async change(
    request: RequestFrame<"changeMembership">,
    { lateRefusal, answer }: MembershipRequester,
  ): Promise<void> {
    try {
      const { change } = request;
      const reason = this.#whyNotNow(change);
      if (reason !== null) return answer(reason);
      const plan = this.#plan(request, NO_EVIDENCE);
      if (plan.kind !== "propose") return this.#carryOut(plan, change, answer);
      if (this.#asking >= MAX_ASKING) {
        const message =
          "Cannot change the membership: too many changes wait for other nodes. Try again later.";
        return answer(notApplied("busy", message));
      }
      this.#asking += 1;
      const evidence = await this.#evidenceFor(request, plan).finally(() => this.#asking -= 1);
      if (typeof evidence === "string") return answer(membershipRefused(change, evidence));
      const laterReason = lateRefusal() ?? this.#whyNotNow(change);
      if (laterReason !== null) return answer(laterReason);
      const named = withFoundId(request, evidence.joiningNode);
      this.#carryOut(this.#plan(named, evidence), named.change, answer);
    } catch (error) {
      // The driver has reported the error, and this node stops.
      answer(unknownOutcome("internal", `Cannot change the membership: ${errorMessage(error)}`));
    }
  }

  /**
   * Asks the nodes that the change needs: the node at an address that it names, or a majority of the future voters. Their
   * last contact is not enough: a voter may have stopped since.
   */
  async #evidenceFor(
    request: RequestFrame<"changeMembership">,
    { configuration }: Extract<MembershipPlan, { kind: "propose" }>,
  ): Promise<Evidence | string> {
    const { change, force } = request;
    switch (change.kind) {
      case "add":
      case "replace":
      case "update": {
        if (change.kind === "update" && force) return NO_EVIDENCE;
        const joiningNode = await this.#options.probe(change, this.#options.raft.configuration);
        return typeof joiningNode === "string" ? joiningNode : { ...NO_EVIDENCE, joiningNode };
      }
      case "remove":
      case "promote":
      case "demote":
        if (force) return NO_EVIDENCE;
        return { ...NO_EVIDENCE, round: await this.#heartbeat(configuration.confState.voters) };
      default:
        return assertNever(change);
    }
  }

  /** Resolves to a round of heartbeats once a majority of `voters` has answered it, or after the timeout. */
  #heartbeat(voters: readonly NodeId[]): Promise<number> {
    const { driver, clock, roundTimeoutMs } = this.#options;
    const { promise, resolve } = Promise.withResolvers<number>();
    const round = driver.ask((raft) => raft.beginRound()) ?? 0;
    const end = (): void => {
      timer.cancel();
      this.#rounds.delete(waiting);
      resolve(round);
    };
    const timer = clock.after(roundTimeoutMs, end);
    const waiting: WaitingRound = { round, voters, end };
    this.#rounds.add(waiting);
    return promise;
  }

  /**
   * Follows up a processed batch: ends the waits for rounds that a majority has answered, and reconciles the members if that
   * is due. Every tick is a batch, so there is no timer, which would wake up an idle leader half as often again.
   */
  settled(): void {
    for (const { round, voters, end } of [...this.#rounds]) {
      const answered = this.#answered(round);
      if (voters.filter(answered).length > voters.length / 2) end();
    }
    if (this.#dueMs === null || this.#options.clock.now() < this.#dueMs) return;
    this.start();
    this.#reconcile();
  }

  /** Returns a function that says whether a node has answered a round; the leader has. */
  #answered(round: number): (node: NodeId) => boolean {
    const { raft, self } = this.#options;
    const answered = raft.status().peers.filter(({ confirmedRound }) => confirmedRound >= round);
    const ids = new Set(answered.map(({ id }) => id)).add(self);
    return (node) => ids.has(node);
  }

  /** Returns why no change is possible now, or null. */
  #whyNotNow(change: MembershipChange): ErrorAnswer | null {
    const { raft } = this.#options;
    if (this.#stopped) {
      return notApplied("stopping", "Cannot change the membership: this node is stopping. Ask the leader.");
    }
    if (!raft.isLeader) return notLeader();
    // A change must not be answered as done because of an entry that may still be truncated.
    const isSettled = raft.configuration === raft.committedConfiguration;
    return isSettled ? null : whyNotProposed("changeUnderWay", change);
  }

  #carryOut(
    plan: MembershipPlan,
    change: MembershipChange,
    answer: (answer: MembershipAnswer) => void,
  ): void {
    const { raft } = this.#options;
    switch (plan.kind) {
      case "refused":
        return answer(membershipRefused(change, plan.reason));
      case "done":
        return answer({ kind: "changed", members: membersOf(raft.committedConfiguration) });
      case "propose":
        return this.#propose(plan, change, answer);
    }
  }

  /** Notes applied entries: a change is identified by the index and term of its first entry. */
  entriesApplied(entries: readonly Entry[]): void {
    for (const waiting of [...this.#waiting]) {
      const entry = entries.find(({ index }) => index === waiting.index);
      if (entry?.term === waiting.term) waiting.isApplied = true;
      else if (entry !== undefined) this.#settle(waiting, overwritten());
    }
  }

  /** Ends changes whose final configuration was applied; the entries up to it were {@link entriesApplied}. */
  applied(configuration: Configuration): void {
    if (configuration.confState.votersOutgoing.length > 0) return;
    for (const waiting of [...this.#waiting]) {
      if (waiting.isApplied) this.#settle(waiting, { kind: "changed", members: membersOf(configuration) });
    }
  }

  /** Ends every wait with an unknown outcome: this node no longer leads. */
  leadershipLost(): void {
    this.#dueMs = null;
    for (const { end } of [...this.#rounds]) end();
    for (const waiting of [...this.#waiting]) this.#settle(waiting, waiting.unknown);
  }

  #plan(
    { change, force }: RequestFrame<"changeMembership">,
    { joiningNode, round }: Evidence,
  ): MembershipPlan {
    const situation = this.#situation({ force });
    const isReachable = round === null ? situation.isReachable : this.#answered(round);
    return planChange(change, { ...situation, isReachable }, joiningNode);
  }

  #situation({ force }: { readonly force: boolean }): MembershipSituation {
    const { raft, self } = this.#options;
    const reachable = new Set(
      raft.status().peers.filter((peer) => this.#isInContact(peer)).map(({ id }) => id),
    );
    const isReachable = (node: NodeId): boolean => node === self || reachable.has(node);
    return { configuration: raft.configuration, isReachable, force };
  }

  #propose(
    { configuration, risk }: Extract<MembershipPlan, { kind: "propose" }>,
    change: MembershipChange,
    answer: (answer: MembershipAnswer) => void,
  ): void {
    const { driver, clock, timeoutMs, logger } = this.#options;
    if (this.#waiting.size >= MAX_WAITING_CHANGES) {
      return answer(
        notApplied("busy", "Cannot change the membership: too many changes wait. Try again later."),
      );
    }
    const problem = planProblem(configuration, this.#options.raft.configuration);
    if (problem !== null) return answer(membershipRefused(change, problem));
    const proposed = driver.ask((raft) => raft.proposeConfiguration(configuration));
    if (proposed.kind === "refused") return answer(whyNotProposed(proposed.reason, change));
    logger.info("membership changes", { event: "membershipChanges", change: nameOf(change) });
    if (risk !== null) logger.warn("this change was forced", { change: nameOf(change), risk });
    const waiting: WaitingChange = {
      index: proposed.index,
      term: proposed.term,
      isApplied: false,
      answer,
      unknown: outcomeUnknown(risk),
      timer: clock.after(timeoutMs, () => this.#settle(waiting, waiting.unknown)),
    };
    this.#waiting.add(waiting);
  }

  #settle(waiting: WaitingChange, answer: MembershipAnswer): void {
    if (!this.#waiting.delete(waiting)) return;
    waiting.timer.cancel();
    waiting.answer(answer);
  }

  /** Proposes one change that the leader makes by itself, if one is due. */
  #reconcile(): void {
    const { raft, driver, logger } = this.#options;
    const { configuration } = raft;
    const isSettled = configuration === raft.committedConfiguration &&
      configuration.confState.votersOutgoing.length === 0;
    if (!raft.isLeader || !isSettled) {
      this.#impatience = 0;
      return;
    }
    this.#considerFeatureLevel(configuration);
    const promotion = this.#promotion(configuration);
    const next = promotion?.configuration ?? this.#withSeenDataIds(configuration);
    if (next === null) return;
    const problem = planProblem(next, configuration);
    if (problem !== null) {
      return logger.error("cannot update the members", { reason: problem });
    }
    const proposed = driver.ask((raft) => raft.proposeConfiguration(next));
    if (proposed.kind === "accepted" && promotion !== null) {
      logger.info("a learner has caught up and becomes a voter", { node: promotion.node });
    }
  }

  /** Proposes to raise the feature level once every member is connected and knows a higher one. */
  #considerFeatureLevel(configuration: Configuration): void {
    const { raft, driver, logger, levels, featureLevel } = this.#options;
    if (featureLevel() >= FEATURE_LEVEL || this.#raisedInTerm === raft.term) return;
    if (!levels.isKnownToAll(configuration)) return;
    const command = encodeCommand({ kind: "raiseFeatureLevel", level: FEATURE_LEVEL });
    if (driver.ask((raft) => raft.propose(command)).kind !== "accepted") return;
    this.#raisedInTerm = raft.term;
    const fields = { event: "featureLevelRaised", level: FEATURE_LEVEL };
    logger.info("all nodes know a higher feature level, which the cluster takes", fields);
  }

  /** Returns a learner that has caught up and may become a voter, with the configuration after that; null if none may. */
  #promotion(
    configuration: Configuration,
  ): { readonly node: NodeId; readonly configuration: Configuration } | null {
    const waiting = configuration.members.filter(({ id, autoPromote }) =>
      autoPromote && configuration.confState.learners.includes(id)
    );
    if (waiting.length === 0) return null;
    const { peers, lastIndex } = this.#options.raft.status();
    const isClose = (id: NodeId): boolean =>
      peers.some((peer) =>
        peer.id === id && peer.kind === "replicate" && this.#isInContact(peer) &&
        lastIndex - peer.matchIndex <= CLOSE_ENTRIES
      );
    for (const { id } of waiting) {
      if (!isClose(id)) continue;
      const plan = planPromotion(id, this.#situation({ force: false }));
      if (plan.kind === "propose") return { node: id, configuration: plan.configuration };
    }
    return null;
  }

  #isInContact({ id, ticksSinceContact }: PeerView): boolean {
    const { contactTicks, isConnected } = this.#options;
    return ticksSinceContact !== null && ticksSinceContact <= contactTicks && isConnected(id);
  }

  /** Returns the configuration with the data ids that are known by now; null while there are none to record. */
  #withSeenDataIds(configuration: Configuration): Configuration | null {
    const unknown = configuration.members.filter(({ dataId }) => dataId === null);
    const seen = unknown.filter(({ id }) => this.#seenDataIds.has(id));
    if (seen.length === 0) return null;
    if (seen.length < unknown.length && this.#impatience++ < PATIENCE_INTERVALS) return null;
    this.#impatience = 0;
    return withDataIds(configuration, this.#seenDataIds);
  }
}

/** Returns the request with the id of the node that was found, where it adds the node at an address. */
function withFoundId(
  request: RequestFrame<"changeMembership">,
  found: JoiningNode | null,
): RequestFrame<"changeMembership"> {
  const { change } = request;
  if (change.kind !== "add" || change.id !== ANY_NODE || found === null) return request;
  return { ...request, change: { ...change, id: found.id } };
}

function nameOf(change: MembershipChange): string {
  const { kind, id } = change;
  if (change.kind === "add" && id === ANY_NODE) return `add the node at ${change.address}`;
  return kind === "replace" ? `replace node ${change.dead} by node ${id}` : `${kind} node ${id}`;
}

function membershipRefused(change: MembershipChange, reason: string): ErrorAnswer {
  return notApplied("membershipRefused", `Cannot ${nameOf(change)}: ${reason}.`);
}

function notLeader(): ErrorAnswer {
  return notApplied("notLeader", "Cannot change the membership: this node does not lead. Ask the leader.");
}

/** The refusal of a change whose entry was overwritten by another leader's: it will never be committed. */
function overwritten(): ErrorAnswer {
  return notApplied(
    "leadershipLost",
    "Cannot change the membership: another node took over the leadership before the change was committed. Try again.",
  );
}

function outcomeUnknown(risk: string | null): ErrorAnswer {
  return unknownOutcome(
    "leadershipLost",
    "Cannot tell whether the membership was changed: this node lost the leadership or its majority. See `members`." +
      (risk === null ? "" : ` The change was forced: ${risk}.`),
  );
}

function whyNotProposed(
  reason: "notLeader" | "transferring" | "busy" | "changeUnderWay" | "notReady",
  change: MembershipChange,
): ErrorAnswer {
  switch (reason) {
    case "notLeader":
      return notLeader();
    case "transferring":
      return notApplied(
        "noLeader",
        "Cannot change the membership: leadership is being transferred. Try again.",
      );
    case "busy":
      return notApplied(
        "busy",
        "Cannot change the membership: too many writes are in progress. Try again later.",
      );
    case "notReady":
      return notApplied(
        "noLeader",
        "Cannot change the membership: the leader is new and not settled. Try again.",
      );
    case "changeUnderWay":
      return membershipRefused(change, "another change is in progress; try again when it is finished");
  }
}
