/**
 * The checks of passwords. Each takes a tenth of a second of one core in a thread of its own, so few run at a time and few
 * wait: a client that tries passwords takes neither the event loop nor all cores. Addresses take turns, and each has few of
 * the places: one that asks for many checks, even of right passwords, does not keep those of others out.
 */
import { timingSafeEqual } from "node:crypto";
import type { PasswordHash } from "../../kv/mod.ts";
import { PASSWORD_HASH_BYTES, publicKeyOf, type ScryptParameters } from "../../platform/secrets.ts";

/** Maximum number of hashes that are computed at a time. */
export const MAX_HASHING = 2;
/** Maximum number of checks that wait, about three seconds of work; one more is refused as busy. */
export const MAX_WAITING_CHECKS = 64;
/** Maximum number of checks of one address that wait. */
export const MAX_WAITING_CHECKS_PER_SOURCE = 8;

/**
 * Stands for the hash of a user that does not exist, or that has no password: a password is compared with it at the same
 * cost, that of the client library.
 */
const NO_PASSWORD: PasswordHash = {
  algorithm: "scrypt",
  cost: 32_768,
  blockSize: 8,
  parallelism: 1,
  salt: new Uint8Array(16),
  hash: new Uint8Array(PASSWORD_HASH_BYTES),
};

/** Whether a password is right; `seed`: scrypt of it, by which tickets are signed. */
export type PasswordFinding =
  | { readonly kind: "right"; readonly seed: Uint8Array }
  | { readonly kind: "wrong" }
  /** Too many checks wait. */
  | { readonly kind: "busy" };

/** Computes scrypt without blocking the event loop. */
export type Scrypt = (password: string, parameters: ScryptParameters) => Promise<Uint8Array>;

/** Checks passwords: addresses in turn, those of one address in the order in which they are asked for. */
export class PasswordChecks {
  readonly #scrypt: Scrypt;
  /** The checks that wait, by address. The address whose turn is next is first. None of the lists is empty. */
  readonly #waiting = new Map<string, (() => void)[]>();
  #waitingInAll = 0;
  #hashing = 0;

  /** Makes the checks of a node. */
  constructor(scrypt: Scrypt) {
    this.#scrypt = scrypt;
  }

  /** Whether another check of any address would be refused. */
  get isFull(): boolean {
    return this.#waitingInAll >= MAX_WAITING_CHECKS;
  }

  /** Number of hashes that are being computed. */
  get hashing(): number {
    return this.#hashing;
  }

  /**
   * Checks whether a password that came from `source` has this hash. A null hash takes the same work, and no password has
   * it.
   */
  async check(password: string, expected: PasswordHash | null, source: string): Promise<PasswordFinding> {
    const waiting = this.#waiting.get(source)?.length ?? 0;
    if (this.isFull || waiting >= MAX_WAITING_CHECKS_PER_SOURCE) return { kind: "busy" };
    await this.#turn(source);
    try {
      const { hash, ...parameters } = expected ?? NO_PASSWORD;
      const seed = await this.#scrypt(password, parameters);
      const isRight = timingSafeEqual(publicKeyOf(seed), hash) && expected !== null;
      return isRight ? { kind: "right", seed } : { kind: "wrong" };
    } finally {
      this.#hashing -= 1;
      this.#next()?.();
    }
  }

  /** Resolves when another hash may be computed, and counts it. */
  async #turn(source: string): Promise<void> {
    if (this.#hashing >= MAX_HASHING) {
      const { promise, resolve } = Promise.withResolvers<void>();
      // Counted before it goes on, so that no check which comes meanwhile takes its place.
      const begin = (): void => {
        this.#hashing += 1;
        resolve();
      };
      const ofSource = this.#waiting.get(source);
      if (ofSource === undefined) this.#waiting.set(source, [begin]);
      else ofSource.push(begin);
      this.#waitingInAll += 1;
      return await promise;
    }
    this.#hashing += 1;
  }

  /** Takes the first check of the address whose turn it is, and puts the address behind the others. */
  #next(): (() => void) | null {
    for (const [source, ofSource] of this.#waiting) {
      const begin = ofSource.shift() ?? null;
      this.#waiting.delete(source);
      if (ofSource.length > 0) this.#waiting.set(source, ofSource);
      this.#waitingInAll -= 1;
      return begin;
    }
    return null;
  }
}
