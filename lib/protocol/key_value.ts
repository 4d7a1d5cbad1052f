/** The bytes of a key with its value and its numbers, and of its versions: in the answers to reads and in results. */
import { attachmentOf, type KeyValue, type KeyVersion } from "../kv/command.ts";
import { bytes, type Field, integer, nullable, optional } from "./field.ts";
import { record, recordByHand } from "./schema.ts";

/** Elements of a key that no lease and no time ends. */
const PLAIN_ELEMENTS = 5;

/** A key with its value, its three numbers, and what ends it. */
export const KEY_VALUE: Field<KeyValue> = recordByHand(
  "entry",
  {
    key: bytes(),
    value: bytes(),
    createRevision: integer(1),
    modRevision: integer(1),
    version: integer(1),
    leaseId: optional(),
    expiresAtMs: optional(),
  },
  {
    elements: ({ leaseId, expiresAtMs }) =>
      expiresAtMs !== undefined
        ? PLAIN_ELEMENTS + 2
        : leaseId !== undefined
        ? PLAIN_ELEMENTS + 1
        : PLAIN_ELEMENTS,
    write: (out, { key, value, createRevision, modRevision, version, leaseId, expiresAtMs }) => {
      out.binary(key);
      out.binary(value);
      out.integer(createRevision);
      out.integer(modRevision);
      out.integer(version);
      if (leaseId !== undefined || expiresAtMs !== undefined) out.integer(leaseId ?? 0);
      if (expiresAtMs !== undefined) out.integer(expiresAtMs);
    },
    read: (input) => {
      const entry = {
        key: input.binary("key"),
        value: input.binary("value"),
        createRevision: input.integer("createRevision", 1),
        modRevision: input.integer("modRevision", 1),
        version: input.integer("version", 1),
      };
      if (input.isAtEnd) return entry;
      const leaseId = input.integer("leaseId");
      const expiresAtMs = input.isAtEnd ? 0 : input.integer("expiresAtMs");
      return { ...entry, ...attachmentOf(leaseId, expiresAtMs) };
    },
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
  leaseId: optional(),
  expiresAtMs: optional(),
}, ({ createRevision, version, value }) => {
  const isDeletion = value === null;
  return isDeletion === (createRevision === 0) && isDeletion === (version === 0)
    ? null
    : "createRevision and version must be 0 for a deletion, and above 0 for a put";
});
