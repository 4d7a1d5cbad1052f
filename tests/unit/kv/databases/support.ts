/** Short forms in which the tests of databases are written. */
import { deserialize, serialize } from "node:v8";
import type {
  CommandResult,
  DatabaseMutation,
  DatabasesChange,
  DatabaseWrite,
  PlainCommand,
} from "../../../../lib/kv/mod.ts";
import { databaseKey } from "../../../../lib/kv/mod.ts";
import { bytes, Replica } from "../support.ts";

/** A value in V8's format, with the byte of its encoding. */
export function v8Value(value: unknown): Uint8Array {
  return Uint8Array.of(1, ...serialize(value));
}

/** A 64-bit integer, with the byte of its encoding. */
export function u64(value: bigint): Uint8Array {
  const stored = new Uint8Array(9);
  stored[0] = 2;
  new DataView(stored.buffer).setBigUint64(1, value, true);
  return stored;
}

/** A value for people: of V8's format, or a 64-bit integer as text, or the bytes. */
export function shown(stored: Uint8Array | null): unknown {
  if (stored === null) return null;
  if (stored[0] === 1) return deserialize(stored.slice(1));
  if (stored[0] === 2) return `u64 ${new DataView(stored.buffer, stored.byteOffset).getBigUint64(1, true)}`;
  return stored;
}

/** A set of a value. */
export function set(
  key: string,
  value: Uint8Array,
  options: { readonly expiresAtMs?: number; readonly versionstampedKey?: boolean } = {},
): DatabaseMutation {
  return { kind: "set", key: bytes(key), value, expiresAtMs: null, versionstampedKey: false, ...options };
}

/** A delete. */
export function del(key: string): DatabaseMutation {
  return { kind: "delete", key: bytes(key) };
}

/** A sum without bounds. */
export function sum(
  key: string,
  value: Uint8Array,
  bounds: { readonly minimum?: Uint8Array; readonly maximum?: Uint8Array; readonly clamp?: boolean } = {},
): DatabaseMutation {
  return { kind: "sum", key: bytes(key), value, minimum: null, maximum: null, clamp: false, ...bounds };
}

/** A write of the default database without a session, and what differs from that. */
export function write(
  mutations: readonly DatabaseMutation[],
  differences: Partial<DatabaseWrite> = {},
): DatabaseWrite {
  return {
    kind: "databaseWrite",
    session: null,
    databaseId: 0,
    credentialId: 0,
    checks: [],
    mutations,
    ...differences,
  };
}

/** A state machine at feature level 2. */
export class DatabaseReplica extends Replica {
  constructor() {
    super();
    this.apply({ kind: "raiseFeatureLevel", level: 2 });
  }

  /** Changes the registry. */
  change(change: DatabasesChange): CommandResult {
    const command: PlainCommand = { kind: "changeDatabases", session: null, change };
    return this.apply(command);
  }

  /** Creates a database. */
  create(name: string): CommandResult {
    const uuid = `00000000-0000-4000-8000-${String(this.machine.appliedIndex).padStart(12, "0")}`;
    return this.change({ kind: "create", name, uuid, signingKey: new Uint8Array(32).fill(1) });
  }

  /** Adds an access token whose hash consists of one byte. */
  addToken(name: string, byte: number): CommandResult {
    const hash = new Uint8Array(32).fill(byte);
    const signingKey = new Uint8Array(32).fill(9);
    return this.change({ kind: "addToken", name, label: `t${byte}`, hash, createdAtMs: 5, signingKey });
  }

  /** Returns the value of a key of a database; null without one. */
  stored(key: string, databaseId = 0): Uint8Array | null {
    return this.machine.get(databaseKey(databaseId, bytes(key)))?.value.slice() ?? null;
  }
}
