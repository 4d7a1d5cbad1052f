/** Arbitrary values of everything that goes over the wire. `maxInteger` bounds every integer in them. */
import fc from "fast-check";
import type {
  Check,
  Command,
  CommandResult,
  KeyValue,
  ListQuery,
  Mutation,
  MutationOutcome,
} from "../../../lib/kv/command.ts";
import type { ClientRequest, ServerMessage } from "../../../lib/protocol/client_frames.ts";
import type { ErrorCode, Outcome } from "../../../lib/protocol/messages.ts";
import { REFUSAL_CODES } from "../../../lib/protocol/errors.ts";
import type { Caller, Refusal, Welcome } from "../../../lib/protocol/hello.ts";
import { MAX_TERM } from "../../../lib/protocol/limits.ts";
import type { PeerFrame } from "../../../lib/protocol/peer_frames.ts";
import type { AppendEntries } from "../../../lib/raft/message.ts";
import { encodeConfiguration } from "../../../lib/protocol/configuration.ts";
import type { Entry } from "../../../lib/raft/types.ts";
import { configuration, members, membershipChange, peers, snapshotFrame } from "./arbitrary_cluster.ts";
import { address, binary, integer, nullable, record, text } from "./arbitrary_values.ts";

export { configuration } from "./arbitrary_cluster.ts";

const MAX_NODE_ID = 9;

/** Any frame between nodes. */
export function peerFrame(maxInteger: number): fc.Arbitrary<PeerFrame> {
  const id = integer({ max: maxInteger });
  const body = fc.oneof(
    record({ kind: fc.constant("result"), result: binary() }),
    record({ kind: fc.constant("error"), code: errorCode(), message: text(), outcome: outcome() }),
  );
  return fc.oneof(
    { weight: 4, arbitrary: logMessage(maxInteger) },
    { weight: 4, arbitrary: smallMessage(maxInteger) },
    { weight: 1, arbitrary: record({ kind: fc.constant("forward"), forwardId: id, command: binary() }) },
    { weight: 2, arbitrary: record({ kind: fc.constant("forwardResult"), forwardId: id, body }) },
    { weight: 2, arbitrary: snapshotFrame(maxInteger) },
    { weight: 1, arbitrary: record({ kind: fc.constantFrom("ping", "pong") }) },
  );
}

/** Messages whose fields hang together with the sender's log. */
function logMessage(maxInteger: number): fc.Arbitrary<PeerFrame> {
  const count = integer({ max: maxInteger });
  const head = envelope(maxInteger);
  return fc.oneof(
    fc.tuple(head, count, fc.nat(), fc.boolean()).chain(([from, lastLogIndex, seed, leadershipTransfer]) => {
      const lastLogTerm = termAt(lastLogIndex, { term: from.term, seed });
      return fc.constantFrom<PeerFrame>(
        { kind: "preVote", ...from, lastLogIndex, lastLogTerm },
        { kind: "requestVote", ...from, lastLogIndex, lastLogTerm, leadershipTransfer },
      );
    }),
    fc.tuple(head, count, count, fc.nat()).map((
      [from, index, conflict, seed],
    ) => rejection(from, { prevLogIndex: index, conflict, seed })),
    fc.tuple(head, count, count, fc.array(entrySeed(), { maxLength: 20 })).map((
      [from, index, commit, seeds],
    ) =>
      appendEntries(from, {
        prevLogIndex: Math.min(index, maxInteger - seeds.length),
        leaderCommit: commit,
        seeds,
      })
    ),
  );
}

/** Messages whose fields stand for themselves. */
function smallMessage(maxInteger: number): fc.Arbitrary<PeerFrame> {
  const count = integer({ max: maxInteger });
  const body = fc.oneof(
    record({ kind: fc.constantFrom("preVoteResponse", "requestVoteResponse"), granted: fc.boolean() }),
    record({
      kind: fc.constant("appendEntriesResponse"),
      result: record({ kind: fc.constant("accepted"), matchIndex: count }),
    }),
    record({ kind: fc.constant("heartbeat"), leaderCommit: count, round: count }),
    record({
      kind: fc.constant("heartbeatResponse"),
      round: count,
      promisedMs: count,
      hasRoom: fc.boolean(),
    }),
    record({ kind: fc.constant("timeoutNow") }),
    record({ kind: fc.constant("readIndex"), readId: count }),
    record({ kind: fc.constant("readIndexResponse"), readId: count, index: nullable(count) }),
  );
  return fc.tuple(envelope(maxInteger), body).map(([head, message]) => ({ ...head, ...message }));
}

/** Two different nodes and a term. */
function envelope(maxInteger: number): fc.Arbitrary<Head> {
  return fc.tuple(
    fc.integer({ min: 1, max: MAX_NODE_ID }),
    fc.integer({ min: 1, max: MAX_NODE_ID - 1 }),
    integer({ min: 1, max: Math.min(maxInteger, MAX_TERM) }),
  ).map(([from, distance, term]) => ({ from, to: (from + distance - 1) % MAX_NODE_ID + 1, term }));
}

/** Any request of a client. */
export function clientRequest(maxInteger: number): fc.Arbitrary<ClientRequest> {
  const requestId = integer({ min: 1, max: maxInteger });
  const consistency = fc.constantFrom("linearizable", "stale");
  return fc.oneof(
    record({ kind: fc.constant("write"), requestId, command: binary() }),
    record({ kind: fc.constant("get"), requestId, key: binary(), consistency }),
    record({ kind: fc.constant("list"), requestId, query: listQuery(maxInteger), consistency }),
    record({ kind: fc.constantFrom("status", "stateHash"), requestId }),
    record({
      kind: fc.constant("transferLeadership"),
      requestId,
      target: nullable(integer({ min: 1, max: maxInteger })),
    }),
    adminRequest(maxInteger),
  );
}

function adminRequest(maxInteger: number): fc.Arbitrary<ClientRequest> {
  const requestId = integer({ min: 1, max: maxInteger });
  const count = integer({ max: maxInteger });
  return fc.oneof(
    record({
      kind: fc.constant("changeMembership"),
      requestId,
      change: membershipChange(maxInteger),
      force: fc.boolean(),
    }),
    record({ kind: fc.constant("takeSnapshot"), requestId, keep: fc.boolean() }),
    record({ kind: fc.constant("readSnapshot"), requestId, snapshotId: count, offset: count }),
    record({ kind: fc.constant("closeSnapshot"), requestId, snapshotId: count }),
  );
}

function adminMessage(maxInteger: number): fc.Arbitrary<ServerMessage> {
  const requestId = integer({ min: 1, max: maxInteger });
  const count = integer({ max: maxInteger });
  return fc.oneof(
    record({ kind: fc.constant("membershipChanged"), requestId, members: members(maxInteger) }),
    record({
      kind: fc.constant("snapshotTaken"),
      requestId,
      snapshotId: count,
      index: count,
      term: count,
      revision: count,
      bytes: count,
    }),
    record({ kind: fc.constant("snapshotPart"), requestId, offset: count, data: binary() }),
    record({ kind: fc.constant("snapshotClosed"), requestId }),
    record({ kind: fc.constant("members"), appliedIndex: count, members: members(maxInteger) }),
  );
}

/** Anything that a node says to a client. */
export function serverMessage(maxInteger: number): fc.Arbitrary<ServerMessage> {
  const requestId = integer({ min: 1, max: maxInteger });
  const count = integer({ max: maxInteger });
  const node = integer({ min: 1, max: maxInteger });
  return fc.oneof(
    record({ kind: fc.constant("writeResult"), requestId, result: binary() }),
    record({
      kind: fc.constant("getResult"),
      requestId,
      entry: nullable(keyValue(maxInteger)),
      revision: count,
    }),
    record({
      kind: fc.constant("listResult"),
      requestId,
      page: record({
        entries: fc.array(keyValue(maxInteger), { maxLength: 20 }),
        more: fc.boolean(),
        revision: count,
      }),
    }),
    record({
      kind: fc.constant("statusResult"),
      requestId,
      status: record({
        id: node,
        role: fc.constantFrom("follower", "preCandidate", "candidate", "leader"),
        term: count,
        leader: nullable(node),
        commitIndex: count,
        appliedIndex: count,
        lastLogIndex: count,
        revision: count,
        keys: count,
        sessions: count,
        version: fc.string(),
        members: members(maxInteger),
        firstLogIndex: count,
        snapshotIndex: count,
        stateBytes: count,
        peers: peers(maxInteger),
        disk: fc.constantFrom("ok", "nearlyFull", "full"),
      }),
    }),
    record({
      kind: fc.constant("stateHashResult"),
      requestId,
      appliedIndex: count,
      revision: count,
      hash: text(),
    }),
    record({ kind: fc.constant("transferLeadershipResult"), requestId, leader: node }),
    record({
      kind: fc.constant("error"),
      requestId: count,
      code: errorCode(),
      message: text(),
      outcome: outcome(),
      leader: nullable(node),
    }),
    record({ kind: fc.constant("leader"), leader: nullable(node), term: count }),
    adminMessage(maxInteger),
  );
}

/** Any command of the right shape; whether the store would take it is another matter. */
export function command(maxInteger: number): fc.Arbitrary<Command> {
  const count = integer({ max: maxInteger });
  const fromOne = integer({ min: 1, max: maxInteger });
  const session = record({
    sessionId: fromOne,
    sequence: fromOne,
    acknowledgedBelow: count,
    openedAt: count,
  });
  const check: fc.Arbitrary<Check> = fc.oneof(
    record({ kind: fc.constant("modRevision"), key: binary(), modRevision: count }),
    record({ kind: fc.constant("exists"), key: binary(), exists: fc.boolean() }),
    record({ kind: fc.constant("value"), key: binary(), value: binary() }),
  );
  const mutation: fc.Arbitrary<Mutation> = fc.oneof(
    record({ kind: fc.constant("put"), key: binary(), value: binary() }),
    record({ kind: fc.constant("delete"), key: binary() }),
  );
  return fc.oneof(
    record({
      kind: fc.constant("transaction"),
      session: nullable(session),
      checks: fc.array(check, { maxLength: 20 }),
      mutations: fc.array(mutation, { maxLength: 20 }),
    }),
    record({
      kind: fc.constant("transaction"),
      session: nullable(session),
      checks: fc.array(check, { maxLength: 2 }),
      mutations: fc.array(mutation, { maxLength: 2 }),
      returnCurrent: fc.constant(true as const),
    }),
    record({ kind: fc.constant("registerSession"), sessionId: fromOne, openedAt: count }),
    record({ kind: fc.constant("expireSessions"), elapsedMs: count }),
  );
}

/** Any result of a command. */
export function commandResult(maxInteger: number): fc.Arbitrary<CommandResult> {
  const count = integer({ max: maxInteger });
  const fromOne = integer({ min: 1, max: maxInteger });
  const mutationOutcome: fc.Arbitrary<MutationOutcome> = fc.oneof(
    record({ kind: fc.constant("put"), createRevision: fromOne, version: fromOne }),
    record({ kind: fc.constant("delete"), deleted: fc.boolean() }),
  );
  return fc.oneof(
    record({
      kind: fc.constant("applied"),
      revision: fromOne,
      outcomes: fc.array(mutationOutcome, { maxLength: 20 }),
    }),
    record({
      kind: fc.constant("checksFailed"),
      revision: count,
      failedChecks: fc.array(count, { maxLength: 20 }),
      current: fc.oneof(nullable(keyValue(maxInteger)), fc.constant("omitted" as const)),
    }),
    record({ kind: fc.constant("sessionRegistered") }),
    record({ kind: fc.constant("sessionsExpired"), expired: count }),
    record({
      kind: fc.constant("refused"),
      reason: fc.constantFrom("sessionExpired", "answerForgotten", "invalidCommand"),
    }),
  );
}

/** Anyone who may call. */
export function caller(maxInteger: number): fc.Arbitrary<Caller> {
  return fc.oneof(
    record({ role: fc.constant("client"), clusterId: nullable(fc.string()) }),
    record({
      role: fc.constant("peer"),
      clusterId: fc.string(),
      nodeId: integer({ min: 1, max: maxInteger }),
      lane: fc.constantFrom("control", "bulk", "probe"),
      dataId: integer({ max: maxInteger }),
      address: address(),
    }),
  );
}

/** Any answer to a hello. */
export function helloAnswer(maxInteger: number): fc.Arbitrary<Welcome | Refusal> {
  const count = integer({ max: maxInteger });
  const fromOne = integer({ min: 1, max: maxInteger });
  return fc.oneof(
    record({
      kind: fc.constant("refusal"),
      code: fc.constantFrom(...REFUSAL_CODES),
      message: fc.string(),
    }),
    record({
      kind: fc.constant("welcome"),
      version: fc.constant(1),
      clusterId: fc.string(),
      nodeId: fromOne,
      leader: nullable(fromOne),
      term: count,
      appliedIndex: count,
      members: members(maxInteger),
      limits: record({ maxKeyBytes: fromOne, maxValueBytes: count, maxFrameBytes: fromOne }),
      dataId: count,
    }),
  );
}

function keyValue(maxInteger: number): fc.Arbitrary<KeyValue> {
  const fromOne = integer({ min: 1, max: maxInteger });
  return record({ key: binary(), value: binary(), first: fromOne, second: fromOne, version: fromOne })
    .map(({ key, value, first, second, version }) => ({
      key,
      value,
      createRevision: Math.min(first, second),
      modRevision: Math.max(first, second),
      version,
    }));
}

function listQuery(maxInteger: number): fc.Arbitrary<ListQuery> {
  return record({
    prefix: binary(),
    start: nullable(binary()),
    end: nullable(binary()),
    after: nullable(binary()),
    reverse: fc.boolean(),
    limit: integer({ max: maxInteger }),
  });
}

function errorCode(): fc.Arbitrary<ErrorCode> {
  return fc.constantFrom(
    "noLeader",
    "leadershipLost",
    "busy",
    "keyTooLarge",
    "storageFull",
    "membershipRefused",
    "unknownKind",
    "internal",
  );
}

function outcome(): fc.Arbitrary<Outcome> {
  return fc.constantFrom("not-applied", "unknown");
}

/** From what an entry is made that must fit behind others. */
interface EntrySeed {
  readonly termStep: number;
  readonly kind: "noop" | "command" | "configuration";
  readonly data: Uint8Array;
}

function entrySeed(): fc.Arbitrary<EntrySeed> {
  const termStep = fc.integer({ min: 0, max: 2 });
  return fc.oneof(
    record({ termStep, kind: fc.constantFrom("noop", "command"), data: binary() }),
    record({
      termStep,
      kind: fc.constant("configuration"),
      data: configuration(Number.MAX_SAFE_INTEGER).map(encodeConfiguration),
    }),
  );
}

type Head = Pick<AppendEntries, "from" | "to" | "term">;

function appendEntries(
  head: Head,
  { prevLogIndex, leaderCommit, seeds }: {
    readonly prevLogIndex: number;
    readonly leaderCommit: number;
    readonly seeds: readonly EntrySeed[];
  },
): PeerFrame {
  const prevLogTerm = termAt(prevLogIndex, { term: head.term, seed: prevLogIndex });
  let term = Math.max(1, prevLogTerm);
  const entries = seeds.map(({ termStep, kind, data }, position): Entry => {
    term = Math.min(head.term, term + termStep);
    return {
      index: prevLogIndex + 1 + position,
      term,
      kind,
      data: kind === "noop" ? new Uint8Array() : data,
    };
  });
  return { kind: "appendEntries", ...head, prevLogIndex, prevLogTerm, leaderCommit, entries };
}

function rejection(
  head: Head,
  { prevLogIndex, conflict, seed }: {
    readonly prevLogIndex: number;
    readonly conflict: number;
    readonly seed: number;
  },
): PeerFrame {
  const conflictIndex = Math.min(conflict, prevLogIndex);
  const conflictTerm = termAt(conflictIndex, { term: head.term, seed });
  return {
    kind: "appendEntriesResponse",
    ...head,
    result: { kind: "rejected", prevLogIndex, conflictIndex, conflictTerm },
  };
}

/** A term that an entry at `index` may have in a message of `term`. */
function termAt(index: number, { term, seed }: { readonly term: number; readonly seed: number }): number {
  return index === 0 ? 0 : 1 + seed % term;
}
