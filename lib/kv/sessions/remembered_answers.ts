/**
 * The answers that a session remembers, by the sequences of their writes.
 *
 * The answer to a single put, by far the most frequent one, is four numbers in a table, and so is that to a database's write. As three objects and an entry of
 * a map it lived just long enough for the garbage collector to copy it twice: that was a quarter of what survived its
 * frequent collections on every node.
 */
import { assert, assertNever } from "../../platform/assert.ts";
import { NumberMap } from "../../platform/memory/number_map.ts";
import { countOutcomes, entryBytes } from "../outcomes.ts";
import type { WriteResult } from "../record.ts";

/** Bytes that an answer counts for, and that each of its outcomes or failed checks counts for. */
const ANSWER_BYTES = 64;
const OUTCOME_BYTES = 32;

/** Numbers of a slot: the sequence (0 when it is free), revision, createRevision and version. */
const SLOT_NUMBERS = 4;
/** The version in the slot of a database's write, which has none: a put's is 1 at least. */
const NO_VERSION = 0;
/** Slots of a table, powers of two. A client may choose its sequences so that they need more: those are in a map. */
const MIN_SLOTS = 4;
const MAX_SLOTS = 128;

/** The answers of one session. */
export class RememberedAnswers {
  /** The answers to single puts; the slot of a sequence is given by its lowest bits. */
  #table = new Float64Array(MIN_SLOTS * SLOT_NUMBERS);
  #inTable = 0;
  /** All other answers. */
  readonly #others = new NumberMap<WriteResult>();
  #bytes = 0;

  /** Number of answers. */
  get size(): number {
    return this.#inTable + this.#others.size;
  }

  /** Bytes that the answers count for: the same number on every node, not their real memory. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the answer to the write with this sequence is remembered. */
  has(sequence: number): boolean {
    return this.#table[this.#slotOf(sequence)] === sequence || this.#others.get(sequence) !== undefined;
  }

  /** Returns the answer to the write with this sequence, or null. */
  get(sequence: number): WriteResult | null {
    const slot = this.#slotOf(sequence);
    if (this.#table[slot] !== sequence) return this.#others.get(sequence) ?? null;
    const [revision = 0, createRevision = 0, version = 0] = this.#table.subarray(slot + 1);
    if (version === NO_VERSION) return { kind: "databaseWritten", revision };
    return { kind: "applied", revision, outcomes: [{ kind: "put", createRevision, version }] };
  }

  /** Adds the answer to a write of which none is remembered. */
  add(sequence: number, answer: WriteResult): void {
    this.#bytes += answerBytes(answer);
    if (!this.#addToTable(sequence, answer)) this.#others.set(sequence, answer);
  }

  /** Forgets the answer to the write with this sequence, if there is one. */
  delete(sequence: number): void {
    const slot = this.#slotOf(sequence);
    if (this.#table[slot] === sequence) {
      this.#table[slot] = 0;
      this.#inTable -= 1;
      this.#bytes -= ANSWER_BYTES + OUTCOME_BYTES;
    } else {
      const answer = this.#others.get(sequence);
      if (answer === undefined) return;
      this.#others.delete(sequence);
      this.#bytes -= answerBytes(answer);
    }
    assert(this.#bytes >= 0, "a forgotten answer counts for as many bytes as when it was remembered");
  }

  /** Returns the sequences of all answers in ascending order. */
  sequences(): readonly number[] {
    const sequences = [...this.#others.keys()];
    for (let slot = 0; slot < this.#table.length; slot += SLOT_NUMBERS) {
      const sequence = this.#table[slot] ?? 0;
      if (sequence !== 0) sequences.push(sequence);
    }
    return sequences.sort((a, b) => a - b);
  }

  /** Returns a copy that changes independently. */
  copy(): RememberedAnswers {
    const copy = new RememberedAnswers();
    copy.#table = this.#table.slice();
    copy.#inTable = this.#inTable;
    for (const sequence of this.#others.keys()) {
      const answer = this.#others.get(sequence);
      if (answer !== undefined) copy.#others.set(sequence, answer);
    }
    copy.#bytes = this.#bytes;
    return copy;
  }

  /** Adds the answer to the table if it is that of a single put or of a database's write, and there is a slot for it. */
  #addToTable(sequence: number, answer: WriteResult): boolean {
    if (answer.kind === "databaseWritten") return this.#addNumbers(sequence, answer.revision, 0, NO_VERSION);
    if (answer.kind !== "applied" || answer.outcomes.length !== 1) return false;
    const [outcome] = answer.outcomes;
    if (outcome === undefined || outcome.kind !== "put") return false;
    return this.#addNumbers(sequence, answer.revision, outcome.createRevision, outcome.version);
  }

  #addNumbers(sequence: number, revision: number, createRevision: number, version: number): boolean {
    while (this.#table[this.#slotOf(sequence)] !== 0) if (!this.#grow()) return false;
    const slot = this.#slotOf(sequence);
    this.#table[slot] = sequence;
    this.#table[slot + 1] = revision;
    this.#table[slot + 2] = createRevision;
    this.#table[slot + 3] = version;
    this.#inTable += 1;
    return true;
  }

  /** Doubles the table. Sequences that had different slots have different ones in the larger table. */
  #grow(): boolean {
    const table = this.#table;
    if (table.length === MAX_SLOTS * SLOT_NUMBERS) return false;
    this.#table = new Float64Array(table.length * 2);
    for (let slot = 0; slot < table.length; slot += SLOT_NUMBERS) {
      const sequence = table[slot] ?? 0;
      if (sequence !== 0) this.#table.set(table.subarray(slot, slot + SLOT_NUMBERS), this.#slotOf(sequence));
    }
    return true;
  }

  /** Returns the position of a sequence's slot in the table. */
  #slotOf(sequence: number): number {
    return (sequence & (this.#table.length / SLOT_NUMBERS - 1)) * SLOT_NUMBERS;
  }
}

/** Returns the bytes that an answer counts for. */
function answerBytes(answer: WriteResult): number {
  switch (answer.kind) {
    case "applied":
      return ANSWER_BYTES + answer.outcomes.length * OUTCOME_BYTES;
    case "checksFailed":
    case "databaseChecksFailed":
      return ANSWER_BYTES + answer.failedChecks.length * OUTCOME_BYTES;
    case "executed": {
      const { outcomes } = answer;
      if (outcomes === "omitted") return ANSWER_BYTES;
      return ANSWER_BYTES + countOutcomes(outcomes) * OUTCOME_BYTES + entryBytes(outcomes);
    }
    case "transactionFailed":
      return ANSWER_BYTES + answer.position.length * OUTCOME_BYTES;
    case "leaseGranted":
    case "leaseRevoked":
    case "leaseFailed":
    case "authChanged":
    case "authFailed":
    case "databaseWriteFailed":
    case "databasesChanged":
    case "databasesFailed":
      return ANSWER_BYTES;
    case "databaseWritten":
      return ANSWER_BYTES + OUTCOME_BYTES;
    default:
      return assertNever(answer);
  }
}
