/**
 * The limits of everything that is received from or sent to another process, each with the effect of exceeding it.
 * docs/protocol.md repeats those that another implementation must know.
 *
 * Limits apply to the bytes as they are stored and sent, before they are decoded: elements at the end of an array that
 * this version does not know count as well. The end of this file asserts at the program's start that the largest content
 * of each frame fits into a frame: a limit that is raised without the others is found at once, not when the first large
 * frame is sent.
 */
import { assert } from "../platform/assert.ts";
import {
  MAX_BRANCHING_OPERATIONS,
  MAX_TRANSACTION_KEYS,
  MAX_TRANSACTION_RESULT_BYTES,
} from "../kv/branching_command.ts";
import {
  LIST_PAGE_BYTES,
  MAX_COMMAND_BYTES,
  MAX_KEY_BYTES,
  MAX_LIST_ENTRIES,
  MAX_VALUE_BYTES,
} from "../kv/command.ts";
import { MAX_REGISTRY_BYTES } from "../kv/databases/database_command.ts";
import { MAX_READ_RANGES } from "../kv/databases/range_reads.ts";
import { DEFAULT_LIMITS } from "../raft/config.ts";

/** Voters of a cluster. More are refused, in a list of nodes and in a configuration. */
export const MAX_VOTERS = 7;
/** Members of a cluster, learners and leaving voters included. A configuration with more is refused. */
export const MAX_MEMBERS = 16;
/** Nodes that a cluster has removed in its life. Another removal is refused then. */
export const MAX_REMOVED_IDS = 16_384;

/** Bytes of one frame's payload. A longer one closes the connection; nothing is allocated for it. */
export const MAX_FRAME_BYTES = 16 * 1024 * 1024;
/** The same before the hello is answered: the welcome names every member, and addresses may be long. */
export const MAX_HELLO_BYTES = 8 * 1024;
/** Entries of one AppendEntries: 1 MiB of the smallest commands. More are refused as undecodable. */
export const MAX_APPEND_ENTRIES = 262_144;

/**
 * Highest term in a frame between nodes. A higher one is refused as undecodable: the integers above it are left for
 * elections, which increment the term. (How fast a term may rise is bounded in lib/server/term_guard.ts.)
 */
export const MAX_TERM = Number.MAX_SAFE_INTEGER - 2 ** 16;
/**
 * Highest index of a snapshot in a frame between nodes, and in a file. A higher one is refused: as many entries again
 * must have safe integers above it, and revisions and versions, which grow with the log, stay below it.
 */
export const MAX_SNAPSHOT_INDEX = 2 ** 52;

/** Bytes of a snapshot in one frame between nodes. A chunk with more is refused as undecodable. */
export const MAX_SNAPSHOT_CHUNK_DATA_BYTES = 256 * 1024;
/** Bytes of a snapshot in one answer to a client. An answer with more is refused as undecodable. */
export const MAX_SNAPSHOT_PART_BYTES = 256 * 1024;

/** Time until the hello of a new connection, after which it is closed. */
export const HELLO_TIMEOUT_MS = 5_000;
/**
 * Connections without a hello. One more closes the oldest of them once it has been silent for HELLO_GRACE_MS; until then
 * no connection is accepted.
 */
export const MAX_PENDING_HELLOS = 1_024;
/** The same for connections from the hosts of members, counted apart: other connections cannot keep a member out. */
export const MAX_PENDING_PEER_HELLOS = 64;
/** Remembered hosts of members. One more replaces the one from which no member has dialled for the longest time. */
export const MAX_PEER_HOSTS = 64;
/** Time for a connection's hello before it may be closed in favour of a new connection. */
export const HELLO_GRACE_MS = 250;
/**
 * Accepted lanes, three for each member and for each node that may be introduced. One more closes the oldest lane of a
 * node that is not a member, never one of a member.
 */
export const MAX_PEER_LANES = 96;
/** Time for writing the queued bytes of a connection when the node stops. */
export const CLOSE_FLUSH_TIMEOUT_MS = 1_000;

/**
 * Checks (see FRAME_CHECK_INTERVAL_MS) in which a client's connection was not used, after which it may be closed for a new
 * client if there are as many as allowed. Without such need it is not closed.
 */
export const CLIENT_IDLE_CHECKS = 4;
/**
 * The same of a client that has not signed in while authentication is enabled, however it uses the connection: requests
 * that need no user must not keep users out.
 */
export const SIGN_IN_CHECKS = 2;
/** Requests of one client connection without an answer; at this many, reading from it pauses. */
export const MAX_CLIENT_REQUESTS_IN_FLIGHT = 1_024;
/**
 * Requests of all clients that are handled in one turn of the event loop, about 12 ms of work. Further ones wait for the
 * next turns, which serve the waiting connections in order, REQUESTS_A_GO requests each.
 */
export const MAX_REQUESTS_A_TURN = 2_048;
export const REQUESTS_A_GO = 64;
/** Bytes queued for one client at which reading from it pauses until fewer are. */
export const CLIENT_QUEUE_PAUSE_BYTES = 1024 * 1024;
/**
 * Bytes of the events in one frame of a watch, if there are several: further events of the revision are in another frame.
 */
export const WATCH_FRAME_BYTES = 1024 * 1024;
/** Bytes queued for one client at which its reads are answered `busy` in place of data. */
export const CLIENT_QUEUE_BUSY_BYTES = 32 * 1024 * 1024;
/** Bytes queued for one client at which its connection is closed. */
export const CLIENT_QUEUE_MAX_BYTES = 64 * 1024 * 1024;

/**
 * Bytes held for slow connections in all: unsent answers, incomplete frames, and requests whose answers are not read.
 * Above it the connection with the most is closed, and so on until the rest fits. Lanes of members are not counted: each
 * holds at most one frame of MAX_FRAME_BYTES.
 */
export const MAX_WAITING_BYTES = 256 * 1024 * 1024;
/**
 * Time without progress after which a connection is closed before those that made progress since, even if these hold
 * more.
 */
export const WAITING_GRACE_MS = 1_000;
/**
 * Interval of the checks of accepted connections, and the number of checks that may find the same incomplete frame
 * before the connection is closed: a frame may take a minute.
 */
export const FRAME_CHECK_INTERVAL_MS = 15_000;
export const FRAME_CHECKS = 4;

/**
 * Bytes queued on a lane that a peer has opened, which carries only answers to its pings. Above it the lane is closed:
 * its other end sends pings and does not read the answers.
 */
export const MAX_PONG_QUEUE_BYTES = 65_536;
/** Bytes queued on one lane to a peer at which further messages are dropped; the core sends them again. */
export const PEER_QUEUE_MAX_BYTES = 16 * 1024 * 1024;
/** Bytes queued on one lane above which results of forwarded writes are sent without the value that they may include. */
export const PEER_QUEUE_OMIT_BYTES = 8 * 1024 * 1024;
/** Time from dialling a lane to its welcome. */
export const PEER_CONNECT_TIMEOUT_MS = 2_000;
/** Time from a challenge to the peer's proof, after which its connection is closed. */
export const PEER_PROOF_TIMEOUT_MS = 3_000;
/** Wait after the first failure to connect; doubled with each further one. */
export const PEER_RETRY_MIN_MS = 50;
/** Longest wait between two attempts to connect. */
export const PEER_RETRY_MAX_MS = 1_000;
/** Wait after a refusal that only an operator can end (another cluster, another version, another node). */
export const PEER_RETRY_REFUSED_MS = 10_000;
/** Interval of the pings on a lane. */
export const PEER_PING_INTERVAL_MS = 1_000;
/** Intervals in a row without an answer and without a written byte after which a lane is closed. */
export const PEER_UNANSWERED_PINGS = 5;
/** Time after the start in which failures to connect to a peer are not logged: the others are starting too. */
export const PEER_START_QUIET_MS = 3_000;
/** Nodes other than members to which links are kept. One more replaces the one that was idle the longest. */
export const MAX_INTRODUCED_PEERS = 16;
/** Time without a connection from a node that is not a member, and without a message to it, until its links are closed. */
export const INTRODUCED_IDLE_MS = 60_000;
/** Failures to connect to one peer are logged at first and then this often. */
export const PEER_FAILURE_LOG_INTERVAL_MS = 60_000;

/**
 * HTTP connections at a time. One more closes the oldest without a request; if all have one, the new connection is
 * answered 503 and closed.
 */
export const MAX_HTTP_CONNECTIONS = 64;
/** The same of one source address. */
export const MAX_HTTP_CONNECTIONS_PER_ADDRESS = 32;
/** HTTP requests under way at a time; more are answered 503. A page takes a millisecond, and requests are rare. */
export const MAX_HTTP_REQUESTS = 16;
/** The same of one source address, so that one program cannot keep a supervisor's checks from being answered. */
export const MAX_HTTP_REQUESTS_PER_ADDRESS = 8;
/** Answers of HTTP that have no end, such as the events of the status page; one more is answered 503. */
export const MAX_HTTP_STREAMS = 32;
/** The same of one source address. Less than its connections: those for other pages are left. */
export const MAX_HTTP_STREAMS_PER_ADDRESS = 16;
/** Bytes of the head of an HTTP request; a longer one is answered 431. */
export const MAX_HTTP_HEAD_BYTES = 16_384;
/** Bytes after the head of a request, such as a body, that are read and discarded; more close the connection. */
export const MAX_HTTP_DISCARDED_BYTES = 65_536;
/** Time for the head of an HTTP request, after which its connection is closed. */
export const HTTP_HEAD_TIMEOUT_MS = 5_000;
/** Time for the other end to read its answer, after which the connection is closed. */
export const HTTP_ANSWER_TIMEOUT_MS = 5_000;
/** Time for answering 503 to an HTTP connection above the limit; none is accepted meanwhile. */
export const HTTP_REFUSAL_TIMEOUT_MS = 100;
/** Time for the other end to close the connection after its answer, after which this end does. */
export const HTTP_LINGER_MS = 1_000;
/** Time for HTTP requests under way when the server closes; then they are answered 503. */
export const HTTP_CLOSE_TIMEOUT_MS = 500;

/** Bytes of any frame without its data: up to ten integers of 9 bytes, and the heads of its arrays. */
const ENVELOPE_BYTES = 128;
/** The same of each entry in an AppendEntries: two integers, its kind, and two heads. */
const ENTRY_ENVELOPE_BYTES = 25;
/** Bytes that the core counts for each entry in addition to its data (entryBytes in lib/raft/log.ts). */
const ENTRY_SHARE_BYTES = 32;
/** Bytes of a key-value without key and value: five integers, and the heads of the array and of both. */
const KEY_VALUE_ENVELOPE_BYTES = 54;
/** Bytes of one outcome or failed check in a result, with a reserve for fields of later versions. */
const OUTCOME_BYTES = 32;

/**
 * Bytes of an entry's data in a frame from another node. A longer one is refused as undecodable: this node could not
 * forward it. No leader makes one above MAX_COMMAND_BYTES; logs of older versions may have larger ones.
 */
export const MAX_PEER_ENTRY_BYTES = MAX_FRAME_BYTES - ENVELOPE_BYTES - ENTRY_ENVELOPE_BYTES;
/** Bytes of a configuration in a frame from another node: 16 members and 16,384 removed ids are less than 160 KiB. */
export const MAX_CONFIGURATION_BYTES = 256 * 1024;
/**
 * Bytes of an encoded result: the keys and values of a transaction's operations, which may each return one entry besides
 * those of ranges, and the outcome of each operation. A longer one is refused as undecodable, by the node that forwarded
 * the write and by the client.
 */
export const MAX_RESULT_BYTES = ENVELOPE_BYTES + MAX_TRANSACTION_RESULT_BYTES +
  (MAX_TRANSACTION_KEYS + MAX_BRANCHING_OPERATIONS) * KEY_VALUE_ENVELOPE_BYTES +
  MAX_BRANCHING_OPERATIONS * OUTCOME_BYTES;

const LARGEST: Readonly<Record<string, number>> = {
  "a command that is forwarded to the leader": MAX_COMMAND_BYTES,
  "an entry with the largest command": ENTRY_ENVELOPE_BYTES + MAX_COMMAND_BYTES,
  "an entry from another node": ENTRY_ENVELOPE_BYTES + MAX_PEER_ENTRY_BYTES,
  "a batch of entries": DEFAULT_LIMITS.appendBytes,
  "a result": MAX_RESULT_BYTES,
  "a page of a listing": LIST_PAGE_BYTES + MAX_KEY_BYTES + MAX_VALUE_BYTES +
    MAX_LIST_ENTRIES * KEY_VALUE_ENVELOPE_BYTES,
  // Of two ranges, the second of which begins just below the bound.
  "a page of ranges": 2 * (LIST_PAGE_BYTES + MAX_KEY_BYTES + MAX_VALUE_BYTES) +
    MAX_LIST_ENTRIES * KEY_VALUE_ENVELOPE_BYTES + MAX_READ_RANGES * ENVELOPE_BYTES,
  "a list of databases": 2 * MAX_REGISTRY_BYTES,
  "events of a watch": WATCH_FRAME_BYTES + 2 * (MAX_KEY_BYTES + MAX_VALUE_BYTES + KEY_VALUE_ENVELOPE_BYTES),
  "a piece of a snapshot": Math.max(MAX_SNAPSHOT_CHUNK_DATA_BYTES, MAX_SNAPSHOT_PART_BYTES),
};
for (const [what, bytes] of Object.entries(LARGEST)) {
  assert(bytes + ENVELOPE_BYTES <= MAX_FRAME_BYTES, `${what} fits into a frame`);
}
assert(
  MAX_KEY_BYTES + MAX_VALUE_BYTES <= MAX_TRANSACTION_RESULT_BYTES,
  "the value that a failed check returns fits into a result",
);
assert(ENTRY_ENVELOPE_BYTES <= ENTRY_SHARE_BYTES, "the core counts at least what an entry takes in a frame");
