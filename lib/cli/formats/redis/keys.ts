/** The keys of a Redis data set as items of an import. */
import { type Item, itemOf, limitReason } from "../items.ts";
import type { RdbKey } from "./rdb.ts";

/** How the keys of Redis become those of the store. */
export interface RedisOptions {
  /** The database whose keys are taken; null for the first one, 0. */
  readonly database: number | null;
  /** The wall clock, in milliseconds since 1970. */
  readonly nowMs: number;
}

/** Times of expiry above this (142,000 years) are refused by the store. */
const MAX_EXPIRY_MS = 2 ** 52;

/** Returns the item of a key. Redis and the store delete it at the same time of the wall clock. */
export function itemOfRedisKey(found: RdbKey, number: number, { database, nowMs }: RedisOptions): Item {
  const { key, keyBytes, type, value, expiresAtMs } = found;
  const leftOut = (reason: string, isLost: boolean): Item => ({
    kind: "leftOut",
    key,
    number,
    reason,
    isLost,
  });
  if (found.database !== (database ?? 0)) {
    return leftOut(`in database ${found.database}`, database === null);
  }
  if (expiresAtMs !== null && expiresAtMs <= nowMs) return leftOut("that had expired", false);
  if (type !== "string") return leftOut(`of type ${type}`, true);
  const reason = limitReason(keyBytes, value === null ? Infinity : value.length);
  if (reason !== null || value === null) return leftOut(reason ?? `of type ${type}`, true);
  if (expiresAtMs === null) return itemOf({ key, value }, number);
  if (expiresAtMs > MAX_EXPIRY_MS) return itemOf({ key, value }, number, "their time of expiry");
  return itemOf({ key, value, expiresAtMs }, number);
}
