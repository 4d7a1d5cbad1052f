/**
 * The frames between nodes: every message of the core, writes passed on to the leader, pieces of snapshots, and the
 * links' own sign of life. Layouts are in docs/protocol.md; the numbers in kinds.ts.
 *
 * What is decoded has been checked field by field, so that the core may take it as its own kind of message: integers
 * in range, entries consecutive and with terms that never fall, configurations that hold together, nothing that points
 * beyond its own request.
 */
import { assertNever } from "../platform/assert.ts";
import type { AppendEntries, AppendEntriesResponse, Message } from "../raft/message.ts";
import type { Entry, EntryKind } from "../raft/types.ts";
import type { ForwardRequest, ForwardResponse } from "./messages.ts";
import { decodeConfiguration } from "./configuration.ts";
import { UnknownKindError } from "./errors.ts";
import { ANSWER_KIND, ENTRY_KIND, FRAME_KIND } from "./kinds.ts";
import { MAX_CONFIGURATION_BYTES, MAX_PEER_ENTRY_BYTES } from "./frame_bounds.ts";
import { MAX_APPEND_ENTRIES } from "./limits.ts";
import { MessagePackReader } from "./msgpack_reader.ts";
import type { MessagePackWriter } from "./msgpack_writer.ts";
import { readErrorCode, readMessageText, readOutcome, readResultBytes } from "./answer_fields.ts";
import {
  readSnapshotChunk,
  readSnapshotProgress,
  readTerm,
  type SnapshotChunk,
  type SnapshotProgress,
  writeSnapshotChunk,
  writeSnapshotProgress,
} from "./snapshot_frames.ts";

/** Entries that are larger than this on average are copied one by one. */
const OWN_COPY_BYTES = 4_096;

/** The core's messages that travel. A node hears `installSnapshot` from itself, once it has received a snapshot whole. */
export type WireMessage = Exclude<Message, { readonly kind: "installSnapshot" }>;

/** What the server sends to another node. */
export type PeerMessage = WireMessage | ForwardRequest | ForwardResponse | SnapshotChunk | SnapshotProgress;

/** Asks the other end of a lane for a {@link Pong}; the links' own, never seen by the server. */
export interface Ping {
  readonly kind: "ping";
}

/** The only frame that goes from the accepting to the dialling node. */
export interface Pong {
  readonly kind: "pong";
}

/** Every frame between nodes after the hello. */
export type PeerFrame = PeerMessage | Ping | Pong;

/** Writes a frame's payload. */
export function encodePeerFrame(out: MessagePackWriter, frame: PeerFrame): void {
  switch (frame.kind) {
    case "ping":
    case "pong":
      out.array(1);
      out.integer(FRAME_KIND[frame.kind]);
      break;
    case "forward":
      out.array(3);
      out.integer(FRAME_KIND.forward);
      out.integer(frame.forwardId);
      out.binary(frame.command);
      break;
    case "forwardResult":
      writeForwardResult(out, frame);
      break;
    case "snapshotChunk":
      writeSnapshotChunk(out, frame);
      break;
    case "snapshotProgress":
      writeSnapshotProgress(out, frame);
      break;
    default:
      writeMessage(out, frame);
  }
}

/** Reads a frame's payload; the bytes in what it gives are the caller's own. Throws DecodeError. */
export function decodePeerFrame(payload: Uint8Array): PeerFrame {
  const input = new MessagePackReader(payload, { what: "a peer's frame", copies: true });
  input.open("the frame");
  const frame = readFrame(input);
  input.close();
  input.end();
  return frame;
}

function writeMessage(out: MessagePackWriter, message: WireMessage): void {
  const begin = (fields: number): void => {
    out.array(4 + fields);
    out.integer(FRAME_KIND[message.kind]);
    out.integer(message.from);
    out.integer(message.to);
    out.integer(message.term);
  };
  switch (message.kind) {
    case "preVote":
      begin(2);
      out.integer(message.lastLogIndex);
      out.integer(message.lastLogTerm);
      break;
    case "requestVote":
      begin(3);
      out.integer(message.lastLogIndex);
      out.integer(message.lastLogTerm);
      out.boolean(message.leadershipTransfer);
      break;
    case "preVoteResponse":
    case "requestVoteResponse":
      begin(1);
      out.boolean(message.granted);
      break;
    case "appendEntries":
      begin(4);
      writeAppend(out, message);
      break;
    case "appendEntriesResponse":
      begin(1);
      writeAppendResult(out, message.result);
      break;
    case "heartbeat":
      begin(2);
      out.integer(message.leaderCommit);
      out.integer(message.round);
      break;
    case "heartbeatResponse":
      begin(3);
      out.integer(message.round);
      out.integer(message.promisedMs);
      out.boolean(message.hasRoom);
      break;
    case "timeoutNow":
      begin(0);
      break;
    case "readIndex":
      begin(1);
      out.integer(message.readId);
      break;
    case "readIndexResponse":
      begin(2);
      out.integer(message.readId);
      out.integerOrNil(message.index);
      break;
    default:
      assertNever(message);
  }
}

function writeAppend(out: MessagePackWriter, message: AppendEntries): void {
  out.integer(message.prevLogIndex);
  out.integer(message.prevLogTerm);
  out.integer(message.leaderCommit);
  out.array(message.entries.length);
  for (const entry of message.entries) {
    out.array(4);
    out.integer(entry.index);
    out.integer(entry.term);
    out.integer(ENTRY_KIND[entry.kind]);
    out.binary(entry.data);
  }
}

function writeAppendResult(out: MessagePackWriter, result: AppendEntriesResponse["result"]): void {
  switch (result.kind) {
    case "accepted":
      out.array(2);
      out.integer(ANSWER_KIND.yes);
      out.integer(result.matchIndex);
      break;
    case "rejected":
      out.array(4);
      out.integer(ANSWER_KIND.no);
      out.integer(result.prevLogIndex);
      out.integer(result.conflictIndex);
      out.integer(result.conflictTerm);
      break;
    default:
      assertNever(result);
  }
}

function writeForwardResult(out: MessagePackWriter, frame: ForwardResponse): void {
  out.array(3);
  out.integer(FRAME_KIND.forwardResult);
  out.integer(frame.forwardId);
  const { body } = frame;
  switch (body.kind) {
    case "result":
      out.array(2);
      out.integer(ANSWER_KIND.yes);
      out.binary(body.result);
      break;
    case "error":
      out.array(4);
      out.integer(ANSWER_KIND.no);
      out.string(body.code);
      out.string(body.message);
      out.string(body.outcome);
      break;
    default:
      assertNever(body);
  }
}

function readFrame(input: MessagePackReader): PeerFrame {
  const kind = input.integer("kind");
  switch (kind) {
    case FRAME_KIND.ping:
      return { kind: "ping" };
    case FRAME_KIND.pong:
      return { kind: "pong" };
    case FRAME_KIND.forward:
      input.setWhat("forward");
      return { kind: "forward", forwardId: input.integer("forwardId"), command: input.binary("command") };
    case FRAME_KIND.forwardResult:
      input.setWhat("forwardResult");
      return { kind: "forwardResult", forwardId: input.integer("forwardId"), body: readForwardBody(input) };
    case FRAME_KIND.snapshotChunk:
      return readSnapshotChunk(input);
    case FRAME_KIND.snapshotProgress:
      return readSnapshotProgress(input);
    default:
      return readMessage(input, kind);
  }
}

function readMessage(input: MessagePackReader, kind: number): WireMessage {
  switch (kind) {
    case FRAME_KIND.preVote: {
      const head = { kind: "preVote", ...readEnvelope(input, { what: "preVote", minTerm: 1 }) } as const;
      return { ...head, ...readLastLog(input, head.term) };
    }
    case FRAME_KIND.preVoteResponse:
      return {
        kind: "preVoteResponse",
        ...readEnvelope(input, { what: "preVoteResponse", minTerm: 0 }),
        granted: input.boolean("granted"),
      };
    case FRAME_KIND.requestVote: {
      const head = {
        kind: "requestVote",
        ...readEnvelope(input, { what: "requestVote", minTerm: 1 }),
      } as const;
      const lastLog = readLastLog(input, head.term);
      return { ...head, ...lastLog, leadershipTransfer: input.boolean("leadershipTransfer") };
    }
    case FRAME_KIND.requestVoteResponse:
      return {
        kind: "requestVoteResponse",
        ...readEnvelope(input, { what: "requestVoteResponse", minTerm: 1 }),
        granted: input.boolean("granted"),
      };
    case FRAME_KIND.appendEntries:
      return readAppend(input);
    case FRAME_KIND.appendEntriesResponse: {
      const envelope = readEnvelope(input, { what: "appendEntriesResponse", minTerm: 1 });
      return { kind: "appendEntriesResponse", ...envelope, result: readAppendResult(input, envelope.term) };
    }
    case FRAME_KIND.heartbeat:
      return {
        kind: "heartbeat",
        ...readEnvelope(input, { what: "heartbeat", minTerm: 1 }),
        leaderCommit: input.integer("leaderCommit"),
        round: input.integer("round"),
      };
    case FRAME_KIND.heartbeatResponse:
      return {
        kind: "heartbeatResponse",
        ...readEnvelope(input, { what: "heartbeatResponse", minTerm: 1 }),
        round: input.integer("round"),
        promisedMs: input.isAtEnd ? 0 : input.integer("promisedMs"),
        hasRoom: input.isAtEnd ? true : input.boolean("hasRoom"),
      };
    case FRAME_KIND.timeoutNow:
      return { kind: "timeoutNow", ...readEnvelope(input, { what: "timeoutNow", minTerm: 1 }) };
    case FRAME_KIND.readIndex:
      return {
        kind: "readIndex",
        ...readEnvelope(input, { what: "readIndex", minTerm: 0 }),
        readId: input.integer("readId"),
      };
    case FRAME_KIND.readIndexResponse:
      return {
        kind: "readIndexResponse",
        ...readEnvelope(input, { what: "readIndexResponse", minTerm: 0 }),
        readId: input.integer("readId"),
        index: input.integerOrNull("index"),
      };
    default:
      throw new UnknownKindError("a peer's frame", kind);
  }
}

function readEnvelope(
  input: MessagePackReader,
  message: { readonly what: string; readonly minTerm: number },
): { readonly from: number; readonly to: number; readonly term: number } {
  input.setWhat(message.what);
  const from = input.integer("from", 1);
  const to = input.integer("to", 1);
  if (from === to) throw input.error("to", "must not be the sender");
  return { from, to, term: readTerm(input, message.minTerm) };
}

function readLastLog(
  input: MessagePackReader,
  term: number,
): { readonly lastLogIndex: number; readonly lastLogTerm: number } {
  const lastLogIndex = input.integer("lastLogIndex");
  return {
    lastLogIndex,
    lastLogTerm: readTermAt(input, { field: "lastLogTerm", index: lastLogIndex, term }),
  };
}

/** Reads the term of the entry at `index`: 0 before the first entry, else from 1 to the message's own term. */
function readTermAt(
  input: MessagePackReader,
  at: { readonly field: string; readonly index: number; readonly term: number },
): number {
  const value = input.integer(at.field);
  if ((value === 0) !== (at.index === 0)) throw input.error(at.field, "must be 0 for index 0, and only then");
  if (value > at.term) throw input.error(at.field, "must not be above the message's term");
  return value;
}

function readAppend(input: MessagePackReader): AppendEntries {
  const envelope = readEnvelope(input, { what: "appendEntries", minTerm: 1 });
  const prevLogIndex = input.integer("prevLogIndex");
  const prevLogTerm = readTermAt(input, { field: "prevLogTerm", index: prevLogIndex, term: envelope.term });
  const leaderCommit = input.integer("leaderCommit");
  const count = input.open("entries");
  if (count > MAX_APPEND_ENTRIES) throw input.error("entries", `must not be more than ${MAX_APPEND_ENTRIES}`);
  // One copy for many small entries. Large ones get their own, which the store keeps instead of copying it once more.
  if (input.remainingBytes < count * OWN_COPY_BYTES) input.own();
  const entries: Entry[] = [];
  let lastTerm = Math.max(prevLogTerm, 1);
  for (let position = 0; position < count; position++) {
    const entry = readEntry(input);
    if (entry.index !== prevLogIndex + 1 + position) {
      throw input.error("entries", "must follow prevLogIndex one by one");
    }
    if (entry.term < lastTerm) throw input.error("entries", "must have terms that do not fall");
    if (entry.term > envelope.term) throw input.error("entries", "must not have terms above the message's");
    lastTerm = entry.term;
    entries.push(entry);
  }
  input.close();
  return { kind: "appendEntries", ...envelope, prevLogIndex, prevLogTerm, leaderCommit, entries };
}

function readEntry(input: MessagePackReader): Entry {
  input.open("entry");
  const index = input.integer("entry index", 1);
  const term = input.integer("entry term", 1);
  const kind = readEntryKind(input);
  const data = input.binary("entry data");
  if (kind === "noop" && data.length > 0) throw input.error("entry data", "must be empty for a no-op");
  const maxBytes = kind === "configuration" ? MAX_CONFIGURATION_BYTES : MAX_PEER_ENTRY_BYTES;
  if (data.length > maxBytes) throw input.error("entry data", `must not be longer than ${maxBytes} bytes`);
  if (kind === "configuration") decodeConfiguration(data); // whatever the core is handed, it can read
  input.close();
  return { index, term, kind, data };
}

function readEntryKind(input: MessagePackReader): EntryKind {
  const kind = input.integer("entry kind");
  switch (kind) {
    case ENTRY_KIND.noop:
      return "noop";
    case ENTRY_KIND.command:
      return "command";
    case ENTRY_KIND.configuration:
      return "configuration";
    default:
      throw input.error("entry kind", `${kind} is not known to this version`);
  }
}

function readAppendResult(input: MessagePackReader, term: number): AppendEntriesResponse["result"] {
  input.open("result");
  const kind = input.integer("result kind");
  let result: AppendEntriesResponse["result"];
  if (kind === ANSWER_KIND.yes) {
    result = { kind: "accepted", matchIndex: input.integer("matchIndex") };
  } else if (kind === ANSWER_KIND.no) {
    // 0 in the answer to a request of an earlier term, which is refused whatever it asked for.
    const prevLogIndex = input.integer("prevLogIndex");
    const conflictIndex = input.integer("conflictIndex");
    if (conflictIndex > prevLogIndex) throw input.error("conflictIndex", "must not be above prevLogIndex");
    const conflictTerm = readTermAt(input, { field: "conflictTerm", index: conflictIndex, term });
    result = { kind: "rejected", prevLogIndex, conflictIndex, conflictTerm };
  } else {
    throw input.error("result kind", `${kind} is not known to this version`);
  }
  input.close();
  return result;
}

function readForwardBody(input: MessagePackReader): ForwardResponse["body"] {
  input.open("body");
  const kind = input.integer("body kind");
  let body: ForwardResponse["body"];
  if (kind === ANSWER_KIND.yes) {
    body = { kind: "result", result: readResultBytes(input) };
  } else if (kind === ANSWER_KIND.no) {
    const code = readErrorCode(input);
    body = { kind: "error", code, message: readMessageText(input), outcome: readOutcome(input) };
  } else {
    throw input.error("body kind", `${kind} is not known to this version`);
  }
  input.close();
  return body;
}
