/**
 * The bytes of a key with its value and its numbers, and of its versions: in the answers to reads and in results; and the
 * fields of the requests for them.
 */
import { type Attachment, attachmentOf, type KeyValue, type KeyVersion } from "../kv/command.ts";
import {
  boolean,
  bytes,
  copiedOnce,
  type Field,
  integer,
  list,
  nullable,
  numbered,
  omittable,
  optional,
  trailing,
} from "./field.ts";
import { CONSISTENCY } from "./messages.ts";
import type { MessagePackReader } from "./msgpack_reader.ts";
import type { MessagePackWriter } from "./msgpack_writer.ts";
import { group, recordByHand } from "./schema.ts";

/** Elements of a key and of a version that no lease and no time ends. */
const PLAIN_ELEMENTS = 5;
const PLAIN_VERSION_ELEMENTS = 4;

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
    omits: true,
    write: (out, entry) => {
      const { key, value, createRevision, modRevision, version, leaseId, expiresAtMs } = entry;
      const isPlain = leaseId === undefined && expiresAtMs === undefined;
      out.array(isPlain ? PLAIN_ELEMENTS : PLAIN_ELEMENTS + attachedElements(entry));
      out.binary(key);
      out.binary(value);
      out.integer(createRevision);
      out.integer(modRevision);
      out.integer(version);
      if (!isPlain) writeAttached(out, entry);
    },
    read: (input) => {
      const entry = {
        key: input.binary("key"),
        value: input.binary("value"),
        createRevision: input.integer("createRevision", 1),
        modRevision: input.integer("modRevision", 1),
        version: input.integer("version", 1),
      };
      return input.isAtEnd ? entry : { ...entry, ...readAttached(input) };
    },
  },
  ({ createRevision, modRevision }) =>
    createRevision > modRevision ? "createRevision must not be above modRevision" : null,
);

/** A version of a key. */
export const KEY_VERSION: Field<KeyVersion> = recordByHand(
  "version",
  {
    createRevision: integer(),
    modRevision: integer(1),
    version: integer(),
    value: nullable(bytes()),
    leaseId: optional(),
    expiresAtMs: optional(),
  },
  {
    omits: true,
    write: (out, entry) => {
      const { createRevision, modRevision, version, value } = entry;
      out.array(PLAIN_VERSION_ELEMENTS + attachedElements(entry));
      out.integer(createRevision);
      out.integer(modRevision);
      out.integer(version);
      if (value === null) out.nil();
      else out.binary(value);
      writeAttached(out, entry);
    },
    read: (input) => {
      const entry = {
        createRevision: input.integer("version createRevision"),
        modRevision: input.integer("version modRevision", 1),
        version: input.integer("version version"),
        value: input.nil() ? null : input.binary("version value"),
      };
      return input.isAtEnd ? entry : { ...entry, ...readAttached(input) };
    },
  },
  ({ createRevision, version, value }) => {
    const isDeletion = value === null;
    return isDeletion === (createRevision === 0) && isDeletion === (version === 0)
      ? null
      : "createRevision and version must be 0 for a deletion, and above 0 for a put";
  },
);

/** Returns the number of elements of an attachment: those at its end that are missing are not written. */
function attachedElements({ leaseId, expiresAtMs }: Attachment): number {
  if (expiresAtMs !== undefined) return 2;
  return leaseId === undefined ? 0 : 1;
}

function writeAttached(out: MessagePackWriter, { leaseId, expiresAtMs }: Attachment): void {
  if (leaseId !== undefined || expiresAtMs !== undefined) out.integer(leaseId ?? 0);
  if (expiresAtMs !== undefined) out.integer(expiresAtMs);
}

function readAttached(input: MessagePackReader): Attachment {
  const leaseId = input.integer("leaseId");
  return attachmentOf(leaseId, input.isAtEnd ? 0 : input.integer("expiresAtMs"));
}

/** A key with its value, null for an absent one. */
export const ENTRY = copiedOnce(nullable(KEY_VALUE));
/** A range of keys with the number of entries that are read of it. */
export const RANGE = recordByHand("range", {
  start: bytes(),
  end: nullable(bytes()),
  limit: integer(),
  reverse: boolean(),
}, {
  write: (out, { start, end, limit, reverse }) => {
    out.binary(start);
    if (end === null) out.nil();
    else out.binary(end);
    out.integer(limit);
    out.boolean(reverse);
  },
  read: (input) => ({
    start: input.binary("range start"),
    end: input.nil() ? null : input.binary("range end"),
    limit: input.integer("range limit"),
    reverse: input.boolean("range reverse"),
  }),
});
/** A page of a listing. */
export const LIST_QUERY = group({
  prefix: bytes(),
  start: nullable(bytes()),
  end: nullable(bytes()),
  after: nullable(bytes()),
  reverse: boolean(),
  limit: integer(),
});
/** One page of a listing. */
export const LIST_PAGE = group({
  entries: list(KEY_VALUE),
  more: boolean(),
  revision: integer(),
  after: trailing(nullable(bytes()), null),
});
/** One page of the history of a key. */
export const HISTORY_PAGE = group({
  versions: list(KEY_VERSION),
  more: boolean(),
  compactedRevision: integer(),
  revision: integer(),
});
/** The range of a scan. */
export const SCAN_QUERY = group({
  start: bytes(),
  end: nullable(bytes()),
  limit: integer(),
  reverse: boolean(),
  keysOnly: boolean(),
  count: boolean(),
});
/** One page of a scan. */
export const SCAN_PAGE = group({
  entries: copiedOnce(list(KEY_VALUE)),
  more: boolean(),
  revision: integer(),
  after: nullable(bytes()),
  count: nullable(integer()),
});

/** Whether a read is linearizable. */
export const CONSISTENCY_NUMBER = numbered(CONSISTENCY);
/** Whether keys that the user may not read are left out, instead of the request being refused. */
export const VISIBLE_ONLY = omittable(boolean(), false);

/** A lease with the time that it has left. */
export const LEASE = {
  leaseId: integer(1),
  ttlMs: integer(1),
  remainingMs: integer(),
  keyCount: integer(),
};
