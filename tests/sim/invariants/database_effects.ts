/** The changes that writes to databases make, calculated again. Shares no code with lib/kv/databases. */
import type { DatabaseWrite } from "../../../lib/kv/mod.ts";
import { keyText } from "../../../lib/kv/keys.ts";
import type { KeyChange } from "./past_states.ts";

const PREFIX_BYTES = 13;

/** The present values of the keys of databases. */
export class DatabaseEffects {
  readonly #values = new Map<string, Uint8Array>();

  /** Returns the changes of a write that was made, in order: sets, deletes, and sums of 64-bit integers. */
  changesOf({ databaseId, mutations }: DatabaseWrite): readonly KeyChange[] {
    return mutations.map((mutation): KeyChange => {
      const key = new Uint8Array(PREFIX_BYTES + mutation.key.length).fill(0xff, 0, 8);
      key[8] = 1;
      new DataView(key.buffer).setUint32(9, databaseId);
      key.set(mutation.key, PREFIX_BYTES);
      const text = keyText(key);
      if (mutation.kind === "delete") {
        this.#values.delete(text);
        return { key, value: null, leaseId: 0, expiresAtMs: 0 };
      }
      const before = this.#values.get(text);
      const value = mutation.kind === "sum" && before !== undefined
        ? storedU64(u64Of(before) + u64Of(mutation.value))
        : mutation.value;
      this.#values.set(text, value);
      return { key, value, leaseId: 0, expiresAtMs: 0 };
    });
  }
}

/** Returns a 64-bit integer as databases store it. */
export function storedU64(value: bigint): Uint8Array {
  const stored = new Uint8Array(9);
  stored[0] = 2;
  new DataView(stored.buffer).setBigUint64(1, value, true);
  return stored;
}

/** Returns the 64-bit integer of a stored value. */
export function u64Of(stored: Uint8Array): bigint {
  return new DataView(stored.buffer, stored.byteOffset).getBigUint64(1, true);
}
