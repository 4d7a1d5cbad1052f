/** The keys of etcd that a mirror does not have at the moment, each with the reason. */
import { Tally } from "../formats/tally.ts";
import { fit, wordAsTyped } from "../text.ts";

/** Keys that are known by name; further ones are counted only. */
export const MAX_KEYS = 65_536;
/** Remarks on single keys of one mirror. */
const MAX_REMARKS = 20;
/** A longer name of a key is cut in a remark. */
const MAX_NAME_COLUMNS = 60;

/** The reason of a key. */
interface LeftOut {
  /** Follows "12 keys", as in `of leases`. */
  readonly reason: string;
  /** Whether kvraft cannot hold the key, in contrast to a key that is left out on purpose. */
  readonly isLost: boolean;
}

/** The keys. */
export class LeftOutKeys {
  readonly #note: (remark: string) => void;
  readonly #keys = new Map<string, LeftOut>();
  /** Keys above the limit, each time that one is left out, and whether kvraft cannot hold one of them. */
  #further = 0;
  #hasLostFurther = false;
  #remarks = 0;

  constructor(note: (remark: string) => void) {
    this.#note = note;
  }

  /** Whether kvraft cannot hold some of the keys. */
  get hasLost(): boolean {
    return this.#hasLostFurther || this.#keys.values().some(({ isLost }) => isLost);
  }

  /** Adds a key. A remark names one that kvraft cannot hold. */
  add(key: Uint8Array, reason: LeftOut): void {
    const id = key.toBase64();
    const isNew = !this.#keys.has(id);
    if (isNew && reason.isLost && this.#remarks < MAX_REMARKS) {
      this.#remarks += 1;
      const rest = this.#remarks === MAX_REMARKS ? "; further keys are counted only" : "";
      this.#note(
        `left out the key ${fit(wordAsTyped(key), MAX_NAME_COLUMNS)}, one of those ${reason.reason}${rest}`,
      );
    }
    if (!isNew || this.#keys.size < MAX_KEYS) {
      this.#keys.set(id, reason);
      return;
    }
    this.#further += 1;
    this.#hasLostFurther ||= reason.isLost;
  }

  remove(key: Uint8Array): void {
    if (this.#keys.size > 0) this.#keys.delete(key.toBase64());
  }

  /** Forgets all keys: a copy finds them again. */
  clear(): void {
    this.#keys.clear();
    this.#further = 0;
    this.#hasLostFurther = false;
  }

  /** Returns the keys by their reasons. */
  tally(): Tally {
    const tally = new Tally();
    for (const [id, { reason }] of this.#keys) tally.add(reason, Uint8Array.fromBase64(id));
    // A key counts each time that it is left out, so a loop over them would take longer the longer a mirror runs.
    tally.addUnnamed("that are not named", this.#further);
    return tally;
  }
}
