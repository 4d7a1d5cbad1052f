/**
 * Looks up the addresses of hosts, a few at a time. A lookup holds a thread of the few on which the runtime also waits
 * for the disk, for as long as a name server does not answer, and nothing ends it earlier. Unbounded, names that others
 * give, or a name server that is down, would keep this node's log from being synced.
 */

/**
 * Names that are looked up at a time: those that had no address yet, and those that had one. Further ones wait. The
 * runtime has 32 threads for these and for the disk.
 */
export const MAX_NEW_LOOKUPS = 4;
export const MAX_KNOWN_LOOKUPS = 12;
/** Names that are remembered for having had an address; one more, and that asked for least lately is forgotten. */
export const MAX_KNOWN_NAMES = 64;

/** A name, and those who want to know its addresses. */
interface Lookup {
  callers: number;
  readonly result: PromiseWithResolvers<readonly string[]>;
}

/** The lookups of a process. */
export class NameLookups {
  readonly #lookUp: (name: string) => Promise<readonly string[]>;
  /** By name, as the two below; oldest first. */
  readonly #waiting = new Map<string, Lookup>();
  readonly #underWay = new Map<string, Lookup>();
  /** Names that had addresses, the one that was asked for last behind the others. */
  readonly #known = new Set<string>();
  #newUnderWay = 0;

  /** `lookUp` gives all addresses of a name, or rejects. */
  constructor(lookUp: (name: string) => Promise<readonly string[]>) {
    this.#lookUp = lookUp;
  }

  /** The addresses of a name. Rejects with what the lookup says, or with the signal's reason. */
  async resolve(name: string, signal: AbortSignal): Promise<readonly string[]> {
    signal.throwIfAborted();
    const lookup = this.#underWay.get(name) ?? this.#waiting.get(name) ?? this.#enqueue(name);
    const aborted = Promise.withResolvers<never>();
    const abort = (): void => aborted.reject(signal.reason);
    signal.addEventListener("abort", abort);
    lookup.callers += 1;
    try {
      this.#beginAll();
      return await Promise.race([lookup.result.promise, aborted.promise]);
    } finally {
      signal.removeEventListener("abort", abort);
      lookup.callers -= 1;
      if (lookup.callers === 0 && this.#waiting.get(name) === lookup) this.#waiting.delete(name);
    }
  }

  #enqueue(name: string): Lookup {
    const lookup = { callers: 0, result: Promise.withResolvers<readonly string[]>() };
    lookup.result.promise.catch(() => {}); // Those who asked may be gone by then.
    this.#waiting.set(name, lookup);
    return lookup;
  }

  #beginAll(): void {
    for (const [name, lookup] of this.#waiting) {
      const isKnown = this.#known.has(name);
      const knownUnderWay = this.#underWay.size - this.#newUnderWay;
      if (isKnown ? knownUnderWay >= MAX_KNOWN_LOOKUPS : this.#newUnderWay >= MAX_NEW_LOOKUPS) continue;
      this.#waiting.delete(name);
      void this.#begin(name, { lookup, isKnown }); // never rejects
    }
  }

  async #begin(name: string, { lookup, isKnown }: { lookup: Lookup; isKnown: boolean }): Promise<void> {
    this.#underWay.set(name, lookup);
    if (!isKnown) this.#newUnderWay += 1;
    try {
      const addresses = await this.#lookUp(name);
      this.#remember(name);
      lookup.result.resolve(addresses);
    } catch (error) {
      lookup.result.reject(error);
    }
    this.#underWay.delete(name);
    if (!isKnown) this.#newUnderWay -= 1;
    this.#beginAll();
  }

  #remember(name: string): void {
    this.#known.delete(name);
    this.#known.add(name);
    for (const oldest of this.#known) {
      if (this.#known.size <= MAX_KNOWN_NAMES) break;
      this.#known.delete(oldest);
    }
  }
}
