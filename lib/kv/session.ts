/**
 * One client session: which of its writes were applied, and what they were answered (thesis §6.3).
 */
import type { SessionStamp } from "./command.ts";
import { MAX_SESSION_WINDOW } from "./command.ts";
import { assert, assertNever } from "../platform/assert.ts";
import type { AnswerRecord, SessionRecord, TransactionResult } from "./record.ts";

/** What an answer counts for beside the bytes in it, and what each of its outcomes or failed checks counts for. */
const ANSWER_BYTES = 64;
const OUTCOME_BYTES = 32;

/** Where in the log a session was opened. */
export interface SessionOrigin {
  /** Chosen by its client. */
  readonly sessionId: number;
  /** As its stamps say; below `openedIndex`. */
  readonly openedAt: number;
  /** Index of the entry that opened it. */
  readonly openedIndex: number;
}

/**
 * Why no client of ours made this stamp, or null when all is well. The store refuses such a stamp, so these are rules
 * of the log: changing one changes what an old log means.
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
 * Invariants: every remembered sequence is at least `acknowledgedBelow` and less than MAX_SESSION_WINDOW above it (so
 * the number of answers has a bound); `acknowledgedBelow`, `lastActiveIndex` and `lastActiveMs` never fall.
 */
export class Session {
  /** Where it came from. */
  readonly origin: SessionOrigin;
  /** Which copy of the session table may change this object; see there. */
  readonly generation: number;
  /** By sequence. Its order is never used: it would not survive a snapshot. */
  readonly #answers = new Map<number, TransactionResult>();
  #answersBytes = 0;
  #acknowledgedBelow = 1;
  #lastActiveIndex: number;
  #lastActiveMs = 0;

  /** A session that remembers nothing yet. */
  constructor(origin: SessionOrigin, generation: number) {
    assert(
      origin.openedAt < origin.openedIndex,
      "a session is opened behind the index that its client was told",
    );
    this.origin = origin;
    this.generation = generation;
    this.#lastActiveIndex = origin.openedIndex;
  }

  /** The same session as an object of its own. O(answers). */
  copy(generation: number): Session {
    const copy = new Session(this.origin, generation);
    copy.touch(this.#lastActiveIndex, this.#lastActiveMs);
    copy.#acknowledgedBelow = this.#acknowledgedBelow;
    for (const [sequence, answer] of this.#answers) copy.remember(sequence, answer);
    return copy;
  }

  /** All answers below this are forgotten. */
  get acknowledgedBelow(): number {
    return this.#acknowledgedBelow;
  }

  /** Log time at the session's last command. */
  get lastActiveMs(): number {
    return this.#lastActiveMs;
  }

  /** Index of the session's last command. */
  get lastActiveIndex(): number {
    return this.#lastActiveIndex;
  }

  /** What the remembered answers count for. */
  get answersBytes(): number {
    return this.#answersBytes;
  }

  /** The entry at `index` names the session. */
  touch(index: number, logTimeMs: number): void {
    assert(
      index >= this.#lastActiveIndex && logTimeMs >= this.#lastActiveMs,
      "a session's activity goes forward",
    );
    this.#lastActiveIndex = index;
    this.#lastActiveMs = logTimeMs;
  }

  /** The client has its answers below `below`: they are forgotten. Without effect when it said more before. */
  acknowledge(below: number): void {
    const end = Math.min(below, this.#acknowledgedBelow + MAX_SESSION_WINDOW);
    for (let sequence = this.#acknowledgedBelow; sequence < end && this.#answers.size > 0; sequence++) {
      const answer = this.#answers.get(sequence);
      if (answer === undefined) continue;
      this.#answers.delete(sequence);
      this.#answersBytes -= answerBytes(answer);
    }
    this.#acknowledgedBelow = Math.max(this.#acknowledgedBelow, below);
    assert(this.#answersBytes >= 0, "forgotten answers count for what they counted when remembered");
  }

  /** What the write with this number was answered, or null when it was not applied yet. */
  answerTo(sequence: number): TransactionResult | null {
    return this.#answers.get(sequence) ?? null;
  }

  /**
   * Keeps the answer to a write that has just been applied for the first time, without the value that it may include:
   * what one answer takes must not depend on what the store holds.
   */
  remember(sequence: number, answer: TransactionResult): void {
    assert(!this.#answers.has(sequence), "a session's write is applied once");
    assert(
      sequence >= this.#acknowledgedBelow && sequence - this.#acknowledgedBelow < MAX_SESSION_WINDOW,
      "a remembered answer lies in the session's window",
    );
    this.#answers.set(sequence, answer.kind === "applied" ? answer : { ...answer, current: "omitted" });
    this.#answersBytes += answerBytes(answer);
  }

  /** The session and its answers, in canonical order. */
  *records(): Iterable<SessionRecord | AnswerRecord> {
    const { sessionId, openedAt, openedIndex } = this.origin;
    yield [
      "session",
      sessionId,
      openedAt,
      openedIndex,
      this.#lastActiveIndex,
      this.#lastActiveMs,
      this.#acknowledgedBelow,
    ];
    const answers = [...this.#answers].sort(([a], [b]) => a - b);
    for (const [sequence, answer] of answers) yield ["answer", sessionId, sequence, answer];
  }
}

/** What an answer counts for: the same number on every node, not what an engine really spends. */
function answerBytes(answer: TransactionResult): number {
  switch (answer.kind) {
    case "applied":
      return ANSWER_BYTES + answer.outcomes.length * OUTCOME_BYTES;
    case "checksFailed":
      return ANSWER_BYTES + answer.failedChecks.length * OUTCOME_BYTES;
    default:
      return assertNever(answer);
  }
}
