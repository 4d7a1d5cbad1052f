/**
 * The numbers by which the wire names things. Part of the format: a number is never given to another thing, and a
 * new thing takes a number that was never used (docs/protocol.md has the same tables).
 */
import type {
  ClientRequest,
  Consistency,
  ForwardRequest,
  ForwardResponse,
  MembershipChange,
  ServerMessage,
} from "./messages.ts";
import type { Check, Command, CommandResult, Mutation, MutationOutcome } from "../kv/command.ts";
import type { MessageKind } from "../raft/message.ts";
import type { EntryKind } from "../raft/types.ts";

type HelloKind = "hello" | "welcome" | "refusal";
type LinkKind =
  | "ping"
  | "pong"
  | "snapshotChunk"
  | "snapshotProgress"
  | (ForwardRequest | ForwardResponse)["kind"];
/** The core's messages that travel; see WireMessage in peer_frames.ts. */
type WireKind = Exclude<MessageKind, "installSnapshot">;
type FrameKind = HelloKind | LinkKind | WireKind | ClientRequest["kind"] | ServerMessage["kind"];

/** First element of every frame. 0–9 any connection, 10–39 between nodes, 40–69 from clients, 70–99 to clients. */
export const FRAME_KIND = {
  hello: 0,
  welcome: 1,
  refusal: 2,
  ping: 3,
  pong: 4,

  preVote: 10,
  preVoteResponse: 11,
  requestVote: 12,
  requestVoteResponse: 13,
  appendEntries: 14,
  appendEntriesResponse: 15,
  heartbeat: 16,
  heartbeatResponse: 17,
  timeoutNow: 18,
  readIndex: 19,
  readIndexResponse: 20,
  forward: 30,
  forwardResult: 31,
  snapshotChunk: 32,
  snapshotProgress: 33,

  write: 40,
  get: 41,
  list: 42,
  status: 43,
  stateHash: 44,
  transferLeadership: 45,
  changeMembership: 46,
  takeSnapshot: 47,
  readSnapshot: 48,
  closeSnapshot: 49,

  writeResult: 70,
  getResult: 71,
  listResult: 72,
  statusResult: 73,
  stateHashResult: 74,
  transferLeadershipResult: 75,
  error: 76,
  leader: 77,
  membershipChanged: 78,
  snapshotTaken: 79,
  snapshotPart: 80,
  snapshotClosed: 81,
  members: 82,
} as const satisfies Record<FrameKind, number>;

/** Kind of an entry in AppendEntries. */
export const ENTRY_KIND = { noop: 1, command: 2, configuration: 3 } as const satisfies Record<
  EntryKind,
  number
>;

/** First element of an encoded command. */
export const COMMAND_KIND = {
  transaction: 1,
  registerSession: 2,
  expireSessions: 3,
} as const satisfies Record<Command["kind"], number>;

/** First element of a check. */
export const CHECK_KIND = { modRevision: 1, exists: 2, value: 3 } as const satisfies Record<
  Check["kind"],
  number
>;

/** First element of a mutation. */
export const MUTATION_KIND = { put: 1, delete: 2 } as const satisfies Record<Mutation["kind"], number>;

/** First element of a mutation's outcome. */
export const OUTCOME_KIND = { put: 1, delete: 2 } as const satisfies Record<MutationOutcome["kind"], number>;

/** First element of a change of membership. */
export const CHANGE_KIND = {
  add: 1,
  remove: 2,
  promote: 3,
  demote: 4,
  replace: 5,
  update: 6,
} as const satisfies Record<MembershipChange["kind"], number>;

/** First element of an encoded command result. */
export const RESULT_KIND = {
  applied: 1,
  checksFailed: 2,
  sessionRegistered: 3,
  sessionsExpired: 4,
  refused: 5,
} as const satisfies Record<CommandResult["kind"], number>;

/** How current a read must be. */
export const CONSISTENCY = { linearizable: 1, stale: 2 } as const satisfies Record<Consistency, number>;

/** First element of the result in an AppendEntriesResponse, and of the body of a forwardResult. */
export const ANSWER_KIND = { yes: 1, no: 2 } as const;

/** What the dialling end of a connection is. */
export const ROLE = { peer: 1, client: 2 } as const;

/** Which of its connections to a node a peer is opening. */
export const LANE = { control: 1, bulk: 2, probe: 3 } as const;
