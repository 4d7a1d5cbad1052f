/**
 * All sessions: admits each write once, and forgets sessions in a way that every node repeats exactly.
 *
 * Three things make it forget: log time (a session idle for `ttlMs`), number (`maxSessions`; the least recently active
 * go first), and the size of what is remembered (`maxAnswersBytes`; the sessions with the largest answers go first, so
 * that a session within its share, `maxAnswersBytes / maxSessions`, is never forgotten for what others remember).
 * Forgetting loses the proof of what was applied, so the table keeps `forgottenIndex`, the newest index at which a forgotten session was opened.
 * A stamp's `openedAt` is older than the entry that opens its session, hence every stamp of a forgotten session is
 * below `forgottenIndex`: an unknown session with `openedAt` at or above it was never here, and may be opened.
 */
import type { RefusalReason, RegisterSession, SessionStamp } from "./command.ts";
import { MAX_ELAPSED_MS, MAX_LOG_TIME_MS } from "./command.ts";
import { assert, assertNever } from "../platform/assert.ts";
import { RecencyOrder } from "./recency.ts";
import type { AnswerRecord, HeaderRecord, SessionRecord, TransactionResult } from "./record.ts";
import { Session, type SessionOrigin, stampProblem } from "./session.ts";
import { newTree, type Tree } from "./tree.ts";

/** When sessions are forgotten. Every node must use the same numbers, or replicas part. */
export interface SessionLimits {
  /** Log time after which an idle session is forgotten, in milliseconds. */
  readonly ttlMs: number;
  /** Sessions known at a time. */
  readonly maxSessions: number;
  /** What the remembered answers of all sessions may count for together. */
  readonly maxAnswersBytes: number;
}

/** The limits of every cluster; only tests use others. */
export const SESSION_LIMITS: SessionLimits = {
  ttlMs: 3_600_000,
  maxSessions: 10_000,
  maxAnswersBytes: 67_108_864,
};

/** What is to be done with a session's write. */
export type Admission =
  /** It is new: execute it, then {@link SessionTable.remember} the answer in its session. */
  | { readonly kind: "execute"; readonly session: Session }
  /** It was executed before, and gave this. */
  | { readonly kind: "answered"; readonly answer: TransactionResult }
  /** It must not be executed. */
  | { readonly kind: "refused"; readonly reason: RefusalReason };

/**
 * The sessions of a state machine.
 *
 * Invariants: between two commands, size ≤ maxSessions and the answers count for at most maxAnswersBytes;
 * logTimeMs and forgottenIndex never fall; the order of recency is the order of `lastActiveIndex`, in which no two
 * sessions are equal, since an entry names one session at most.
 *
 * Views are copy-on-write: taking one begins a new generation, and a session of an older generation is copied before
 * it is changed.
 */
export class SessionTable {
  readonly #limits: SessionLimits;
  readonly #sessions: Tree<number, Session> = newTree();
  readonly #recency = new RecencyOrder();
  #generation = 0;
  #answersBytes = 0;
  #logTimeMs = 0;
  #forgottenIndex = 0;

  /** A table without sessions. */
  constructor(limits: SessionLimits) {
    assert(limits.maxSessions >= 1, "the session that is being used has a place");
    this.#limits = limits;
  }

  /** Number of sessions. */
  get size(): number {
    return this.#sessions.size;
  }

  /** Sum of all time that the log says has passed. */
  get logTimeMs(): number {
    return this.#logTimeMs;
  }

  /** The newest index at which a session that is forgotten now was opened; 0 before the first. */
  get forgottenIndex(): number {
    return this.#forgottenIndex;
  }

  /** Whether the write with this stamp has taken effect, and its answer is remembered. Changes nothing. */
  isAnswered({ sessionId, openedAt, sequence }: SessionStamp): boolean {
    const session = this.#sessions.get(sessionId);
    return session !== undefined && session.origin.openedAt === openedAt &&
      session.answerTo(sequence) !== null;
  }

  /** Decides about the write that the entry at `index` stamps so. Opens the session when it is new. */
  admit(stamp: SessionStamp, index: number): Admission {
    if (stampProblem(stamp) !== null) return { kind: "refused", reason: "invalidCommand" };
    const session = this.#enter(stamp, index);
    if (session === null) return { kind: "refused", reason: "sessionExpired" };
    this.#answersBytes -= session.answersBytes;
    session.acknowledge(stamp.acknowledgedBelow);
    this.#answersBytes += session.answersBytes;
    if (stamp.sequence < session.acknowledgedBelow) return { kind: "refused", reason: "answerForgotten" };
    const answer = session.answerTo(stamp.sequence);
    return answer === null ? { kind: "execute", session } : { kind: "answered", answer };
  }

  /** Keeps the answer to a write that was admitted for execution, into this session, by the same entry. */
  remember(session: Session, sequence: number, answer: TransactionResult): void {
    assert(
      session.generation === this.#generation,
      "a session stays from the admission of a write to its answer",
    );
    this.#answersBytes -= session.answersBytes;
    session.remember(sequence, answer);
    this.#answersBytes += session.answersBytes;
    this.#forgetOverflow();
  }

  /** Opens a session, or keeps it from expiring; gives the reason when that can't be. */
  register(command: RegisterSession, index: number): RefusalReason | null {
    const { sessionId, openedAt } = command;
    if (stampProblem({ sessionId, openedAt, sequence: 1, acknowledgedBelow: 1 }) !== null) {
      return "invalidCommand";
    }
    return this.#enter(command, index) === null ? "sessionExpired" : null;
  }

  /** Lets time pass and forgets who was idle too long; gives their number, or null for a time that can't be. */
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

  /** All sessions as they stand now, by id; later commands don't show in it. O(1). */
  view(): Iterable<Session> {
    this.#generation++;
    const sessions = this.#sessions.clone();
    return { [Symbol.iterator]: () => sessions.values() };
  }

  /** Brings a table back from the records of one, into this one, which is empty. */
  restore(records: readonly (HeaderRecord | SessionRecord | AnswerRecord)[]): void {
    assert(this.size === 0, "records are restored into an empty table");
    for (const record of records) this.#restoreRecord(record);
    const byActivity = this.#sessions.valuesArray().sort((a, b) => a.lastActiveIndex - b.lastActiveIndex);
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

  /** The session that the entry at `index` names, as its last active; null when it may have been forgotten. */
  #enter(claim: { readonly sessionId: number; readonly openedAt: number }, index: number): Session | null {
    const { sessionId, openedAt } = claim;
    const known = this.#sessions.get(sessionId);
    // Another openedAt under a known id is another client's session that happens to have the same number.
    if (known !== undefined && known.origin.openedAt !== openedAt) return null;
    // No node was at this index when it was handed out (before this cluster was rebuilt or rolled back, perhaps), and
    // a session so opened would not lie below the forgottenIndex that it leaves.
    if (known === undefined && (openedAt < this.#forgottenIndex || openedAt >= index)) return null;
    const session = known === undefined
      ? this.#open({ sessionId, openedAt, openedIndex: index })
      : this.#changeable(known);
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

  /** The session as an object that no view has. */
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
      assert(oldest !== null, "a table without sessions is within its limits");
      this.#forget(oldest);
    }
    while (this.#answersBytes > maxAnswersBytes) {
      const largest = this.#largest();
      assert(
        largest !== null && largest.answersBytes * maxSessions > maxAnswersBytes,
        "one of the sessions is above its share when all together are above their limit",
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
   * The session that remembers the most; of equals the one with the smallest id, on every node alike. O(sessions), and
   * seldom: what it frees is more than a share, so it takes many writes to fill that again.
   */
  #largest(): Session | null {
    let largest: Session | null = null;
    for (const session of this.#sessions.values()) {
      if (largest === null || session.answersBytes > largest.answersBytes) largest = session;
    }
    return largest;
  }

  #oldest(): Session | null {
    const sessionId = this.#recency.oldest;
    return sessionId === null ? null : this.#sessions.get(sessionId) ?? null;
  }
}
