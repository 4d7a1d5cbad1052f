/**
 * JSON on one line: answers and errors for scripts, and the key-value pairs of `export` and `import`, which are
 * `{"key":"a","value":"1"}`, with `keyBase64` or `valueBase64` for bytes that are not UTF-8, and with `leaseId` and
 * `expiresAtMs` for a key that has them.
 */
import type { Failure } from "./errors.ts";
import { escapeJson, textOfBytes } from "./text.ts";
import { type Attachment, type KeyValue, MAX_KEY_BYTES, MAX_VALUE_BYTES } from "../kv/mod.ts";
import { errorMessage } from "../platform/errors.ts";

/** Returns the document of an error. */
export function failureAsJson({ code, message }: Failure): string {
  return jsonText({ error: { code, message } });
}

/** Returns a document as JSON that is safe on a terminal. */
export function jsonText(document: unknown): string {
  return escapeJson(JSON.stringify(document));
}

/** Returns the document of a key and its value; null for none. */
export function entryDocument(entry: KeyValue | null): unknown {
  return entry === null ? null : entryFields(entry);
}

/** Returns the document of a key without its value. */
export function keyDocument(entry: KeyValue): unknown {
  const { value: _value, valueBase64: _base64, ...fields } = entryFields(entry);
  return fields;
}

/** Returns the fields of the document of a key and its value. */
export function entryFields(entry: KeyValue): Record<string, unknown> {
  const { createRevision, modRevision, version } = entry;
  return {
    ...bytesField("key", entry.key),
    ...bytesField("value", entry.value),
    createRevision,
    modRevision,
    version,
    ...lifetimeFields(entry),
  };
}

/** Returns the lease and the expiry time of an entry or a version, where it has them. */
export function lifetimeFields(
  { leaseId, expiresAtMs }: Attachment,
): Record<string, number> {
  return {
    ...(leaseId !== undefined && { leaseId }),
    ...(expiresAtMs !== undefined && { expiresAtMs }),
  };
}

/** Returns `{ key: "text" }`, or `{ keyBase64: "…" }` for bytes that are not UTF-8. */
export function bytesField(name: string, bytes: Uint8Array): Record<string, string> {
  const text = textOfBytes(bytes);
  return text === null ? { [`${name}Base64`]: bytes.toBase64() } : { [name]: text };
}

/** A key and its value, with its lease and expiry time if it has them. */
export type Pair = Pick<KeyValue, "key" | "value"> & Attachment;

/** The contents of a line: a pair, nothing (a blank line), or an error with its reason. */
export type ReadLine =
  | { readonly kind: "pair"; readonly pair: Pair }
  | { readonly kind: "blank" }
  | { readonly kind: "bad"; readonly reason: string };

/** Fields of a line: those of a pair, and those that `list` adds, which are ignored. */
const PAIR_FIELDS = ["key", "keyBase64", "value", "valueBase64", "leaseId", "expiresAtMs"];
const LISTED_FIELDS = ["createRevision", "modRevision", "version"];

const utf8 = new TextEncoder();

/** Returns the line of a pair, with its newline and with escapes for what is not printable. */
export function lineOfPair(pair: Pair): string {
  const { key, value } = pair;
  const text = JSON.stringify({
    ...bytesField("key", key),
    ...bytesField("value", value),
    ...lifetimeFields(pair),
  });
  return `${escapeJson(text)}\n`;
}

/** Parses a line, given without its end. */
export function readPair(line: Uint8Array): ReadLine {
  const text = textOfBytes(line);
  if (text === null) return bad("it is not UTF-8; bytes that are none go into keyBase64 and valueBase64");
  if (text.trim() === "") return { kind: "blank" };
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    return bad(`it is not JSON (${errorMessage(error)})`);
  }
  if (typeof document !== "object" || document === null || Array.isArray(document)) {
    return bad(`it is no object such as {"key":"a","value":"1"}`);
  }
  const fields = new Map<string, unknown>(Object.entries(document));
  const unknown = [...fields.keys()].find((name) => ![...PAIR_FIELDS, ...LISTED_FIELDS].includes(name));
  if (unknown !== undefined) {
    return bad(`it has a field ${JSON.stringify(unknown)}, which means nothing here`);
  }
  const key = bytesOfField("key", fields);
  const value = bytesOfField("value", fields);
  if (typeof key === "string") return bad(key);
  if (typeof value === "string") return bad(value);
  if (key.length === 0 || key.length > MAX_KEY_BYTES) {
    return bad(`its key has ${key.length} bytes; 1 to ${MAX_KEY_BYTES} are allowed`);
  }
  if (value.length > MAX_VALUE_BYTES) {
    return bad(`its value has ${value.length} bytes; at most ${MAX_VALUE_BYTES} are allowed`);
  }
  const lifetime: { leaseId?: number; expiresAtMs?: number } = {};
  for (const name of ["leaseId", "expiresAtMs"] as const) {
    const number = fields.get(name);
    if (number === undefined) continue;
    if (typeof number !== "number" || !Number.isSafeInteger(number) || number < 1) {
      return bad(`its ${name} is no integer from 1 up`);
    }
    lifetime[name] = number;
  }
  return { kind: "pair", pair: { key, value, ...lifetime } };
}

function bad(reason: string): ReadLine {
  return { kind: "bad", reason };
}

/** Returns the bytes of a field in either of its two forms, or the reason why it has none. */
export function bytesOfField(name: string, fields: ReadonlyMap<string, unknown>): Uint8Array | string {
  const text = fields.get(name);
  const base64 = fields.get(`${name}Base64`);
  if (text !== undefined && base64 !== undefined) return `it has both ${name} and ${name}Base64`;
  if (text === undefined && base64 === undefined) return `it has neither ${name} nor ${name}Base64`;
  if (text !== undefined) {
    if (typeof text !== "string") return `its ${name} is no text`;
    return text.isWellFormed() ? utf8.encode(text) : `its ${name} is no Unicode text; use ${name}Base64`;
  }
  if (typeof base64 !== "string") return `its ${name}Base64 is no text`;
  try {
    return Uint8Array.fromBase64(base64);
  } catch {
    return `its ${name}Base64 is not base64`;
  }
}
