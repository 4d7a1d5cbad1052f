/**
 * The first frame in each direction: the role and the versions of the end that dials; then a welcome or a refusal. The
 * hello is written by hand, since its first fields decide how the others are read.
 *
 *     [0, "kvraft", minVersion, maxVersion, role, clusterId, nodeId, lane, credentials, dataId, address, featureLevel,
 *      etcdUrl]
 *     [1, version, clusterId, nodeId, leader, term, appliedIndex, [[id, address, role]…],
 *      [maxKeyBytes, maxValueBytes, maxFrameBytes], dataId, featureLevel, proof]
 *     [2, code, message, proof]
 *
 * Between them, if a peer's hello has credentials and the accepting node has a peer secret, each end proves that it knows
 * the secret (lib/transport/peer_secret.ts): the node sends a challenge, the peer its proof, and the welcome has the
 * node's own.
 *
 *     credentials   [[keyId…], nonce, expectedNodeId]
 *     [5, version, nodeId, keyId, nonce]
 *     [6, proof]
 */
import { FIRST_FEATURE_LEVEL } from "../kv/feature_level.ts";
import { isMemberAddress } from "../platform/address.ts";
import type { Random } from "../platform/clock.ts";
import { shortened } from "../platform/errors.ts";
import type { NodeId } from "../raft/types.ts";
import { HandshakeError, REFUSAL_CODES, type RefusalCode } from "./errors.ts";
import {
  type Field,
  fixedBytes,
  formatted,
  integer,
  list,
  nullable,
  numbered,
  omittable,
  sentence,
  text,
  trailing,
} from "./field.ts";
import { ETCD_URL, MEMBERS } from "./members.ts";
import { MessagePackReader } from "./msgpack_reader.ts";
import type { MessagePackWriter } from "./msgpack_writer.ts";
import { frame, frameTable, type MessageOf, record } from "./schema.ts";

/** First version of the protocol that this program speaks. */
export const MIN_PROTOCOL_VERSION = 1;
/** Last version of the protocol that this program speaks. */
export const MAX_PROTOCOL_VERSION = 1;

/**
 * Ids from this one on are those of gateways; no node has one. To a client a gateway is a node that always leads and is no
 * member: it takes every request, and its clients dial no other node.
 */
export const FIRST_GATEWAY_ID = 2 ** 52;

/** Returns an id that no other gateway chooses at the same time. */
export function randomGatewayId(random: Random): NodeId {
  return FIRST_GATEWAY_ID + Math.floor(random() * (Number.MAX_SAFE_INTEGER - FIRST_GATEWAY_ID));
}

/** Whether an id is that of a gateway. */
export function isGatewayId(id: NodeId): boolean {
  return id >= FIRST_GATEWAY_ID;
}

/** Returns the name of a node in messages: `node 1`, or `the gateway`. */
export function nodeName(id: NodeId): string {
  return isGatewayId(id) ? "the gateway" : `node ${id}`;
}

/** The number of a hello. */
export const HELLO_NUMBER = 0;
const MAGIC = "kvraft";
/** Bytes of the id of a key that is derived from a peer secret. */
export const PEER_KEY_ID_BYTES = 8;
/** Bytes of the random number of either end. */
export const PEER_NONCE_BYTES = 32;
/** Bytes of a proof: HMAC-SHA-256. */
export const PEER_PROOF_BYTES = 32;
/** Secrets that a node has at a time: that of the cluster, and while it is being replaced, the other one. */
export const MAX_PEER_SECRETS = 2;
/** Characters of a cluster's id that fit into the headers of files. A longer one is refused as undecodable. */
const MAX_CLUSTER_ID_CHARACTERS = 256;

/** The roles of the end that dials, with their numbers. */
export const ROLES = { peer: 1, client: 2 } as const;
/** The connections from one node to another, with their numbers. */
export const LANES = {
  /** For small and urgent messages. */
  control: 1,
  /** For large messages. */
  bulk: 2,
  /** Asks for a welcome and is closed. */
  probe: 3,
} as const;
/** One of {@link LANES}. */
export type Lane = keyof typeof LANES;

/** A node of the cluster that opens a lane. */
export interface PeerCaller {
  readonly role: "peer";
  readonly clusterId: string;
  readonly nodeId: NodeId;
  readonly lane: Lane;
  /** Identifies the caller's data directory: a node that comes back with another one has forgotten what it promised. */
  readonly dataId: number;
  /** Where others dial the caller: `host:port`. */
  readonly address: string;
  /** The highest feature level of the state that the caller knows; version 0.1.0 does not send it and knows 1. */
  readonly featureLevel: number;
  /** Where the caller serves etcd's clients: `http://host:port`; null where it does not. */
  readonly etcdUrl: string | null;
  /** Offers a proof that the caller knows the peer secret; null from a node without one, such as one of version 0.1.0. */
  readonly credentials: PeerCredentials | null;
}

/** The first part of a peer's proof: the keys that it has, and what makes the proof one of this connection alone. */
export interface PeerCredentials {
  /** Ids of the keys, the preferred one first. */
  readonly keyIds: readonly Uint8Array[];
  /** Random bytes, used for this connection only. */
  readonly nonce: Uint8Array;
  /** The node that the caller dials. */
  readonly expectedNodeId: NodeId;
}

/** A client that opens a connection. */
export interface ClientCaller {
  readonly role: "client";
  /** The cluster of an earlier welcome, so that another cluster at the same address is noticed; null before the first. */
  readonly clusterId: string | null;
}

/** The end that dials. */
export type Caller = PeerCaller | ClientCaller;

/** The first frame of a connection. */
export type Hello =
  | { readonly kind: "hello"; readonly version: number; readonly caller: Caller }
  /** No version is spoken by both; the other fields may mean something else in its versions. */
  | { readonly kind: "otherVersions"; readonly minVersion: number; readonly maxVersion: number };

const ROLE = numbered(ROLES);
const LANE = numbered(LANES);
const ADDRESS = formatted("address", {
  expected: "host:port that others can dial, in its one written form",
  parse: (written) => isMemberAddress(written) ? written : null,
});

const CREDENTIALS: Field<PeerCredentials | null> = nullable(
  record(
    "credentials",
    {
      keyIds: list(fixedBytes(PEER_KEY_ID_BYTES), MAX_PEER_SECRETS),
      nonce: fixedBytes(PEER_NONCE_BYTES),
      expectedNodeId: integer(1),
    },
    ({ keyIds }) => keyIds.length === 0 ? "credentials must have a key id" : null,
  ),
);

/** The proof of the accepting end, which is written only after a challenge. */
const PROOF = omittable(fixedBytes(PEER_PROOF_BYTES), null);

/** The answers to a hello. */
export const HELLO_ANSWERS = frameTable({ what: "the answer to a hello", copies: true }, {
  /** The node takes the connection. */
  welcome: frame(1, {
    /** The version to speak: the highest that both know. */
    version: integer(MIN_PROTOCOL_VERSION, MAX_PROTOCOL_VERSION),
    clusterId: text(MAX_CLUSTER_ID_CHARACTERS),
    /** The node that answers. */
    nodeId: integer(1),
    /** The leader that it knows. */
    leader: nullable(integer(1)),
    term: integer(),
    /** Log index that it has applied; a session opened over this connection is stamped with it. */
    appliedIndex: integer(),
    members: MEMBERS,
    /** The limits for clients of this node. */
    limits: record("limits", {
      maxKeyBytes: integer(1),
      maxValueBytes: integer(),
      maxFrameBytes: integer(1),
    }),
    /** Identifies the node's data directory. */
    dataId: integer(),
    /** The highest feature level of the state that the node knows. */
    featureLevel: trailing(integer(1), FIRST_FEATURE_LEVEL),
    proof: PROOF,
  }),
  /** The node does not take the connection and closes it after this frame. `code` is a {@link RefusalCode}. */
  refusal: frame(2, { code: text(), message: sentence(), proof: PROOF }),
  /** The node asks a peer that has offered a proof for it. */
  challenge: frame(5, {
    /** The version to speak. */
    version: integer(MIN_PROTOCOL_VERSION, MAX_PROTOCOL_VERSION),
    /** The node that answers. */
    nodeId: integer(1),
    /** The key to prove. */
    keyId: fixedBytes(PEER_KEY_ID_BYTES),
    /** Random bytes, used for this connection only. */
    nonce: fixedBytes(PEER_NONCE_BYTES),
  }),
});

/** The second frame of a peer, after a challenge. */
export const PEER_PROOFS = frameTable({ what: "the answer to a challenge", copies: true }, {
  peerProof: frame(6, { proof: fixedBytes(PEER_PROOF_BYTES) }),
});

type HelloAnswer = MessageOf<typeof HELLO_ANSWERS>;
/** The answer of a node that takes the connection. */
export type Welcome = Extract<HelloAnswer, { readonly kind: "welcome" }>;
/** The answer of a node that asks for a proof. */
export type Challenge = Extract<HelloAnswer, { readonly kind: "challenge" }>;
/** A peer's proof. */
export type PeerProof = MessageOf<typeof PEER_PROOFS>;
/** The limits for clients of a node. */
export type WelcomeLimits = Welcome["limits"];
/** The answer of a node that does not take the connection. */
export interface Refusal {
  readonly kind: "refusal";
  readonly code: RefusalCode;
  /** A sentence for a person. */
  readonly message: string;
}
/** A refusal as it is sent. */
export interface SentRefusal extends Refusal {
  /** Proves that the node knows the peer secret; null where the caller has not proved it. */
  readonly proof: Uint8Array | null;
}

/** Returns why a node is not used that does not know the cluster's feature level: a sentence's end, and what to do. */
export function olderVersion(node: NodeId, known: number, level: number): string {
  return `node ${node} runs a version of kvraft that knows feature level ${known}, and the cluster is at level ${level}: ` +
    `it would apply writes differently. Upgrade node ${node}.`;
}

/** Writes a hello that offers this program's versions. */
export function encodeHello(out: MessagePackWriter, caller: Caller): void {
  const peer = caller.role === "peer" ? caller : null;
  // A client's hello ends where that of version 0.1.0 did.
  out.array(peer === null ? 11 : 13);
  out.integer(HELLO_NUMBER);
  out.string(MAGIC);
  out.integer(MIN_PROTOCOL_VERSION);
  out.integer(MAX_PROTOCOL_VERSION);
  ROLE.write(out, caller.role);
  nullable(text()).write(out, caller.clusterId);
  out.integerOrNil(peer?.nodeId ?? null);
  nullable(LANE).write(out, peer?.lane ?? null);
  CREDENTIALS.write(out, peer?.credentials ?? null);
  out.integerOrNil(peer?.dataId ?? null);
  nullable(ADDRESS).write(out, peer?.address ?? null);
  if (peer === null) return;
  out.integer(peer.featureLevel);
  nullable(ETCD_URL).write(out, peer.etcdUrl);
}

/** Reads a hello and picks the version. Throws DecodeError when it is none. */
export function decodeHello(payload: Uint8Array): Hello {
  const input = new MessagePackReader(payload, { what: "a hello", copies: true });
  input.open("the frame");
  if (input.integer("kind") !== HELLO_NUMBER) throw input.error("kind", `must be ${HELLO_NUMBER}`);
  if (input.string("magic") !== MAGIC) throw input.error("magic", `must be "${MAGIC}"`);
  const minVersion = input.integer("minVersion", 1);
  const maxVersion = input.integer("maxVersion", minVersion);
  const isSpoken = minVersion <= MAX_PROTOCOL_VERSION && maxVersion >= MIN_PROTOCOL_VERSION;
  const hello: Hello = isSpoken
    ? { kind: "hello", version: Math.min(maxVersion, MAX_PROTOCOL_VERSION), caller: readCaller(input) }
    : { kind: "otherVersions", minVersion, maxVersion };
  input.close();
  input.end();
  return hello;
}

/** Writes a welcome. */
export function encodeWelcome(out: MessagePackWriter, welcome: Welcome): void {
  HELLO_ANSWERS.encode(out, welcome);
}

/** Writes a refusal. */
export function encodeRefusal(out: MessagePackWriter, refusal: SentRefusal): void {
  HELLO_ANSWERS.encode(out, refusal);
}

/** Writes a challenge. */
export function encodeChallenge(out: MessagePackWriter, challenge: Challenge): void {
  HELLO_ANSWERS.encode(out, challenge);
}

/** Writes a peer's proof. */
export function encodePeerProof(out: MessagePackWriter, proof: PeerProof): void {
  PEER_PROOFS.encode(out, proof);
}

/** Reads a peer's proof. Throws DecodeError. */
export function decodePeerProof(payload: Uint8Array): PeerProof {
  return PEER_PROOFS.decode(payload);
}

/** Reads the answer to a hello. Throws DecodeError, and HandshakeError for a refusal of a code that is not known. */
export function decodeHelloAnswer(payload: Uint8Array): Welcome | SentRefusal | Challenge {
  const answer = HELLO_ANSWERS.decode(payload);
  if (answer.kind !== "refusal") return answer;
  const { message, proof } = answer;
  const code = REFUSAL_CODES.find((known) => known === answer.code);
  if (code !== undefined) return { kind: "refusal", code, message, proof };
  throw new HandshakeError(
    "notKvraft",
    `Refused for an unknown reason, "${shortened(answer.code)}": ${message}`,
  );
}

function readCaller(input: MessagePackReader): Caller {
  const role = ROLE.read(input, "role");
  if (role === "client") return { role, clusterId: nullable(text()).read(input, "clusterId") };
  const clusterId = input.string("clusterId");
  const nodeId = input.integer("nodeId", 1);
  const lane = LANE.read(input, "lane");
  const credentials = CREDENTIALS.read(input, "credentials");
  return {
    role,
    clusterId,
    nodeId,
    lane,
    dataId: input.integer("dataId"),
    address: ADDRESS.read(input, "address"),
    featureLevel: input.isAtEnd ? FIRST_FEATURE_LEVEL : input.integer("featureLevel", 1),
    etcdUrl: input.isAtEnd ? null : nullable(ETCD_URL).read(input, "etcdUrl"),
    credentials,
  };
}
