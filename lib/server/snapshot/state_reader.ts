/**
 * Reads the records of a state, and checks each against those before it: a snapshot may come from another node or from a
 * backup, and the state machine continues from it. A clock or revision near the largest integer, or a session that was
 * active after the state's index, would stop the node at a later command.
 */
import { assertNever } from "../../platform/assert.ts";
import { shortened } from "../../platform/errors.ts";
import {
  AUTH_LEVEL,
  type AuthRecord,
  BRANCHING_LEVEL,
  FEATURE_LEVEL,
  FIRST_FEATURE_LEVEL,
  HISTORY_LEVEL,
  LEASE_LEVEL,
  MAX_KEY_BYTES,
  MAX_LEASE_TTL_MS,
  MAX_LEASES,
  MAX_LOG_TIME_MS,
  MAX_SESSION_WINDOW,
  MAX_VALUE_BYTES,
  MIN_LEASE_TTL_MS,
  NewerFeatureLevelError,
  type StateRecord,
} from "../../kv/mod.ts";
import { decodeResult } from "../../protocol/command.ts";
import { MAX_SNAPSHOT_INDEX } from "../../protocol/limits.ts";
import type { MessagePackReader } from "../../protocol/msgpack_reader.ts";
import { AuthRecordReader, isAuthKind } from "./auth_record_codec.ts";

/**
 * Maximum of the clock of a state. No cluster is 71,000 years old; near MAX_LOG_TIME_MS, all further time is refused, and
 * no lease would ever end.
 */
const MAX_STATE_TIME_MS = MAX_LOG_TIME_MS / 2;

/** Reads the records of one state in their canonical order: header, users, leases, keys, history, sessions with their answers. */
export class StateRecordReader {
  #appliedIndex = 0;
  #revision = 0;
  #compactedRevision = 0;
  #featureLevel = FIRST_FEATURE_LEVEL;
  #logTimeMs = 0;
  #hasHeader = false;
  readonly #auth = new AuthRecordReader();
  #hasAuthEnded = false;
  #lastLeaseId = 0;
  #leases = 0;
  #lastKey: Uint8Array | null = null;
  #lastTombstone: Uint8Array | null = null;
  #lastSession: { readonly sessionId: number; readonly acknowledgedBelow: number } | null = null;
  #lastSequence = 0;

  /** Reads the next record. Throws DecodeError for one that cannot follow those before it. */
  read(input: MessagePackReader): StateRecord {
    input.open("a record");
    const record = this.#readFields(input, input.string("a record's kind"));
    input.close();
    return record;
  }

  #readFields(input: MessagePackReader, kind: string): StateRecord {
    if ((kind === "header") === this.#hasHeader) {
      throw input.error("a record's kind", "must be the header in the first record, and only there");
    }
    if (isAuthKind(kind)) return this.#readAuth(input, kind);
    this.#hasAuthEnded = kind !== "header";
    switch (kind) {
      case "header":
        return this.#readHeader(input);
      case "lease":
        return this.#readLease(input);
      case "key":
        return this.#readKey(input);
      case "tombstone":
        return this.#readTombstone(input);
      case "version":
        return this.#readVersion(input);
      case "session":
        return this.#readSession(input);
      case "answer":
        return this.#readAnswer(input);
      default:
        throw input.error("a record's kind", `"${shortened(kind)}" is not known to this version`);
    }
  }

  #readHeader(input: MessagePackReader): StateRecord {
    this.#hasHeader = true;
    this.#appliedIndex = upTo(input, "appliedIndex", MAX_SNAPSHOT_INDEX);
    // After a restore it may be far above the index (RESTORED_REVISION_STEP); the log increments it by one an entry.
    this.#revision = upTo(input, "revision", MAX_SNAPSHOT_INDEX);
    this.#logTimeMs = upTo(input, "logTimeMs", MAX_STATE_TIME_MS);
    const forgottenIndex = upTo(input, "forgottenIndex", this.#appliedIndex);
    const header = ["header", this.#appliedIndex, this.#revision, this.#logTimeMs, forgottenIndex] as const;
    if (input.isAtEnd) {
      if (this.#revision <= this.#appliedIndex) return header;
      throw input.error("revision", `must not be above ${this.#appliedIndex}`);
    }
    const featureLevel = input.integer("featureLevel", FIRST_FEATURE_LEVEL + 1);
    if (featureLevel > FEATURE_LEVEL) {
      throw new NewerFeatureLevelError(`the state at ${this.#appliedIndex}`, featureLevel);
    }
    this.#compactedRevision = upTo(input, "compactedRevision", this.#revision);
    this.#featureLevel = featureLevel;
    return [...header, featureLevel, this.#compactedRevision];
  }

  #readAuth(input: MessagePackReader, kind: AuthRecord[0]): StateRecord {
    if (this.#featureLevel < AUTH_LEVEL || this.#hasAuthEnded) {
      throw input.error(
        "a record's kind",
        "must be of users and roles before others, and at feature level 2 only",
      );
    }
    return this.#auth.read(input, kind, this.#appliedIndex);
  }

  #readLease(input: MessagePackReader): StateRecord {
    if (this.#featureLevel < LEASE_LEVEL) {
      throw input.error("a record's kind", "must not be a lease at feature level 1");
    }
    const leaseId = input.integer("leaseId", this.#lastLeaseId + 1);
    if (++this.#leases > MAX_LEASES) {
      throw input.error("leaseId", `must not be that of a lease above ${MAX_LEASES}`);
    }
    this.#lastLeaseId = leaseId;
    const ttlMs = upTo(input, "ttlMs", MAX_LEASE_TTL_MS, MIN_LEASE_TTL_MS);
    const deadlineMs = upTo(input, "deadlineMs", this.#logTimeMs + ttlMs, ttlMs);
    const record = ["lease", leaseId, ttlMs, deadlineMs] as const;
    return input.isAtEnd ? record : [...record, input.integer("ownerId", 1)];
  }

  #readKey(input: MessagePackReader): StateRecord {
    const key = readKeyAfter(input, this.#lastKey);
    this.#lastKey = key;
    const value = readValue(input);
    const createRevision = input.integer("createRevision", 1);
    const modRevision = upTo(input, "modRevision", this.#revision, createRevision);
    const version = upTo(input, "version", MAX_SNAPSHOT_INDEX, 1);
    if (version === 1 && createRevision !== modRevision) {
      throw input.error("version", "must be above 1 for a key that was changed");
    }
    const record = ["key", key, value, createRevision, modRevision, version] as const;
    if (input.isAtEnd) return record;
    const order = upTo(input, "order", MAX_SNAPSHOT_INDEX);
    const attached = this.#readAttached(input);
    if (order + attached.length === 0) throw input.error("order", "must be missing where it is 0");
    return [...record, order, ...attached];
  }

  #readTombstone(input: MessagePackReader): StateRecord {
    this.#requireHistory(input);
    const key = readKeyAfter(input, this.#lastTombstone);
    this.#lastTombstone = key;
    const modRevision = upTo(input, "modRevision", this.#revision, this.#compactedRevision + 1);
    return ["tombstone", key, modRevision, upTo(input, "order", MAX_SNAPSHOT_INDEX)];
  }

  /** Reads a superseded version. How versions go together is checked when the store is loaded. */
  #readVersion(input: MessagePackReader): StateRecord {
    this.#requireHistory(input);
    const key = readKeyAfter(input, null);
    const value = input.nil() ? null : readValue(input);
    const least = value === null ? 0 : 1;
    const createRevision = upTo(input, "createRevision", value === null ? 0 : this.#revision, least);
    const modRevision = upTo(input, "modRevision", this.#revision, Math.max(1, createRevision));
    const version = upTo(input, "version", value === null ? 0 : MAX_SNAPSHOT_INDEX, least);
    const order = upTo(input, "order", MAX_SNAPSHOT_INDEX);
    const successorRevision = upTo(input, "successorRevision", this.#revision, this.#compactedRevision + 1);
    const successorOrder = upTo(input, "successorOrder", MAX_SNAPSHOT_INDEX);
    const attached = this.#readAttached(input);
    if (value === null && attached.length > 0) throw input.error("leaseId", "must be missing for a deletion");
    return [
      "version",
      key,
      value,
      createRevision,
      modRevision,
      version,
      order,
      successorRevision,
      successorOrder,
      ...attached,
    ];
  }

  /** Reads the lease and the time of a key, of which those at the end are missing if they are 0. */
  #readAttached(input: MessagePackReader): readonly [] | readonly [number] | readonly [number, number] {
    if (input.isAtEnd) return [];
    if (this.#featureLevel < LEASE_LEVEL) throw input.error("leaseId", "must be missing at feature level 1");
    const leaseId = input.integer("leaseId");
    if (!input.isAtEnd) return [leaseId, input.integer("expiresAtMs", 1)];
    if (leaseId === 0) throw input.error("leaseId", "must be missing where it is 0");
    return [leaseId];
  }

  #requireHistory(input: MessagePackReader): void {
    if (this.#featureLevel < HISTORY_LEVEL) {
      throw input.error("a record's kind", "must not be of the history at feature level 1");
    }
  }

  #readSession(input: MessagePackReader): StateRecord {
    const sessionId = input.integer("sessionId", 1 + (this.#lastSession?.sessionId ?? 0));
    const openedAt = input.integer("openedAt");
    const openedIndex = upTo(input, "openedIndex", this.#appliedIndex, openedAt + 1);
    const lastActiveIndex = upTo(input, "lastActiveIndex", this.#appliedIndex, openedIndex);
    const lastActiveMs = upTo(input, "lastActiveMs", this.#logTimeMs);
    const acknowledgedBelow = input.integer("acknowledgedBelow", 1);
    this.#lastSession = { sessionId, acknowledgedBelow };
    this.#lastSequence = 0;
    const record = [
      "session",
      sessionId,
      openedAt,
      openedIndex,
      lastActiveIndex,
      lastActiveMs,
      acknowledgedBelow,
    ] as const;
    return input.isAtEnd ? record : [...record, upTo(input, "userId", this.#auth.revision, 1)];
  }

  #readAnswer(input: MessagePackReader): StateRecord {
    const sessionId = input.integer("sessionId", 1);
    if (this.#lastSession?.sessionId !== sessionId) {
      throw input.error("sessionId", "must be that of the session before");
    }
    const { acknowledgedBelow } = this.#lastSession;
    const lowest = Math.max(acknowledgedBelow, this.#lastSequence + 1);
    const sequence = upTo(input, "sequence", acknowledgedBelow + MAX_SESSION_WINDOW - 1, lowest);
    this.#lastSequence = sequence;
    // Copied: an answer may be kept for long, and must not keep the chunk in memory.
    const answer = decodeResult(input.binary("answer").slice());
    switch (answer.kind) {
      case "applied":
      case "checksFailed":
        return ["answer", sessionId, sequence, answer];
      case "executed":
      case "transactionFailed":
      case "leaseGranted":
      case "leaseRevoked":
      case "leaseFailed":
      case "authChanged":
      case "authFailed":
      case "databaseWritten":
      case "databaseChecksFailed":
      case "databaseWriteFailed":
      case "databasesChanged":
      case "databasesFailed":
        if (this.#featureLevel >= BRANCHING_LEVEL) return ["answer", sessionId, sequence, answer];
        break;
      case "sessionRegistered":
      case "sessionsExpired":
      case "featureLevelRaised":
      case "compacted":
      case "leasesKeptAlive":
      case "expiredDeleted":
      case "refused":
        break;
      default:
        assertNever(answer);
    }
    throw input.error("answer", "must be the result of a write");
  }
}

/** Reads an integer from `minimum` to `maximum`. */
function upTo(input: MessagePackReader, field: string, maximum: number, minimum = 0): number {
  const value = input.integer(field, minimum);
  if (value > maximum) throw input.error(field, `must not be above ${maximum}`);
  return value;
}

/** Reads a key that is greater than the one before. */
function readKeyAfter(input: MessagePackReader, before: Uint8Array | null): Uint8Array {
  const key = input.binary("key");
  if (key.length < 1 || key.length > MAX_KEY_BYTES) throw input.error("key", "has an impossible length");
  if (before !== null && !isAfter(key, before)) {
    throw input.error("key", "must be greater than the one before");
  }
  return key;
}

function readValue(input: MessagePackReader): Uint8Array {
  const value = input.binary("value");
  if (value.length > MAX_VALUE_BYTES) throw input.error("value", "has an impossible length");
  return value;
}

/** Whether `key` comes after `before` in unsigned byte order. */
function isAfter(key: Uint8Array, before: Uint8Array): boolean {
  const shorter = Math.min(key.length, before.length);
  for (let position = 0; position < shorter; position++) {
    const one = key[position] ?? 0;
    const other = before[position] ?? 0;
    if (one !== other) return one > other;
  }
  return key.length > before.length;
}
