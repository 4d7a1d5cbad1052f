/**
 * The first frame in each direction: who is calling and which versions it speaks; welcome, or why not.
 *
 *     [0, "kvraft", minVersion, maxVersion, role, clusterId, nodeId, lane, credentials, dataId, address]
 *     [1, version, clusterId, nodeId, leader, term, appliedIndex, [[id, address, role]…],
 *      [maxKeyBytes, maxValueBytes, maxFrameBytes], dataId]
 *     [2, code, message]
 */
import { MAX_FOREIGN_MESSAGE_CHARACTERS, shortened } from "../platform/errors.ts";
import type { NodeId } from "../raft/types.ts";
import type { Member } from "./messages.ts";
import { HandshakeError, REFUSAL_CODES, type RefusalCode } from "./errors.ts";
import { isMemberAddress } from "../platform/address.ts";
import { FRAME_KIND, LANE, ROLE } from "./kinds.ts";
import { memberRows, readMembers } from "./member_codec.ts";
import type { MessagePackWriter } from "./msgpack_writer.ts";
import { decodeRareFrame, encodeRareFrame, type RareFields } from "./rare_frame.ts";

/** First version of the protocol that this program speaks. */
export const MIN_PROTOCOL_VERSION = 1;
/** Last version of the protocol that this program speaks. */
export const MAX_PROTOCOL_VERSION = 1;

const MAGIC = "kvraft";
/** Characters of a cluster's id: what the headers of files have room for. A longer one is refused as undecodable. */
const MAX_CLUSTER_ID_CHARACTERS = 256;

/**
 * Which connection from one node to another: of the two that last, the one for what is small and urgent or the one for
 * what is large; or one that only asks who is there.
 */
export type Lane = keyof typeof LANE;

/** A node of the cluster, opening one of its two lanes. */
export interface PeerCaller {
  readonly role: "peer";
  readonly clusterId: string;
  readonly nodeId: NodeId;
  readonly lane: Lane;
  /** Which data folder is the caller's: a node that comes back with another one has forgotten what it promised. */
  readonly dataId: number;
  /** Where others dial the caller: `host:port`. */
  readonly address: string;
}

/** A client. */
export interface ClientCaller {
  readonly role: "client";
  /** Where it has learned it before, so as not to end up at another cluster; else null. */
  readonly clusterId: string | null;
}

/** Who is calling. */
export type Caller = PeerCaller | ClientCaller;

/** What a connection begins with. */
export type Hello =
  | { readonly kind: "hello"; readonly version: number; readonly caller: Caller }
  /** No version is spoken by both; whatever else it said may mean something else in its versions. */
  | { readonly kind: "otherVersions"; readonly minVersion: number; readonly maxVersion: number };

/** What a client must keep to, as the node that it reached has it. */
export interface WelcomeLimits {
  readonly maxKeyBytes: number;
  readonly maxValueBytes: number;
  readonly maxFrameBytes: number;
}

/** The answer of a node that takes the connection. */
export interface Welcome {
  readonly kind: "welcome";
  /** The version to speak: the highest that both know. */
  readonly version: number;
  readonly clusterId: string;
  /** The node that answers. */
  readonly nodeId: NodeId;
  /** Who leads, as far as it knows. */
  readonly leader: NodeId | null;
  readonly term: number;
  /** Log index that it has applied; a session opened over this connection says it was opened at this index. */
  readonly appliedIndex: number;
  /** All nodes, sorted by id. */
  readonly members: readonly Member[];
  readonly limits: WelcomeLimits;
  /** Which data folder is this node's. */
  readonly dataId: number;
}

/** The answer of a node that does not; it closes the connection behind it. */
export interface Refusal {
  readonly kind: "refusal";
  readonly code: RefusalCode;
  /** A sentence for a person. */
  readonly message: string;
}

/** Writes a hello that offers this program's versions. */
export function encodeHello(out: MessagePackWriter, caller: Caller): void {
  const isPeer = caller.role === "peer";
  encodeRareFrame(out, [
    FRAME_KIND.hello,
    MAGIC,
    MIN_PROTOCOL_VERSION,
    MAX_PROTOCOL_VERSION,
    ROLE[caller.role],
    caller.clusterId,
    isPeer ? caller.nodeId : null,
    isPeer ? LANE[caller.lane] : null,
    null, // credentials: nothing asks for any yet
    isPeer ? caller.dataId : null,
    isPeer ? caller.address : null,
  ]);
}

/** Reads a hello and picks the version. Throws DecodeError when it is none. */
export function decodeHello(payload: Uint8Array): Hello {
  const fields = decodeRareFrame(payload, "a hello");
  if (fields.integer("kind") !== FRAME_KIND.hello) throw fields.error("kind", `must be ${FRAME_KIND.hello}`);
  if (fields.string("magic") !== MAGIC) throw fields.error("magic", `must be "${MAGIC}"`);
  const minVersion = fields.integer("minVersion", 1);
  const maxVersion = fields.integer("maxVersion", minVersion);
  if (minVersion > MAX_PROTOCOL_VERSION || maxVersion < MIN_PROTOCOL_VERSION) {
    return { kind: "otherVersions", minVersion, maxVersion };
  }
  return { kind: "hello", version: Math.min(maxVersion, MAX_PROTOCOL_VERSION), caller: readCaller(fields) };
}

/** Writes a welcome. */
export function encodeWelcome(out: MessagePackWriter, welcome: Welcome): void {
  const { limits } = welcome;
  encodeRareFrame(out, [
    FRAME_KIND.welcome,
    welcome.version,
    welcome.clusterId,
    welcome.nodeId,
    welcome.leader,
    welcome.term,
    welcome.appliedIndex,
    memberRows(welcome.members),
    [limits.maxKeyBytes, limits.maxValueBytes, limits.maxFrameBytes],
    welcome.dataId,
  ]);
}

/** Writes a refusal. */
export function encodeRefusal(out: MessagePackWriter, refusal: Refusal): void {
  encodeRareFrame(out, [FRAME_KIND.refusal, refusal.code, refusal.message]);
}

/** Reads the answer to a hello. Throws DecodeError, and HandshakeError for a refusal of a kind that is not known. */
export function decodeHelloAnswer(payload: Uint8Array): Welcome | Refusal {
  const fields = decodeRareFrame(payload, "the answer to a hello");
  const kind = fields.integer("kind");
  if (kind === FRAME_KIND.welcome) return readWelcome(fields);
  if (kind !== FRAME_KIND.refusal) throw fields.error("kind", "must be a welcome or a refusal");
  const text = fields.string("code");
  const message = shortened(fields.string("message"), MAX_FOREIGN_MESSAGE_CHARACTERS);
  const code = REFUSAL_CODES.find((known) => known === text);
  if (code === undefined) {
    throw new HandshakeError("notKvraft", `Refused for an unknown reason, "${shortened(text)}": ${message}`);
  }
  return { kind: "refusal", code, message };
}

function readCaller(fields: RareFields): Caller {
  const role = fields.integer("role");
  if (role === ROLE.client) return { role: "client", clusterId: fields.stringOrNull("clusterId") };
  if (role !== ROLE.peer) {
    throw fields.error("role", `must be ${ROLE.peer} for a peer or ${ROLE.client} for a client`);
  }
  const head = {
    role: "peer",
    clusterId: fields.string("clusterId"),
    nodeId: fields.integer("nodeId", 1),
    lane: readLane(fields),
  } as const;
  fields.skip("credentials");
  return { ...head, dataId: fields.integer("dataId"), address: readAddress(fields) };
}

function readLane(fields: RareFields): Lane {
  const lane = fields.integer("lane");
  if (lane === LANE.control) return "control";
  if (lane === LANE.bulk) return "bulk";
  if (lane === LANE.probe) return "probe";
  throw fields.error(
    "lane",
    `must be ${LANE.control} for control, ${LANE.bulk} for bulk or ${LANE.probe} for a probe`,
  );
}

/** Takes an address that others can dial, in its one written form. */
function readAddress(fields: RareFields): string {
  const text = fields.string("address");
  if (!isMemberAddress(text)) throw fields.error("address", "must be host:port that others can dial");
  return text;
}

/** Takes the id of the cluster that a node says it belongs to: a node that joins writes it into its folder. */
function readOwnCluster(fields: RareFields): string {
  const clusterId = fields.string("clusterId");
  if (clusterId.length <= MAX_CLUSTER_ID_CHARACTERS) return clusterId;
  throw fields.error("clusterId", `must not be longer than ${MAX_CLUSTER_ID_CHARACTERS} characters`);
}

function readWelcome(fields: RareFields): Welcome {
  const head = {
    kind: "welcome",
    version: fields.integer("version", MIN_PROTOCOL_VERSION),
    clusterId: readOwnCluster(fields),
    nodeId: fields.integer("nodeId", 1),
    leader: fields.integerOrNull("leader", 1),
    term: fields.integer("term"),
    appliedIndex: fields.integer("appliedIndex"),
    members: readMembers(fields),
  } as const;
  if (head.version > MAX_PROTOCOL_VERSION) throw fields.error("version", "must be one of those offered");
  const limits = fields.fields("limits");
  return {
    ...head,
    limits: {
      maxKeyBytes: limits.integer("maxKeyBytes", 1),
      maxValueBytes: limits.integer("maxValueBytes"),
      maxFrameBytes: limits.integer("maxFrameBytes", 1),
    },
    dataId: fields.integer("dataId"),
  };
}
