/**
 * Answers to writes that could not be delivered. A client sends such a write again, with the same bytes, and gets the answer
 * to the first one: so a `sum` counts once.
 *
 * A write is named by the data token of its client and SHA-256 of its body. Two equal writes of one client that are both in
 * flight are two writes; each that is sent again takes one remembered answer. Only this node remembers it: a write that is
 * sent again to another node is a new one.
 *
 * Answers are remembered for {@link REMEMBERED_MS}, within a second more or less: clients try again before.
 * An equal write that comes later is a new one.
 */
import { createHash } from "node:crypto";
import type { Clock } from "../platform/clock.ts";
import type { WriteAnswer } from "./answers.ts";

/** Time for which an answer is remembered once it is known. */
export const REMEMBERED_MS = 10_000;
/** Remembered answers. One more replaces the oldest. */
export const MAX_REMEMBERED = 10_000;

/** Interval at which answers are looked for that need not be remembered any more. */
const SWEEP_INTERVAL_MS = 1_000;

/** A remembered answer. */
interface Remembered {
  readonly name: string;
  readonly answer: Promise<WriteAnswer>;
  /** Infinity while the answer is not known. */
  forgetAt: number;
}

/** A write, by which it is recognized. */
export interface SentWrite {
  /** The data token of its client. */
  readonly token: string;
  readonly body: Uint8Array;
}

/** The answers of one front end. */
export class UndeliveredAnswers {
  readonly #clock: Pick<Clock, "now">;
  /** The oldest first. */
  readonly #all = new Set<Remembered>();
  readonly #byName = new Map<string, Remembered[]>();
  /** The time before which no answer is to be forgotten, or was looked for. */
  #sweepAt = 0;

  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
  }

  /** Number of answers. */
  get size(): number {
    return this.#all.size;
  }

  /** Remembers an answer, which may not be known yet. */
  remember(write: SentWrite, answer: Promise<WriteAnswer>): void {
    this.#forgetOld();
    const remembered = { name: nameOf(write), answer, forgetAt: Infinity };
    this.#all.add(remembered);
    const others = this.#byName.get(remembered.name);
    if (others === undefined) this.#byName.set(remembered.name, [remembered]);
    else others.push(remembered);
    const [oldest = remembered] = this.#all;
    if (this.#all.size > MAX_REMEMBERED) this.#forget(oldest);
    void answer.then(({ wasApplied }) => {
      remembered.forgetAt = this.#clock.now() + REMEMBERED_MS;
      // A write that changed nothing is made when it is sent again.
      if (!wasApplied) this.#forget(remembered);
    });
  }

  /** Returns the answer to an equal write whose answer was not delivered, once; null if there is none. */
  take(write: SentWrite): Promise<WriteAnswer> | null {
    if (this.#all.size === 0) return null;
    this.#forgetOld();
    const [remembered] = this.#byName.get(nameOf(write)) ?? [];
    if (remembered === undefined) return null;
    this.#forget(remembered);
    return remembered.answer;
  }

  #forgetOld(): void {
    const now = this.#clock.now();
    if (now < this.#sweepAt) return;
    this.#sweepAt = now + SWEEP_INTERVAL_MS;
    for (const remembered of this.#all) if (remembered.forgetAt <= now) this.#forget(remembered);
  }

  #forget(remembered: Remembered): void {
    if (!this.#all.delete(remembered)) return;
    const same = (this.#byName.get(remembered.name) ?? []).filter((one) => one !== remembered);
    if (same.length === 0) this.#byName.delete(remembered.name);
    else this.#byName.set(remembered.name, same);
  }
}

function nameOf({ token, body }: SentWrite): string {
  return `${token} ${createHash("sha256").update(body).digest("base64")}`;
}
