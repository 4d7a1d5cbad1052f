/** The messages of etcdserverpb.Cluster. */
import { boolean, message, messages, text, texts, unsignedId } from "../protobuf/field.ts";
import { declare, type GivenOf, type MessageOf } from "../protobuf/message.ts";
import { RESPONSE_HEADER } from "./common.ts";

const HEADER = message(1, () => RESPONSE_HEADER);
const ID = { json: "ID" } as const;

/** A member of the cluster. */
export const MEMBER = declare("etcdserverpb.Member", {
  id: unsignedId(1, ID),
  name: text(2),
  peerUrls: texts(3, { json: "peerURLs" }),
  clientUrls: texts(4, { json: "clientURLs" }),
  isLearner: boolean(5, { json: "isLearner" }),
});
/** A member as it is written. */
export type EtcdMember = GivenOf<typeof MEMBER>;

const MEMBERS = messages(2, () => MEMBER);

/** Adds a member. */
export const MEMBER_ADD_REQUEST = declare("etcdserverpb.MemberAddRequest", {
  peerUrls: texts(1, { json: "peerURLs" }),
  isLearner: boolean(2, { json: "isLearner" }),
});
/** The content of {@link MEMBER_ADD_REQUEST}. */
export type MemberAdd = MessageOf<typeof MEMBER_ADD_REQUEST>;

/** The answer to {@link MEMBER_ADD_REQUEST}: the new member, and all. */
export const MEMBER_ADD_RESPONSE = declare("etcdserverpb.MemberAddResponse", {
  header: HEADER,
  member: message(2, () => MEMBER),
  members: messages(3, () => MEMBER),
});

/** Removes a member. */
export const MEMBER_REMOVE_REQUEST = declare("etcdserverpb.MemberRemoveRequest", { id: unsignedId(1, ID) });
/** The answer to {@link MEMBER_REMOVE_REQUEST}. */
export const MEMBER_REMOVE_RESPONSE = declare("etcdserverpb.MemberRemoveResponse", {
  header: HEADER,
  members: MEMBERS,
});

/** Changes the address of a member. */
export const MEMBER_UPDATE_REQUEST = declare("etcdserverpb.MemberUpdateRequest", {
  id: unsignedId(1, ID),
  peerUrls: texts(2, { json: "peerURLs" }),
});
/** The answer to {@link MEMBER_UPDATE_REQUEST}. */
export const MEMBER_UPDATE_RESPONSE = declare("etcdserverpb.MemberUpdateResponse", {
  header: HEADER,
  members: MEMBERS,
});

/** Asks for the members, by a linearizable read or as the node knows them. */
export const MEMBER_LIST_REQUEST = declare("etcdserverpb.MemberListRequest", { linearizable: boolean(1) });
/** The answer to {@link MEMBER_LIST_REQUEST}. */
export const MEMBER_LIST_RESPONSE = declare("etcdserverpb.MemberListResponse", {
  header: HEADER,
  members: MEMBERS,
});

/** Makes a learner a voter. */
export const MEMBER_PROMOTE_REQUEST = declare("etcdserverpb.MemberPromoteRequest", { id: unsignedId(1, ID) });
/** The answer to {@link MEMBER_PROMOTE_REQUEST}. */
export const MEMBER_PROMOTE_RESPONSE = declare("etcdserverpb.MemberPromoteResponse", {
  header: HEADER,
  members: MEMBERS,
});
