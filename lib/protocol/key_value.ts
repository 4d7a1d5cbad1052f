/** The bytes of a key with its value and its numbers, and of its versions: in the answers to reads and in results. */
import type { KeyValue, KeyVersion } from "../kv/command.ts";
import { bytes, type Field, integer, nullable } from "./field.ts";
import { record, recordByHand } from "./schema.ts";

/** A key with its value and its three numbers. */
export const KEY_VALUE: Field<KeyValue> = recordByHand(
  "entry",
  {
    key: bytes(),
    value: bytes(),
    createRevision: integer(1),
    modRevision: integer(1),
    version: integer(1),
  },
  {
    write: (out, { key, value, createRevision, modRevision, version }) => {
      out.binary(key);
      out.binary(value);
      out.integer(createRevision);
      out.integer(modRevision);
      out.integer(version);
    },
    read: (input) => ({
      key: input.binary("key"),
      value: input.binary("value"),
      createRevision: input.integer("createRevision", 1),
      modRevision: input.integer("modRevision", 1),
      version: input.integer("version", 1),
    }),
  },
  ({ createRevision, modRevision }) =>
    createRevision > modRevision ? "createRevision must not be above modRevision" : null,
);

/** A version of a key. */
export const KEY_VERSION: Field<KeyVersion> = record("version", {
  createRevision: integer(),
  modRevision: integer(1),
  version: integer(),
  value: nullable(bytes()),
}, ({ createRevision, version, value }) => {
  const isDeletion = value === null;
  return isDeletion === (createRevision === 0) && isDeletion === (version === 0)
    ? null
    : "createRevision and version must be 0 for a deletion, and above 0 for a put";
});
