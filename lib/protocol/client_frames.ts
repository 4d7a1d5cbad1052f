/**
 * The frames between clients and nodes after the hello. Layouts are in docs/protocol.md; the numbers in kinds.ts.
 *
 * What is decoded has the right shape and its bytes are the caller's own; whether keys and values keep the store's
 * limits is checked by the server, which can say so without ending the connection.
 */
import { assertNever } from "../platform/assert.ts";
import type { KeyValue, ListPage } from "../kv/command.ts";
import type { ClientRequest, Consistency, ErrorResponse, ServerMessage } from "./messages.ts";
import {
  readAdminAnswer,
  readAdminRequest,
  readMembershipChanged,
  readMembersNotice,
  writeAdminMessage,
  writeAdminRequest,
} from "./admin_codec.ts";
import type { ListRequest } from "./messages.ts";
import { DecodeError } from "./errors.ts";
import { readKeyValue, readKeyValueOrNull, writeKeyValue, writeKeyValueOrNil } from "./key_value_codec.ts";
import { CONSISTENCY, FRAME_KIND } from "./kinds.ts";
import { MessagePackReader } from "./msgpack_reader.ts";
import type { MessagePackWriter } from "./msgpack_writer.ts";
import { readErrorCode, readMessageText, readOutcome, readResultBytes } from "./answer_fields.ts";
import { readStatus, writeStatus } from "./status_codec.ts";
import { SlabCopier } from "../platform/slab.ts";

/** What requests bring: it lives until they are answered, or while its entry is in memory. */
const REQUESTS = new SlabCopier();

/** Writes a request's payload. */
export function encodeClientRequest(out: MessagePackWriter, request: ClientRequest): void {
  const begin = (fields: number): void => {
    out.array(2 + fields);
    out.integer(FRAME_KIND[request.kind]);
    out.integer(request.requestId);
  };
  switch (request.kind) {
    case "write":
      begin(1);
      out.binary(request.command);
      break;
    case "get":
      begin(2);
      out.binary(request.key);
      out.integer(CONSISTENCY[request.consistency]);
      break;
    case "list":
      begin(7);
      writeList(out, request);
      break;
    case "status":
    case "stateHash":
      begin(0);
      break;
    case "transferLeadership":
      begin(1);
      out.integerOrNil(request.target);
      break;
    case "changeMembership":
    case "takeSnapshot":
    case "readSnapshot":
    case "closeSnapshot":
      writeAdminRequest(out, request);
      break;
    default:
      assertNever(request);
  }
}

/** Reads a request's payload; the bytes in it are the caller's own. Throws DecodeError. */
export function decodeClientRequest(payload: Uint8Array): ClientRequest {
  const input = new MessagePackReader(payload, { what: "a client's frame", copies: REQUESTS });
  input.open("the frame");
  const request = readRequest(input);
  input.close();
  input.end();
  return request;
}

/** The request id of a frame that could not be decoded, as far as it can be read; else 0. */
export function requestIdOf(payload: Uint8Array): number {
  const input = new MessagePackReader(payload, { what: "a client's frame", copies: false });
  try {
    input.open("the frame");
    input.integer("kind");
    return input.integer("requestId", 1);
  } catch (error) {
    if (error instanceof DecodeError) return 0;
    throw error;
  }
}

/** Writes the payload of what a node says to a client. */
export function encodeServerMessage(out: MessagePackWriter, message: ServerMessage): void {
  switch (message.kind) {
    case "writeResult":
      out.array(3);
      out.integer(FRAME_KIND.writeResult);
      out.integer(message.requestId);
      out.binary(message.result);
      break;
    case "getResult":
      out.array(4);
      out.integer(FRAME_KIND.getResult);
      out.integer(message.requestId);
      writeKeyValueOrNil(out, message.entry);
      out.integer(message.revision);
      break;
    case "listResult":
      out.array(5);
      out.integer(FRAME_KIND.listResult);
      out.integer(message.requestId);
      writePage(out, message.page);
      break;
    case "statusResult":
      writeStatus(out, message);
      break;
    case "stateHashResult":
      out.array(5);
      out.integer(FRAME_KIND.stateHashResult);
      out.integer(message.requestId);
      out.integer(message.appliedIndex);
      out.integer(message.revision);
      out.string(message.hash);
      break;
    case "transferLeadershipResult":
      out.array(3);
      out.integer(FRAME_KIND.transferLeadershipResult);
      out.integer(message.requestId);
      out.integer(message.leader);
      break;
    case "error":
      writeError(out, message);
      break;
    case "leader":
      out.array(3);
      out.integer(FRAME_KIND.leader);
      out.integerOrNil(message.leader);
      out.integer(message.term);
      break;
    case "membershipChanged":
    case "snapshotTaken":
    case "snapshotPart":
    case "snapshotClosed":
    case "members":
      writeAdminMessage(out, message);
      break;
    default:
      assertNever(message);
  }
}

/** Reads the payload of what a node says to a client; the bytes in it are the caller's own. Throws DecodeError. */
export function decodeServerMessage(payload: Uint8Array): ServerMessage {
  const input = new MessagePackReader(payload, { what: "a node's frame", copies: true });
  input.open("the frame");
  const kind = input.integer("kind");
  switch (kind) {
    case FRAME_KIND.statusResult:
      return readStatus(payload);
    case FRAME_KIND.membershipChanged:
      return readMembershipChanged(payload);
    case FRAME_KIND.members:
      return readMembersNotice(payload);
    default: {
      const message = readServerMessage(input, kind);
      input.close();
      input.end();
      return message;
    }
  }
}

function writeList(out: MessagePackWriter, { query, consistency }: ListRequest): void {
  out.binary(query.prefix);
  out.binaryOrNil(query.start);
  out.binaryOrNil(query.end);
  out.binaryOrNil(query.after);
  out.boolean(query.reverse);
  out.integer(query.limit);
  out.integer(CONSISTENCY[consistency]);
}

function writePage(out: MessagePackWriter, page: ListPage): void {
  out.array(page.entries.length);
  for (const entry of page.entries) writeKeyValue(out, entry);
  out.boolean(page.more);
  out.integer(page.revision);
}

function writeError(out: MessagePackWriter, error: ErrorResponse): void {
  out.array(6);
  out.integer(FRAME_KIND.error);
  out.integer(error.requestId);
  out.string(error.code);
  out.string(error.message);
  out.string(error.outcome);
  out.integerOrNil(error.leader);
}

function readRequest(input: MessagePackReader): ClientRequest {
  const kind = input.integer("kind");
  switch (kind) {
    case FRAME_KIND.write:
      input.setWhat("write");
      return { kind: "write", requestId: readRequestId(input), command: input.binary("command") };
    case FRAME_KIND.get:
      input.setWhat("get");
      return {
        kind: "get",
        requestId: readRequestId(input),
        key: input.binary("key"),
        consistency: readConsistency(input),
      };
    case FRAME_KIND.list:
      input.setWhat("list");
      return readList(input);
    case FRAME_KIND.status:
      input.setWhat("status");
      return { kind: "status", requestId: readRequestId(input) };
    case FRAME_KIND.stateHash:
      input.setWhat("stateHash");
      return { kind: "stateHash", requestId: readRequestId(input) };
    case FRAME_KIND.transferLeadership:
      input.setWhat("transferLeadership");
      return {
        kind: "transferLeadership",
        requestId: readRequestId(input),
        target: input.integerOrNull("target", 1),
      };
    default:
      return readAdminRequest(input, kind);
  }
}

function readRequestId(input: MessagePackReader): number {
  return input.integer("requestId", 1);
}

function readList(input: MessagePackReader): ListRequest {
  const requestId = readRequestId(input);
  const query = {
    prefix: input.binary("prefix"),
    start: input.binaryOrNull("start"),
    end: input.binaryOrNull("end"),
    after: input.binaryOrNull("after"),
    reverse: input.boolean("reverse"),
    limit: input.integer("limit"),
  };
  return { kind: "list", requestId, query, consistency: readConsistency(input) };
}

function readConsistency(input: MessagePackReader): Consistency {
  const consistency = input.integer("consistency");
  if (consistency === CONSISTENCY.linearizable) return "linearizable";
  if (consistency === CONSISTENCY.stale) return "stale";
  throw input.error("consistency", "must be 1 for linearizable or 2 for stale");
}

function readServerMessage(input: MessagePackReader, kind: number): ServerMessage {
  switch (kind) {
    case FRAME_KIND.writeResult:
      input.setWhat("writeResult");
      return { kind: "writeResult", requestId: readRequestId(input), result: readResultBytes(input) };
    case FRAME_KIND.getResult:
      input.setWhat("getResult");
      input.own(); // key and value in one buffer
      return {
        kind: "getResult",
        requestId: readRequestId(input),
        entry: readKeyValueOrNull(input, "entry"),
        revision: input.integer("revision"),
      };
    case FRAME_KIND.listResult:
      input.setWhat("listResult");
      return { kind: "listResult", requestId: readRequestId(input), page: readPage(input) };
    case FRAME_KIND.stateHashResult:
      input.setWhat("stateHashResult");
      return {
        kind: "stateHashResult",
        requestId: readRequestId(input),
        appliedIndex: input.integer("appliedIndex"),
        revision: input.integer("revision"),
        hash: input.string("hash"),
      };
    case FRAME_KIND.transferLeadershipResult:
      input.setWhat("transferLeadershipResult");
      return {
        kind: "transferLeadershipResult",
        requestId: readRequestId(input),
        leader: input.integer("leader", 1),
      };
    case FRAME_KIND.error:
      input.setWhat("error");
      return {
        kind: "error",
        requestId: input.integer("requestId"),
        code: readErrorCode(input),
        message: readMessageText(input),
        outcome: readOutcome(input),
        leader: input.integerOrNull("leader", 1),
      };
    case FRAME_KIND.leader:
      input.setWhat("leader");
      return { kind: "leader", leader: input.integerOrNull("leader", 1), term: input.integer("term") };
    default:
      return readAdminAnswer(input, kind);
  }
}

function readPage(input: MessagePackReader): ListPage {
  const count = input.open("entries");
  const entries: KeyValue[] = [];
  for (let position = 0; position < count; position++) entries.push(readKeyValue(input, "entry"));
  input.close();
  return { entries, more: input.boolean("more"), revision: input.integer("revision") };
}
