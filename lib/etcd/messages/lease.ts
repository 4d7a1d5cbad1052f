/** The messages of etcdserverpb.Lease. */
import { boolean, byteStrings, integer, message, messages, signedId } from "../protobuf/field.ts";
import { declare } from "../protobuf/message.ts";
import { RESPONSE_HEADER } from "./common.ts";

const HEADER = message(1, () => RESPONSE_HEADER);
const ID = { json: "ID" } as const;
const TTL = { json: "TTL" } as const;

/** Grants a lease; the id 0 leaves the choice to the server. */
export const LEASE_GRANT_REQUEST = declare("etcdserverpb.LeaseGrantRequest", {
  ttl: integer(1, TTL),
  id: signedId(2, ID),
});

/** The answer to {@link LEASE_GRANT_REQUEST}. */
export const LEASE_GRANT_RESPONSE = declare("etcdserverpb.LeaseGrantResponse", {
  header: HEADER,
  id: signedId(2, ID),
  ttl: integer(3, TTL),
});

/** Ends a lease. */
export const LEASE_REVOKE_REQUEST = declare("etcdserverpb.LeaseRevokeRequest", { id: signedId(1, ID) });

/** The answer to {@link LEASE_REVOKE_REQUEST}. */
export const LEASE_REVOKE_RESPONSE = declare("etcdserverpb.LeaseRevokeResponse", { header: HEADER });

/** Keeps a lease alive. */
export const LEASE_KEEP_ALIVE_REQUEST = declare("etcdserverpb.LeaseKeepAliveRequest", {
  id: signedId(1, ID),
});

/** The answer to {@link LEASE_KEEP_ALIVE_REQUEST}: `ttl` is 0 for a lease that does not exist. */
export const LEASE_KEEP_ALIVE_RESPONSE = declare("etcdserverpb.LeaseKeepAliveResponse", {
  header: HEADER,
  id: signedId(2, ID),
  ttl: integer(3, TTL),
});

/** Asks for what is left of a lease. */
export const LEASE_TIME_TO_LIVE_REQUEST = declare("etcdserverpb.LeaseTimeToLiveRequest", {
  id: signedId(1, ID),
  keys: boolean(2),
});

/** The answer to {@link LEASE_TIME_TO_LIVE_REQUEST}: `ttl` is -1 for a lease that does not exist. */
export const LEASE_TIME_TO_LIVE_RESPONSE = declare("etcdserverpb.LeaseTimeToLiveResponse", {
  header: HEADER,
  id: signedId(2, ID),
  ttl: integer(3, TTL),
  grantedTtl: integer(4, { json: "grantedTTL" }),
  keys: byteStrings(5),
});

/** Asks for all leases. */
export const LEASE_LEASES_REQUEST = declare("etcdserverpb.LeaseLeasesRequest", {});

const LEASE_STATUS = declare("etcdserverpb.LeaseStatus", { id: integer(1, ID) });

/** The answer to {@link LEASE_LEASES_REQUEST}. */
export const LEASE_LEASES_RESPONSE = declare("etcdserverpb.LeaseLeasesResponse", {
  header: HEADER,
  leases: messages(2, () => LEASE_STATUS),
});
