/** The hash of all keys at a revision, by which replicas are compared. */
import { crc32 } from "node:zlib";
import type { ClientCore } from "../../client/core.ts";
import { MAX_LIST_ENTRIES } from "../../kv/command.ts";
import type { KeyValue } from "../../kv/command.ts";
import { etcdError } from "../rpc/status.ts";

/** Time for one page. */
const PAGE_TIMEOUT_MS = 5_000;
/** Hashes that are computed at a time: each reads the whole store. */
const MAX_HASHES = 1;
/** Bytes of the fields of an entry beside its key and value. */
const FIELDS_BYTES = 48;
const NO_BYTES = new Uint8Array(0);

/** A hash, and what it is of. */
export interface KeysHash {
  readonly hash: number;
  /** The revision of kvraft as of which the keys were read. */
  readonly revision: number;
  /** The newest revision when that began. */
  readonly present: number;
}

/** Computes hashes. They are equal on all nodes at one revision. */
export class Hashes {
  #computing = 0;

  /** Resolves to the hash at a revision of kvraft; null for the present one. Rejects with EtcdError or KvraftError. */
  async compute(core: ClientCore, at: number | null, signal: AbortSignal): Promise<KeysHash> {
    if (this.#computing >= MAX_HASHES) throw etcdError("tooManyRequests");
    this.#computing += 1;
    try {
      const present = await presentRevision(core, signal);
      const revision = at ?? present;
      let [hash, after]: [number, Uint8Array | null] = [0, null];
      do {
        const page = await readPage(core, { revision, after, signal });
        for (const entry of page.entries) hash = addEntry(hash, entry);
        after = page.more ? page.after ?? page.entries.at(-1)?.key ?? null : null;
      } while (after !== null);
      return { hash, revision, present };
    } finally {
      this.#computing -= 1;
    }
  }
}

async function presentRevision(core: ClientCore, signal: AbortSignal): Promise<number> {
  const context = core.context({ timeoutMs: PAGE_TIMEOUT_MS, signal });
  const read = { kind: "lease", leaseId: 1, keys: false, after: null, consistency: "linearizable" } as const;
  const { message } = await core.call(read, { kind: "read", action: "read the revision", context });
  return message.revision;
}

interface HashPage {
  readonly entries: readonly KeyValue[];
  readonly more: boolean;
  readonly after: Uint8Array | null;
}

async function readPage(
  core: ClientCore,
  { revision, after, signal }: {
    readonly revision: number;
    readonly after: Uint8Array | null;
    readonly signal: AbortSignal;
  },
): Promise<HashPage> {
  const context = core.context({ timeoutMs: PAGE_TIMEOUT_MS, signal });
  const range = { prefix: NO_BYTES, start: null, end: null, after, reverse: false, limit: MAX_LIST_ENTRIES };
  const { message } = await core.call(
    { kind: "listAt", query: range, consistency: "stale", revision, visibleOnly: false },
    { kind: "read", action: "hash the keys", context },
  );
  return message.page;
}

/** Returns the hash with one more entry. */
function addEntry(
  hash: number,
  { key, value, createRevision, modRevision, version, leaseId }: KeyValue,
): number {
  const fields = new DataView(new ArrayBuffer(FIELDS_BYTES));
  const numbers = [key.length, value.length, createRevision, modRevision, version, leaseId ?? 0];
  for (const [place, number] of numbers.entries()) fields.setFloat64(8 * place, number);
  return crc32(value, crc32(key, crc32(new Uint8Array(fields.buffer), hash)));
}
