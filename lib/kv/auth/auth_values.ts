/** The names, grants and hashes in the state: their order, the same on every node and in every version, and copies of them. */
import { compareKeys } from "../keys.ts";
import { type Grant, type PasswordHash, RIGHTS } from "./auth_command.ts";

/** Compares names by their UTF-16 code units. */
export function compareNames(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Compares grants by their keys, then by their rights. */
export function compareGrants(a: Grant, b: Grant): number {
  return compareSets(a, b) || RIGHTS.indexOf(a.right) - RIGHTS.indexOf(b.right);
}

/** Returns a sorted list with one element more. */
export function withElement<T>(
  elements: readonly T[],
  element: T,
  compare: (a: T, b: T) => number,
): readonly T[] {
  return [...elements, element].sort(compare);
}

/** Returns a copy: the bytes of a command or snapshot are part of a buffer that is kept for as long as they are. */
export function ownPassword(password: PasswordHash | null): PasswordHash | null {
  return password === null ? null : { ...password, salt: password.salt.slice(), hash: password.hash.slice() };
}

/** Returns a copy for the same reason. */
export function ownGrant({ right, keys }: Grant): Grant {
  if (keys.kind === "key") return { right, keys: { kind: "key", key: keys.key.slice() } };
  return { right, keys: { kind: "range", start: keys.start.slice(), end: keys.end?.slice() ?? null } };
}

/** By the first key; a key comes before a range, and a range without an end after others. */
function compareSets({ keys: a }: Grant, { keys: b }: Grant): number {
  const [from, to] = [a.kind === "key" ? a.key : a.start, b.kind === "key" ? b.key : b.start];
  const order = compareKeys(from, to);
  if (order !== 0) return order;
  if (a.kind === "key" || b.kind === "key") return rank(a.kind) - rank(b.kind);
  if (a.end === null || b.end === null) return Number(a.end === null) - Number(b.end === null);
  return compareKeys(a.end, b.end);
}

function rank(kind: "key" | "range"): number {
  return kind === "key" ? 0 : 1;
}
