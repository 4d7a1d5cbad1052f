/**
 * The bounds of everything that comes from or goes to another process, in one place, each with what happens at it.
 * docs/protocol.md repeats those that another implementation must know.
 *
 * Bounds are on the bytes as they are stored and sent, before anything in them is decoded: an array may have further
 * elements at its end that this version does not know, and those count as well. At the end of this file the program
 * checks as it starts that the largest content of each frame fits into one: a limit that is raised without the others
 * ends it at once, not when the first large frame is sent.
 */
import { assert } from "../platform/assert.ts";
import {
  LIST_PAGE_BYTES,
  MAX_COMMAND_BYTES,
  MAX_KEY_BYTES,
  MAX_LIST_ENTRIES,
  MAX_TRANSACTION_OPERATIONS,
  MAX_VALUE_BYTES,
} from "../kv/command.ts";
import { DEFAULT_LIMITS } from "../raft/config.ts";

/** Voters of a cluster. More are refused, in a list of nodes and in a configuration. */
export const MAX_VOTERS = 7;
/** Members of a cluster, learners and leaving voters included. A configuration with more is refused. */
export const MAX_MEMBERS = 16;
/** Nodes that a cluster has removed in its life. Another removal is refused then. */
export const MAX_REMOVED_IDS = 16_384;

/** Bytes of one frame's payload. A longer one closes the connection; nothing is allocated for it. */
export const MAX_FRAME_BYTES = 16 * 1024 * 1024;
/** The same, until the hello has been answered: the welcome names every member, and names may be long. */
export const MAX_HELLO_BYTES = 8 * 1024;
/** Entries of one AppendEntries: 1 MiB of the smallest commands. More are refused as undecodable. */
export const MAX_APPEND_ENTRIES = 262_144;

/**
 * Highest term in a frame between nodes. A higher one is refused as undecodable: the rest of the integers is left for
 * elections, which count on from there. (How fast a term may rise is bounded in lib/server/term_guard.ts.)
 */
export const MAX_TERM = Number.MAX_SAFE_INTEGER - 2 ** 16;
/**
 * Highest index of a snapshot in a frame between nodes, and in a file. A higher one is refused: as many entries again
 * must find numbers behind it, and all else that counts along with the log (revisions, versions) stays below it.
 */
export const MAX_SNAPSHOT_INDEX = 2 ** 52;

/** Bytes of a snapshot in one frame between nodes. A chunk with more is refused as undecodable. */
export const MAX_SNAPSHOT_CHUNK_DATA_BYTES = 256 * 1024;
/** Bytes of a snapshot in one answer to a client. An answer with more is refused as undecodable. */
export const MAX_SNAPSHOT_PART_BYTES = 256 * 1024;

/** How long a connection may take to say hello before it is closed. */
export const HELLO_TIMEOUT_MS = 5_000;
/**
 * Connections that have not said hello yet. One more closes the oldest of them once that has been silent for
 * HELLO_GRACE_MS; until then nothing more is accepted.
 */
export const MAX_PENDING_HELLOS = 1_024;
/** The same for connections from machines where members are, beside those: no number of others keeps a member away. */
export const MAX_PENDING_PEER_HELLOS = 64;
/** Hosts that are remembered as those of members. One more, and the one that has not called for the longest is forgotten. */
export const MAX_PEER_HOSTS = 64;
/** How long a connection's hello may be on its way before the connection gives way to others. */
export const HELLO_GRACE_MS = 250;
/** Connections accepted in a row before what has arrived on earlier ones is read. */
export const MAX_ACCEPTS_A_TURN = 64;
/**
 * Lanes over which nodes call, three for each member and for each that may be introduced. One more closes the oldest of
 * a node that is no member: members always find room.
 */
export const MAX_PEER_LANES = 96;
/** How long a node that closes goes on writing what it has queued. */
export const CLOSE_FLUSH_TIMEOUT_MS = 1_000;
/** How long a listener that cannot accept (no file descriptors left, say) waits before it tries again. */
export const ACCEPT_RETRY_MS = 100;

/** Requests of one client connection without an answer; at this many, reading from it pauses. */
export const MAX_CLIENT_REQUESTS_IN_FLIGHT = 1_024;
/**
 * Requests of all clients that are handled in one turn of the event loop, about 12 ms of work. Further ones wait for the
 * next turns, where each connection has REQUESTS_A_GO handled before the others that wait have theirs.
 */
export const MAX_REQUESTS_A_TURN = 2_048;
export const REQUESTS_A_GO = 64;
/** Bytes queued for one client at which reading from it pauses until fewer are. */
export const CLIENT_QUEUE_PAUSE_BYTES = 1024 * 1024;
/** Bytes queued for one client at which what it reads is answered `busy` in place of data. */
export const CLIENT_QUEUE_BUSY_BYTES = 32 * 1024 * 1024;
/** Bytes queued for one client at which its connection is closed. */
export const CLIENT_QUEUE_MAX_BYTES = 64 * 1024 * 1024;

/**
 * Bytes that wait for slow connections in all: answers that have not left, frames that have begun and not ended, and
 * requests whose answers are not taken. Beyond it the connection with the most is closed, and so on until the rest fits.
 * Lanes from members count elsewhere: one frame each, of MAX_FRAME_BYTES.
 */
export const MAX_WAITING_BYTES = 256 * 1024 * 1024;
/**
 * How long a connection's bytes may wait without moving before it is closed ahead of those whose bytes have moved
 * since, however much these hold.
 */
export const WAITING_GRACE_MS = 1_000;
/**
 * How often accepted connections are looked at, and how many looks may find the same frame begun and not ended, before
 * the connection is closed: a frame may take a minute.
 */
export const FRAME_CHECK_INTERVAL_MS = 15_000;
export const FRAME_CHECKS = 4;

/**
 * Bytes queued on a lane that a peer has opened, which carries answers to its pings and nothing else. Beyond them the
 * lane is closed: its other end asks and takes no answers.
 */
export const MAX_PONG_QUEUE_BYTES = 65_536;
/** Bytes queued on one lane to a peer at which further messages are dropped; the core sends them again. */
export const PEER_QUEUE_MAX_BYTES = 16 * 1024 * 1024;
/** Bytes queued on one lane from which the results of forwarded writes leave without the value that they may include. */
export const PEER_QUEUE_OMIT_BYTES = 8 * 1024 * 1024;
/** How long a lane may take from dialling to the welcome. */
export const PEER_CONNECT_TIMEOUT_MS = 2_000;
/** Wait after the first failure to connect; doubled with each further one. */
export const PEER_RETRY_MIN_MS = 50;
/** Longest wait between two attempts to connect. */
export const PEER_RETRY_MAX_MS = 1_000;
/** Wait after a refusal that only an operator can end (another cluster, another version, another node). */
export const PEER_RETRY_REFUSED_MS = 10_000;
/** How often a lane asks its other end for a sign of life. */
export const PEER_PING_INTERVAL_MS = 1_000;
/** Intervals in a row without an answer, and without a byte written, after which a lane counts as dead. */
export const PEER_UNANSWERED_PINGS = 5;
/** How long after the start failures to connect to a peer are not worth a log line: the others are starting too. */
export const PEER_START_QUIET_MS = 3_000;
/** Nodes beside the members to which links are kept. One more, and the one that was idle the longest is forgotten. */
export const MAX_INTRODUCED_PEERS = 16;
/** How long a node that is no member may have no connection here and be sent nothing before its links are closed. */
export const INTRODUCED_IDLE_MS = 60_000;
/** Failures to connect to one peer are logged at first and then this often. */
export const PEER_FAILURE_LOG_INTERVAL_MS = 60_000;

/**
 * HTTP connections at a time. One more closes the oldest to which no answer is due; where answers are due on all of
 * them, the new one is answered 503 and closed.
 */
export const MAX_HTTP_CONNECTIONS = 64;
/** HTTP requests under way at a time; more are answered 503. A page takes a millisecond, and few ask. */
export const MAX_HTTP_REQUESTS = 16;
/** Bytes of the head of an HTTP request; a longer one is answered 431. */
export const MAX_HTTP_HEAD_BYTES = 16_384;
/** Bytes behind the head of a request, such as a body, that are read and thrown away; more close the connection. */
export const MAX_HTTP_DISCARDED_BYTES = 65_536;
/** How long the head of an HTTP request may take to come before its connection is closed. */
export const HTTP_HEAD_TIMEOUT_MS = 5_000;
/** How long the other end may take to read its answer before the connection is closed. */
export const HTTP_ANSWER_TIMEOUT_MS = 5_000;
/** How long it may take to tell an HTTP connection that it is one too many; none is accepted meanwhile. */
export const HTTP_REFUSAL_TIMEOUT_MS = 100;
/** How long the other end may take to close the connection once it has its answer, before this end does. */
export const HTTP_LINGER_MS = 1_000;
/** How long HTTP requests under way may take once the server is to close; then they are answered 503. */
export const HTTP_CLOSE_TIMEOUT_MS = 500;

/** Bytes of any frame beside the data that it carries: up to ten integers of 9 bytes, and the heads of its arrays. */
const ENVELOPE_BYTES = 128;
/** The same of each entry in an AppendEntries: two integers, its kind, and two heads. */
const ENTRY_ENVELOPE_BYTES = 25;
/** What the core counts for each entry beside its data (entryBytes in lib/raft/log.ts). */
const ENTRY_SHARE_BYTES = 32;
/** Bytes of a key-value beside key and value: three integers, and the heads of the array and of both. */
const KEY_VALUE_ENVELOPE_BYTES = 36;
/** Bytes of one outcome or failed check in a result, with room for what later versions add. */
const OUTCOME_BYTES = 32;

/**
 * Bytes of an entry's data in a frame from another node. A longer one is refused as undecodable: this node could not
 * send it on. No leader makes one above MAX_COMMAND_BYTES; logs of older versions may hold what lies between.
 */
export const MAX_PEER_ENTRY_BYTES = MAX_FRAME_BYTES - ENVELOPE_BYTES - ENTRY_ENVELOPE_BYTES;
/** Bytes of a configuration in a frame from another node: 16 members and 16,384 removed ids are less than 160 KiB. */
export const MAX_CONFIGURATION_BYTES = 256 * 1024;
/**
 * Bytes of an encoded result: a key-value and what became of each operation. An answer with more is refused as
 * undecodable, by the node that passed the write on and by the client.
 */
export const MAX_RESULT_BYTES = ENVELOPE_BYTES + KEY_VALUE_ENVELOPE_BYTES + MAX_KEY_BYTES + MAX_VALUE_BYTES +
  MAX_TRANSACTION_OPERATIONS * OUTCOME_BYTES;

const LARGEST: Readonly<Record<string, number>> = {
  "a command on its way to the leader": MAX_COMMAND_BYTES,
  "an entry with the largest command": ENTRY_ENVELOPE_BYTES + MAX_COMMAND_BYTES,
  "an entry from another node": ENTRY_ENVELOPE_BYTES + MAX_PEER_ENTRY_BYTES,
  "a batch of entries": DEFAULT_LIMITS.appendBytes,
  "a result": MAX_RESULT_BYTES,
  "a page of a listing": LIST_PAGE_BYTES + MAX_KEY_BYTES + MAX_VALUE_BYTES +
    MAX_LIST_ENTRIES * KEY_VALUE_ENVELOPE_BYTES,
  "a piece of a snapshot": Math.max(MAX_SNAPSHOT_CHUNK_DATA_BYTES, MAX_SNAPSHOT_PART_BYTES),
};
for (const [what, bytes] of Object.entries(LARGEST)) {
  assert(bytes + ENVELOPE_BYTES <= MAX_FRAME_BYTES, `${what} fits into a frame`);
}
assert(ENTRY_ENVELOPE_BYTES <= ENTRY_SHARE_BYTES, "the core counts at least what an entry takes in a frame");
