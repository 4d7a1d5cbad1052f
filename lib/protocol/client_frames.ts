/**
 * The frames between clients and nodes after the hello; docs/protocol.md gives their bytes.
 *
 * A client may have many requests under way on one connection. Answers come in any order and carry the request's
 * `requestId`, an integer that the client does not use twice on the connection. What is decoded has the right shape and
 * owns its bytes; whether keys and values keep the store's limits is checked by the server, which can refuse them
 * without closing the connection.
 *
 * How to add a request (CONTRIBUTING.md has all files):
 *
 * 1. Here: a line in REQUESTS with a number that was never used and the kind of its answer, and the answer in
 *    SERVER_MESSAGES. Their types, encoders and decoders follow, and so do the metrics of the request and the values of
 *    the property, golden and hostile tests.
 * 2. `deno task check` then names the places that must handle it: lib/server/client_service.ts and the tests' node in
 *    tests/support/fakes/scripted_node.ts.
 * 3. A method of the client (lib/client) and a command (lib/cli).
 * 4. `deno task golden` writes the bytes of a sample of each; docs/protocol.md
 *    shows them, as tests/unit/protocol/protocol_page_test.ts demands.
 *
 * How to add a field: at the end of its frame only, as `trailing(field, whenMissing)`, since older nodes do not send it.
 * How to add a code or a role: in the list of messages.ts; the compiler names the places that decide by it.
 */
import { MAX_READ_RANGES } from "../kv/databases/range_reads.ts";
import { MAX_KEEP_ALIVES } from "../kv/leases/lease_command.ts";
import { SlabCopier } from "../platform/memory/slab.ts";
import { DecodeError } from "./errors.ts";
import {
  boolean,
  bytes,
  copiedOnce,
  type Field,
  integer,
  list,
  nullable,
  omittable,
  oneOf,
  sentence,
  text,
  trailing,
} from "./field.ts";
import { AUTH_NAME, AUTH_POSITION, GRANT, SIGN_IN, USER } from "./auth_command.ts";
import { KEY_SET } from "./branching_command.ts";
import { DATABASE } from "./database_command.ts";
import { DESCRIBED_NODES, MEMBER_REPORTS } from "./diagnostics/report_fields.ts";
import {
  CONSISTENCY_NUMBER,
  ENTRY,
  HISTORY_PAGE,
  KEY_VALUE,
  LEASE,
  LIST_PAGE,
  LIST_QUERY,
  RANGE,
  SCAN_PAGE,
  SCAN_QUERY,
  VISIBLE_ONLY,
} from "./key_value.ts";
import { MAX_RESULT_BYTES, MAX_SNAPSHOT_PART_BYTES } from "./limits.ts";
import { CHANGE, MEMBERS, STATUS } from "./members.ts";
import { type Credential, ERROR_CODES, type Outcome, WATCH_END_CODES } from "./messages.ts";
import { MessagePackReader } from "./msgpack_reader.ts";
import type { MessagePackWriter } from "./msgpack_writer.ts";
import {
  byHand,
  type Fields,
  frame,
  frameTable,
  group,
  type Layout,
  type MessageOf,
  record,
} from "./schema.ts";
import { EVENT_PAGE, WATCH_EVENT_LIST, WATCH_EVENTS_NUMBER } from "./watch_event.ts";

/** Why a request was not done. A code that a newer node may have added reads as "internal". */
export const REFUSAL = {
  code: oneOf(ERROR_CODES, { otherwise: "internal" }),
  message: sentence(),
  outcome: oneOf<Outcome>({ "not-applied": true, unknown: true }),
};

/** An encoded {@link import("../kv/command.ts").CommandResult}, which may be passed on in another frame. */
export const RESULT_BYTES = bytes(MAX_RESULT_BYTES);

/** Declares a request: its number, the kind of message that answers it when it was done, and its fields. */
function request<N extends number, A extends ServerMessage["kind"], F extends Fields>(
  number: N,
  answer: A,
  fields: F,
): Layout<N, { readonly requestId: Field<number> } & F> & { readonly answer: A } {
  return { ...frame(number, { requestId: integer(1), ...fields }), answer };
}

const REQUESTS = {
  /**
   * A write. `command`: an encoded transaction or registerSession; these very bytes become the log entry's data, behind the
   * identity of the user if it has one. Decoded, they are a view of the frame: they are copied once, with the identity.
   */
  write: byHand(request(40, "writeResult", { command: bytes() }), {
    read: (input) => ({
      kind: "write",
      requestId: input.integer("requestId", 1),
      command: input.view("command"),
    }),
  }),
  /** Reads one key. */
  get: byHand(request(41, "getResult", { key: bytes(), consistency: CONSISTENCY_NUMBER }), {
    read: (input) => ({
      kind: "get",
      requestId: input.integer("requestId", 1),
      key: input.binary("key"),
      consistency: CONSISTENCY_NUMBER.read(input, "consistency"),
    }),
  }),
  /** Reads one page of a range. */
  list: request(42, "listResult", {
    query: LIST_QUERY,
    consistency: CONSISTENCY_NUMBER,
    visibleOnly: VISIBLE_ONLY,
  }),
  /** Asks this node for its status. */
  status: request(43, "statusResult", {}),
  /** Asks a gateway for the status of a member; a node answers for itself alone. */
  memberStatus: request(65, "statusResult", { node: integer(1) }),
  /** Asks this node for the hash of its state, to compare replicas. */
  stateHash: request(44, "stateHashResult", {}),
  /** Asks the leader to transfer leadership to `target`, or to the best follower when null. */
  transferLeadership: request(45, "transferLeadershipResult", { target: nullable(integer(1)) }),
  /**
   * Asks the leader to change the membership; answered once the (learner or joint) change is committed. `force`: even
   * where it leaves fewer reachable voters than a majority.
   */
  changeMembership: request(46, "membershipChanged", { change: CHANGE, force: boolean() }),
  /**
   * Asks this node to take a snapshot of its state now. `keep`: its file stays readable until the connection ends, a
   * closeSnapshot, or 60 s without a read.
   */
  takeSnapshot: request(47, "snapshotTaken", { keep: boolean() }),
  /** Reads from `offset`, in bytes, in the file of a snapshot that was taken on this connection and is kept. */
  readSnapshot: request(48, "snapshotPart", { snapshotId: integer(), offset: integer() }),
  /** Drops the file of a snapshot. */
  closeSnapshot: request(49, "snapshotClosed", { snapshotId: integer() }),
  /** Reads one key as of a revision. A request of its own, since older nodes would ignore a revision in `get`. */
  getAt: request(50, "getResult", { key: bytes(), revision: integer(), consistency: CONSISTENCY_NUMBER }),
  /** Reads one page of a range as of a revision. */
  listAt: request(51, "listResult", {
    query: LIST_QUERY,
    consistency: CONSISTENCY_NUMBER,
    revision: integer(),
    visibleOnly: VISIBLE_ONLY,
  }),
  /** Reads the versions of one key, from the newest one below the revision `before` on. */
  keyHistory: request(52, "keyHistoryResult", {
    query: group({ key: bytes(), limit: integer(), before: nullable(integer()) }),
    consistency: CONSISTENCY_NUMBER,
  }),
  /**
   * Begins a watch, whose id is the `requestId`: the node then sends the events of these keys, from the revision `from`
   * on, or (null) of all revisions above that of the answer. `puts`, `deletes`: whether it sends these; `previous`:
   * whether it sends what was there before each.
   */
  watch: request(53, "watchStarted", {
    keys: KEY_SET,
    from: nullable(integer()),
    puts: boolean(),
    deletes: boolean(),
    previous: boolean(),
    visibleOnly: VISIBLE_ONLY,
  }),
  /** Ends a watch of this connection; done as well if there is none of this id. */
  cancelWatch: request(54, "watchCancelled", { watchId: integer(1) }),
  /**
   * Asks for an answer once all watches of this connection were sent everything up to its revision. `atOnce`: once the node
   * is up to date, with the watches that were not.
   */
  watchProgress: request(55, "watchProgressResult", { atOnce: trailing(boolean(), false) }),
  /** Reads one lease; `keys`: with one page of its keys, those after `after`. */
  lease: request(56, "leaseResult", {
    leaseId: integer(),
    keys: boolean(),
    after: nullable(bytes()),
    consistency: CONSISTENCY_NUMBER,
  }),
  /** Reads one page of the leases by id, those after the id `after`. */
  listLeases: request(57, "leasesResult", {
    after: integer(),
    limit: integer(),
    consistency: CONSISTENCY_NUMBER,
  }),
  /** Keeps leases alive: each has its whole time to live again. A node makes one write of all requests of a turn. */
  keepAlive: request(58, "keepAliveResult", { leaseIds: list(integer(), MAX_KEEP_ALIVES) }),
  /** Makes the requests of this connection those of a user. Neither the password nor the token is kept or logged. */
  signIn: request(59, "signedIn", { method: SIGN_IN }),
  /** Asks whether authentication is enabled, and which user the requests of this connection are of. */
  authStatus: request(60, "authStatusResult", {}),
  /**
   * Reads one user, one role, or both; with neither, one page of all roles and users, those after the position `after`.
   */
  readAuth: request(61, "authResult", {
    user: nullable(AUTH_NAME),
    role: nullable(AUTH_NAME),
    after: nullable(AUTH_POSITION),
    consistency: CONSISTENCY_NUMBER,
  }),
  /**
   * Reads ranges of keys, all at one revision: the given one, or (null) the present one. A large answer is continued by a
   * request for the rest, as of the revision of the first answer.
   */
  readRanges: request(62, "readRangesResult", {
    ranges: list(RANGE, MAX_READ_RANGES),
    consistency: CONSISTENCY_NUMBER,
    revision: nullable(integer()),
  }),
  /**
   * Reads one page of a range, as of a revision, or (null) of the present. `count`: with the number of keys of the whole range;
   * limit 0: that alone.
   */
  scan: request(64, "scanResult", {
    query: SCAN_QUERY,
    consistency: CONSISTENCY_NUMBER,
    revision: nullable(integer()),
  }),
  /** Reads the databases. `secrets`: with the keys and hashes by which a front end knows its clients. */
  listDatabases: request(63, "databasesResult", { secrets: boolean(), consistency: CONSISTENCY_NUMBER }),
  /**
   * Reads one page of the events of these keys, from the revision `from` on without its first `skip` events; null: no events,
   * but the present revision. The other fields are those of a watch.
   */
  readEvents: request(68, "eventsResult", {
    keys: KEY_SET,
    from: nullable(integer(1)),
    skip: integer(),
    puts: boolean(),
    deletes: boolean(),
    previous: boolean(),
    consistency: CONSISTENCY_NUMBER,
  }),
  /** Asks for reports about nodes, for diagnosis. `scope`: of the node that is asked, or of all members, which it asks. */
  describeNode: request(69, "nodesDescribed", { scope: DESCRIBED_NODES }),
};

/** The requests of clients. What they bring lives until they are answered, or while its entry is in memory. */
export const CLIENT_REQUESTS = frameTable({ what: "a client's frame", copies: new SlabCopier() }, REQUESTS);

/** The answers and notices of nodes to clients. */
export const SERVER_MESSAGES = frameTable({ what: "a node's frame", copies: true }, {
  writeResult: byHand(frame(70, { requestId: integer(1), result: RESULT_BYTES }), {
    write: (out, { requestId, result }) => {
      out.integer(requestId);
      out.binary(result);
    },
    read: (input) => ({
      kind: "writeResult",
      requestId: input.integer("requestId", 1),
      result: RESULT_BYTES.read(input, "result"),
    }),
  }),
  getResult: byHand(frame(71, { requestId: integer(1), entry: ENTRY, revision: integer() }), {
    write: (out, { requestId, entry, revision }) => {
      out.integer(requestId);
      ENTRY.write(out, entry);
      out.integer(revision);
    },
    read: (input) => ({
      kind: "getResult",
      requestId: input.integer("requestId", 1),
      entry: ENTRY.read(input, "entry"),
      revision: input.integer("revision"),
    }),
  }),
  listResult: frame(72, { requestId: integer(1), page: LIST_PAGE }),
  statusResult: frame(73, { requestId: integer(1), status: STATUS }),
  /** `hash`: SHA-256 of the canonical bytes of the state, in hexadecimal. */
  stateHashResult: frame(74, {
    requestId: integer(1),
    appliedIndex: integer(),
    revision: integer(),
    hash: text(),
  }),
  /** `leader`: the node that leads now. */
  transferLeadershipResult: frame(75, { requestId: integer(1), leader: integer(1) }),
  /**
   * A request that was not done. `requestId` is 0 when it could not be read; `leader` is the node that leads, as far as
   * this node knows; `compactedRevision` is there with the code "compacted".
   */
  error: frame(76, {
    requestId: integer(),
    ...REFUSAL,
    leader: nullable(integer(1)),
    compactedRevision: omittable(integer(), undefined),
  }),
  /** Sent unasked to every client when this node learns of another leader. */
  leader: frame(77, { leader: nullable(integer(1)), term: integer() }),
  /** The members after the change. */
  membershipChanged: frame(78, { requestId: integer(1), members: MEMBERS }),
  /**
   * A snapshot of the state at the entry (`index`, `term`). `snapshotId` names it on this connection; `bytes` is the
   * length of its file; `takenBy` the node, which a gateway adds.
   */
  snapshotTaken: frame(79, {
    requestId: integer(1),
    snapshotId: integer(),
    index: integer(),
    term: integer(),
    revision: integer(),
    bytes: integer(),
    takenBy: trailing(nullable(integer(1)), null),
  }),
  /** The file's bytes from the `offset` of the request on; none at its end. */
  snapshotPart: frame(80, {
    requestId: integer(1),
    offset: integer(),
    data: bytes(MAX_SNAPSHOT_PART_BYTES),
  }),
  snapshotClosed: frame(81, { requestId: integer(1) }),
  /**
   * Sent unasked to every client when this node learns that the members have changed. Of two
   * lists, the one with the higher `appliedIndex` is the newer.
   */
  members: frame(82, { appliedIndex: integer(), members: MEMBERS }),
  keyHistoryResult: frame(83, { requestId: integer(1), page: HISTORY_PAGE }),
  /** `revision`: the present one when the watch began. */
  watchStarted: frame(84, { requestId: integer(1), revision: integer() }),
  /** No further notice of the watch follows. */
  watchCancelled: frame(85, { requestId: integer(1) }),
  /**
   * Sent to a watch for each revision with events of its keys, in ascending order of revisions. `more`: further events of
   * the same revision follow in another frame.
   */
  watchEvents: frame(WATCH_EVENTS_NUMBER, {
    watchId: integer(1),
    revision: integer(1),
    events: WATCH_EVENT_LIST,
    more: boolean(),
  }),
  /** Sent now and then for watches that had no event for a while: they were sent everything up to `revision`. */
  watchProgressed: frame(87, { watchIds: list(integer(1)), revision: integer() }),
  /** The node has ended a watch. `compactedRevision` is there with the code "compacted". */
  watchEnded: frame(88, {
    watchId: integer(1),
    code: oneOf(WATCH_END_CODES, { otherwise: "internal" }),
    message: sentence(),
    compactedRevision: omittable(integer(), undefined),
  }),
  /** `behind`: of the watches of the connection that have begun or will, those that were not sent everything up to `revision`. */
  watchProgressResult: frame(92, {
    requestId: integer(1),
    revision: integer(),
    behind: trailing(list(integer(1)), []),
  }),
  /** `keys`: those that the request asked for; `more`: whether the lease has further ones. */
  leaseResult: frame(89, {
    requestId: integer(1),
    lease: nullable(record("lease", { ...LEASE, keys: list(bytes()), more: boolean() })),
    revision: integer(),
  }),
  leasesResult: frame(90, {
    requestId: integer(1),
    leases: list(record("lease", LEASE)),
    more: boolean(),
    revision: integer(),
  }),
  /** The time to live of each lease, in the order of the request; 0 for one that does not exist. */
  keepAliveResult: frame(91, { requestId: integer(1), ttlsMs: list(integer(), MAX_KEEP_ALIVES) }),
  /**
   * `expiresAtMs`: the time of the wall clock at which the token expires; null for a password, and for a token that does not.
   * `ticket`: after a sign-in by password, the text by which its holder signs in again (ticket.ts).
   */
  signedIn: frame(93, {
    requestId: integer(1),
    user: text(),
    expiresAtMs: nullable(integer(1)),
    ticket: trailing(nullable(text()), null),
  }),
  /**
   * `user` and `via`: of the connection, null while it has none; then with the user's roles and their grants, merged.
   * `more`: there are further grants, which would not fit.
   */
  authStatusResult: frame(94, {
    requestId: integer(1),
    enabled: boolean(),
    authRevision: integer(),
    user: nullable(text()),
    via: nullable(oneOf<Credential>({ password: true, token: true, certificate: true })),
    roles: list(text()),
    grants: list(GRANT),
    more: boolean(),
  }),
  /** Users and roles by name, without the role root; `after`: where the next page continues, null at the end. */
  authResult: frame(95, {
    requestId: integer(1),
    users: list(USER),
    roles: list(record("role", { name: text(), grants: list(GRANT) })),
    authRevision: integer(),
    after: nullable(AUTH_POSITION),
  }),
  /**
   * The entries of each range, in its direction. A range has fewer than its limit only if it has no more keys, but for the
   * one in `next`: there the read continues, after that key, or (null) at the beginning of the range.
   */
  readRangesResult: frame(96, {
    requestId: integer(1),
    revision: integer(),
    ranges: copiedOnce(list(list(KEY_VALUE), MAX_READ_RANGES)),
    next: nullable(record("next", { range: integer(), after: nullable(bytes()) })),
  }),
  /**
   * `count`: null if it was not asked for, or takes too long; with limit 0 and `more` that of the keys up to `after`.
   * `present`: the revision of the node's state.
   */
  scanResult: frame(98, { requestId: integer(1), page: SCAN_PAGE, present: integer() }),
  /** The databases by id; without secrets the keys and hashes are empty. */
  databasesResult: frame(97, {
    requestId: integer(1),
    revision: integer(),
    authenticationEnabled: boolean(),
    databases: list(DATABASE),
  }),
  eventsResult: frame(104, { requestId: integer(1), page: EVENT_PAGE }),
  nodesDescribed: frame(105, { requestId: integer(1), members: MEMBER_REPORTS }),
});

/** Any request of a client. */
export type ClientRequest = MessageOf<typeof CLIENT_REQUESTS>;
/** The kinds of requests. */
export type RequestKind = ClientRequest["kind"];
/** A request of one kind. */
export type RequestFrame<K extends RequestKind> = Extract<ClientRequest, { readonly kind: K }>;
/** Any message of a node to a client. */
export type ServerMessage = MessageOf<typeof SERVER_MESSAGES>;
/** A message of one kind to a client. */
export type ServerFrame<K extends ServerMessage["kind"]> = Extract<ServerMessage, { readonly kind: K }>;
/** A request that was not done. */
export type ErrorResponse = ServerFrame<"error">;
/** A message that answers no request. */
export type Notice = Exclude<ServerMessage, { readonly requestId: number }>;

/** Whether a message is a notice, and answers no request. A look-up of its kind in a table takes 14 ns, this 2 ns. */
export function isNotice(message: ServerMessage): message is Notice {
  return !("requestId" in message);
}

/** The message that answers a request of a kind when it was done. */
export type ResultOf<K extends RequestKind> = ServerFrame<(typeof REQUESTS)[K]["answer"]>;

/** Whether a message answers a request of a kind that was done. */
export function isResultOf<K extends RequestKind>(message: ServerMessage, kind: K): message is ResultOf<K> {
  return message.kind === REQUESTS[kind].answer;
}

/** Writes a request's payload. */
export function encodeClientRequest(out: MessagePackWriter, request: ClientRequest): void {
  CLIENT_REQUESTS.encode(out, request);
}

/**
 * Reads a request's payload. The bytes in it are the caller's own, but the command of a write is a view of the payload.
 * Throws DecodeError.
 */
export function decodeClientRequest(payload: Uint8Array): ClientRequest {
  return CLIENT_REQUESTS.decode(payload);
}

/** Returns the request id of a frame that could not be decoded, as far as it can be read; else 0. */
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

/** Writes the payload of a message to a client. */
export function encodeServerMessage(out: MessagePackWriter, message: ServerMessage): void {
  SERVER_MESSAGES.encode(out, message);
}

/** Reads the payload of a message to a client; the bytes in it are the caller's own. Throws DecodeError. */
export function decodeServerMessage(payload: Uint8Array): ServerMessage {
  return SERVER_MESSAGES.decode(payload);
}
