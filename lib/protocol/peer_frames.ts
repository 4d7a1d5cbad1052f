/**
 * The frames between nodes after the hello: every message of the core, writes passed on to the leader, pieces of
 * snapshots, and the pings of connections. docs/protocol.md gives their bytes.
 *
 * What is decoded has been checked field by field, so that the core may take it as its own kind of message: integers
 * in range, entries consecutive and with terms that never fall, configurations whose parts agree, no index beyond the
 * request that it answers.
 */
import type { Message } from "../raft/message.ts";
import type { Entry, EntryKind } from "../raft/types.ts";
import { REFUSAL, RESULT_BYTES } from "./client_frames.ts";
import { decodeConfiguration } from "./configuration.ts";
import { REPORT } from "./diagnostics/report_fields.ts";
import { boolean, bytes, custom, type Field, integer, nullable, numbered, trailing } from "./field.ts";
import {
  MAX_APPEND_ENTRIES,
  MAX_CONFIGURATION_BYTES,
  MAX_PEER_ENTRY_BYTES,
  MAX_SNAPSHOT_CHUNK_DATA_BYTES,
  MAX_SNAPSHOT_INDEX,
  MAX_TERM,
} from "./limits.ts";
import type { MessagePackReader } from "./msgpack_reader.ts";
import type { MessagePackWriter } from "./msgpack_writer.ts";
import { frame, frameTable, type MessageOf, variants } from "./schema.ts";

/** Entries that are larger than this on average are copied one by one. */
const OWN_COPY_BYTES = 4_096;

/** The kinds of an entry in AppendEntries, with their numbers. */
export const ENTRY_KINDS = { noop: 1, command: 2, configuration: 3 } as const satisfies Record<
  EntryKind,
  number
>;
const ENTRY_KIND = numbered(ENTRY_KINDS);

/** The core's messages that are sent. A node makes `installSnapshot` for itself, once it has received a snapshot. */
export type WireMessage = Exclude<Message, { readonly kind: "installSnapshot" }>;

/** The entries of AppendEntries. By hand: the combinators take twice as long, and a leader sends thousands. */
const ENTRIES: Field<readonly Entry[]> = custom("entries", { write: writeEntries, read: readEntries });

const TERM = integer(1, MAX_TERM);
const ENVELOPE = { from: integer(1), to: integer(1), term: TERM };
/** Of messages that a node in term 0 may send. */
const FIRST_ENVELOPE = { ...ENVELOPE, term: integer(0, MAX_TERM) };
const SNAPSHOT = {
  /** The current term of the sender. */
  term: TERM,
  /** The last log index in the snapshot. */
  index: integer(1, MAX_SNAPSHOT_INDEX),
  /** Term of the entry there. */
  snapshotTerm: integer(1),
  /** Length of its file. */
  totalBytes: integer(1),
};
const LAST_LOG = { lastLogIndex: integer(), lastLogTerm: integer() };

/** Every frame between nodes. The fields of the core's messages are explained in lib/raft/message.ts. */
export const PEER_FRAMES = frameTable({ what: "a peer's frame", copies: true }, {
  /** Asks the other end of a lane for a pong; handled in lib/transport, never passed to the server. */
  ping: frame(3, {}),
  /** The only frame that goes from the accepting to the dialling node. */
  pong: frame(4, {}),

  preVote: frame(10, { ...ENVELOPE, ...LAST_LOG }, notToItself, lastLogTermFits),
  preVoteResponse: frame(11, { ...FIRST_ENVELOPE, granted: boolean() }, notToItself),
  requestVote: frame(
    12,
    { ...ENVELOPE, ...LAST_LOG, leadershipTransfer: boolean() },
    notToItself,
    lastLogTermFits,
  ),
  requestVoteResponse: frame(13, { ...ENVELOPE, granted: boolean() }, notToItself),
  appendEntries: frame(
    14,
    {
      ...ENVELOPE,
      prevLogIndex: integer(),
      prevLogTerm: integer(),
      leaderCommit: integer(),
      entries: ENTRIES,
    },
    notToItself,
    ({ prevLogIndex, prevLogTerm, term }) =>
      termProblem("prevLogTerm", prevLogTerm, { index: prevLogIndex, term }),
    entriesProblem,
  ),
  appendEntriesResponse: frame(
    15,
    {
      ...ENVELOPE,
      result: variants("result", {
        accepted: frame(1, { matchIndex: integer() }),
        rejected: frame(
          2,
          { prevLogIndex: integer(), conflictIndex: integer(), conflictTerm: integer() },
          ({ prevLogIndex, conflictIndex }) =>
            conflictIndex > prevLogIndex ? "result conflictIndex must not be above prevLogIndex" : null,
        ),
      }),
    },
    notToItself,
    ({ result, term }) =>
      result.kind === "accepted"
        ? null
        : termProblem("result conflictTerm", result.conflictTerm, { index: result.conflictIndex, term }),
  ),
  heartbeat: frame(16, { ...ENVELOPE, leaderCommit: integer(), round: integer() }, notToItself),
  heartbeatResponse: frame(
    17,
    {
      ...ENVELOPE,
      round: integer(),
      promisedMs: trailing(integer(), 0),
      hasDiskSpace: trailing(boolean(), true),
    },
    notToItself,
  ),
  timeoutNow: frame(18, ENVELOPE, notToItself),
  readIndex: frame(19, { ...FIRST_ENVELOPE, readId: integer() }, notToItself),
  readIndexResponse: frame(
    20,
    { ...FIRST_ENVELOPE, readId: integer(), index: nullable(integer()) },
    notToItself,
  ),

  /** A write passed on to the leader. `forwardId` is chosen by the sender and not used twice by one process. */
  forward: frame(30, { forwardId: integer(), command: bytes() }),
  /** The result of a forwarded write, or the reason why it was not done. */
  forwardResult: frame(31, {
    forwardId: integer(),
    body: variants("body", { result: frame(1, { result: RESULT_BYTES }), error: frame(2, REFUSAL) }),
  }),
  /** A piece of a snapshot's file, from `offset` on; without data it asks how far the other node has got. */
  snapshotChunk: frame(
    32,
    { ...SNAPSHOT, offset: integer(), data: bytes(MAX_SNAPSHOT_CHUNK_DATA_BYTES) },
    snapshotTermFits,
    ({ offset, data, totalBytes }) =>
      offset + data.length > totalBytes ? "data must end within totalBytes" : null,
  ),
  /** The answer to chunks. `nextOffset`: everything before it is there. */
  snapshotProgress: frame(
    33,
    { ...SNAPSHOT, nextOffset: integer() },
    snapshotTermFits,
    ({ nextOffset, totalBytes }) =>
      nextOffset > totalBytes ? "nextOffset must not be above totalBytes" : null,
  ),
  /** Asks a node for a report about itself. `askId` is chosen by the sender and not used twice by one process. */
  describe: frame(34, { askId: integer() }),
  /** The answer to it. */
  described: frame(35, { askId: integer(), report: REPORT }),
});

type TableFrame = MessageOf<typeof PEER_FRAMES>;
type FrameOf<K extends TableFrame["kind"]> = Extract<TableFrame, { readonly kind: K }>;
/** Asks the other end of a lane for a pong. */
export type Ping = FrameOf<"ping">;
/** The answer to a ping. */
export type Pong = FrameOf<"pong">;
/** A write passed on by a node that does not lead. */
export type ForwardRequest = FrameOf<"forward">;
/** The answer to a {@link ForwardRequest}. */
export type ForwardResponse = FrameOf<"forwardResult">;
/** A piece of a snapshot's file. */
export type SnapshotChunk = FrameOf<"snapshotChunk">;
/** The answer to chunks. */
export type SnapshotProgress = FrameOf<"snapshotProgress">;
/** A question for a report, or the answer to one. */
export type DescribeMessage = FrameOf<"describe" | "described">;
/** A message for the node itself: for the core, the writes or the snapshots. */
export type NodeMessage = WireMessage | ForwardRequest | ForwardResponse | SnapshotChunk | SnapshotProgress;
/** A message that the server sends to another node. */
export type PeerMessage = NodeMessage | DescribeMessage;
/** Every frame between nodes after the hello. */
export type PeerFrame = PeerMessage | Ping | Pong;

/** Writes a frame's payload. */
export function encodePeerFrame(out: MessagePackWriter, frame: PeerFrame): void {
  PEER_FRAMES.encode(out, frame);
}

/** Reads a frame's payload; the bytes in it are the caller's own. Throws DecodeError. */
export function decodePeerFrame(payload: Uint8Array): PeerFrame {
  return PEER_FRAMES.decode(payload);
}

function notToItself({ from, to }: { readonly from: number; readonly to: number }): string | null {
  return from === to ? "to must not be the sender" : null;
}

function lastLogTermFits(
  { lastLogIndex, lastLogTerm, term }: {
    readonly lastLogIndex: number;
    readonly lastLogTerm: number;
    readonly term: number;
  },
): string | null {
  return termProblem("lastLogTerm", lastLogTerm, { index: lastLogIndex, term });
}

function snapshotTermFits(
  { snapshotTerm, term }: { readonly snapshotTerm: number; readonly term: number },
): string | null {
  return snapshotTerm > term ? "snapshotTerm must not be above the message's term" : null;
}

/** Checks the term of the entry at `index`: 0 before the first entry, else from 1 to the message's own term. */
function termProblem(
  name: string,
  value: number,
  at: { readonly index: number; readonly term: number },
): string | null {
  if ((value === 0) !== (at.index === 0)) return `${name} must be 0 for index 0, and only then`;
  return value > at.term ? `${name} must not be above the message's term` : null;
}

function entriesProblem(
  { term, prevLogIndex, prevLogTerm, entries }: {
    readonly term: number;
    readonly prevLogIndex: number;
    readonly prevLogTerm: number;
    readonly entries: readonly Entry[];
  },
): string | null {
  let index = prevLogIndex;
  let lastTerm = Math.max(prevLogTerm, 1);
  for (const entry of entries) {
    index += 1;
    if (entry.index !== index) return "entries must follow prevLogIndex one by one";
    if (entry.term < lastTerm) return "entries must have terms that do not fall";
    lastTerm = entry.term;
  }
  return lastTerm > Math.max(term, 1) ? "entries must not have terms above the message's" : null;
}

function writeEntries(out: MessagePackWriter, entries: readonly Entry[]): void {
  out.array(entries.length);
  for (const entry of entries) {
    out.array(4);
    out.integer(entry.index);
    out.integer(entry.term);
    out.integer(ENTRY_KINDS[entry.kind]);
    out.binary(entry.data);
  }
}

function readEntries(input: MessagePackReader): readonly Entry[] {
  const count = input.open("entries");
  if (count > MAX_APPEND_ENTRIES) {
    throw input.error("entries", `must not have more than ${MAX_APPEND_ENTRIES} elements`);
  }
  // One copy for many small entries. Large ones get their own, which the store keeps instead of copying it again.
  if (input.remainingBytes < count * OWN_COPY_BYTES) input.own();
  const entries: Entry[] = [];
  for (let position = 0; position < count; position++) entries.push(readEntry(input));
  input.close();
  return entries;
}

function readEntry(input: MessagePackReader): Entry {
  input.open("entry");
  const index = input.integer("entry index", 1);
  const term = input.integer("entry term", 1);
  const kind = ENTRY_KIND.read(input, "entry kind");
  const data = input.binary("entry data");
  if (kind === "noop" && data.length > 0) throw input.error("entry data", "must be empty for a no-op");
  const maxBytes = kind === "configuration" ? MAX_CONFIGURATION_BYTES : MAX_PEER_ENTRY_BYTES;
  if (data.length > maxBytes) throw input.error("entry data", `must not be longer than ${maxBytes} bytes`);
  if (kind === "configuration") decodeConfiguration(data); // the core may then decode it without a check
  input.close();
  return { index, term, kind, data };
}
