/**
 * The bytes of commands and of their results: what a client encodes once and every log, frame and replica then
 * carries unread until the state machine applies it.
 *
 * Decoding checks shapes and ranges; whether keys, values and transactions keep the store's limits is the store's
 * to say (lib/kv). The same bytes must decode alike on every replica, so nothing here depends on configuration.
 */
import { assertNever } from "../platform/assert.ts";
import { shortened } from "../platform/errors.ts";
import { SlabCopier } from "../platform/slab.ts";
import {
  type Check,
  type Command,
  type CommandResult,
  MAX_TRANSACTION_OPERATIONS,
  type Mutation,
  type MutationOutcome,
  type RefusalReason,
  type SessionStamp,
} from "../kv/command.ts";
import { DecodeError } from "./errors.ts";
import { readKeyValueOrNull, writeKeyValueOrNil } from "./key_value_codec.ts";
import { CHECK_KIND, COMMAND_KIND, MUTATION_KIND, OUTCOME_KIND, RESULT_KIND } from "./kinds.ts";
import { MessagePackReader } from "./msgpack_reader.ts";
import { MessagePackWriter } from "./msgpack_writer.ts";

const REFUSAL_REASONS = [
  "sessionExpired",
  "answerForgotten",
  "invalidCommand",
] as const satisfies RefusalReason[];

/** Where everything is encoded before it is copied out: one encoding is over before the next begins. */
const SCRATCH = new MessagePackWriter();
/** Commands wait for their answers about as long as those encoded before and after them. */
const COMMANDS = new SlabCopier();
/** Where {@link encodeResultInPlace} leaves what it encoded. */
const IN_PLACE = new MessagePackWriter();
/** Room for a value of 1 MiB: growing to it anew was 6 % of a client with values of 64 KiB (profile). */
const SCRATCH_RETAINED_BYTES = 2_097_152;

/** Encodes a command as bytes that the caller owns. In a slab: a buffer for each cost a client 9 of 28 µs a put. */
export function encodeCommand(command: Command): Uint8Array {
  SCRATCH.clear(SCRATCH_RETAINED_BYTES);
  writeCommand(SCRATCH, command);
  return COMMANDS.copy(SCRATCH.view());
}

/** Encodes the result of a command as bytes that the caller owns. */
export function encodeResult(result: CommandResult): Uint8Array {
  SCRATCH.clear(SCRATCH_RETAINED_BYTES);
  writeResult(SCRATCH, result);
  return SCRATCH.copy();
}

/** The same as bytes that are good until the next call: for whoever copies them into a frame at once. */
export function encodeResultInPlace(result: CommandResult): Uint8Array {
  IN_PLACE.clear(SCRATCH_RETAINED_BYTES);
  writeResult(IN_PLACE, result);
  return IN_PLACE.view();
}

/**
 * Decodes a command; throws DecodeError. Its keys and values are views of `bytes`, which the caller must own.
 */
export function decodeCommand(bytes: Uint8Array): Command {
  const input = new MessagePackReader(bytes, { what: "a command", copies: false });
  input.open("the command");
  const command = readCommand(input);
  input.close();
  input.end();
  return command;
}

/** The stamp of a command without reading what follows it; null where there is none, or the bytes are no command. */
export function peekSessionStamp(bytes: Uint8Array): SessionStamp | null {
  try {
    const input = new MessagePackReader(bytes, { what: "a command", copies: false });
    input.open("the command");
    return input.integer("kind") === COMMAND_KIND.transaction ? readSession(input) : null;
  } catch (error) {
    if (error instanceof DecodeError) return null;
    throw error;
  }
}

/** Decodes a result; throws DecodeError. Its bytes are views of `bytes`, which the caller must own. */
export function decodeResult(bytes: Uint8Array): CommandResult {
  const input = new MessagePackReader(bytes, { what: "a command's result", copies: false });
  input.open("the result");
  const result = readResult(input);
  input.close();
  input.end();
  return result;
}

/**
 * Returns the same result without the value that it may include, as bytes that the caller owns or those that were given.
 * Bytes that are no result stay as they are: their reader refuses them.
 */
export function withoutCurrent(bytes: Uint8Array): Uint8Array {
  try {
    const result = decodeResult(bytes);
    return result.kind === "checksFailed" ? encodeResult({ ...result, current: "omitted" }) : bytes;
  } catch (error) {
    if (error instanceof DecodeError) return bytes;
    throw error;
  }
}

function writeCommand(out: MessagePackWriter, command: Command): void {
  switch (command.kind) {
    case "transaction":
      out.array(command.returnCurrent === undefined ? 4 : 5);
      out.integer(COMMAND_KIND.transaction);
      writeSession(out, command.session);
      out.array(command.checks.length);
      for (const check of command.checks) writeCheck(out, check);
      out.array(command.mutations.length);
      for (const mutation of command.mutations) writeMutation(out, mutation);
      if (command.returnCurrent !== undefined) out.boolean(true);
      break;
    case "registerSession":
      out.array(3);
      out.integer(COMMAND_KIND.registerSession);
      out.integer(command.sessionId);
      out.integer(command.openedAt);
      break;
    case "expireSessions":
      out.array(2);
      out.integer(COMMAND_KIND.expireSessions);
      out.integer(command.elapsedMs);
      break;
    default:
      assertNever(command);
  }
}

function writeResult(out: MessagePackWriter, result: CommandResult): void {
  switch (result.kind) {
    case "applied":
      out.array(3);
      out.integer(RESULT_KIND.applied);
      out.integer(result.revision);
      out.array(result.outcomes.length);
      for (const outcome of result.outcomes) writeOutcome(out, outcome);
      break;
    case "checksFailed":
      out.array(result.current === "omitted" ? 3 : 4);
      out.integer(RESULT_KIND.checksFailed);
      out.integer(result.revision);
      out.array(result.failedChecks.length);
      for (const position of result.failedChecks) out.integer(position);
      if (result.current !== "omitted") writeKeyValueOrNil(out, result.current);
      break;
    case "sessionRegistered":
      out.array(1);
      out.integer(RESULT_KIND.sessionRegistered);
      break;
    case "sessionsExpired":
      out.array(2);
      out.integer(RESULT_KIND.sessionsExpired);
      out.integer(result.expired);
      break;
    case "refused":
      out.array(2);
      out.integer(RESULT_KIND.refused);
      out.string(result.reason);
      break;
    default:
      assertNever(result);
  }
}

function writeSession(out: MessagePackWriter, session: SessionStamp | null): void {
  if (session === null) {
    out.nil();
    return;
  }
  out.array(4);
  out.integer(session.sessionId);
  out.integer(session.sequence);
  out.integer(session.acknowledgedBelow);
  out.integer(session.openedAt);
}

function writeCheck(out: MessagePackWriter, check: Check): void {
  out.array(3);
  out.integer(CHECK_KIND[check.kind]);
  out.binary(check.key);
  switch (check.kind) {
    case "modRevision":
      out.integer(check.modRevision);
      break;
    case "exists":
      out.boolean(check.exists);
      break;
    case "value":
      out.binary(check.value);
      break;
    default:
      assertNever(check);
  }
}

function writeMutation(out: MessagePackWriter, mutation: Mutation): void {
  switch (mutation.kind) {
    case "put":
      out.array(3);
      out.integer(MUTATION_KIND.put);
      out.binary(mutation.key);
      out.binary(mutation.value);
      break;
    case "delete":
      out.array(2);
      out.integer(MUTATION_KIND.delete);
      out.binary(mutation.key);
      break;
    default:
      assertNever(mutation);
  }
}

function writeOutcome(out: MessagePackWriter, outcome: MutationOutcome): void {
  switch (outcome.kind) {
    case "put":
      out.array(3);
      out.integer(OUTCOME_KIND.put);
      out.integer(outcome.createRevision);
      out.integer(outcome.version);
      break;
    case "delete":
      out.array(2);
      out.integer(OUTCOME_KIND.delete);
      out.boolean(outcome.deleted);
      break;
    default:
      assertNever(outcome);
  }
}

function readCommand(input: MessagePackReader): Command {
  const kind = input.integer("kind");
  switch (kind) {
    case COMMAND_KIND.transaction: {
      input.setWhat("a transaction");
      const session = readSession(input);
      const checks = readSome(input, { field: "checks", read: readCheck });
      const mutations = readSome(input, { field: "mutations", read: readMutation });
      const returnCurrent = !input.isAtEnd && input.boolean("returnCurrent");
      return { kind: "transaction", session, checks, mutations, ...(returnCurrent ? { returnCurrent } : {}) };
    }
    case COMMAND_KIND.registerSession:
      input.setWhat("a session's registration");
      return {
        kind: "registerSession",
        sessionId: input.integer("sessionId", 1),
        openedAt: input.integer("openedAt"),
      };
    case COMMAND_KIND.expireSessions:
      input.setWhat("an expiry of sessions");
      return { kind: "expireSessions", elapsedMs: input.integer("elapsedMs") };
    default:
      throw input.error("kind", `${kind} is not known to this version`);
  }
}

function readSession(input: MessagePackReader): SessionStamp | null {
  if (input.nil()) return null;
  input.open("session");
  const session = {
    sessionId: input.integer("sessionId", 1),
    sequence: input.integer("sequence", 1),
    acknowledgedBelow: input.integer("acknowledgedBelow"),
    openedAt: input.integer("openedAt"),
  };
  input.close();
  return session;
}

/** Reads an array of at most as many elements as a transaction may have operations. */
function readSome<T>(
  input: MessagePackReader,
  list: { readonly field: string; readonly read: (input: MessagePackReader) => T },
): readonly T[] {
  const count = input.open(list.field);
  if (count > MAX_TRANSACTION_OPERATIONS) {
    throw input.error(list.field, `must not have more than ${MAX_TRANSACTION_OPERATIONS} elements`);
  }
  const values: T[] = [];
  for (let position = 0; position < count; position++) values.push(list.read(input));
  input.close();
  return values;
}

function readCheck(input: MessagePackReader): Check {
  input.open("check");
  const kind = input.integer("check kind");
  const key = input.binary("check key");
  const check = readCondition(input, { kind, key });
  input.close();
  return check;
}

function readCondition(
  input: MessagePackReader,
  head: { readonly kind: number; readonly key: Uint8Array },
): Check {
  const { kind, key } = head;
  switch (kind) {
    case CHECK_KIND.modRevision:
      return { kind: "modRevision", key, modRevision: input.integer("check modRevision") };
    case CHECK_KIND.exists:
      return { kind: "exists", key, exists: input.boolean("check exists") };
    case CHECK_KIND.value:
      return { kind: "value", key, value: input.binary("check value") };
    default:
      throw input.error("check kind", `${kind} is not known to this version`);
  }
}

function readMutation(input: MessagePackReader): Mutation {
  input.open("mutation");
  const kind = input.integer("mutation kind");
  const key = input.binary("mutation key");
  let mutation: Mutation;
  if (kind === MUTATION_KIND.put) mutation = { kind: "put", key, value: input.binary("mutation value") };
  else if (kind === MUTATION_KIND.delete) mutation = { kind: "delete", key };
  else throw input.error("mutation kind", `${kind} is not known to this version`);
  input.close();
  return mutation;
}

function readResult(input: MessagePackReader): CommandResult {
  const kind = input.integer("kind");
  switch (kind) {
    case RESULT_KIND.applied:
      return {
        kind: "applied",
        revision: input.integer("revision", 1),
        outcomes: readSome(input, { field: "outcomes", read: readOutcome }),
      };
    case RESULT_KIND.checksFailed:
      return {
        kind: "checksFailed",
        revision: input.integer("revision"),
        failedChecks: readSome(input, { field: "failedChecks", read: () => input.integer("failedChecks") }),
        current: input.isAtEnd ? "omitted" : readKeyValueOrNull(input, "current"),
      };
    case RESULT_KIND.sessionRegistered:
      return { kind: "sessionRegistered" };
    case RESULT_KIND.sessionsExpired:
      return { kind: "sessionsExpired", expired: input.integer("expired") };
    case RESULT_KIND.refused: {
      const text = input.string("reason");
      const reason = REFUSAL_REASONS.find((known) => known === text);
      if (reason === undefined) {
        throw input.error("reason", `"${shortened(text)}" is not known to this version`);
      }
      return { kind: "refused", reason };
    }
    default:
      throw input.error("kind", `${kind} is not known to this version`);
  }
}

function readOutcome(input: MessagePackReader): MutationOutcome {
  input.open("outcome");
  const kind = input.integer("outcome kind");
  let outcome: MutationOutcome;
  if (kind === OUTCOME_KIND.put) {
    outcome = {
      kind: "put",
      createRevision: input.integer("createRevision", 1),
      version: input.integer("version", 1),
    };
  } else if (kind === OUTCOME_KIND.delete) {
    outcome = { kind: "delete", deleted: input.boolean("deleted") };
  } else {
    throw input.error("outcome kind", `${kind} is not known to this version`);
  }
  input.close();
  return outcome;
}
