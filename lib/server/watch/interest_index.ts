/** Finds the interests that a key matters to. */
import { equals } from "@std/bytes";
import { compareKeys, type KeySet } from "../../kv/mod.ts";
import { type Filter, Interest } from "./watch.ts";

/** The interests of a node. */
export class InterestIndex {
  readonly #interests = new Set<Interest>();

  /** Returns the interest in these keys with this filter; adds it if there is none. */
  share(keys: KeySet, filter: Filter): Interest {
    for (const interest of this.#interests) {
      if (isSameFilter(interest.filter, filter) && isSameKeys(interest.keys, keys)) return interest;
    }
    const interest = new Interest(keys, filter);
    this.#interests.add(interest);
    return interest;
  }

  /** Removes an interest without watches. */
  remove(interest: Interest): void {
    this.#interests.delete(interest);
  }

  /** Adds the interests that contain `key` to `found`. */
  find(key: Uint8Array, found: Interest[]): void {
    for (const interest of this.#interests) if (contains(interest.keys, key)) found.push(interest);
  }
}

/** Whether a key is one of these keys. */
export function contains(keys: KeySet, key: Uint8Array): boolean {
  if (keys.kind === "key") return equals(keys.key, key);
  const { start, end } = keys;
  return compareKeys(start, key) <= 0 && (end === null || compareKeys(key, end) < 0);
}

function isSameFilter(one: Filter, other: Filter): boolean {
  return one.puts === other.puts && one.deletes === other.deletes && one.previous === other.previous;
}

function isSameKeys(one: KeySet, other: KeySet): boolean {
  if (one.kind === "key") return other.kind === "key" && equals(one.key, other.key);
  if (other.kind === "key" || !equals(one.start, other.start)) return false;
  return one.end === null || other.end === null ? one.end === other.end : equals(one.end, other.end);
}
