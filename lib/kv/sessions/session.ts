/**
 * A client session: its applied writes and their answers (thesis §6.3).
 */
import { MAX_REMEMBERED_BYTES } from "../branching_command.ts";
import type { SessionStamp } from "../command.ts";
import { MAX_SESSION_WINDOW } from "../command.ts";
import { assert, assertNever } from "../../platform/assert.ts";
import { copyOutcomes, entryBytes } from "../outcomes.ts";
import type { AnswerRecord, SessionRecord, WriteResult } from "../record.ts";
import { RememberedAnswers } from "./remembered_answers.ts";

/** The identity of a session, and the index at which it was opened. */
export interface SessionOrigin {
  /** Chosen by its client. */
  readonly sessionId: number;
  /** `openedAt` of its stamps; below `openedIndex`. */
  readonly openedAt: number;
  /** Index of the entry that opened it. */
  readonly openedIndex: number;
}

/**
 * Returns why a stamp is invalid, or null when it is valid. The store refuses invalid stamps, so these rules never change:
 * applying an old log must give the same state.
 */
export function stampProblem(stamp: SessionStamp): string | null {
  const { sessionId, sequence, acknowledgedBelow, openedAt } = stamp;
  if (!isCount(sessionId)) return "the session's id must be an integer from 1 to 2^53 - 1";
  if (!isCount(sequence)) return "the sequence number must be an integer from 1 up";
  if (!isCount(acknowledgedBelow)) return "acknowledgedBelow must be an integer from 1 up";
  if (!Number.isSafeInteger(openedAt) || openedAt < 0) return "openedAt must be a log index";
  if (acknowledgedBelow > sequence) return "a write cannot acknowledge its own answer";
  if (sequence - acknowledgedBelow >= MAX_SESSION_WINDOW) {
    return `a write may be at most ${MAX_SESSION_WINDOW} numbers ahead of the oldest answer not yet acknowledged`;
  }
  return null;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 1;
}

/**
 * A session of the state machine.
 *
 * Invariants: every remembered sequence is at least `acknowledgedBelow` and less than MAX_SESSION_WINDOW above it (so
 * the number of answers has a bound); `acknowledgedBelow`, `lastActiveIndex` and `lastActiveMs` never fall.
 */
export class Session {
  /** Its identity and the index at which it was opened. */
  readonly origin: SessionOrigin;
  /** Generation of the session table that may change this object; see there. */
  readonly generation: number;
  #answers = new RememberedAnswers();
  #acknowledgedBelow = 1;
  #lastActiveIndex: number;
  #lastActiveMs = 0;
  #userId = 0;

  /** Makes a session without answers. */
  constructor(origin: SessionOrigin, generation: number) {
    assert(
      origin.openedAt < origin.openedIndex,
      "a session is opened after the index in its stamps",
    );
    this.origin = origin;
    this.generation = generation;
    this.#lastActiveIndex = origin.openedIndex;
  }

  /** Returns a copy of another generation. O(answers). */
  copy(generation: number): Session {
    const copy = new Session(this.origin, generation);
    copy.touch(this.#lastActiveIndex, this.#lastActiveMs);
    copy.#acknowledgedBelow = this.#acknowledgedBelow;
    copy.#answers = this.#answers.copy();
    copy.#userId = this.#userId;
    return copy;
  }

  /** All answers below this sequence are forgotten. */
  get acknowledgedBelow(): number {
    return this.#acknowledgedBelow;
  }

  /** The user of the session, whose answers no other user gets; 0 while no command of it had a user. */
  get userId(): number {
    return this.#userId;
  }

  /** Makes the session that of a user, for good. */
  belongTo(userId: number): void {
    assert(this.#userId === 0 || this.#userId === userId, "a session has one user");
    this.#userId = userId;
  }

  /** Log time at the session's last command. */
  get lastActiveMs(): number {
    return this.#lastActiveMs;
  }

  /** Index of the session's last command. */
  get lastActiveIndex(): number {
    return this.#lastActiveIndex;
  }

  /** Bytes that the remembered answers count for. */
  get answersBytes(): number {
    return this.#answers.bytes;
  }

  /** Records activity by the entry at `index`. */
  touch(index: number, logTimeMs: number): void {
    assert(
      index >= this.#lastActiveIndex && logTimeMs >= this.#lastActiveMs,
      "a session's activity never goes back",
    );
    this.#lastActiveIndex = index;
    this.#lastActiveMs = logTimeMs;
  }

  /** Forgets the answers below `below`, which the client has. No effect if it has acknowledged more before. */
  acknowledge(below: number): void {
    const end = Math.min(below, this.#acknowledgedBelow + MAX_SESSION_WINDOW);
    for (let sequence = this.#acknowledgedBelow; sequence < end && this.#answers.size > 0; sequence++) {
      this.#answers.delete(sequence);
    }
    this.#acknowledgedBelow = Math.max(this.#acknowledgedBelow, below);
  }

  /** Returns the answer to the write with this number, or null when it was not applied. */
  answerTo(sequence: number): WriteResult | null {
    return this.#answers.get(sequence);
  }

  /**
   * Remembers the answer to a write that was applied for the first time, without the values that it may include, except
   * few bytes of a branching transaction: the memory of an answer must not depend on the stored values.
   */
  remember(sequence: number, answer: WriteResult): void {
    assert(!this.#answers.has(sequence), "a session's write is applied once");
    assert(
      sequence >= this.#acknowledgedBelow && sequence - this.#acknowledgedBelow < MAX_SESSION_WINDOW,
      "a remembered answer is in the session's window",
    );
    this.#answers.add(sequence, withoutLargeValues(answer));
  }

  /** Returns the records of the session and its answers, in canonical order. */
  *records(): Iterable<SessionRecord | AnswerRecord> {
    const { sessionId, openedAt, openedIndex } = this.origin;
    const record = [
      "session",
      sessionId,
      openedAt,
      openedIndex,
      this.#lastActiveIndex,
      this.#lastActiveMs,
      this.#acknowledgedBelow,
    ] as const;
    yield this.#userId === 0 ? record : [...record, this.#userId];
    for (const sequence of this.#answers.sequences()) {
      const answer = this.answerTo(sequence);
      if (answer !== null) yield ["answer", sessionId, sequence, answer];
    }
  }
}

/** Returns an answer as a session remembers it. */
function withoutLargeValues(answer: WriteResult): WriteResult {
  switch (answer.kind) {
    case "applied":
    case "transactionFailed":
    case "leaseGranted":
    case "leaseRevoked":
    case "leaseFailed":
    case "authChanged":
    case "authFailed":
    case "databaseWritten":
    case "databaseChecksFailed":
    case "databaseWriteFailed":
    case "databasesChanged":
    case "databasesFailed":
      return answer;
    case "checksFailed":
      return { ...answer, current: "omitted" };
    case "executed": {
      const { outcomes } = answer;
      if (outcomes === "omitted") return answer;
      return {
        ...answer,
        outcomes: entryBytes(outcomes) > MAX_REMEMBERED_BYTES ? "omitted" : copyOutcomes(outcomes),
      };
    }
    default:
      return assertNever(answer);
  }
}
