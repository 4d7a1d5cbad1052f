/** A key with its value and its three numbers: `[key, value, createRevision, modRevision, version]`. */
import type { KeyValue } from "../kv/command.ts";
import type { MessagePackReader } from "./msgpack_reader.ts";
import type { MessagePackWriter } from "./msgpack_writer.ts";

/** Writes a key-value, or nil for null. */
export function writeKeyValueOrNil(out: MessagePackWriter, entry: KeyValue | null): void {
  if (entry === null) out.nil();
  else writeKeyValue(out, entry);
}

/** Writes a key-value. */
export function writeKeyValue(out: MessagePackWriter, entry: KeyValue): void {
  out.array(5);
  out.binary(entry.key);
  out.binary(entry.value);
  out.integer(entry.createRevision);
  out.integer(entry.modRevision);
  out.integer(entry.version);
}

/** Reads a key-value, or null for nil. */
export function readKeyValueOrNull(input: MessagePackReader, field: string): KeyValue | null {
  return input.nil() ? null : readKeyValue(input, field);
}

/** Reads a key-value. */
export function readKeyValue(input: MessagePackReader, field: string): KeyValue {
  input.open(field);
  const entry = {
    key: input.binary("key"),
    value: input.binary("value"),
    createRevision: input.integer("createRevision", 1),
    modRevision: input.integer("modRevision", 1),
    version: input.integer("version", 1),
  };
  if (entry.createRevision > entry.modRevision) {
    throw input.error("createRevision", "must not be above modRevision");
  }
  input.close();
  return entry;
}
