/**
 * Frames of every kind, well formed and with hostile fields, as any program can send that implements docs/protocol.md.
 *
 * A peer's messages are of two kinds. Claims that the protocol permits (a vote in the next term, leadership of it) change
 * terms, and must: Raft does not tolerate Byzantine peers. All other messages must change nothing and end no process. So
 * each frame is made for a {@link Claims}, and with `none` no frame contains a claim that may move a term.
 */
import { assert } from "@std/assert";
import { encode, type ValueType } from "@std/msgpack";
import { CLIENT_REQUESTS, SERVER_MESSAGES } from "../../../lib/protocol/client_frames.ts";
import {
  LANES,
  PEER_KEY_ID_BYTES,
  PEER_NONCE_BYTES,
  PEER_PROOF_BYTES,
  ROLES,
} from "../../../lib/protocol/hello.ts";
import { ENTRY_KINDS, PEER_FRAMES } from "../../../lib/protocol/peer_frames.ts";
import { FRAME_KIND } from "../../support/frames/kinds.ts";
import { MAX_APPEND_ENTRIES, MAX_SNAPSHOT_CHUNK_DATA_BYTES } from "../../../lib/protocol/limits.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";
import { command, configuration, ordinaryKey, USER_NAMES } from "./commands.ts";
import { changeOf, unknownId } from "./membership.ts";
import { hostileRow, type Meanings } from "./shapes.ts";
import {
  binary,
  binaryOrNil,
  deepArray,
  filled,
  integer,
  isHostile,
  packedArray,
  text,
  trailing,
} from "./values.ts";

/** The name of a kind of frame. */
export type FrameKindName = keyof typeof FRAME_KIND;

type PeerKindName = Exclude<
  FrameKindName,
  keyof (typeof CLIENT_REQUESTS.numbers & typeof SERVER_MESSAGES.numbers)
>;

/** The claim of a hostile peer: none, the next term, or leadership. */
export type Claims = "none" | "term" | "leadership";

/** A hostile program's knowledge of the cluster. */
export interface Knowledge {
  readonly random: SeededRandom;
  readonly claims: Claims;
  readonly clusterId: string;
  /** Ids of the keys of the peer secret, which the hellos of nodes show; none without a secret. */
  readonly peerKeyIds: readonly Uint8Array[];
  /** Members, by id. */
  readonly members: readonly number[];
  /** The member that it claims to be, and its address. */
  readonly self: number;
  readonly address: string;
  /** The node at the other end of the connection. */
  readonly to: number;
  /** The cluster's term, and approximately the last index of its log. */
  readonly term: number;
  readonly lastIndex: number;
}

/** Elements of a frame; bytes in {@link Packed} are encoded already. */
type Elements = readonly (ValueType | Packed)[];
class Packed {
  readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/** Elements of one kind, without the kind itself. */
type Generator = (knows: Knowledge) => Elements;

/** Terms that no election reaches. */
const LEAPS: readonly number[] = [2 ** 40, 2 ** 52, Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER];
/** Request ids: a client matches answers by them, and a node only returns them. */
const REQUEST_IDS = 2 ** 31;
const DEEP_SHARE = 0.01;

/** A frame's payload. */
export function hostilePayload(kind: FrameKindName, knows: Knowledge): Uint8Array {
  const { random } = knows;
  const elements: (ValueType | Packed)[] = [
    FRAME_KIND[kind],
    ...elementsOf(kind, knows),
    ...trailing(random),
  ];
  if (random.chance(DEEP_SHARE)) elements.push(new Packed(deepArray()));
  return packedArray(elements.map((element) => element instanceof Packed ? element.bytes : encode(element)));
}

/** Every kind of frame, by sender, as in kinds.ts. */
export const ALL_KINDS = Object.keys(FRAME_KIND).filter((name): name is FrameKindName => name in FRAME_KIND);
/** Kinds that come behind a client's hello. */
export const CLIENT_KINDS = ALL_KINDS.filter((name) => FRAME_KIND[name] >= 40 && FRAME_KIND[name] < 70);
/** Kinds that come behind a peer's hello, pings among them. */
export const PEER_KINDS = ALL_KINDS.filter((name) => FRAME_KIND[name] >= 3 && FRAME_KIND[name] < 40);

function requestId({ random }: Knowledge): number {
  return integer(random, 1 + random.below(REQUEST_IDS));
}

/** Elements of frames from and to clients come from the table; those between nodes depend on the peer's claim. */
function elementsOf(kind: FrameKindName, knows: Knowledge): Elements {
  const row = (CLIENT_REQUESTS.frames.get(kind) ?? SERVER_MESSAGES.frames.get(kind))?.row;
  if (row !== undefined) return hostileRow(row, knows.random, meaningsFor(knows));
  assert(isPeerKind(kind), `${kind} is of one of the tables`);
  return GENERATORS[kind](knows);
}

function isPeerKind(kind: FrameKindName): kind is PeerKindName {
  return kind in GENERATORS;
}

/** The fields of clients' frames that decide whether a request has an effect. */
function meaningsFor(knows: Knowledge): Meanings {
  return {
    requestId: () => requestId(knows),
    command: (random) => binary(random, command(random)),
    key: (random) => binary(random, ordinaryKey(random)),
    prefix: (random) => binary(random, new Uint8Array(0)),
    start: binaryOrNil,
    end: binaryOrNil,
    after: binaryOrNil,
    limit: (random) => integer(random, random.pick([1, 100, 10_000])),
    // A transfer to an existing node, or without a target, would be valid.
    target: unknownId,
    user: (random) => text(random, random.pick(USER_NAMES)),
    change: () => changeOf(knows),
    force: () => false,
  };
}

/** Returns a term that the peer may send with its claim. */
function termOf({ random, claims, term }: Knowledge): number {
  if (random.chance(0.1)) return random.pick(LEAPS);
  if (claims !== "none" && random.chance(0.5)) return term + 1 + random.below(2);
  return random.chance(0.8) ? term : random.pick([0, 1, Math.max(0, term - 1)]);
}

function envelope(knows: Knowledge, term = termOf(knows)): readonly number[] {
  const { random, self, to } = knows;
  // A frame with another sender than the dialling node, or another receiver, ends the connection: few of those suffice.
  const isWrong = random.chance(0.02);
  return [isWrong ? integer(random, to) : self, isWrong ? integer(random, self) : to, term];
}

/** A leader's message with a new term is a claim of leadership. */
function leaderEnvelope(knows: Knowledge): readonly number[] {
  return envelope(knows.claims === "leadership" ? knows : { ...knows, claims: "none" });
}

function index({ random, lastIndex }: Knowledge): number {
  return integer(random, random.chance(0.5) ? lastIndex : random.below(lastIndex + 2));
}

function entries(knows: Knowledge, first: number): ValueType | Packed {
  const { random, term, members } = knows;
  if (random.chance(0.005)) return manyEntries(first, term);
  const count = random.pick([0, 0, 1, 1, 2, 20]);
  return Array.from({ length: count }, (_, position): ValueType => {
    const kind = integer(random, random.pick(Object.values(ENTRY_KINDS)));
    // One entry may be of megabytes: twenty of them fit no frame.
    const data = position > 0
      ? new Uint8Array(0)
      : kind === ENTRY_KINDS.configuration
      ? configuration(random, members)
      : kind === ENTRY_KINDS.noop
      ? binary(random, new Uint8Array(0))
      : random.chance(0.8)
      ? command(random)
      : binary(random, filled(3));
    return [integer(random, first + position), integer(random, term), kind, data, ...trailing(random)];
  });
}

/** Returns as many entries as one frame may contain, or one more. */
function manyEntries(first: number, term: number): Packed {
  const count = MAX_APPEND_ENTRIES + first % 2;
  // An array of four: the index and the term in four bytes each, the kind, and no bytes.
  const row = Uint8Array.of(0x94, 0xce, 0, 0, 0, 0, 0xce, 0, 0, 0, 0, ENTRY_KINDS.noop, 0xc4, 0);
  const rows = new Uint8Array(count * row.length);
  const view = new DataView(rows.buffer);
  for (let position = 0; position < count; position++) {
    const at = position * row.length;
    rows.set(row, at);
    view.setUint32(at + 2, first + position);
    view.setUint32(at + 7, term);
  }
  return new Packed(packedArray([rows], count));
}

function snapshotOf(knows: Knowledge): readonly number[] {
  const { random, claims } = knows;
  const term = claims === "leadership" ? termOf(knows) : termOf({ ...knows, claims: "none" });
  return [
    term,
    integer(random, knows.lastIndex + 1 + random.below(100)),
    integer(random, Math.max(1, term)),
    integer(random, random.pick([1, 300_000, 2 ** 40])),
  ];
}

function memberRows({ random, members }: Knowledge): ValueType {
  const count = isHostile(random) ? random.pick([0, 17, 5_000]) : members.length;
  return Array.from({ length: count }, (_, position) => {
    return [position + 1, position === 0 ? text(random, "127.0.0.1:1") : "127.0.0.1:1", "voter"];
  });
}

/** Credentials that offer a proof with the nodes' key or another one, which the hostile program cannot make. */
function credentials({ random, peerKeyIds }: Knowledge, nodeId: number): ValueType {
  const keyIds = peerKeyIds.length > 0 && random.chance(0.7)
    ? [...peerKeyIds]
    : Array.from({ length: random.pick([1, 1, 1, 2, 0, 3]) }, () => filled(PEER_KEY_ID_BYTES));
  return [keyIds, binary(random, filled(PEER_NONCE_BYTES)), integer(random, nodeId)];
}

/** Returns the elements of a frame that changes nothing, as its table says. */
function fromTable(kind: "describe" | "described", { random }: Knowledge): ValueType[] {
  const row = PEER_FRAMES.frames.get(kind)?.row;
  assert(row !== undefined, `${kind} is in the table`);
  return hostileRow(row, random, {});
}

/** A generator for each frame between nodes; the compiler reports a missing one. */
const GENERATORS: Readonly<Record<PeerKindName, Generator>> = {
  hello: (knows) => [
    text(knows.random, "kvraft"),
    integer(knows.random, 1),
    integer(knows.random, 1),
    integer(knows.random, knows.random.pick(Object.values(ROLES))),
    knows.random.chance(0.2) ? null : text(knows.random, knows.clusterId),
    integer(knows.random, knows.self),
    integer(knows.random, knows.random.pick(Object.values(LANES))),
    knows.random.chance(0.5) ? null : credentials(knows, knows.to),
    integer(knows.random, knows.self),
    text(knows.random, knows.address),
  ],
  welcome: (knows) => [
    integer(knows.random, 1),
    text(knows.random, knows.clusterId),
    integer(knows.random, knows.self),
    integer(knows.random, knows.to),
    termOf({ ...knows, claims: "none" }),
    integer(knows.random, knows.lastIndex),
    memberRows(knows),
    [integer(knows.random, 4_096), integer(knows.random, 1_048_576), integer(knows.random, 16_777_216)],
    integer(knows.random, knows.self),
  ],
  refusal: (
    { random },
  ) => [text(random, random.pick(["busy", "badHello", "unknownNode"])), text(random, "no")],
  challenge: ({ random, self }) => [
    integer(random, 1),
    integer(random, self),
    binary(random, filled(PEER_KEY_ID_BYTES)),
    binary(random, filled(PEER_NONCE_BYTES)),
  ],
  peerProof: ({ random }) => [binary(random, filled(PEER_PROOF_BYTES))],
  ping: () => [],
  pong: () => [],

  preVote: (knows) => [...envelope(knows), index(knows), integer(knows.random, knows.term)],
  preVoteResponse: (knows) => [...envelope(knows), knows.random.chance(0.5)],
  requestVote: (knows) => {
    // Without a transfer, a vote request is ignored while a leader is alive; with one, a new term begins as it must.
    const isTransfer = knows.claims !== "none" && knows.random.chance(0.5);
    return [...envelope(knows), index(knows), integer(knows.random, knows.term), isTransfer];
  },
  requestVoteResponse: (knows) => [...envelope(knows), knows.random.chance(0.5)],
  appendEntries: (knows) => {
    const { random, lastIndex, term } = knows;
    const prevLogIndex = random.chance(0.5) ? lastIndex : random.below(lastIndex + 2);
    return [
      ...leaderEnvelope(knows),
      integer(random, prevLogIndex),
      integer(random, prevLogIndex === 0 ? 0 : term),
      index(knows),
      entries(knows, prevLogIndex + 1),
    ];
  },
  appendEntriesResponse: (knows) => {
    const { random, term } = knows;
    const result = random.chance(0.5)
      ? [1, index(knows), ...trailing(random)]
      : [2, index(knows), index(knows), integer(random, term), ...trailing(random)];
    return [...envelope(knows), result];
  },
  heartbeat: (knows) => [...leaderEnvelope(knows), index(knows), integer(knows.random, 1)],
  heartbeatResponse: (knows) => [...envelope(knows), integer(knows.random, 1), integer(knows.random, 0)],
  timeoutNow: (knows) => leaderEnvelope(knows),
  readIndex: (knows) => [...envelope(knows), requestId(knows)],
  readIndexResponse: (knows) => [
    ...envelope(knows),
    requestId(knows),
    knows.random.chance(0.3) ? null : index(knows),
  ],
  forward: (knows) => [requestId(knows), command(knows.random)],
  forwardResult: (knows) => {
    const { random } = knows;
    const body = random.chance(0.5)
      ? [1, binary(random, command(random)), ...trailing(random)]
      : [2, text(random, "busy"), text(random, "no"), text(random, "unknown"), ...trailing(random)];
    return [requestId(knows), body];
  },
  snapshotChunk: (knows) => {
    const { random } = knows;
    const size = isHostile(random) ? MAX_SNAPSHOT_CHUNK_DATA_BYTES + random.below(2) : random.below(300);
    return [...snapshotOf(knows), integer(random, 0), filled(size)];
  },
  snapshotProgress: (knows) => [...snapshotOf(knows), integer(knows.random, 0)],
  describe: (knows) => fromTable("describe", knows),
  described: (knows) => fromTable("described", knows),
};
