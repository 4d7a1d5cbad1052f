/**
 * Changes of membership as the leader carries them out: those that somebody asks for, and those that it makes by
 * itself, a learner that has caught up becoming a voter (thesis §4.2.1) and the data folders of the first members
 * being written down.
 *
 * Which data folder is whose is part of the replicated configuration: so a node that comes back under its old id with
 * an empty folder, and has forgotten whom it voted for and what it acknowledged, is told from the one that left.
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

/** A learner that lacks no more entries than this is close enough to become a voter: less than a moment's worth. */
const CLOSE_ENTRIES = 1_000;
/** Intervals for which the leader waits to hear from every first member before it writes down whom it has heard. */
const PATIENCE_INTERVALS = 50;
/** Changes that may wait for their end at a time. */
const MAX_WAITING_CHANGES = 64;
/** Changes for which other nodes are asked at a time, each over a connection or a round. One more is refused as busy. */
const MAX_ASKING = 16;
/** Callers whose data folders are remembered: more than a cluster has members. The one that called first is forgotten. */
const MAX_SEEN = 64;

/** A change that names an address: the node that answers there must be the one that is meant. */
export type AddressedChange = Extract<MembershipChange, { kind: "add" | "replace" | "update" }>;

/** How a change of membership ends for whoever asked. */
export type MembershipAnswer =
  | { readonly kind: "changed"; readonly members: readonly Member[] }
  | ErrorAnswer;

/** What carrying out changes takes from its surroundings. */
export interface MembershipOptions {
  readonly self: NodeId;
  readonly dataId: number;
  readonly raft: Raft;
  readonly driver: Driver;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Between two looks at what is to be done. */
  readonly intervalMs: number;
  /** Who was not heard from for so many ticks of the core counts as not reachable. */
  readonly contactTicks: number;
  /** Voters that don't answer a round of heartbeats within this are not counted upon. */
  readonly roundTimeoutMs: number;
  /** A change that is not committed after so long is answered as unknown. */
  readonly timeoutMs: number;
  /**
   * Whether messages can be sent to a node. A connection that broke says that a process is gone long before the age of
   * the last contact does.
   */
  readonly isConnected: (node: NodeId) => boolean;
  /** Asks which node answers at the address of a change; the reason, without a full stop, where it is not that of the change. */
  readonly probe: (change: AddressedChange, configuration: Configuration) => Promise<JoiningNode | string>;
}

/** A change that was proposed and is not done yet. */
interface WaitingChange {
  /** Index and term of its first entry; its second follows by itself. */
  readonly index: number;
  readonly term: number;
  /** Whether its first entry was applied: what stands at its index may be another leader's. */
  isApplied: boolean;
  readonly answer: (answer: MembershipAnswer) => void;
  /** The answer where it can't be told what becomes of it. */
  readonly unknown: ErrorAnswer;
  readonly timer: Timer;
}

/** What asking others for a change came to. */
interface Evidence {
  /** The node that answers at the address of the change; null where nobody was asked. */
  readonly joiningNode: JoiningNode | null;
  /** The round of heartbeats that those who are counted upon have answered; null where the last contact has to do. */
  readonly round: number | null;
}

const NO_EVIDENCE: Evidence = { joiningNode: null, round: null };

/** A round of heartbeats that is waited for. */
interface WaitingRound {
  readonly round: number;
  /** Those that would vote after the change: a majority of them has to answer. */
  readonly voters: readonly NodeId[];
  readonly end: () => void;
}

/** Carries out changes of membership. */
export class Membership {
  readonly #options: MembershipOptions;
  readonly #waiting = new Set<WaitingChange>();
  readonly #rounds = new Set<WaitingRound>();
  /** The data folders that members were seen with, by those who called. */
  readonly #seenDataIds = new Map<NodeId, number>();
  #timer: Timer | null = null;
  #impatience = 0;
  /** Changes for which other nodes are being asked. */
  #asking = 0;
  #stopped = false;

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#seenDataIds.set(options.self, options.dataId);
  }

  /** This node leads: it looks after the members until it {@link leadershipLost}. */
  start(): void {
    const { clock, intervalMs } = this.#options;
    if (this.#stopped) return;
    this.#timer?.cancel();
    this.#timer = clock.after(intervalMs, () => {
      this.start();
      this.#reconcile();
    });
  }

  /** Answers everybody who waits, and ends. Who asks from now on is refused. */
  stop(): void {
    this.#stopped = true;
    this.leadershipLost();
  }

  /** A node has called, with this data folder. */
  seen(node: NodeId, dataId: number): void {
    if (node === this.#options.self) return;
    this.#seenDataIds.delete(node);
    this.#seenDataIds.set(node, dataId);
    if (this.#seenDataIds.size <= MAX_SEEN) return;
    const oldest = [...this.#seenDataIds.keys()].find((known) => known !== this.#options.self);
    if (oldest !== undefined) this.#seenDataIds.delete(oldest);
  }

  /** Somebody asks for a change; `answer` is called once, when it is done or refused. Never rejects. */
  async change(
    request: RequestFrame<"changeMembership">,
    answer: (answer: MembershipAnswer) => void,
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
      const laterReason = this.#whyNotNow(change);
      if (laterReason !== null) return answer(laterReason);
      this.#carryOut(this.#plan(request, evidence), change, answer);
    } catch (error) {
      // The driver has heard of it, and this node ends.
      answer(unknownOutcome("internal", `Cannot change the membership: ${errorMessage(error)}`));
    }
  }

  /**
   * Asks those whom the change needs: the node at an address that it names, and a majority of the voters that there
   * would be. How long ago these were heard from does not tell: one may have died a moment ago.
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

  /** Resolves to a round of heartbeats once a majority of `voters` has answered it, or has not in time. */
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

  /** A batch was processed: nodes may have answered a round. */
  settled(): void {
    for (const { round, voters, end } of [...this.#rounds]) {
      const answered = this.#answered(round);
      if (voters.filter(answered).length > voters.length / 2) end();
    }
  }

  /** Tells of each node whether it has answered a round; the leader has. */
  #answered(round: number): (node: NodeId) => boolean {
    const { raft, self } = this.#options;
    const answered = raft.status().peers.filter(({ confirmedRound }) => confirmedRound >= round);
    const ids = new Set(answered.map(({ id }) => id)).add(self);
    return (node) => ids.has(node);
  }

  /** Why nothing can be changed at the moment, whatever is asked. */
  #whyNotNow(change: MembershipChange): ErrorAnswer | null {
    const { raft } = this.#options;
    if (this.#stopped) {
      return notApplied("stopping", "Cannot change the membership: this node is stopping. Ask the leader.");
    }
    if (!raft.isLeader) return notLeader();
    // "It is so already" must not be said of what may yet be truncated.
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

  /** The state machine has applied these entries: a change is known by the index and the term of its first one. */
  entriesApplied(entries: readonly Entry[]): void {
    for (const waiting of [...this.#waiting]) {
      const entry = entries.find(({ index }) => index === waiting.index);
      if (entry?.term === waiting.term) waiting.isApplied = true;
      else if (entry !== undefined) this.#settle(waiting, overwritten());
    }
  }

  /** The state machine has applied a configuration; the entries up to it were {@link entriesApplied}. */
  applied(configuration: Configuration): void {
    if (configuration.confState.votersOutgoing.length > 0) return;
    for (const waiting of [...this.#waiting]) {
      if (waiting.isApplied) this.#settle(waiting, { kind: "changed", members: membersOf(configuration) });
    }
  }

  /** This node does not lead any more: what becomes of changes under way, it can't tell. */
  leadershipLost(): void {
    this.#timer?.cancel();
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
    { configuration, atStake }: Extract<MembershipPlan, { kind: "propose" }>,
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
    logger.info("membership changes", { change: nameOf(change) });
    if (atStake !== null) logger.warn("this change was forced", { change: nameOf(change), atStake });
    const waiting: WaitingChange = {
      index: proposed.index,
      term: proposed.term,
      isApplied: false,
      answer,
      unknown: outcomeUnknown(atStake),
      timer: clock.after(timeoutMs, () => this.#settle(waiting, waiting.unknown)),
    };
    this.#waiting.add(waiting);
  }

  #settle(waiting: WaitingChange, answer: MembershipAnswer): void {
    if (!this.#waiting.delete(waiting)) return;
    waiting.timer.cancel();
    waiting.answer(answer);
  }

  /** What a leader does by itself. One change at a time: the next look sees to the next. */
  #reconcile(): void {
    const { raft, driver, logger } = this.#options;
    const { configuration } = raft;
    const isSettled = configuration === raft.committedConfiguration &&
      configuration.confState.votersOutgoing.length === 0;
    if (!raft.isLeader || !isSettled) {
      this.#impatience = 0;
      return;
    }
    const promotion = this.#promotion(configuration);
    const next = promotion?.configuration ?? this.#toWriteDown(configuration);
    if (next === null) return;
    const problem = planProblem(next, configuration);
    if (problem !== null) {
      return logger.error("the members can't be brought up to date", { reason: problem });
    }
    const proposed = driver.ask((raft) => raft.proposeConfiguration(next));
    if (proposed.kind === "accepted" && promotion !== null) {
      logger.info("a learner has caught up and becomes a voter", { node: promotion.node });
    }
  }

  /** A learner that is to become a voter, is close, and may become one, with what it leads to; null when there is none. */
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

  /** The configuration with the data folders that are known by now; null while there is nothing to be written down. */
  #toWriteDown(configuration: Configuration): Configuration | null {
    const unknown = configuration.members.filter(({ dataId }) => dataId === null);
    const seen = unknown.filter(({ id }) => this.#seenDataIds.has(id));
    if (seen.length === 0) return null;
    if (seen.length < unknown.length && this.#impatience++ < PATIENCE_INTERVALS) return null;
    this.#impatience = 0;
    return withDataIds(configuration, this.#seenDataIds);
  }
}

function nameOf(change: MembershipChange): string {
  const { kind, id } = change;
  return kind === "replace" ? `replace node ${change.dead} by node ${id}` : `${kind} node ${id}`;
}

function membershipRefused(change: MembershipChange, reason: string): ErrorAnswer {
  return notApplied("membershipRefused", `Cannot ${nameOf(change)}: ${reason}.`);
}

function notLeader(): ErrorAnswer {
  return notApplied("notLeader", "Cannot change the membership: this node does not lead. Ask the leader.");
}

/** Another leader's entry was committed in the place of the change, so it never will be. */
function overwritten(): ErrorAnswer {
  return notApplied(
    "leadershipLost",
    "Cannot change the membership: another node took over the leadership before the change was committed. Try again.",
  );
}

function outcomeUnknown(atStake: string | null): ErrorAnswer {
  return unknownOutcome(
    "leadershipLost",
    "Cannot tell whether the membership was changed: this node lost the leadership or its majority. See `members`." +
      (atStake === null ? "" : ` The change was forced: ${atStake}.`),
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
        "Cannot change the membership: leadership is being handed over. Try again.",
      );
    case "busy":
      return notApplied("busy", "Cannot change the membership: too much is under way. Try again later.");
    case "notReady":
      return notApplied(
        "noLeader",
        "Cannot change the membership: the leader is new and not settled. Try again.",
      );
    case "changeUnderWay":
      return membershipRefused(change, "another change is under way; try again when it is done");
  }
}
