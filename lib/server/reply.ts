/**
 * The replies to requests. Each request of a client has one {@link Reply}, which is sent, refused or dropped once. A
 * write ends in a {@link WriteAnswer}, whether a client of this node asked for it or a node that forwarded it.
 */
import type { KeyRange } from "../kv/mod.ts";
import type { ClientRequest, ServerMessage } from "../protocol/client_frames.ts";
import type { ErrorCode, Outcome } from "../protocol/messages.ts";
import type { Access } from "./auth/access.ts";
import type { ConnectionIdentity } from "./auth/connection_identity.ts";
import type { LeadershipWatch } from "./leadership.ts";
import type { SlowRequests } from "./diagnostics/slow_requests.ts";
import type { Metrics, RequestOutcome } from "./metrics/metrics.ts";

/** The reason why a request was not carried out, and whether it may have taken effect nevertheless. */
export interface ErrorAnswer {
  readonly kind: "error";
  readonly code: ErrorCode;
  /** A sentence for a person. */
  readonly message: string;
  readonly outcome: Outcome;
  /** With the code "compacted": reads are possible as of this revision and later ones. */
  readonly compactedRevision?: number;
  /** Of a write that was proposed by this node: its index in the log. */
  readonly index?: number;
}

/** The encoded result of a write, valid during the call that passes it. */
export interface ResultAnswer {
  readonly kind: "result";
  readonly result: Uint8Array;
  /** Of a write that was proposed by this node: its index in the log. */
  readonly index?: number;
}

/** The end of a write: its result, or the reason why there is none. */
export type WriteAnswer = ResultAnswer | ErrorAnswer;

/** Returns the refusal of a request that had no effect and will have none. */
export function notApplied(code: ErrorCode, message: string): ErrorAnswer {
  return { kind: "error", code, message, outcome: "not-applied" };
}

/** Returns the refusal of a request that may have taken effect, or may do so later. */
export function unknownOutcome(code: ErrorCode, message: string): ErrorAnswer {
  return { kind: "error", code, message, outcome: "unknown" };
}

/** Returns the refusal of a revision that no write has made yet. */
export function futureRevision(revision: number, present: number): ErrorAnswer {
  return notApplied(
    "futureRevision",
    `Cannot use revision ${revision}: revision ${revision} is above the present one, ${present}.`,
  );
}

/** The connection that a reply goes to. */
export interface ReplyTarget {
  /** The user of the connection. */
  readonly identity: ConnectionIdentity;
  /** Sends one message; drops it when the connection is closed. */
  readonly send: (message: ServerMessage) => void;
  /** Ends the connection because of an unexpected error. */
  readonly fail: (error: unknown) => void;
}

/** The parts of a node that its replies share. */
export interface ReplyOptions {
  /** Names the leader in refusals. */
  readonly leadership: Pick<LeadershipWatch, "current">;
  /** Decides which requests are let through. */
  readonly access: Access;
  /** Counts requests; null counts none. */
  readonly metrics: Metrics | null;
  /** Logs slow requests, if they are counted. Default: none. */
  readonly slow?: SlowRequests;
}

/** Index of a write that this node did not propose. */
const NOT_PROPOSED = 0;

/** The reply to one request. */
export class Reply {
  readonly #request: ClientRequest;
  readonly #target: ReplyTarget;
  readonly #options: ReplyOptions;
  readonly #begin: number;
  /** The auth revision of the state by which the request was let through; below 0 before, and while authentication is off. */
  #decidedAt = -1;
  /** When the state of this node could answer the request, as {@link Metrics.micros}; below 0 before, and without a wait. */
  #readyAt = -1;
  /** How long the request waited for its read index to be applied. */
  #applyMs = 0;

  constructor(request: ClientRequest, target: ReplyTarget, options: ReplyOptions) {
    this.#request = request;
    this.#target = target;
    this.#options = options;
    this.#begin = options.metrics?.requestBegan(request.kind) ?? 0;
  }

  /** Returns why the user of the connection may not make the request, or null. To be called before any work for it. */
  refusal(): ErrorAnswer | null {
    const { access } = this.#options;
    const { auth } = access;
    if (!auth.enabled) return null;
    this.#decidedAt = auth.revision;
    return access.refusalOf(this.#request, this.#target.identity);
  }

  /**
   * Returns why the request may not be answered by the present state, or null: its user was let through by an earlier one
   * and may have lost its right meanwhile.
   */
  lateRefusal(): ErrorAnswer | null {
    const { access } = this.#options;
    const { auth } = access;
    if (!auth.enabled) return null;
    const { identity } = this.#target;
    // The keys of a lease change without a change of users and roles.
    const isDecided = this.#decidedAt === auth.revision && this.#request.kind !== "lease";
    if (isDecided && !identity.isOver()) return null;
    this.#decidedAt = auth.revision;
    return access.refusalNow(this.#request, identity);
  }

  /** The ranges of keys that the user of the connection may read; null if it may read all. */
  get readableRanges(): readonly KeyRange[] | null {
    const { auth } = this.#options.access;
    if (!auth.enabled) return null;
    return this.#target.identity.user(auth)?.rights.readableRanges ?? [];
  }

  /** Notes that the request waits for a leader no more, and how long it waited for its read index to be applied. */
  confirmed(applyMs: number): void {
    const { metrics } = this.#options;
    if (metrics === null) return;
    this.#readyAt = metrics.turnMicros();
    this.#applyMs = applyMs;
  }

  /** Sends the answer; `index` is that of a write that this node proposed. */
  send(message: ServerMessage, index = NOT_PROPOSED): void {
    this.#target.send(message);
    const { metrics, slow } = this.#options;
    if (metrics === null) return;
    const { kind } = this.#request;
    const outcome = message.kind === "error" ? message.code : "ok";
    const elapsed = metrics.requestAnswered(kind, outcome, this.#begin);
    if (slow !== undefined && elapsed >= slow.boundMicros) this.#noteSlow(slow, { outcome, elapsed, index });
  }

  /** Sends a refusal. */
  refuse({ code, message, outcome, compactedRevision, index = NOT_PROPOSED }: ErrorAnswer): void {
    const { requestId } = this.#request;
    const { leader } = this.#options.leadership.current;
    const answer = { kind: "error", requestId, code, message, outcome, leader } as const;
    this.send(compactedRevision === undefined ? answer : { ...answer, compactedRevision }, index);
  }

  /** Counts the request as unanswered: its connection is closed. */
  drop(): void {
    this.#options.metrics?.requestDropped(this.#request.kind);
  }

  /** Ends the connection because of an unexpected error. */
  fail(error: unknown): void {
    this.#target.fail(error);
  }

  #noteSlow(
    slow: SlowRequests,
    { outcome, elapsed, index }: { outcome: RequestOutcome; elapsed: number; index: number },
  ): void {
    const { kind } = this.#request;
    const { identity } = this.#target;
    const { auth } = this.#options.access;
    slow.note({
      kind,
      outcome,
      begin: this.#begin,
      elapsed,
      index: index === NOT_PROPOSED ? null : index,
      readyAt: this.#readyAt < 0 ? null : this.#readyAt,
      applyMs: this.#applyMs,
      bytes: this.#request.kind === "write" ? this.#request.command.length : null,
      from: {
        client: identity.remote,
        user: auth.enabled ? identity.user(auth)?.user.name ?? null : null,
      },
    });
  }
}
