/**
 * Runs one request until it is answered: chooses the connection, waits, retries, and ends with the call's deadline. It
 * knows nothing of sessions: a retry sends the same request.
 */
import { assertNever } from "../platform/assert.ts";
import type { Random } from "../platform/clock.ts";
import { errorMessage } from "../platform/errors.ts";
import { withResolvers } from "../platform/promise.ts";
import type { ErrorResponse, RequestKind, ResultOf } from "../protocol/client_frames.ts";
import type { Outcome } from "../protocol/messages.ts";
import type { NodeId } from "../raft/types.ts";
import { type AdmissionRequest, CallAdmission, MAX_IN_FLIGHT } from "./admission.ts";
import type { CallContext, StopReason } from "./call_context.ts";
import type { NodeConnection, RequestEnd, RequestOf } from "./connection.ts";
import {
  AbortError,
  AuthenticationError,
  ClosedError,
  ConnectionError,
  type KvraftError,
  TimeoutError,
} from "./errors.ts";
import type { ConnectionPool } from "./pool.ts";
import {
  type AttemptFailure,
  attemptTimeoutMs,
  type CallKind,
  changesSomething,
  decide,
  describeFailure,
  describeOutcome,
  mayHaveApplied,
  needsSignIn,
  pauseAfterMs,
  reasonOf,
  toError,
  type Unreachable,
} from "./retry.ts";

/** One request of a call. */
export interface Call<K extends RequestKind> {
  readonly kind: CallKind;
  /** The action, for messages: "put a key". */
  readonly action: string;
  readonly request: RequestOf<K>;
  readonly context: CallContext;
}

/** An answer, and what its caller needs to interpret it. */
export interface Answered<K extends RequestKind> {
  readonly message: ResultOf<K>;
  /** The outcome of the attempts before the one that was answered. */
  readonly outcome: Outcome;
  /** The connection over which it came. */
  readonly connection: NodeConnection;
}

/** The result of one attempt; "stopped" when the call had to end first. */
type Attempted<K extends RequestKind> =
  | { readonly kind: "answered"; readonly message: ResultOf<K>; readonly connection: NodeConnection }
  | { readonly kind: "stopped"; readonly left: boolean }
  | AttemptFailure;

/** The admission request of a call without keys and values. */
const NO_BYTES = { bytes: 0, take: () => true } as const;

/** The parts of a call that its admission needs. */
export type CallNotes = Pick<Call<RequestKind>, "action" | "context">;

/**
 * Runs the requests of one client.
 *
 * An object that lives until the answer is one of a class, or a copy by spread; no object literal is. V8 counts how many
 * objects of a literal survive a collection of young ones. In the first burst of calls nearly all do, so V8 would allocate
 * the later ones as long-lived, and collect neither them nor what they refer to before a full collection: a fifth of the
 * client's CPU for a get (findings/v8_burst_tenures_literal.sh).
 */
export class CallRunner {
  readonly #pool: ConnectionPool;
  readonly #random: Random;
  readonly #admission = new CallAdmission();
  /** Calls of {@link askAhead} in flight. */
  #ahead = 0;

  /** `random` jitters the pauses. */
  constructor(pool: ConnectionPool, random: Random) {
    this.#pool = pool;
    this.#random = random;
  }

  /** Admits a call at once; null when it must wait: {@link enter} does. */
  tryEnter<T>(request: AdmissionRequest<T>): T | null {
    return this.#admission.tryEnter(request);
  }

  /** Waits until a call is admitted; {@link leave} ends it. Rejects with a {@link KvraftError}. */
  async enter<T>(request: AdmissionRequest<T>, { action, context }: CallNotes): Promise<T> {
    const waiting = this.#admission.wait(request);
    const waited = await context.waitFor(waiting.entered);
    if (waited.kind === "done") return waited.value;
    const late = waiting.cancel();
    if (late !== null) return late;
    throw stopError(waited.reason, { action, context, outcome: "not-applied", failure: null });
  }

  /** Ends a call that was admitted with so many bytes. */
  leave(bytes: number): void {
    this.#admission.leave(bytes);
  }

  /** Admits a call without keys and values, and runs it like {@link run}. */
  ask<K extends RequestKind>(call: Call<K>): Promise<Answered<K>> {
    return this.tryEnter(NO_BYTES) === null ? this.#waitAndAsk(call) : this.run(call, this.#leaveEmpty);
  }

  async #waitAndAsk<K extends RequestKind>(call: Call<K>): Promise<Answered<K>> {
    await this.enter(NO_BYTES, call);
    return await this.run(call, this.#leaveEmpty);
  }

  readonly #leaveEmpty = (): void => this.leave(0);

  /**
   * Runs a call without keys and values ahead of those that wait: it is of no use when it comes late. Beyond
   * MAX_IN_FLIGHT of its kind in flight, it waits like others.
   */
  askAhead<K extends RequestKind>(call: Call<K>): Promise<Answered<K>> {
    if (this.#ahead >= MAX_IN_FLIGHT) return this.ask(call);
    this.#ahead++;
    return this.run(call, () => {
      this.#ahead--;
    });
  }

  /**
   * Resolves to the answer. Rejects with a {@link KvraftError} whose outcome counts every attempt. Calls `onEnd` before.
   *
   * The first attempt is no async function, each of which costs a call a quarter of a microsecond and 500 bytes: nearly
   * every call is answered at its first attempt, over an open connection, and the answer itself resolves its promise.
   */
  run<K extends RequestKind>(call: Call<K>, onEnd: () => void): Promise<Answered<K>> {
    const { kind, request, context } = call;
    const now = context.clock.now();
    const connection = context.stoppedAt(now) === null ? this.#firstRoute(request) : null;
    if (connection === null) return this.#goOn(call, null).finally(onEnd);
    const { signal } = context;
    const timeoutMs = attemptTimeoutMs(0, context.remainingMsAt(now), kind);
    const { promise, resolve } = withResolvers<Answered<K>>();
    connection.send(request, { now, timeoutMs, signal }, (end) => {
      if (end.kind !== "answered") {
        return resolve(this.#goOn(call, this.#attempted(connection, end, timeoutMs)).finally(onEnd));
      }
      onEnd();
      resolve({ message: end.message, outcome: "not-applied", connection });
    });
    return promise;
  }

  /** Returns the connection of the first attempt: to any node in turn for a stale read, else to the leader. */
  #firstRoute(request: RequestOf<RequestKind>): NodeConnection | null {
    const isStale = "consistency" in request && request.consistency === "stale";
    return isStale ? this.#pool.routeToAny() : this.#pool.route(null);
  }

  /** Retries until there is an answer or the call must end. `first`: the result of the first attempt, if there was one. */
  async #goOn<K extends RequestKind>(call: Call<K>, first: Attempted<K> | null): Promise<Answered<K>> {
    const { kind, action, context } = call;
    let outcome: Outcome = "not-applied";
    let failure: AttemptFailure | null = null;
    let avoided: NodeId | null = null;
    let signedInAt: NodeId | null = null;
    let attempted = first;
    for (let attempt = 0;; attempt++) {
      if (attempted === null) {
        throwIfStopped({ action, context, outcome, failure });
        attempted = await this.#attempt(call, attempt, avoided);
      }
      if (attempted.kind === "answered") {
        const { message, connection } = attempted;
        return { message, outcome, connection };
      }
      if (changesSomething(kind) && mayHaveApplied(attempted)) outcome = "unknown";
      if (attempted.kind !== "stopped") {
        failure = attempted;
        attempted = null;
        let except: NodeId | null = null;
        if (needsSignIn(failure) && failure.node !== signedInAt) {
          except = failure.node;
          const unanswered: Unreachable | null = await this.signInAgain(except, { action, context, outcome });
          if (unanswered === null) {
            signedInAt = except;
            continue;
          }
          failure = unanswered;
        } else if (!needsSignIn(failure)) {
          // The node took the sign-in: when this token ends, too, another one is as good as the first.
          signedInAt = null;
        }
        const decision = decide(failure, kind);
        const isOver = outcome === "not-applied" && context.isOutOfPatience;
        if (decision.kind === "giveUp" || isOver) {
          if (failure.kind !== "refused") throwIfStopped({ action, context, outcome, failure });
          throw toError(failure, action, outcome);
        }
        avoided = except ?? decision.except;
        await context.pause(pauseAfterMs(failure, attempt, this.#random));
      }
      attempted = null;
    }
  }

  /**
   * Signs in again at a node that does not accept the connection's user any more. Rejects with an AuthenticationError if
   * that is refused; resolves to another failure, such as that of a node without a leader, after which a later attempt or
   * another node may accept the user.
   */
  async signInAgain(
    node: NodeId,
    { action, context, outcome }: Omit<Ending, "failure">,
  ): Promise<Unreachable | null> {
    try {
      await context.waitFor(this.#pool.signInAgain(node));
      return null;
    } catch (error) {
      if (error instanceof AuthenticationError) throw notSignedIn(error, { action, outcome });
      const message = `Cannot ${action}: ${reasonOf(errorMessage(error))} ${describeOutcome(outcome)}`;
      return { kind: "unreachable", error: new ConnectionError(message, { outcome }), hope: "soon" };
    }
  }

  /**
   * Sends a request to the node at one address, once, with all the time that is left; again if the connection has to be
   * signed in again.
   */
  async runAt<K extends RequestKind>(address: string, call: Call<K>): Promise<Answered<K>> {
    const { action, context } = call;
    const ending = { action, context, outcome: "not-applied", failure: null } as const;
    throwIfStopped(ending);
    const connection = await this.#dialAt(address, ending);
    let attempted = await this.#send(connection, call, context.remainingMs);
    if (attempted.kind === "refused" && needsSignIn(attempted)) {
      const unanswered = await this.signInAgain(connection.node, ending);
      if (unanswered !== null) throw unanswered.error;
      attempted = await this.#send(await this.#dialAt(address, ending), call, context.remainingMs);
    }
    if (attempted.kind === "answered") {
      const { message, connection } = attempted;
      return { message, outcome: "not-applied", connection };
    }
    throwIfStopped(ending);
    throw attempted.kind === "stopped"
      ? stopError("deadline", ending)
      : toError(attempted, action, "not-applied");
  }

  /** Returns the connection to one address, or a new one. Rejects with the error of the call. */
  async #dialAt(address: string, ending: Ending): Promise<NodeConnection> {
    const { action, context } = ending;
    const waited = await context.waitFor(this.#pool.dial(address));
    if (waited.kind === "stopped") throw stopError(waited.reason, ending);
    if (waited.value.kind === "open") return waited.value.connection;
    const { error: cause } = waited.value;
    if (cause instanceof AuthenticationError) throw notSignedIn(cause, ending);
    throw new ConnectionError(`Cannot ${action}: ${reasonOf(cause.message)}`, { cause });
  }

  /** Sends the request over the best open connection, or over a new one. */
  async #attempt<K extends RequestKind>(
    call: Call<K>,
    attempt: number,
    avoided: NodeId | null,
  ): Promise<Attempted<K>> {
    const { kind, context } = call;
    let connection = this.#pool.route(avoided);
    if (connection === null) {
      const waited = await context.waitFor(this.#pool.reach(avoided));
      if (waited.kind === "stopped") return { kind: "stopped", left: false };
      if (waited.value.kind === "unreachable") return waited.value;
      connection = waited.value.connection;
    }
    return await this.#send(connection, call, attemptTimeoutMs(attempt, context.remainingMs, kind));
  }

  async #send<K extends RequestKind>(
    connection: NodeConnection,
    { request, context }: Call<K>,
    timeoutMs: number,
  ): Promise<Attempted<K>> {
    const { signal } = context;
    return this.#attempted(connection, await connection.request(request, { timeoutMs, signal }), timeoutMs);
  }

  #attempted<K extends RequestKind>(
    connection: NodeConnection,
    end: RequestEnd<K>,
    timeoutMs: number,
  ): Attempted<K> {
    const { node } = connection;
    switch (end.kind) {
      case "answered":
        return { kind: "answered", message: end.message, connection };
      case "refused":
        return refusalOf(end.error, node, this.#pool);
      case "lost":
        return { kind: "lost", node, left: end.left, reason: end.reason };
      case "silent":
        return { kind: "silent", node, left: end.left, waitedMs: timeoutMs };
      case "aborted":
        return { kind: "stopped", left: end.left };
      default:
        return assertNever(end);
    }
  }
}

/** Returns the failure of an attempt that a node refused; notes the leader that the node named. */
export function refusalOf(
  { code, message, outcome, leader, compactedRevision }: ErrorResponse,
  node: NodeId,
  pool: ConnectionPool,
): AttemptFailure {
  if (code === "noLeader" || code === "notLeader" || code === "leadershipLost") pool.noteLeader(node, leader);
  const failure = { kind: "refused", node, code, message, outcome } as const;
  return compactedRevision === undefined ? failure : { ...failure, compactedRevision };
}

/** A call that has to end. */
interface Ending {
  readonly action: string;
  readonly context: CallContext;
  readonly outcome: Outcome;
  /** The last failure. */
  readonly failure: AttemptFailure | null;
}

function throwIfStopped(ending: Ending): void {
  const reason = ending.context.stopped;
  if (reason !== null) throw stopError(reason, ending);
}

/** Returns the error of a call whose connection could not be signed in. */
function notSignedIn(
  cause: AuthenticationError,
  { action, outcome }: Pick<Ending, "action" | "outcome">,
): AuthenticationError {
  const { reason, user } = cause;
  const how = user === null ? "by the token" : `as ${user}`;
  const failed = reason === "unauthenticated" ? "" : `signing in ${how} failed: `;
  const message = `Cannot ${action}: ${failed}${reasonOf(cause.message)} ${describeOutcome(outcome)}`;
  return new AuthenticationError(message, { reason, user, outcome, cause });
}

/** Returns the error of a call that its deadline, its caller or the closing of the client ended. */
export function stopError(reason: StopReason, { action, context, outcome, failure }: Ending): KvraftError {
  const fate = describeOutcome(outcome);
  switch (reason) {
    case "deadline": {
      const last = failure === null ? {} : { cause: toError(failure, action, outcome) };
      const why = failure === null ? "." : `: at the last attempt, ${describeFailure(failure)}`;
      return new TimeoutError(`Cannot ${action} within ${context.timeoutMs} ms${why} ${fate}`, {
        outcome,
        ...last,
      });
    }
    case "aborted":
      return new AbortError(`Cannot ${action}: the caller's signal ended the call. ${fate}`, {
        outcome,
        cause: context.signal?.reason,
      });
    case "closed":
      return new ClosedError(`Cannot ${action}: the client was closed. ${fate}`, { outcome });
    default:
      return assertNever(reason);
  }
}
