/**
 * The frames by which clients change the membership and fetch snapshots. Layouts are in docs/protocol.md; the numbers
 * in kinds.ts. client_frames.ts leads here for the kinds that it does not know itself.
 */
import { assertNever } from "../platform/assert.ts";
import type {
  ChangeMembershipRequest,
  CloseSnapshotRequest,
  MembershipChange,
  MembershipChangedResponse,
  MembersNotice,
  ReadSnapshotRequest,
  SnapshotClosedResponse,
  SnapshotPartResponse,
  SnapshotTakenResponse,
  TakeSnapshotRequest,
} from "./messages.ts";
import { shortened } from "../platform/errors.ts";
import { AddressError, formatAddress, parseMemberAddress } from "../platform/address.ts";
import { UnknownKindError } from "./errors.ts";
import { CHANGE_KIND, FRAME_KIND } from "./kinds.ts";
import { MAX_SNAPSHOT_PART_BYTES } from "./limits.ts";
import { memberRows, readMembers } from "./member_codec.ts";
import type { MessagePackReader } from "./msgpack_reader.ts";
import type { MessagePackWriter } from "./msgpack_writer.ts";
import { decodeRareFrame, encodeRareFrame } from "./rare_frame.ts";

/** Requests about membership and snapshots. */
export type AdminRequest =
  | ChangeMembershipRequest
  | TakeSnapshotRequest
  | ReadSnapshotRequest
  | CloseSnapshotRequest;

/** Answers to them, and what nodes tell of the members unasked. */
export type AdminMessage =
  | MembershipChangedResponse
  | SnapshotTakenResponse
  | SnapshotPartResponse
  | SnapshotClosedResponse
  | MembersNotice;

/** Writes a request's payload. */
export function writeAdminRequest(out: MessagePackWriter, request: AdminRequest): void {
  const begin = (fields: number): void => {
    out.array(2 + fields);
    out.integer(FRAME_KIND[request.kind]);
    out.integer(request.requestId);
  };
  switch (request.kind) {
    case "changeMembership":
      begin(2);
      writeChange(out, request.change);
      out.boolean(request.force);
      break;
    case "takeSnapshot":
      begin(1);
      out.boolean(request.keep);
      break;
    case "readSnapshot":
      begin(2);
      out.integer(request.snapshotId);
      out.integer(request.offset);
      break;
    case "closeSnapshot":
      begin(1);
      out.integer(request.snapshotId);
      break;
    default:
      assertNever(request);
  }
}

/** Reads what follows a request's kind. Throws UnknownKindError for a kind that is none of these. */
export function readAdminRequest(input: MessagePackReader, kind: number): AdminRequest {
  switch (kind) {
    case FRAME_KIND.changeMembership:
      input.setWhat("changeMembership");
      return {
        kind: "changeMembership",
        requestId: input.integer("requestId", 1),
        change: readChange(input),
        force: input.boolean("force"),
      };
    case FRAME_KIND.takeSnapshot:
      input.setWhat("takeSnapshot");
      return { kind: "takeSnapshot", requestId: input.integer("requestId", 1), keep: input.boolean("keep") };
    case FRAME_KIND.readSnapshot:
      input.setWhat("readSnapshot");
      return {
        kind: "readSnapshot",
        requestId: input.integer("requestId", 1),
        snapshotId: input.integer("snapshotId"),
        offset: input.integer("offset"),
      };
    case FRAME_KIND.closeSnapshot:
      input.setWhat("closeSnapshot");
      return {
        kind: "closeSnapshot",
        requestId: input.integer("requestId", 1),
        snapshotId: input.integer("snapshotId"),
      };
    default:
      throw new UnknownKindError("a client's frame", kind);
  }
}

/** Writes the payload of an answer or a notice. */
export function writeAdminMessage(out: MessagePackWriter, message: AdminMessage): void {
  switch (message.kind) {
    case "membershipChanged":
      encodeRareFrame(out, [
        FRAME_KIND.membershipChanged,
        message.requestId,
        memberRows(message.members),
      ]);
      break;
    case "snapshotTaken":
      out.array(7);
      out.integer(FRAME_KIND.snapshotTaken);
      out.integer(message.requestId);
      out.integer(message.snapshotId);
      out.integer(message.index);
      out.integer(message.term);
      out.integer(message.revision);
      out.integer(message.bytes);
      break;
    case "snapshotPart":
      out.array(4);
      out.integer(FRAME_KIND.snapshotPart);
      out.integer(message.requestId);
      out.integer(message.offset);
      out.binary(message.data);
      break;
    case "snapshotClosed":
      out.array(2);
      out.integer(FRAME_KIND.snapshotClosed);
      out.integer(message.requestId);
      break;
    case "members":
      encodeRareFrame(out, [FRAME_KIND.members, message.appliedIndex, memberRows(message.members)]);
      break;
    default:
      assertNever(message);
  }
}

/** Reads what follows the kind of an answer. Throws UnknownKindError for a kind that is none of these. */
export function readAdminAnswer(input: MessagePackReader, kind: number): AdminMessage {
  switch (kind) {
    case FRAME_KIND.snapshotTaken:
      input.setWhat("snapshotTaken");
      return {
        kind: "snapshotTaken",
        requestId: input.integer("requestId", 1),
        snapshotId: input.integer("snapshotId"),
        index: input.integer("index"),
        term: input.integer("term"),
        revision: input.integer("revision"),
        bytes: input.integer("bytes"),
      };
    case FRAME_KIND.snapshotPart:
      input.setWhat("snapshotPart");
      return {
        kind: "snapshotPart",
        requestId: input.integer("requestId", 1),
        offset: input.integer("offset"),
        data: readPart(input),
      };
    case FRAME_KIND.snapshotClosed:
      input.setWhat("snapshotClosed");
      return { kind: "snapshotClosed", requestId: input.integer("requestId", 1) };
    default:
      throw new UnknownKindError("a node's frame", kind);
  }
}

/** Reads the payload of the answer to a change of membership. Throws DecodeError. */
export function readMembershipChanged(payload: Uint8Array): MembershipChangedResponse {
  const frame = decodeRareFrame(payload, "membershipChanged");
  frame.integer("kind");
  return {
    kind: "membershipChanged",
    requestId: frame.integer("requestId", 1),
    members: readMembers(frame),
  };
}

/** Reads the payload of a notice of the members. Throws DecodeError. */
export function readMembersNotice(payload: Uint8Array): MembersNotice {
  const frame = decodeRareFrame(payload, "members");
  frame.integer("kind");
  return { kind: "members", appliedIndex: frame.integer("appliedIndex"), members: readMembers(frame) };
}

function writeChange(out: MessagePackWriter, change: MembershipChange): void {
  const begin = (fields: number): void => {
    out.array(1 + fields);
    out.integer(CHANGE_KIND[change.kind]);
  };
  switch (change.kind) {
    case "add":
      begin(3);
      out.integer(change.id);
      out.string(change.address);
      out.boolean(change.learner);
      break;
    case "remove":
    case "promote":
    case "demote":
      begin(1);
      out.integer(change.id);
      break;
    case "replace":
      begin(3);
      out.integer(change.dead);
      out.integer(change.id);
      out.string(change.address);
      break;
    case "update":
      begin(2);
      out.integer(change.id);
      out.string(change.address);
      break;
    default:
      assertNever(change);
  }
}

function readChange(input: MessagePackReader): MembershipChange {
  input.open("change");
  const change = readChangeFields(input, input.integer("change kind"));
  input.close();
  return change;
}

function readChangeFields(input: MessagePackReader, kind: number): MembershipChange {
  const readId = (field = "id"): number => input.integer(field, 1);
  switch (kind) {
    case CHANGE_KIND.add:
      return { kind: "add", id: readId(), address: readAddress(input), learner: input.boolean("learner") };
    case CHANGE_KIND.remove:
      return { kind: "remove", id: readId() };
    case CHANGE_KIND.promote:
      return { kind: "promote", id: readId() };
    case CHANGE_KIND.demote:
      return { kind: "demote", id: readId() };
    case CHANGE_KIND.replace:
      return { kind: "replace", dead: readId("dead"), id: readId(), address: readAddress(input) };
    case CHANGE_KIND.update:
      return { kind: "update", id: readId(), address: readAddress(input) };
    default:
      throw input.error("change kind", `${kind} is not known to this version`);
  }
}

/** Reads an address, in whatever form it is written, into its one written form. */
function readAddress(input: MessagePackReader): string {
  const text = input.string("address");
  try {
    return formatAddress(parseMemberAddress(text));
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
    throw input.error("address", `must be host:port that others can dial, not "${shortened(text)}"`);
  }
}

function readPart(input: MessagePackReader): Uint8Array {
  const data = input.binary("data");
  if (data.length > MAX_SNAPSHOT_PART_BYTES) {
    throw input.error("data", `must not be longer than ${MAX_SNAPSHOT_PART_BYTES} bytes`);
  }
  return data;
}
