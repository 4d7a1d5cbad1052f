/**
 * A map from whole numbers, for entries that come and go all the time: requests by their ids, writes by their indexes.
 *
 * V8's `Map` and `Set` have a cost there that no microbenchmark of a second shows. When one has seen about as many deletions
 * as it has entries, it moves to a new table, and the old table keeps a reference to the new one for its iterators. A table
 * that has once become old for the collector of young objects is garbage that this collector does not free; it keeps the
 * next table alive, that one the next, and so every entry that the map had at a change of tables, until a collection of the
 * whole heap. That one makes the present table old, and it begins again. `findings/v8_map_keeps_garbage.sh` shows it.
 *
 * Invariants: a free place has the key FREE and no value; a key is found by looking from the place of its hash on up to the
 * first free one; at most half of the places are taken.
 */
import { assert } from "../assert.ts";

/** The key of a free place. */
const FREE = -1;
/** Places of a map with entries; always a power of two. */
const MIN_PLACES = 16;
/** Places that a map keeps when its last entry is removed. */
const RETAINED_PLACES = 1_024;
/** The places of a map without any. Never written to: the first entry makes places. */
const NO_KEYS: number[] = [FREE];
const NO_VALUES: undefined[] = [undefined];
/** 2^32 divided by the golden ratio: consecutive keys come to places that are far from one another (Knuth, 6.4). */
const MULTIPLIER = 0x9e37_79b1;
/** Bits of the product that are left out, because they depend on few bits of the key; 2^20 places use all others. */
const LOW_BITS = 12;

/** A map from integers from 0 to 2^53 − 1 whose removed entries leave nothing behind. */
export class NumberMap<V> {
  #keys = NO_KEYS;
  #values: (V | undefined)[] = NO_VALUES;
  /** One less than the number of places. */
  #mask = 0;
  #size = 0;

  /** Number of entries. */
  get size(): number {
    return this.#size;
  }

  /** Returns the value of a key; undefined for one that is not in the map. */
  get(key: number): V | undefined {
    const place = this.#find(key);
    return this.#keys[place] === key ? this.#values[place] : undefined;
  }

  /** Sets the value of a key. */
  set(key: number, value: V): void {
    assert(Number.isSafeInteger(key) && key >= 0, "the key of a number map is an integer from 0 up");
    let place = this.#find(key);
    if (this.#keys[place] === FREE) {
      if (2 * (this.#size + 1) > this.#keys.length) {
        this.#grow();
        place = this.#find(key);
      }
      this.#keys[place] = key;
      this.#size += 1;
    }
    this.#values[place] = value;
  }

  /** Removes a key; returns whether it was in the map. */
  delete(key: number): boolean {
    const place = this.#find(key);
    if (this.#keys[place] !== key) return false;
    this.#size -= 1;
    if (this.#size === 0 && this.#keys.length > RETAINED_PLACES) this.clear();
    else this.#free(place);
    return true;
  }

  /** Removes all entries. */
  clear(): void {
    this.#keys = NO_KEYS;
    this.#values = NO_VALUES;
    this.#mask = 0;
    this.#size = 0;
  }

  /** Returns the keys in ascending order, as a list that no later change of the map changes. */
  keys(): readonly number[] {
    return this.#keys.filter((key) => key !== FREE).sort((a, b) => a - b);
  }

  /** Returns the place of a key; of one that is not in the map, the free place at which it belongs. */
  #find(key: number): number {
    let place = this.#placeOf(key);
    while (this.#keys[place] !== key && this.#keys[place] !== FREE) place = (place + 1) & this.#mask;
    return place;
  }

  /** Returns the place at which a key belongs if nothing else is there. */
  #placeOf(key: number): number {
    const hash = Math.imul(key, MULTIPLIER);
    return (hash >>> LOW_BITS) & this.#mask;
  }

  /**
   * Frees a place. Entries behind it that could not be at their own place move up: without a mark for removed entries no
   * search becomes longer with time.
   */
  #free(place: number): void {
    let free = place;
    for (let next = (free + 1) & this.#mask;; next = (next + 1) & this.#mask) {
      const key = this.#keys[next] ?? FREE;
      if (key === FREE) break;
      const distance = (next - this.#placeOf(key)) & this.#mask;
      if (distance < ((next - free) & this.#mask)) continue;
      this.#keys[free] = key;
      this.#values[free] = this.#values[next];
      free = next;
    }
    this.#keys[free] = FREE;
    this.#values[free] = undefined;
  }

  #grow(): void {
    const [keys, values] = [this.#keys, this.#values];
    const places = Math.max(MIN_PLACES, 2 * keys.length);
    this.#keys = new Array<number>(places).fill(FREE);
    this.#values = new Array<V | undefined>(places).fill(undefined);
    this.#mask = places - 1;
    for (const [from, key] of keys.entries()) {
      if (key === FREE) continue;
      const place = this.#find(key);
      this.#keys[place] = key;
      this.#values[place] = values[from];
    }
  }
}
