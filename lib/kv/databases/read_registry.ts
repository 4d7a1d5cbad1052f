/**
 * Reads the registry from its value. Only changes of the registry write it, and it comes from a snapshot too: a value that
 * no state machine could have written is refused.
 */
import { ACCESS_TOKEN_HASH_BYTES, MAX_REGISTRY_BYTES, SIGNING_KEY_BYTES } from "./database_command.ts";
import type { AccessToken, Database, Registry } from "./registry.ts";

/** Returns the registry of a value; null for a value that is none. */
export function decodeRegistry(value: Uint8Array): Registry | null {
  if (value.length > MAX_REGISTRY_BYTES) return null;
  const [nextId, rows, ...rest] = listOf(parsed(value));
  const databases = listOf(rows).map(readDatabase);
  const isAscending = databases.every((database, position) => {
    return database !== null && database.id > (databases[position - 1]?.id ?? -1);
  });
  if (!isId(nextId) || nextId === 0 || !Array.isArray(rows) || rest.length > 0 || !isAscending) return null;
  return { nextId, databases: databases.filter((database) => database !== null) };
}

function readDatabase(row: unknown): Database | null {
  const [id, name, uuid, signingKey, nextTokenId, tokenRows, ...rest] = listOf(row);
  const key = bytesOf(signingKey, SIGNING_KEY_BYTES);
  const tokens = listOf(tokenRows).map(readToken);
  if (!isId(id) || typeof name !== "string" || key === null || !isId(nextTokenId) || rest.length > 0) {
    return null;
  }
  if (uuid !== null && typeof uuid !== "string") return null;
  if (!Array.isArray(tokenRows) || tokens.includes(null)) return null;
  return { id, name, uuid, signingKey: key, nextTokenId, tokens: tokens.filter((token) => token !== null) };
}

function readToken(row: unknown): AccessToken | null {
  const [id, label, hash, createdAtMs, ...rest] = listOf(row);
  const bytes = bytesOf(hash, ACCESS_TOKEN_HASH_BYTES);
  if (!isId(id) || id === 0 || typeof label !== "string" || bytes === null || rest.length > 0) return null;
  return typeof createdAtMs === "number" ? { id, label, hash: bytes, createdAtMs } : null;
}

function parsed(value: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(value));
  } catch {
    return null;
  }
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function bytesOf(text: unknown, length: number): Uint8Array | null {
  if (typeof text !== "string" || text.length !== 2 * length || !/^[0-9a-f]*$/.test(text)) return null;
  return Uint8Array.from(
    { length },
    (_, position) => parseInt(text.slice(2 * position, 2 * position + 2), 16),
  );
}

function isId(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
