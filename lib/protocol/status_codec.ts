/** A node's view of itself, as a rare frame. */
import type { DiskState, NodeStatus, PeerStatus, StatusResponse } from "./messages.ts";
import { FRAME_KIND } from "./kinds.ts";
import { memberRows, readMembers } from "./member_codec.ts";
import type { MessagePackWriter } from "./msgpack_writer.ts";
import { decodeRareFrame, encodeRareFrame, type RareFields } from "./rare_frame.ts";

const NODE_ROLES = [
  "follower",
  "preCandidate",
  "candidate",
  "leader",
] as const satisfies NodeStatus["role"][];
const DISK_STATES = ["ok", "nearlyFull", "full"] as const satisfies DiskState[];
const PEER_STATES = ["probe", "replicate", "snapshot"] as const satisfies PeerStatus["state"][];

/** Writes the payload of the answer to a status request. */
export function writeStatus(out: MessagePackWriter, { requestId, status }: StatusResponse): void {
  encodeRareFrame(out, [FRAME_KIND.statusResult, requestId, [
    status.id,
    status.role,
    status.term,
    status.leader,
    status.commitIndex,
    status.appliedIndex,
    status.lastLogIndex,
    status.revision,
    status.keys,
    status.sessions,
    status.version,
    memberRows(status.members),
    status.firstLogIndex,
    status.snapshotIndex,
    status.stateBytes,
    status.peers.map((peer) => [
      peer.id,
      peer.matchIndex,
      peer.state,
      peer.lastContactMs,
      peer.snapshotSentBytes,
      peer.snapshotTotalBytes,
      peer.hasRoom,
    ]),
    status.disk,
  ]]);
}

/** Reads the payload of the answer to a status request. Throws DecodeError. */
export function readStatus(payload: Uint8Array): StatusResponse {
  const frame = decodeRareFrame(payload, "statusResult");
  frame.integer("kind");
  const requestId = frame.integer("requestId", 1);
  const fields = frame.fields("status");
  const status = {
    id: fields.integer("id", 1),
    role: readOneOf(fields, { field: "role", known: NODE_ROLES }),
    term: fields.integer("term"),
    leader: fields.integerOrNull("leader", 1),
    commitIndex: fields.integer("commitIndex"),
    appliedIndex: fields.integer("appliedIndex"),
    lastLogIndex: fields.integer("lastLogIndex"),
    revision: fields.integer("revision"),
    keys: fields.integer("keys"),
    sessions: fields.integer("sessions"),
    version: fields.string("version"),
    members: readMembers(fields),
    firstLogIndex: fields.integer("firstLogIndex"),
    snapshotIndex: fields.integer("snapshotIndex"),
    stateBytes: fields.integer("stateBytes"),
    peers: fields.list("peers").map(readPeer),
    disk: fields.isAtEnd ? "ok" as const : readOneOf(fields, { field: "disk", known: DISK_STATES }),
  };
  return { kind: "statusResult", requestId, status };
}

function readPeer(fields: RareFields): PeerStatus {
  return {
    id: fields.integer("peer id", 1),
    matchIndex: fields.integer("peer matchIndex"),
    state: readOneOf(fields, { field: "peer state", known: PEER_STATES }),
    lastContactMs: fields.integerOrNull("peer lastContactMs"),
    snapshotSentBytes: fields.integer("peer snapshotSentBytes"),
    snapshotTotalBytes: fields.integer("peer snapshotTotalBytes"),
    hasRoom: fields.isAtEnd ? null : fields.booleanOrNull("peer hasRoom"),
  };
}

function readOneOf<T extends string>(
  fields: RareFields,
  { field, known }: { readonly field: string; readonly known: readonly T[] },
): T {
  const text = fields.string(field);
  const value = known.find((one) => one === text);
  if (value === undefined) throw fields.error(field, `must be one of ${known.join(", ")}`);
  return value;
}
