/**
 * Checks of users and rights: which commands the log's entries may execute, the users of every node after every change, and
 * (asked by the clients of the simulation) whether a right was there in any state from which an answer can be.
 */
import type { ChangeAuth, Command, CommandResult, PlainCommand, StateMachine } from "../../../lib/kv/mod.ts";
import type { Coverage } from "../coverage.ts";
import type { Process } from "../environment/process.ts";
import { isOfClient, isOfNode, type LeaseFactsOf, needsOf } from "./command_needs.ts";
import {
  changed,
  hasUsableRoot,
  isRoot,
  mayDo,
  mayWrite,
  type Need,
  NO_USERS,
  textOfFacts,
  textOfView,
  type UserFacts,
  userOf,
  userOfSecret,
} from "./user_model.ts";

/** States, by the indexes of the last entries that they contain. */
export interface StateSpan {
  readonly first: number;
  readonly last: number;
}

/** Requests from this number on have numbers that no two connections share. */
export const FIRST_KNOWN_REQUEST = 2 ** 41;

/** Dependencies of the checks. */
export interface AppliedUsersOptions {
  readonly coverage: Coverage;
  readonly check: (holds: boolean, message: string) => void;
  /** Returns the process whose code runs. */
  readonly current: () => Process | null;
}

/** The states from an index on, until the next change. */
interface Period {
  readonly from: number;
  readonly facts: UserFacts;
}

type Denial = "unauthenticated" | "permissionDenied";

/** The users of one log. */
export class AppliedUsers {
  readonly #options: AppliedUsersOptions;
  readonly #periods: Period[] = [{ from: 0, facts: NO_USERS }];
  /** The users and roles as texts, by revision. */
  readonly #texts = new Map<number, string>([[0, textOfFacts(NO_USERS)]]);
  /** The revisions that changes with a session have made, by session and sequence. */
  readonly #made = new Map<string, number>();
  /** The last entry that each process has applied. */
  readonly #appliedBy = new WeakMap<Process, number>();
  /** The states from which requests were answered, by the requests' numbers. */
  readonly #repliedFrom = new Map<number, number>();
  /** The times of the replies to requests, by the requests' numbers. */
  readonly #repliedAt = new Map<number, number>();
  /** The times at which entries were first applied. */
  readonly #appliedAt = new Map<number, number>();
  #lastIndex = 0;

  constructor(options: AppliedUsersOptions) {
    this.#options = options;
  }

  /** The users and roles after the last entry. */
  get facts(): UserFacts {
    return this.#periods.at(-1)?.facts ?? NO_USERS;
  }

  /** Index of the last entry that some node has applied. */
  get lastIndex(): number {
    return this.#lastIndex;
  }

  /** Returns the index of the last entry that a process has applied; 0 before its first one. */
  appliedBy(process: Process | null): number {
    return process === null ? 0 : this.#appliedBy.get(process) ?? 0;
  }

  /** Notes that a node sends a reply, from the state that it has now. */
  replied(requestId: number): void {
    if (requestId < FIRST_KNOWN_REQUEST) return;
    const process = this.#options.current();
    const index = this.appliedBy(process);
    if (index > 0) this.#repliedFrom.set(requestId, index);
    if (process !== null) this.#repliedAt.set(requestId, process.scheduler.nowMs);
  }

  /** Returns when a node has replied to a request; null where it is not known. */
  timeOfReply(requestId: number): number | null {
    return this.#repliedAt.get(requestId) ?? null;
  }

  /** Returns when an entry was first applied by a node; null where it is not known. */
  timeOfEntry(index: number): number | null {
    return this.#appliedAt.get(index) ?? null;
  }

  /** Returns the state from which a request was answered; null where it is not known. */
  stateOfReply(requestId: number): StateSpan | null {
    const index = this.#repliedFrom.get(requestId);
    return index === undefined ? null : { first: index, last: index };
  }

  /** Notes that a node has applied an entry, and compares its users. */
  appliedOn(machine: StateMachine, index: number, result: CommandResult | null): void {
    const process = this.#options.current();
    if (process !== null) this.#appliedBy.set(process, index);
    if (result?.kind === "authChanged") this.#compare(machine);
  }

  /** Compares the users of a state that was read from a snapshot. When it comes into use is not known. */
  restored(machine: StateMachine): void {
    const process = this.#options.current();
    if (process !== null) this.#appliedBy.delete(process);
    if (machine.appliedIndex <= this.#lastIndex) this.#compare(machine);
  }

  #compare({ auth, appliedIndex }: StateMachine): void {
    this.#options.check(
      this.#texts.get(auth.revision) === textOfView(auth.view()),
      `after entry ${appliedIndex} a node has other users or roles than the changes make`,
    );
  }

  /** Checks an entry that is applied for the first time: whether it may be executed, and what it changes. */
  apply(
    index: number,
    what: { readonly command: Command | null; readonly result: CommandResult } | null,
    leaseFacts: LeaseFactsOf,
  ): void {
    this.#lastIndex = index;
    const process = this.#options.current();
    if (process !== null) this.#appliedAt.set(index, process.scheduler.nowMs);
    if (what === null || what.command === null) return;
    const { command, result } = what;
    // A command that is above the feature level is not looked into.
    if (result.kind === "refused" && result.reason === "invalidCommand") return;
    const { check, coverage } = this.#options;
    const expected = this.#denialOf(command, leaseFacts);
    const actual = result.kind === "refused" &&
        (result.reason === "unauthenticated" || result.reason === "permissionDenied")
      ? result.reason
      : null;
    check(
      actual === expected,
      `entry ${index}, ${textOfCommand(command)}, is ${actual ?? "executed"} in place of ${
        expected ?? "executed"
      }`,
    );
    if (expected !== null) coverage.count("deniedWhenApplied");
    const plain = command.kind === "authorized" ? command.command : command;
    if (plain.kind === "changeAuth" && actual === null) this.#change(index, plain, result);
  }

  /** Whether the user with a token or password had a right in some of these states. */
  mayIn(secret: string, need: Need, { first, last }: StateSpan): boolean {
    return this.#within(first, last).some((facts) => mayUser(facts, secret, need));
  }

  /** Whether it had the right in all of them. */
  mayInAll(secret: string, need: Need, { first, last }: StateSpan): boolean {
    return this.#within(first, last).every((facts) => mayUser(facts, secret, need));
  }

  /** Whether a token or password was there in all of these states. */
  isSecretIn(secret: string, { first, last }: StateSpan): boolean {
    return this.#within(first, last).every((facts) => userOfSecret(facts, secret) !== null);
  }

  /** Whether authentication was enabled in all of them. */
  isEnabledIn({ first, last }: StateSpan): boolean {
    return this.#within(first, last).every(({ enabled }) => enabled);
  }

  /** Returns the different users and roles of these states. */
  #within(first: number, last: number): readonly UserFacts[] {
    return this.#periods
      .filter(({ from }, position) => from <= last && (this.#periods[position + 1]?.from ?? Infinity) > first)
      .map(({ facts }) => facts);
  }

  /** Returns why a command may not be executed after all entries before it, or null. */
  #denialOf(command: Command, leaseFacts: LeaseFactsOf): Denial | null {
    const { facts } = this;
    if (!facts.enabled) return null;
    if (command.kind !== "authorized") return isOfClient(command) ? "unauthenticated" : null;
    // A node's own: no client has the user 0.
    if (command.identity.userId === 0) return isOfNode(command.command) ? null : "unauthenticated";
    const found = userOf(facts, command.identity);
    if (found === null) return "unauthenticated";
    const [name, user] = found;
    const required = needsOf(command, leaseFacts);
    switch (required.kind) {
      case "rights":
        if (required.needs.length === 0) return mayWrite(facts, user) ? null : "permissionDenied";
        return required.needs.every((need) => mayDo(facts, user, need)) ? null : "permissionDenied";
      case "root": {
        const { credential } = command.identity;
        const isByToken = user.tokens.some((token) => token.credential === credential);
        const isOwn = required.orUser === name && (required.isTokenEnough || !isByToken);
        return isRoot(user) || isOwn ? null : "permissionDenied";
      }
      case "nodesOnly":
        return "permissionDenied";
    }
  }

  #change(index: number, { session, change }: ChangeAuth, result: CommandResult): void {
    const { check, coverage } = this.#options;
    if (result.kind === "authFailed" && result.reason === "lastRoot") coverage.count("lastRootsKept");
    if (result.kind !== "authChanged") return;
    const stamp = session === null ? null : `${session.sessionId}/${session.sequence}`;
    const before = stamp === null ? undefined : this.#made.get(stamp);
    if (before !== undefined) {
      return check(before === result.authRevision, `the change of entry ${index} was made twice`);
    }
    if (stamp !== null) this.#made.set(stamp, result.authRevision);
    const facts = changed(this.facts, change);
    check(
      facts.revision === result.authRevision,
      `entry ${index}, ${change.kind}, leads to auth revision ${result.authRevision} in place of ${facts.revision}`,
    );
    check(
      !facts.enabled || hasUsableRoot(facts),
      `entry ${index}, ${change.kind}, leaves authentication enabled without a usable root`,
    );
    if (facts === this.facts) return;
    coverage.count("usersChanged");
    if (change.kind === "setEnabled" && !change.enabled) coverage.count("authenticationDisabled");
    this.#periods.push({ from: index, facts });
    this.#texts.set(facts.revision, textOfFacts(facts));
  }
}

function mayUser(facts: UserFacts, secret: string, need: Need): boolean {
  if (!facts.enabled) return true;
  const user = userOfSecret(facts, secret);
  return user !== null && mayDo(facts, user, need);
}

function textOfCommand(command: Command): string {
  const plain: PlainCommand = command.kind === "authorized" ? command.command : command;
  const of = command.kind === "authorized" ? ` of user ${command.identity.userId}` : "";
  return `${plain.kind}${of}`;
}
