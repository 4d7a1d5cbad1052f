/** The messages of v3lockpb.Lock and v3electionpb.Election. */
import { bytes, integer, message, signedId } from "../protobuf/field.ts";
import { declare, type MessageOf } from "../protobuf/message.ts";
import { KEY_VALUE, RESPONSE_HEADER } from "./common.ts";

const HEADER = message(1, () => RESPONSE_HEADER);

/** Takes a lock with a lease; 0 leaves the lease to the server. */
export const LOCK_REQUEST = declare("v3lockpb.LockRequest", { name: bytes(1), lease: signedId(2) });

/** The answer to {@link LOCK_REQUEST}, once the lock is held: the key that holds it. */
export const LOCK_RESPONSE = declare("v3lockpb.LockResponse", { header: HEADER, key: bytes(2) });

/** Releases a lock by its key. */
export const UNLOCK_REQUEST = declare("v3lockpb.UnlockRequest", { key: bytes(1) });

/** The answer to {@link UNLOCK_REQUEST}. */
export const UNLOCK_RESPONSE = declare("v3lockpb.UnlockResponse", { header: HEADER });

/** Joins an election. */
export const CAMPAIGN_REQUEST = declare("v3electionpb.CampaignRequest", {
  name: bytes(1),
  lease: signedId(2),
  value: bytes(3),
});

const LEADER_KEY = declare("v3electionpb.LeaderKey", {
  name: bytes(1),
  key: bytes(2),
  rev: integer(3),
  lease: signedId(4),
});

/** The proof of leadership: the key, and the revision in which it was created. */
export type LeaderKey = MessageOf<typeof LEADER_KEY>;

/** The answer to {@link CAMPAIGN_REQUEST}, once the client leads. */
export const CAMPAIGN_RESPONSE = declare("v3electionpb.CampaignResponse", {
  header: HEADER,
  leader: message(2, () => LEADER_KEY),
});

/** Asks for the leader of an election. */
export const LEADER_REQUEST = declare("v3electionpb.LeaderRequest", { name: bytes(1) });

/** The answer to {@link LEADER_REQUEST}: the leader's key with its value. */
export const LEADER_RESPONSE = declare("v3electionpb.LeaderResponse", {
  header: HEADER,
  kv: message(2, () => KEY_VALUE),
});

/** Ends a leadership. */
export const RESIGN_REQUEST = declare("v3electionpb.ResignRequest", { leader: message(1, () => LEADER_KEY) });

/** The answer to {@link RESIGN_REQUEST}. */
export const RESIGN_RESPONSE = declare("v3electionpb.ResignResponse", { header: HEADER });

/** Changes the value of the leader. */
export const PROCLAIM_REQUEST = declare("v3electionpb.ProclaimRequest", {
  leader: message(1, () => LEADER_KEY),
  value: bytes(2),
});

/** The answer to {@link PROCLAIM_REQUEST}. */
export const PROCLAIM_RESPONSE = declare("v3electionpb.ProclaimResponse", { header: HEADER });
