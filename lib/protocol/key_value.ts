/** The bytes of a key with its value and its numbers: in the answers to reads and in the results of transactions. */
import type { KeyValue } from "../kv/command.ts";
import { bytes, type Field, integer } from "./field.ts";
import { recordByHand } from "./schema.ts";

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
