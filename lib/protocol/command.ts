/**
 * The bytes of commands and of their results: what a client encodes once and every log, frame and replica then
 * carries unread until the state machine applies it.
 *
 * Decoding checks shapes and ranges; whether keys, values and transactions keep the store's limits is checked by the
 * store (lib/kv). The same bytes must decode alike on every replica, so nothing here depends on configuration.
 */
import { SlabCopier } from "../platform/memory/slab.ts";
import { MAX_REMEMBERED_BYTES, type TransactionFailure } from "../kv/branching_command.ts";
import {
  type Command,
  type CommandResult,
  MAX_TRANSACTION_OPERATIONS,
  type PlainCommand,
  type RefusalReason,
  type SessionStamp,
} from "../kv/command.ts";
import type { AuthFailure, Identity, UserStamp } from "../kv/auth/auth_command.ts";
import { type LeaseFailure, MAX_KEEP_ALIVES } from "../kv/leases/lease_command.ts";
import { entryBytes } from "../kv/outcomes.ts";
import { AUTH_CHANGE, AUTHORIZED_ELEMENTS, AUTHORIZED_NUMBER, IdentityReader } from "./auth_command.ts";
import { BRANCHES, OPERATION_OUTCOMES, POSITION } from "./branching_command.ts";
import { DATABASE_RESULTS, DATABASE_WRITE, DATABASES_CHANGE } from "./database_command.ts";
import { DecodeError } from "./errors.ts";
import {
  boolean,
  bytes,
  custom,
  type Field,
  integer,
  list,
  nullable,
  omittable,
  oneOf,
  orNil,
  presence,
  trailing,
} from "./field.ts";
import { KEY_VALUE } from "./key_value.ts";
import { MessagePackReader, type ReaderOptions } from "./msgpack_reader.ts";
import { MessagePackWriter } from "./msgpack_writer.ts";
import { byHand, frame, group, recordByHand, variants } from "./schema.ts";

const SESSION: Field<SessionStamp | null> = nullable(recordByHand("session", {
  sessionId: integer(1),
  sequence: integer(1),
  acknowledgedBelow: integer(),
  openedAt: integer(),
}, {
  write: (out, { sessionId, sequence, acknowledgedBelow, openedAt }) => {
    out.integer(sessionId);
    out.integer(sequence);
    out.integer(acknowledgedBelow);
    out.integer(openedAt);
  },
  read: (input) => ({
    sessionId: input.integer("sessionId", 1),
    sequence: input.integer("sequence", 1),
    acknowledgedBelow: input.integer("acknowledgedBelow"),
    openedAt: input.integer("openedAt"),
  }),
}));

/** A check of a transaction. */
export const CHECK = variants("check", {
  modRevision: frame(1, { key: bytes(), modRevision: integer() }),
  exists: frame(2, { key: bytes(), exists: boolean() }),
  value: frame(3, { key: bytes(), value: bytes() }),
});

/** A mutation of a transaction. */
export const MUTATION = variants("mutation", {
  put: byHand(frame(1, { key: bytes(), value: bytes() }), {
    write: (out, { key, value }) => {
      out.binary(key);
      out.binary(value);
    },
    read: (input) => ({
      kind: "put",
      key: input.binary("mutation key"),
      value: input.binary("mutation value"),
    }),
  }),
  delete: frame(2, { key: bytes() }),
  expiringPut: frame(3, {
    key: bytes(),
    value: bytes(),
    leaseId: nullable(integer(1)),
    expiresAtMs: nullable(integer(1)),
  }),
});

const CHECKS = list(CHECK, MAX_TRANSACTION_OPERATIONS);
const MUTATIONS = list(MUTATION, MAX_TRANSACTION_OPERATIONS);
const RETURN_CURRENT = presence();

const PLAIN_COMMANDS = {
  transaction: byHand(
    frame(1, { session: SESSION, checks: CHECKS, mutations: MUTATIONS, returnCurrent: RETURN_CURRENT }),
    {
      write: (out, { session, checks, mutations, returnCurrent }) => {
        SESSION.write(out, session);
        CHECKS.write(out, checks);
        MUTATIONS.write(out, mutations);
        if (returnCurrent !== undefined) out.boolean(true);
      },
      read: (input) => {
        const session = SESSION.read(input, "session");
        const checks = CHECKS.read(input, "checks");
        const mutations = MUTATIONS.read(input, "mutations");
        const returnCurrent = RETURN_CURRENT.read(input, "returnCurrent");
        return { kind: "transaction", session, checks, mutations, ...(returnCurrent && { returnCurrent }) };
      },
    },
  ),
  registerSession: frame(2, { sessionId: integer(1), openedAt: integer() }),
  expireSessions: frame(3, { elapsedMs: integer() }),
  raiseFeatureLevel: frame(4, { level: integer(1) }),
  compact: frame(5, { revision: integer() }),
  branchingTransaction: frame(6, { session: SESSION, ...BRANCHES }),
  grantLease: frame(7, { session: SESSION, leaseId: integer(1), ttlMs: integer() }),
  revokeLease: frame(8, { session: SESSION, leaseId: integer(1) }),
  keepLeasesAlive: frame(9, { leaseIds: list(integer(1), MAX_KEEP_ALIVES) }),
  deleteExpired: frame(10, { untilMs: integer() }),
  changeAuth: frame(11, { session: SESSION, change: AUTH_CHANGE }),
  databaseWrite: byHand(frame(13, { session: SESSION, ...DATABASE_WRITE }), {
    write: (out, { session, databaseId, credentialId, checks, mutations }) => {
      SESSION.write(out, session);
      out.integer(databaseId);
      out.integer(credentialId);
      DATABASE_WRITE.checks.write(out, checks);
      DATABASE_WRITE.mutations.write(out, mutations);
    },
    read: (input) => ({
      kind: "databaseWrite",
      session: SESSION.read(input, "session"),
      databaseId: DATABASE_WRITE.databaseId.read(input, "databaseId"),
      credentialId: DATABASE_WRITE.credentialId.read(input, "credentialId"),
      checks: DATABASE_WRITE.checks.read(input, "checks"),
      mutations: DATABASE_WRITE.mutations.read(input, "mutations"),
    }),
  }),
  changeDatabases: frame(14, { session: SESSION, change: DATABASES_CHANGE }),
};

/** A command without the identity of a user. */
export const PLAIN_COMMAND = variants("command", PLAIN_COMMANDS);

/** Any of them as an element of an authorized command: a node puts the identity in front of bytes that it does not encode again. */
const EMBEDDED_COMMAND: Field<PlainCommand> = custom("embeddedCommand", {
  write: (out, command) => PLAIN_COMMAND.write(out, command),
  read: (input, name) => PLAIN_COMMAND.read(input, name),
});

/** A command. */
export const COMMAND = variants("command", {
  ...PLAIN_COMMANDS,
  authorized: byHand(
    frame(AUTHORIZED_NUMBER, {
      identity: group({ userId: integer(), credential: integer(), authRevision: integer() }),
      command: EMBEDDED_COMMAND,
    }),
    {
      read: (input) => ({
        kind: "authorized",
        identity: {
          userId: input.integer("userId"),
          credential: input.integer("credential"),
          authRevision: input.integer("authRevision"),
        },
        command: PLAIN_COMMAND.read(input, "command"),
      }),
    },
  ),
});

/** The outcome of a mutation. */
const OUTCOME = variants("outcome", {
  put: byHand(frame(1, { createRevision: integer(1), version: integer(1) }), {
    write: (out, { createRevision, version }) => {
      out.integer(createRevision);
      out.integer(version);
    },
    read: (input) => ({
      kind: "put",
      createRevision: input.integer("createRevision", 1),
      version: input.integer("version", 1),
    }),
  }),
  delete: frame(2, { deleted: boolean() }),
});

const OUTCOMES = list(OUTCOME, MAX_TRANSACTION_OPERATIONS);

/** The result of a command. */
export const RESULT = variants("result", {
  applied: byHand(frame(1, { revision: integer(), outcomes: OUTCOMES }), {
    write: (out, { revision, outcomes }) => {
      out.integer(revision);
      OUTCOMES.write(out, outcomes);
    },
    read: (input) => ({
      kind: "applied",
      revision: input.integer("revision"),
      outcomes: OUTCOMES.read(input, "outcomes"),
    }),
  }),
  checksFailed: frame(2, {
    revision: integer(),
    failedChecks: list(integer(), MAX_TRANSACTION_OPERATIONS),
    current: omittable(nullable(KEY_VALUE), "omitted"),
  }),
  sessionRegistered: frame(3, {}),
  sessionsExpired: frame(4, { expired: integer(), endedLeases: trailing(integer(), 0) }),
  featureLevelRaised: frame(6, { level: integer(1) }),
  compacted: frame(7, {
    revision: integer(),
    before: trailing(integer(), 0),
    present: trailing(integer(), 0),
  }),
  executed: frame(8, {
    revision: integer(),
    succeeded: boolean(),
    outcomes: orNil(OPERATION_OUTCOMES, "omitted"),
  }),
  transactionFailed: frame(9, {
    revision: integer(),
    reason: oneOf<TransactionFailure>({
      tooManyKeys: true,
      resultTooLarge: true,
      notANumber: true,
      keyNotFound: true,
      compacted: true,
      futureRevision: true,
      leaseNotFound: true,
      tooManyLeaseKeys: true,
    }),
    position: POSITION,
  }),
  leaseGranted: frame(10, { revision: integer(), ttlMs: integer(1) }),
  leaseRevoked: frame(11, { revision: integer(), deleted: integer() }),
  leaseFailed: frame(12, {
    revision: integer(),
    reason: oneOf<LeaseFailure>({ leaseExists: true, leaseNotFound: true, tooManyLeases: true }),
  }),
  leasesKeptAlive: frame(13, { ttlsMs: list(integer(), MAX_KEEP_ALIVES) }),
  expiredDeleted: frame(14, { revision: integer(), deleted: integer() }),
  authChanged: frame(15, { authRevision: integer() }),
  authFailed: frame(16, {
    reason: oneOf<AuthFailure>({
      userExists: true,
      userNotFound: true,
      roleExists: true,
      roleNotFound: true,
      tokenExists: true,
      tokenNotFound: true,
      grantNotFound: true,
      noRoot: true,
      lastRoot: true,
      rootRole: true,
      tooMany: true,
    }),
  }),
  refused: frame(5, {
    reason: oneOf<RefusalReason>({
      sessionExpired: true,
      answerForgotten: true,
      invalidCommand: true,
      futureRevision: true,
      unauthenticated: true,
      permissionDenied: true,
      databaseNotFound: true,
    }),
  }),
  ...DATABASE_RESULTS,
});

/** The commands whose first field is a session stamp. */
const STAMPED: readonly number[] = [
  COMMAND.numbers.transaction,
  COMMAND.numbers.branchingTransaction,
  COMMAND.numbers.grantLease,
  COMMAND.numbers.revokeLease,
  COMMAND.numbers.changeAuth,
  COMMAND.numbers.databaseWrite,
  COMMAND.numbers.changeDatabases,
];

const COMMAND_OPTIONS: ReaderOptions = { what: "a command", copies: false };
const COMMAND_READER = new MessagePackReader(new Uint8Array(0), COMMAND_OPTIONS);
const IDENTITIES = new IdentityReader();
/** The buffer in which every value is encoded before it is copied out. */
const SCRATCH = new MessagePackWriter();
/** Commands in one slab live about as long as each other: until they are answered. */
const COMMANDS = new SlabCopier();
/** The buffer of {@link encodeResultInPlace}. */
const IN_PLACE = new MessagePackWriter();
/** Room for a value of 1 MiB: growing the buffer again took 6 % of the time of a client with values of 64 KiB. */
const SCRATCH_RETAINED_BYTES = 2_097_152;

/** Encodes a command as bytes that the caller owns. In a slab: a buffer for each cost a client 9 of 28 µs a put. */
export function encodeCommand(command: Command): Uint8Array {
  SCRATCH.clear(SCRATCH_RETAINED_BYTES);
  COMMAND.write(SCRATCH, command);
  return COMMANDS.copy(SCRATCH.view());
}

/** Encodes the result of a command as bytes that the caller owns. */
export function encodeResult(result: CommandResult): Uint8Array {
  SCRATCH.clear(SCRATCH_RETAINED_BYTES);
  RESULT.write(SCRATCH, result);
  return SCRATCH.copy();
}

/** Encodes a result as bytes that are valid until the next call, for a caller that copies them into a frame at once. */
export function encodeResultInPlace(result: CommandResult): Uint8Array {
  IN_PLACE.clear(SCRATCH_RETAINED_BYTES);
  RESULT.write(IN_PLACE, result);
  return IN_PLACE.view();
}

/**
 * Decodes a command; throws DecodeError. Its keys and values are views of `bytes`, which the caller must own.
 */
export function decodeCommand(bytes: Uint8Array): Command {
  const begin = IDENTITIES.read(bytes);
  COMMAND_READER.restart(bytes, COMMAND_OPTIONS, begin);
  try {
    if (begin === 0) {
      const command = COMMAND.read(COMMAND_READER, "command");
      COMMAND_READER.end();
      return command;
    }
    const command = PLAIN_COMMAND.read(COMMAND_READER, "command");
    COMMAND_READER.end();
    return { kind: "authorized", identity: IDENTITIES.identity, command };
  } finally {
    COMMAND_READER.release();
  }
}

/** Returns the first bytes of all authorized commands of an identity, for {@link wrapAuthorized}. */
export function authorizedHead({ userId, credential, authRevision }: Identity): Uint8Array {
  SCRATCH.clear(SCRATCH_RETAINED_BYTES);
  SCRATCH.array(AUTHORIZED_ELEMENTS);
  SCRATCH.integer(AUTHORIZED_NUMBER);
  SCRATCH.integer(userId);
  SCRATCH.integer(credential);
  SCRATCH.integer(authRevision);
  return SCRATCH.copy();
}

/** Returns a copy of an encoded command, which the caller owns. */
export function ownedCommand(bytes: Uint8Array): Uint8Array {
  return COMMANDS.copy(bytes);
}

/**
 * Adds an identity to an encoded command, and returns the bytes of the authorized command, which the caller owns. `head` is
 * of {@link authorizedHead}. They are valid if, and only if, the bytes are those of a valid command without an identity.
 */
export function wrapAuthorized(head: Uint8Array, command: Uint8Array): Uint8Array {
  const wrapped = COMMANDS.take(head.length + command.length);
  for (let position = 0; position < head.length; position++) wrapped[position] = head[position] ?? 0;
  wrapped.set(command, head.length);
  return wrapped;
}

/** Whether the bytes are those of a command with the identity of a user, by its kind alone. */
export function isAuthorized(bytes: Uint8Array): boolean {
  return peek(bytes, (kind) => kind === AUTHORIZED_NUMBER) ?? false;
}

/**
 * Returns the session stamp of a command, with its user if it has one, without decoding the rest; null where it has none
 * or the bytes are no command.
 */
export function peekSessionStamp(bytes: Uint8Array): UserStamp | null {
  return peek(bytes, (kind, input) => {
    if (kind !== AUTHORIZED_NUMBER) return readStamp(kind, input);
    const userId = input.integer("userId");
    const stamp = readStamp(openCommandOfUser(input), input);
    return stamp === null ? null : { ...stamp, userId };
  });
}

/** Whether the bytes are those of a command that keeps leases alive, with an identity or without, by its kind alone. */
export function isKeepAlive(bytes: Uint8Array): boolean {
  const isOfKind = (kind: number): boolean => kind === COMMAND.numbers.keepLeasesAlive;
  return peek(bytes, (kind, input) => {
    if (kind !== AUTHORIZED_NUMBER) return isOfKind(kind);
    input.integer("userId");
    return isOfKind(openCommandOfUser(input));
  }) ?? false;
}

/** Returns the stamp of a plain command of a kind; null where the kind has none. */
function readStamp(kind: number, input: MessagePackReader): SessionStamp | null {
  return STAMPED.includes(kind) ? SESSION.read(input, "session") : null;
}

/** Passes over the rest of an identity, and returns the kind of the command behind it. */
function openCommandOfUser(input: MessagePackReader): number {
  for (const name of ["credential", "authRevision"]) input.integer(name);
  input.open("command");
  return input.integer("command kind");
}

/** Returns what `read` returns for the start of a command; null where the bytes are no command. */
function peek<T>(bytes: Uint8Array, read: (kind: number, input: MessagePackReader) => T): T | null {
  try {
    const input = new MessagePackReader(bytes, { what: "a command", copies: false });
    input.open("the command");
    return read(input.integer("kind"), input);
  } catch (error) {
    if (error instanceof DecodeError) return null;
    throw error;
  }
}

/** Decodes a result; throws DecodeError. Its bytes are views of `bytes`, which the caller must own. */
export function decodeResult(bytes: Uint8Array): CommandResult {
  const input = new MessagePackReader(bytes, { what: "a command's result", copies: false });
  const result = RESULT.read(input, "result");
  input.end();
  return result;
}

/**
 * Returns the same result without the values that it may include (of outcomes: if there are more than MAX_REMEMBERED_BYTES
 * of entries), as bytes that the caller owns or those that were given.
 * Bytes that are no result stay as they are: their reader refuses them.
 */
export function withoutValues(bytes: Uint8Array): Uint8Array {
  try {
    const result = decodeResult(bytes);
    if (result.kind === "checksFailed") return encodeResult({ ...result, current: "omitted" });
    if (result.kind !== "executed" || result.outcomes === "omitted") return bytes;
    const isShort = entryBytes(result.outcomes) <= MAX_REMEMBERED_BYTES;
    return isShort ? bytes : encodeResult({ ...result, outcomes: "omitted" });
  } catch (error) {
    if (error instanceof DecodeError) return bytes;
    throw error;
  }
}
