/** Requests of KV Connect as calls on a database of the store. */
import { equals } from "@std/bytes";
import type { KeyValue } from "../kv/command.ts";
import { successor } from "../kv/keys.ts";
import {
  type DatabaseCheck,
  type DatabaseMutation,
  VALUE_ENCODING,
} from "../kv/databases/database_command.ts";
import { revisionOf } from "../kv/databases/versionstamp.ts";
import {
  type AtomicWrite,
  type Check,
  type KvValue,
  type Mutation,
  MUTATION_TYPES,
  type ReadRange,
} from "./datapath.ts";
import { badRequest } from "./limits.ts";
import type { StoreRange } from "./store.ts";

/** The end of the ranges by which npm's client reads one key. */
const NPM_POINT_END = 0xff;
const LE64_BYTES = 8;
/** The first byte of V8's values, which the version of the format follows. */
const V8_HEADER = 0xff;
/** The newest format that every Node reads; Deno writes 16 since 2.8. */
const NODE_V8_FORMAT = 15;
/** The last time of a Date. npm sends later ones, which a client could not show. */
const MAX_EXPIRES_AT_MS = 8_640_000_000_000_000;

/** The checks and mutations of a commit. */
export interface TranslatedWrite {
  readonly checks: readonly DatabaseCheck[];
  readonly mutations: readonly DatabaseMutation[];
}

/** Returns the range of one key. */
export function pointOf(key: Uint8Array): StoreRange {
  return { start: key, end: successor(key), limit: 1, reverse: false };
}

/**
 * Returns the entries of a range for a client other than Deno's. npm's client reads one key by the range from the key to
 * `ff`, limit 1, and where the key is absent it decodes the next entry before it drops it. It would fail on a value that
 * Node cannot read, so such an entry is left out. Any other one is not: a list may have the same range.
 */
export function entriesForNode(range: ReadRange, entries: readonly KeyValue[]): readonly KeyValue[] {
  const [entry] = entries;
  if (entry === undefined || !mayBePointOfNpm(range) || equals(entry.key, range.start)) return entries;
  return isReadInNode(entry.value) ? entries : [];
}

function mayBePointOfNpm({ start, end, limit, reverse }: ReadRange): boolean {
  return limit === 1 && !reverse && start.length > 0 && end.length === 1 && end[0] === NPM_POINT_END;
}

/** Whether a stored value is no value of V8, or of a format that every Node reads. */
function isReadInNode([encoding, header, format = 0]: Uint8Array): boolean {
  return encoding !== VALUE_ENCODING.v8 || header !== V8_HEADER || format <= NODE_V8_FORMAT;
}

/** Returns the checks and mutations of a commit within its limits; throws the answer 400 for a wrong one. */
export function translateWrite({ checks, mutations }: AtomicWrite, nowMs: number): TranslatedWrite {
  return {
    checks: checks.map(checkOf),
    mutations: mutations.map((mutation) => mutationOf(mutation, nowMs)),
  };
}

function checkOf({ key, versionstamp }: Check): DatabaseCheck {
  return { key, revision: versionstamp.length === 0 ? null : revisionOf(versionstamp) };
}

function mutationOf(mutation: Mutation, nowMs: number): DatabaseMutation {
  const { key, type } = mutation;
  switch (type) {
    case MUTATION_TYPES.set:
    case MUTATION_TYPES.setSuffixVersionstampedKey:
      return setOf(mutation, nowMs);
    case MUTATION_TYPES.delete:
      return { kind: "delete", key };
    case MUTATION_TYPES.sum:
      return sumOf(mutation);
    case MUTATION_TYPES.min:
      return { kind: "min", key, value: integerOf(mutation, "min") };
    case MUTATION_TYPES.max:
      return { kind: "max", key, value: integerOf(mutation, "max") };
    default:
      throw badRequest(`Invalid mutation type ${type}`);
  }
}

function setOf(mutation: Mutation, nowMs: number): DatabaseMutation {
  const { key, type } = mutation;
  const value = storedValueOf(mutation);
  const expiresAtMs = expiryOf(mutation);
  const versionstampedKey = type === MUTATION_TYPES.setSuffixVersionstampedKey;
  // A value that has expired is never seen. The key of the other kind is not known before the write.
  if (expiresAtMs !== null && expiresAtMs <= nowMs && !versionstampedKey) return { kind: "delete", key };
  return { kind: "set", key, value, expiresAtMs, versionstampedKey };
}

function sumOf(mutation: Mutation): DatabaseMutation {
  const { key, sumMin, sumMax, sumClamp: clamp } = mutation;
  return {
    kind: "sum",
    key,
    value: storedValueOf(mutation),
    minimum: sumMin.length === 0 ? null : sumMin,
    maximum: sumMax.length === 0 ? null : sumMax,
    clamp,
  };
}

/** Returns the time at which a value expires; null for never. */
function expiryOf({ expireAtMs }: Mutation): number | null {
  if (expireAtMs === 0 || expireAtMs === -1) return null;
  if (expireAtMs < 0) throw badRequest(`Invalid expiry ${expireAtMs}`);
  return Math.min(expireAtMs, MAX_EXPIRES_AT_MS);
}

/** Returns the operand of a mutation that works on 64-bit integers only. */
function integerOf(mutation: Mutation, name: "min" | "max"): Uint8Array {
  if (mutation.value !== null && mutation.value.encoding !== VALUE_ENCODING.le64) {
    throw badRequest(`Failed to perform '${name}' mutation on a non-U64 operand`);
  }
  return storedValueOf(mutation);
}

/** Returns the value as it is stored: its encoding in one byte, and its data. */
function storedValueOf({ value }: Mutation): Uint8Array {
  if (value === null) throw badRequest("A mutation has no value");
  const { data, encoding } = value;
  checkEncoding(value);
  const stored = new Uint8Array(1 + data.length);
  stored[0] = encoding;
  stored.set(data, 1);
  return stored;
}

function checkEncoding({ data, encoding }: KvValue): void {
  if (encoding === VALUE_ENCODING.le64 && data.length !== LE64_BYTES) {
    throw badRequest(`A 64-bit integer has ${LE64_BYTES} bytes`);
  }
  if (encoding < VALUE_ENCODING.v8 || encoding > VALUE_ENCODING.bytes) {
    throw badRequest(`The value encoding ${encoding} is unknown.`);
  }
}
