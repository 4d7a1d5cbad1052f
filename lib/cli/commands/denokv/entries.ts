/** Keys and values of Deno KV in answers. */
import { concat } from "@std/bytes";
import type { KeyValue } from "../../../kv/command.ts";
import type { View } from "../../command.ts";
import { keyText } from "../../denokv/key_text.ts";
import { readableValue } from "../../denokv/values.ts";
import { columnsOf, dim, fit, lifetimeText, table } from "../../text.ts";
import { lifetimeColumns, MAX_KEY_COLUMNS, MIN_VALUE_COLUMNS } from "../keys/list.ts";

/** Returns the versionstamp of a revision as Deno shows it: 20 hexadecimal digits. */
export function versionstampText(revision: number): string {
  return `${revision.toString(16).padStart(16, "0")}0000`;
}

/** Returns `["users", 17n] → { name: "Ada" }`. */
export function entryText({ key, value }: KeyValue): string {
  return `${keyText(key)} → ${readableValue(value).text}`;
}

/** The store's keys of databases begin with this; the id of the database follows (lib/kv/databases/reserved_keys.ts). */
const DATABASES_START = Uint8Array.of(...new Uint8Array(8).fill(0xff), 1);
const ID_BYTES = 4;

/** Returns the text of an entry of the store that is one of a database; null for any other. */
export function textOfStored({ key, value }: Pick<KeyValue, "key" | "value">): string | null {
  if (
    DATABASES_START.some((byte, position) => key[position] !== byte) ||
    key.length < DATABASES_START.length + ID_BYTES
  ) return null;
  const { text, format } = readableValue(value);
  return `${keyText(key.subarray(DATABASES_START.length + ID_BYTES))} → ${text} (${format})`;
}

/** Returns the format of an entry's value, its versionstamp, and its expiry if it has one. */
export function entryMeta(entry: KeyValue): string {
  const lifetime = lifetimeText(entry);
  return [
    readableValue(entry.value).format,
    `versionstamp ${versionstampText(entry.modRevision)}`,
    ...(lifetime === "" ? [] : [lifetime]),
  ].join(", ");
}

/** Returns the document of an entry. `value` is there only if JSON has exactly that value. */
export function denoEntryDocument({ key, value, modRevision, expiresAtMs }: KeyValue): unknown {
  const { format, v8Format, text, json } = readableValue(value);
  return {
    key: keyText(key),
    keyBase64: key.toBase64(),
    ...(json !== undefined && { value: json }),
    text,
    format,
    ...(v8Format !== null && { v8Format }),
    valueBase64: value.subarray(1).toBase64(),
    versionstamp: versionstampText(modRevision),
    ...(expiresAtMs !== undefined && { expiresAtMs }),
  };
}

/** Returns a line for a pipe or a file: key, format and value, parted by tabs. */
export function entryLine({ key, value }: KeyValue): string {
  const { format, text } = readableValue(value);
  return `${keyText(key)}\t${format}\t${text}\n`;
}

/** Returns a table for a terminal. */
export function entryTable(entries: readonly KeyValue[], view: View): string {
  if (entries.length === 0) return "";
  const values = entries.map(({ value }) => readableValue(value));
  const columns = [
    ["key", ...entries.map(({ key }) => fit(keyText(key), MAX_KEY_COLUMNS))],
    ["format", ...values.map(({ format }) => format)],
    ...lifetimeColumns(entries),
  ];
  const taken = columns.reduce((sum, cells) => sum + 2 + Math.max(...cells.map(columnsOf)), 0);
  const width = Math.max(MIN_VALUE_COLUMNS, view.columns - taken);
  const last = ["value", ...values.map(({ text }) => fit(text, width))];
  const [header = "", ...rows] = table(
    last.map((cell, row) => [...columns.map((cells) => cells[row] ?? ""), cell]),
  );
  return [dim(header, view), ...rows].map((line) => `${line}\n`).join("");
}

/** Returns the range of the keys that have the parts of a prefix, and further ones: as Deno lists a prefix. */
export function prefixRange(prefix: Uint8Array): { readonly start: Uint8Array; readonly end: Uint8Array } {
  return { start: concat([prefix, Uint8Array.of(0)]), end: concat([prefix, Uint8Array.of(0xff)]) };
}
