/**
 * The session table: admits each write once, and forgets sessions deterministically, alike on every node.
 *
 * A session is forgotten for one of three reasons: its idle time reaches `ttlMs`; there are more than `maxSessions` (the
 * least recently active go first); the answers exceed `maxAnswersBytes` (the sessions with the largest answers go first, so
 * that a session within its share, `maxAnswersBytes / maxSessions`, is never forgotten because of others).
 *
 * With a session the record of its applied writes is lost, so the table keeps `forgottenIndex`, the newest index at which
 * a forgotten session was opened. A stamp's `openedAt` is below the index of the entry that opens its session, so every
 * stamp of a forgotten session is below `forgottenIndex`: an unknown session with `openedAt` at or above it never existed
 * and may be opened.
 */
import type { RefusalReason, RegisterSession, SessionStamp } from "../command.ts";
import { MAX_ELAPSED_MS, MAX_LOG_TIME_MS } from "../command.ts";
import { assert, assertNever } from "../../platform/assert.ts";
import type { AnswerRecord, HeaderRecord, SessionRecord, WriteResult } from "../record.ts";
import { Session, type SessionOrigin, stampProblem } from "./session.ts";

/** Limits at which sessions are forgotten. All nodes must use the same, or replicas diverge. */
export interface SessionLimits {
  /** Log time after which an idle session is forgotten, in milliseconds. */
  readonly ttlMs: number;
  /** Maximum number of sessions. */
  readonly maxSessions: number;
  /** Bytes that the remembered answers of all sessions may count for. */
  readonly maxAnswersBytes: number;
}

/** The limits of every cluster; only tests use others. */
export const SESSION_LIMITS: SessionLimits = {
  ttlMs: 3_600_000,
  maxSessions: 10_000,
  maxAnswersBytes: 67_108_864,
};

/** Decision about a session's write. */
export type Admission =
  /** It is new: execute it, then {@link SessionTable.remember} its answer. */
  | { readonly kind: "execute"; readonly session: Session }
  /** It was executed before, with this answer. */
  | { readonly kind: "answered"; readonly answer: WriteResult }
  /** It must not be executed. */
  | { readonly kind: "refused"; readonly reason: RefusalReason };

/**
 * The sessions of a state machine.
 *
 * Invariants: between two commands, size ≤ maxSessions and the answers count for at most maxAnswersBytes;
 * logTimeMs and forgottenIndex never fall; the order of recency is the order of `lastActiveIndex`, which no two sessions
 * share, since an entry belongs to one session at most.
 *
 * Views are copy-on-write: taking one begins a new generation, and a session of an older generation is copied before
 * it is changed.
 */
export class SessionTable {
  readonly #limits: SessionLimits;
  readonly #sessions = new Map<number, Session>();
  readonly #recency = new RecencyOrder();
  #generation = 0;
  #answersBytes = 0;
  #logTimeMs = 0;
  #forgottenIndex = 0;

  /** Makes a table without sessions. */
  constructor(limits: SessionLimits) {
    assert(limits.maxSessions >= 1, "the table has space for the session in use");
    this.#limits = limits;
  }

  /** Number of sessions. */
  get size(): number {
    return this.#sessions.size;
  }

  /** The store's clock: the sum of all {@link SessionTable.expire}. */
  get logTimeMs(): number {
    return this.#logTimeMs;
  }

  /** The newest index at which a forgotten session was opened; 0 before the first. */
  get forgottenIndex(): number {
    return this.#forgottenIndex;
  }

  /** Whether the write with this stamp was applied and its answer is remembered. Changes nothing. */
  isAnswered({ sessionId, openedAt, sequence }: SessionStamp): boolean {
    const session = this.#sessions.get(sessionId);
    return session !== undefined && session.origin.openedAt === openedAt &&
      session.answerTo(sequence) !== null;
  }

  /**
   * Decides about the write with this stamp in the entry at `index`, of a user (0: of none). Opens the session when it is
   * new.
   */
  admit(stamp: SessionStamp, index: number, userId: number): Admission {
    if (stampProblem(stamp) !== null) return { kind: "refused", reason: "invalidCommand" };
    const session = this.#enter(stamp, index, userId);
    if (session === null) return { kind: "refused", reason: "sessionExpired" };
    this.#answersBytes -= session.answersBytes;
    session.acknowledge(stamp.acknowledgedBelow);
    this.#answersBytes += session.answersBytes;
    if (stamp.sequence < session.acknowledgedBelow) return { kind: "refused", reason: "answerForgotten" };
    const answer = session.answerTo(stamp.sequence);
    return answer === null ? { kind: "execute", session } : { kind: "answered", answer };
  }

  /** Remembers the answer to a write that the same entry had admitted for execution. */
  remember(session: Session, sequence: number, answer: WriteResult): void {
    assert(
      session.generation === this.#generation,
      "no view is taken between the admission of a write and its answer",
    );
    this.#answersBytes -= session.answersBytes;
    session.remember(sequence, answer);
    this.#answersBytes += session.answersBytes;
    this.#forgetOverflow();
  }

  /** Opens a session, or keeps it from expiring; returns the reason when it is refused. */
  register(command: RegisterSession, index: number, userId: number): RefusalReason | null {
    const { sessionId, openedAt } = command;
    if (stampProblem({ sessionId, openedAt, sequence: 1, acknowledgedBelow: 1 }) !== null) {
      return "invalidCommand";
    }
    return this.#enter(command, index, userId) === null ? "sessionExpired" : null;
  }

  /** Advances the clock and forgets idle sessions; returns their number, or null for an invalid time. */
  expire(elapsedMs: number): number | null {
    if (!Number.isSafeInteger(elapsedMs) || elapsedMs < 0 || elapsedMs > MAX_ELAPSED_MS) return null;
    if (elapsedMs > MAX_LOG_TIME_MS - this.#logTimeMs) return null;
    this.#logTimeMs += elapsedMs;
    const sizeBefore = this.size;
    let oldest = this.#oldest();
    while (oldest !== null && this.#logTimeMs - oldest.lastActiveMs >= this.#limits.ttlMs) {
      this.#forget(oldest);
      oldest = this.#oldest();
    }
    return sizeBefore - this.size;
  }

  /** Returns all sessions as of now, by id; later commands do not change them. O(sessions), of which there are few. */
  view(): readonly Session[] {
    this.#generation++;
    return [...this.#sessions.values()].sort((a, b) => a.origin.sessionId - b.origin.sessionId);
  }

  /** Restores the records of a table into this one, which is empty. */
  restore(records: readonly (HeaderRecord | SessionRecord | AnswerRecord)[]): void {
    assert(this.size === 0, "records are restored into an empty table");
    for (const record of records) this.#restoreRecord(record);
    const byActivity = [...this.#sessions.values()].sort((a, b) => a.lastActiveIndex - b.lastActiveIndex);
    for (const session of byActivity) {
      this.#recency.touch(session.origin.sessionId);
      this.#answersBytes += session.answersBytes;
    }
  }

  #restoreRecord(record: HeaderRecord | SessionRecord | AnswerRecord): void {
    switch (record[0]) {
      case "header":
        [, , , this.#logTimeMs, this.#forgottenIndex] = record;
        break;
      case "session": {
        const [, sessionId, openedAt, openedIndex, lastActiveIndex, lastActiveMs, acknowledgedBelow] = record;
        const session = this.#open({ sessionId, openedAt, openedIndex });
        session.belongTo(record[7] ?? 0);
        session.touch(lastActiveIndex, lastActiveMs);
        session.acknowledge(acknowledgedBelow);
        break;
      }
      case "answer": {
        const [, sessionId, sequence, answer] = record;
        const session = this.#sessions.get(sessionId);
        assert(session !== undefined, "an answer's record follows its session's");
        session.remember(sequence, answer);
        break;
      }
      default:
        assertNever(record);
    }
  }

  /** Returns the session of the entry at `index` and records its activity; null when it may have been forgotten. */
  #enter(
    claim: { readonly sessionId: number; readonly openedAt: number },
    index: number,
    userId: number,
  ): Session | null {
    const { sessionId, openedAt } = claim;
    const known = this.#sessions.get(sessionId);
    // Another openedAt under a known id is another client's session that has the same id by chance.
    if (known !== undefined && known.origin.openedAt !== openedAt) return null;
    // An answer that is remembered for one user is not for another one, who may have guessed the id.
    if (known !== undefined && known.userId !== userId && known.userId !== 0 && userId !== 0) return null;
    // No node of this cluster can have been at this index when the client received it (it may be from before the cluster
    // was restored from a backup), and the session would not be below the forgottenIndex that it leaves.
    if (known === undefined && (openedAt < this.#forgottenIndex || openedAt >= index)) return null;
    const session = known === undefined
      ? this.#open({ sessionId, openedAt, openedIndex: index })
      : this.#changeable(known);
    if (userId !== 0) session.belongTo(userId);
    session.touch(index, this.#logTimeMs);
    this.#recency.touch(sessionId);
    this.#forgetOverflow();
    return session;
  }

  #open(origin: SessionOrigin): Session {
    const session = new Session(origin, this.#generation);
    this.#sessions.set(origin.sessionId, session);
    return session;
  }

  /** Returns the session, or a copy if a view shares it. */
  #changeable(session: Session): Session {
    if (session.generation === this.#generation) return session;
    const copy = session.copy(this.#generation);
    this.#sessions.set(copy.origin.sessionId, copy);
    return copy;
  }

  #forgetOverflow(): void {
    const { maxSessions, maxAnswersBytes } = this.#limits;
    while (this.size > maxSessions) {
      const oldest = this.#oldest();
      assert(oldest !== null, "an empty table is within its limits");
      this.#forget(oldest);
    }
    while (this.#answersBytes > maxAnswersBytes) {
      const largest = this.#largest();
      assert(
        largest !== null && largest.answersBytes * maxSessions > maxAnswersBytes,
        "if the total is above its limit, one session is above its share",
      );
      this.#forget(largest);
    }
  }

  #forget(session: Session): void {
    const { sessionId, openedIndex } = session.origin;
    this.#sessions.delete(sessionId);
    this.#recency.delete(sessionId);
    this.#answersBytes -= session.answersBytes;
    this.#forgottenIndex = Math.max(this.#forgottenIndex, openedIndex);
  }

  /**
   * Returns the session with the largest answers; of equals the one with the smallest id. O(sessions), but rare: forgetting
   * it frees more than a share, which takes many writes to fill again.
   */
  #largest(): Session | null {
    let largest: Session | null = null;
    for (const session of this.#sessions.values()) {
      const order = largest === null ? 1 : session.answersBytes - largest.answersBytes;
      const isFirst = largest === null || session.origin.sessionId < largest.origin.sessionId;
      if (order > 0 || (order === 0 && isFirst)) largest = session;
    }
    return largest;
  }

  #oldest(): Session | null {
    const sessionId = this.#recency.oldest;
    return sessionId === null ? null : this.#sessions.get(sessionId) ?? null;
  }
}

/** A member of the list. */
interface Link {
  readonly member: number;
  older: Link | null;
  newer: Link | null;
}

/**
 * A doubly linked list of distinct members from the least to the most recently used, in which any member is moved to the
 * end or deleted in O(1). In a `Map` finding the first member means skipping all that were deleted before it.
 */
export class RecencyOrder {
  readonly #links = new Map<number, Link>();
  #oldest: Link | null = null;
  #newest: Link | null = null;

  /** The least recently used member, or null when there is none. */
  get oldest(): number | null {
    return this.#oldest?.member ?? null;
  }

  /** Adds `member` at the end, or moves it there. */
  touch(member: number): void {
    if (this.#newest?.member === member) return;
    let link = this.#links.get(member);
    if (link === undefined) {
      link = { member, older: null, newer: null };
      this.#links.set(member, link);
    } else {
      this.#unlink(link);
    }
    link.older = this.#newest;
    if (this.#newest === null) this.#oldest = link;
    else this.#newest.newer = link;
    this.#newest = link;
  }

  /** Deletes `member` if it exists. */
  delete(member: number): void {
    const link = this.#links.get(member);
    if (link === undefined) return;
    this.#unlink(link);
    this.#links.delete(member);
    assert(
      (this.#oldest === null) === (this.#links.size === 0),
      "the list has an end exactly while it has members",
    );
  }

  #unlink(link: Link): void {
    const { older, newer } = link;
    if (older === null) this.#oldest = newer;
    else older.newer = newer;
    if (newer === null) this.#newest = older;
    else newer.older = older;
    link.older = null;
    link.newer = null;
  }
}
