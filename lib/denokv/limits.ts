/**
 * The limits of Deno KV. Deno's own client checks them before it sends anything, with the words that are repeated here;
 * npm's @deno/kv checks none, so the server refuses what exceeds them before anything is proposed.
 */
import { WebError } from "../web/mod.ts";
import type { AtomicWrite, SnapshotRead } from "./datapath.ts";

/** Bytes of a key that is written, checked or watched. */
export const MAX_WRITE_KEY_BYTES = 2_048;
/** Bytes of a bound of a range: a key and one byte that follows it. */
export const MAX_READ_KEY_BYTES = MAX_WRITE_KEY_BYTES + 1;
/** Bytes of a value. */
export const MAX_VALUE_BYTES = 65_536;
/** Ranges of a read. Deno sends at most 10; npm's getMany sends one for each key. */
export const MAX_READ_RANGES = 100;
/** Entries of all ranges of a read. */
export const MAX_READ_ENTRIES = 1_000;
/** Checks of a commit. */
export const MAX_CHECKS = 100;
/** Mutations of a commit. */
export const MAX_MUTATIONS = 1_000;
/** Bytes of the keys and values of all mutations of a commit. */
export const MAX_MUTATION_BYTES = 819_200;
/** Bytes of the keys of all mutations of a commit. */
export const MAX_MUTATION_KEY_BYTES = 81_920;
/** Bytes of a request's body: the largest commit that Deno's client sends, with its 100 checks, has about 1.1 MB. */
export const MAX_BODY_BYTES = 1_310_720;

/** Bytes of a versionstamp: a revision, and two bytes that Deno KV uses for the order within a commit. */
const VERSIONSTAMP_BYTES = 10;

/** Throws the answer 400 for a read that exceeds a limit. */
export function checkRead({ ranges }: SnapshotRead): void {
  if (ranges.length > MAX_READ_RANGES) throw badRequest(`Too many ranges (max ${MAX_READ_RANGES})`);
  let entries = 0;
  for (const { start, end, limit } of ranges) {
    if (start.length > MAX_READ_KEY_BYTES || end.length > MAX_READ_KEY_BYTES) throw keyTooLargeForRead();
    if (limit <= 0) throw badRequest("limit must be greater than 0");
    entries += limit;
  }
  if (entries > MAX_READ_ENTRIES) throw badRequest(`Too many entries (max ${MAX_READ_ENTRIES})`);
}

/** Throws the answer 400 for a commit that exceeds a limit, or that does what this protocol does not offer. */
export function checkWrite({ checks, mutations, enqueues }: AtomicWrite): void {
  // npm's client sends them and would believe that an ignored one is delivered.
  if (enqueues > 0) throw badRequest("Enqueue operations are not supported in KV Connect");
  if (checks.length > MAX_CHECKS) throw badRequest(`Too many checks (max ${MAX_CHECKS})`);
  if (mutations.length > MAX_MUTATIONS) throw badRequest(`Too many mutations (max ${MAX_MUTATIONS})`);
  for (const { key, versionstamp } of checks) {
    if (key.length > MAX_READ_KEY_BYTES) throw keyTooLargeForRead();
    if (versionstamp.length !== 0 && versionstamp.length !== VERSIONSTAMP_BYTES) {
      throw badRequest(`Invalid check: a versionstamp has ${VERSIONSTAMP_BYTES} bytes`);
    }
  }
  let keyBytes = 0;
  let valueBytes = 0;
  for (const { key, value } of mutations) {
    if (key.length === 0) throw badRequest("key cannot be empty");
    if (key.length > MAX_WRITE_KEY_BYTES) throw keyTooLargeForWrite();
    if (value !== null && value.data.length > MAX_VALUE_BYTES) {
      throw badRequest(`Value too large (max ${MAX_VALUE_BYTES} bytes)`);
    }
    keyBytes += key.length;
    valueBytes += value?.data.length ?? 0;
  }
  if (keyBytes + valueBytes > MAX_MUTATION_BYTES) {
    throw badRequest(`Total mutation size too large (max ${MAX_MUTATION_BYTES} bytes)`);
  }
  if (keyBytes > MAX_MUTATION_KEY_BYTES) {
    throw badRequest(`Total key size too large (max ${MAX_MUTATION_KEY_BYTES} bytes)`);
  }
}

/** Returns the answer to a request that is wrong: clients do not repeat it. */
export function badRequest(message: string): WebError {
  return new WebError(400, message);
}

function keyTooLargeForRead(): WebError {
  return badRequest(`Key too large for read (max ${MAX_READ_KEY_BYTES} bytes)`);
}

/** Returns the answer to a request with a key that is too large to be written or watched. */
export function keyTooLargeForWrite(): WebError {
  return badRequest(`Key too large for write (max ${MAX_WRITE_KEY_BYTES} bytes)`);
}
