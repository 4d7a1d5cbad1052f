/** One value of every kind that goes over the wire, for the golden files. */
import type { Command, CommandResult, KeyValue, SessionStamp } from "../../../lib/kv/command.ts";
import type { ClientRequest, ServerMessage } from "../../../lib/protocol/client_frames.ts";
import type { Member } from "../../../lib/protocol/messages.ts";
import type { Caller, Refusal, Welcome } from "../../../lib/protocol/hello.ts";
import { encodeConfiguration } from "../../../lib/protocol/configuration.ts";
import type { Configuration } from "../../../lib/raft/types.ts";
import type { PeerFrame } from "../../../lib/protocol/peer_frames.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const envelope = { from: 1, to: 2, term: 7 };

const MEMBERS: readonly Member[] = [
  { id: 1, address: "127.0.0.1:7001", role: "voter" },
  { id: 2, address: "127.0.0.1:7002", role: "leaving" },
  { id: 3, address: "[::1]:7003", role: "learner" },
];
const SNAPSHOT = { term: 7, index: 300, snapshotTerm: 6, totalBytes: 1_000_000 };

/** Configurations, as they stand in the log. */
export const CONFIGURATIONS: Readonly<Record<string, Configuration>> = {
  configuration: {
    confState: { voters: [1, 4], learners: [2, 5], votersOutgoing: [1, 2] },
    members: [
      { id: 1, address: "127.0.0.1:7001", dataId: 8_000_000_000_000_001, autoPromote: false, replaces: null },
      { id: 2, address: "127.0.0.1:7002", dataId: 77, autoPromote: false, replaces: null },
      { id: 4, address: "node4.example:7001", dataId: 78, autoPromote: false, replaces: null },
      { id: 5, address: "[::1]:7005", dataId: null, autoPromote: true, replaces: 4 },
    ],
    removedIds: [3],
  },
  configuration_empty: {
    confState: { voters: [], learners: [], votersOutgoing: [] },
    members: [],
    removedIds: [],
  },
};
const CONFIGURATION = encodeConfiguration({
  confState: { voters: [1], learners: [], votersOutgoing: [] },
  members: [{ id: 1, address: "n1:7001", dataId: 7, autoPromote: false, replaces: null }],
  removedIds: [],
});
const ENTRY: KeyValue = {
  key: bytes("greeting"),
  value: bytes("hello"),
  createRevision: 3,
  modRevision: 5,
  version: 2,
};
const SESSION: SessionStamp = {
  sessionId: 8_000_000_000_000_001,
  sequence: 12,
  acknowledgedBelow: 11,
  openedAt: 345,
};

/** Frames between nodes. */
export const PEER_FRAMES: Readonly<Record<string, PeerFrame>> = {
  ping: { kind: "ping" },
  pong: { kind: "pong" },
  preVote: { kind: "preVote", ...envelope, lastLogIndex: 300, lastLogTerm: 6 },
  preVoteResponse: { kind: "preVoteResponse", ...envelope, granted: true },
  requestVote: {
    kind: "requestVote",
    ...envelope,
    lastLogIndex: 300,
    lastLogTerm: 6,
    leadershipTransfer: false,
  },
  requestVoteResponse: { kind: "requestVoteResponse", ...envelope, granted: false },
  appendEntries: {
    kind: "appendEntries",
    ...envelope,
    prevLogIndex: 300,
    prevLogTerm: 6,
    leaderCommit: 299,
    entries: [
      { index: 301, term: 7, kind: "noop", data: new Uint8Array() },
      { index: 302, term: 7, kind: "command", data: bytes("command bytes") },
      { index: 303, term: 7, kind: "configuration", data: CONFIGURATION },
    ],
  },
  appendEntriesResponse_accepted: {
    kind: "appendEntriesResponse",
    ...envelope,
    result: { kind: "accepted", matchIndex: 303 },
  },
  appendEntriesResponse_rejected: {
    kind: "appendEntriesResponse",
    ...envelope,
    result: { kind: "rejected", prevLogIndex: 300, conflictIndex: 250, conflictTerm: 5 },
  },
  heartbeat: { kind: "heartbeat", ...envelope, leaderCommit: 303, round: 41 },
  heartbeatResponse: { kind: "heartbeatResponse", ...envelope, round: 41, promisedMs: 900, hasRoom: true },
  timeoutNow: { kind: "timeoutNow", ...envelope },
  readIndex: { kind: "readIndex", ...envelope, readId: 99_000 },
  readIndexResponse: { kind: "readIndexResponse", ...envelope, readId: 99_000, index: 303 },
  forward: { kind: "forward", forwardId: 17, command: bytes("command bytes") },
  forwardResult_result: {
    kind: "forwardResult",
    forwardId: 17,
    body: { kind: "result", result: bytes("result bytes") },
  },
  forwardResult_error: {
    kind: "forwardResult",
    forwardId: 17,
    body: { kind: "error", code: "leadershipLost", message: "Node 1 no longer leads.", outcome: "unknown" },
  },
  snapshotChunk: { kind: "snapshotChunk", ...SNAPSHOT, offset: 262_144, data: bytes("snapshot bytes") },
  snapshotProgress: { kind: "snapshotProgress", ...SNAPSHOT, nextOffset: 262_158 },
};

/** Requests of clients. */
export const CLIENT_REQUESTS: Readonly<Record<string, ClientRequest>> = {
  write: { kind: "write", requestId: 1, command: bytes("command bytes") },
  get: { kind: "get", requestId: 2, key: bytes("greeting"), consistency: "linearizable" },
  list: {
    kind: "list",
    requestId: 3,
    query: {
      prefix: bytes("user/"),
      start: null,
      end: bytes("user/z"),
      after: null,
      reverse: false,
      limit: 100,
    },
    consistency: "stale",
  },
  status: { kind: "status", requestId: 4 },
  stateHash: { kind: "stateHash", requestId: 5 },
  transferLeadership: { kind: "transferLeadership", requestId: 6, target: 2 },
  changeMembership: {
    kind: "changeMembership",
    requestId: 8,
    change: { kind: "add", id: 4, address: "127.0.0.1:7004", learner: false },
    force: false,
  },
  changeMembership_remove: {
    kind: "changeMembership",
    requestId: 8,
    change: { kind: "remove", id: 4 },
    force: true,
  },
  changeMembership_promote: {
    kind: "changeMembership",
    requestId: 8,
    change: { kind: "promote", id: 4 },
    force: false,
  },
  changeMembership_demote: {
    kind: "changeMembership",
    requestId: 8,
    change: { kind: "demote", id: 4 },
    force: false,
  },
  changeMembership_replace: {
    kind: "changeMembership",
    requestId: 8,
    change: { kind: "replace", dead: 2, id: 4, address: "127.0.0.1:7004" },
    force: false,
  },
  changeMembership_update: {
    kind: "changeMembership",
    requestId: 8,
    change: { kind: "update", id: 2, address: "[::1]:7002" },
    force: false,
  },
  takeSnapshot: { kind: "takeSnapshot", requestId: 9, keep: true },
  readSnapshot: { kind: "readSnapshot", requestId: 10, snapshotId: 1, offset: 262_144 },
  closeSnapshot: { kind: "closeSnapshot", requestId: 11, snapshotId: 1 },
};

/** What nodes say to clients. */
export const SERVER_MESSAGES: Readonly<Record<string, ServerMessage>> = {
  writeResult: { kind: "writeResult", requestId: 1, result: bytes("result bytes") },
  getResult: { kind: "getResult", requestId: 2, entry: ENTRY, revision: 9 },
  getResult_absent: { kind: "getResult", requestId: 2, entry: null, revision: 9 },
  listResult: { kind: "listResult", requestId: 3, page: { entries: [ENTRY], more: true, revision: 9 } },
  statusResult: {
    kind: "statusResult",
    requestId: 4,
    status: {
      id: 1,
      role: "leader",
      term: 7,
      leader: 1,
      commitIndex: 303,
      appliedIndex: 303,
      lastLogIndex: 304,
      revision: 9,
      keys: 4,
      sessions: 1,
      version: "0.1.0",
      members: MEMBERS,
      firstLogIndex: 251,
      snapshotIndex: 300,
      stateBytes: 1_234,
      peers: [
        {
          id: 2,
          matchIndex: 304,
          state: "replicate",
          lastContactMs: 12,
          snapshotSentBytes: 0,
          snapshotTotalBytes: 0,
          hasRoom: false,
        },
        {
          id: 3,
          matchIndex: 0,
          state: "snapshot",
          lastContactMs: null,
          snapshotSentBytes: 262_158,
          snapshotTotalBytes: 1_000_000,
          hasRoom: null,
        },
      ],
      disk: "nearlyFull",
    },
  },
  stateHashResult: {
    kind: "stateHashResult",
    requestId: 5,
    appliedIndex: 303,
    revision: 9,
    hash: "ab".repeat(32),
  },
  transferLeadershipResult: { kind: "transferLeadershipResult", requestId: 6, leader: 2 },
  membershipChanged: { kind: "membershipChanged", requestId: 8, members: MEMBERS },
  snapshotTaken: {
    kind: "snapshotTaken",
    requestId: 9,
    snapshotId: 1,
    index: 303,
    term: 7,
    revision: 9,
    bytes: 1_000_000,
  },
  snapshotPart: { kind: "snapshotPart", requestId: 10, offset: 262_144, data: bytes("snapshot bytes") },
  snapshotClosed: { kind: "snapshotClosed", requestId: 11 },
  error: {
    kind: "error",
    requestId: 7,
    code: "noLeader",
    message: "No leader is known.",
    outcome: "not-applied",
    leader: null,
  },
  leader: { kind: "leader", leader: 2, term: 8 },
  members: { kind: "members", appliedIndex: 303, members: MEMBERS },
};

/** Commands, as they stand in the log. */
export const COMMANDS: Readonly<Record<string, Command>> = {
  command_put: {
    kind: "transaction",
    session: SESSION,
    checks: [],
    mutations: [{ kind: "put", key: bytes("greeting"), value: bytes("hello") }],
  },
  command_transaction: {
    kind: "transaction",
    session: null,
    checks: [
      { kind: "modRevision", key: bytes("a"), modRevision: 5 },
      { kind: "exists", key: bytes("b"), exists: false },
      { kind: "value", key: bytes("c"), value: bytes("1") },
    ],
    mutations: [{ kind: "put", key: bytes("a"), value: bytes("2") }, { kind: "delete", key: bytes("c") }],
  },
  command_compareAndSet: {
    kind: "transaction",
    session: null,
    checks: [{ kind: "value", key: bytes("a"), value: bytes("1") }],
    mutations: [{ kind: "put", key: bytes("a"), value: bytes("2") }],
    returnCurrent: true,
  },
  command_registerSession: { kind: "registerSession", sessionId: 8_000_000_000_000_001, openedAt: 345 },
  command_expireSessions: { kind: "expireSessions", elapsedMs: 10_000 },
};

/** Results of commands. */
export const RESULTS: Readonly<Record<string, CommandResult>> = {
  result_applied: {
    kind: "applied",
    revision: 9,
    outcomes: [{ kind: "put", createRevision: 3, version: 2 }, { kind: "delete", deleted: true }],
  },
  result_checksFailed: { kind: "checksFailed", revision: 9, failedChecks: [0, 2], current: ENTRY },
  result_checksFailed_omitted: {
    kind: "checksFailed",
    revision: 9,
    failedChecks: [0, 2],
    current: "omitted",
  },
  result_sessionRegistered: { kind: "sessionRegistered" },
  result_sessionsExpired: { kind: "sessionsExpired", expired: 3 },
  result_refused: { kind: "refused", reason: "sessionExpired" },
};

/** Hellos. */
export const HELLOS: Readonly<Record<string, Caller>> = {
  hello_client: { role: "client", clusterId: null },
  hello_peer: {
    role: "peer",
    clusterId: "00112233aabbccdd",
    nodeId: 1,
    lane: "bulk",
    dataId: 4_000_000_001,
    address: "127.0.0.1:7001",
  },
};

/** Answers to hellos. */
export const HELLO_ANSWERS: Readonly<Record<string, Welcome | Refusal>> = {
  welcome: {
    kind: "welcome",
    version: 1,
    clusterId: "00112233aabbccdd",
    nodeId: 1,
    leader: 2,
    term: 7,
    appliedIndex: 303,
    members: MEMBERS,
    limits: { maxKeyBytes: 4_096, maxValueBytes: 1_048_576, maxFrameBytes: 16_777_216 },
    dataId: 4_000_000_001,
  },
  refusal: { kind: "refusal", code: "wrongCluster", message: "This node belongs to another cluster." },
};
