/**
 * The checks of passwords. Each takes a tenth of a second of one core in a thread of its own, so few run at a time and few
 * wait: a client that tries passwords takes neither the event loop nor all cores.
 */
import { timingSafeEqual } from "node:crypto";
import type { PasswordHash } from "../../kv/mod.ts";
import { PASSWORD_HASH_BYTES, type ScryptParameters } from "../../platform/secrets.ts";

/** Maximum number of hashes that are computed at a time. */
export const MAX_HASHING = 2;
/** Maximum number of checks that wait, about three seconds of work; one more is refused as busy. */
export const MAX_WAITING_CHECKS = 64;

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

/** Computes scrypt without blocking the event loop. */
export type Scrypt = (password: string, parameters: ScryptParameters) => Promise<Uint8Array>;

/** Checks passwords, in the order in which they are asked for. */
export class PasswordChecks {
  readonly #scrypt: Scrypt;
  readonly #waiting: (() => void)[] = [];
  #hashing = 0;

  /** Makes the checks of a node. */
  constructor(scrypt: Scrypt) {
    this.#scrypt = scrypt;
  }

  /** Whether another check would be refused. */
  get isFull(): boolean {
    return this.#waiting.length >= MAX_WAITING_CHECKS;
  }

  /** Number of hashes that are being computed. */
  get hashing(): number {
    return this.#hashing;
  }

  /**
   * Resolves to whether a password has this hash; to null if too many checks wait. A null hash takes the same work and
   * resolves to false.
   */
  async isRight(password: string, expected: PasswordHash | null): Promise<boolean | null> {
    if (this.isFull) return null;
    await this.#turn();
    try {
      const { hash, ...parameters } = expected ?? NO_PASSWORD;
      const actual = await this.#scrypt(password, parameters);
      return timingSafeEqual(actual, hash) && expected !== null;
    } finally {
      this.#hashing -= 1;
      this.#waiting.shift()?.();
    }
  }

  /** Resolves when another hash may be computed, and counts it. */
  async #turn(): Promise<void> {
    if (this.#hashing >= MAX_HASHING) {
      const { promise, resolve } = Promise.withResolvers<void>();
      // Counted before it goes on, so that no check which comes meanwhile takes its place.
      this.#waiting.push(() => {
        this.#hashing += 1;
        resolve();
      });
      return await promise;
    }
    this.#hashing += 1;
  }
}
