/** The bytes of the members of a cluster, of changes of them, and of the status of a node. */
import { FIRST_FEATURE_LEVEL } from "../kv/feature_level.ts";
import { AddressError, formatAddress, isMemberAddress, parseMemberAddress } from "../platform/address.ts";
import { boolean, type Field, formatted, integer, list, nullable, oneOf, text, trailing } from "./field.ts";
import {
  type DiskState,
  type Member,
  type MemberRole,
  type NodeStatus,
  PEER_AUTHENTICATIONS,
  type PeerStatus,
} from "./messages.ts";
import { frame, record, variants } from "./schema.ts";

/** The members of a cluster, sorted by id. */
export const MEMBERS: Field<readonly Member[]> = list(
  record("member", {
    id: integer(1),
    address: text(),
    role: oneOf<MemberRole>({ voter: true, learner: true, leaving: true }),
  }),
);

/** An address that others can dial; every written form is read, and brought into the one that is kept. */
const ADDRESS = formatted("address", {
  expected: "host:port that others can dial",
  parse: normalAddress,
});

/** A change of membership. */
export const CHANGE = variants("change", {
  /** The id 0 stands for that of the node which answers at the address. */
  add: frame(1, { id: integer(), address: ADDRESS, learner: boolean() }),
  remove: frame(2, { id: integer(1) }),
  promote: frame(3, { id: integer(1) }),
  demote: frame(4, { id: integer(1) }),
  replace: frame(5, { dead: integer(1), id: integer(1), address: ADDRESS }),
  update: frame(6, { id: integer(1), address: ADDRESS }),
});

const URL_PARTS = /^https?:\/\/(.+)$/;

/** Where a node serves etcd's clients. */
export const ETCD_URL = formatted("URL", {
  expected: "http:// or https:// and a host:port that others can dial",
  parse: (written) => isMemberAddress(URL_PARTS.exec(written)?.[1] ?? "") ? written : null,
});

/** A node's own view of itself. */
export const STATUS: Field<NodeStatus> = record("status", {
  id: integer(1),
  role: oneOf<NodeStatus["role"]>({ follower: true, preCandidate: true, candidate: true, leader: true }),
  term: integer(),
  leader: nullable(integer(1)),
  commitIndex: integer(),
  appliedIndex: integer(),
  lastLogIndex: integer(),
  revision: integer(),
  keys: integer(),
  sessions: integer(),
  version: text(),
  members: MEMBERS,
  firstLogIndex: integer(),
  snapshotIndex: integer(),
  stateBytes: integer(),
  peers: list(record("peer", {
    id: integer(1),
    matchIndex: integer(),
    state: oneOf<PeerStatus["state"]>({ probe: true, replicate: true, snapshot: true }),
    lastContactMs: nullable(integer()),
    snapshotSentBytes: integer(),
    snapshotTotalBytes: integer(),
    hasDiskSpace: trailing(nullable(boolean()), null),
  })),
  disk: trailing(oneOf<DiskState>({ ok: true, nearlyFull: true, full: true }), "ok"),
  links: trailing(list(record("link", { id: integer(1), authenticatedBy: oneOf(PEER_AUTHENTICATIONS) })), []),
  quotaBytes: trailing(nullable(integer()), null),
  etcdUrls: trailing(list(record("URL", { id: integer(1), url: ETCD_URL })), []),
  featureLevel: trailing(integer(FIRST_FEATURE_LEVEL), FIRST_FEATURE_LEVEL),
});

/** Returns the one written form of an address; null where it is none that others can dial. */
function normalAddress(written: string): string | null {
  try {
    return formatAddress(parseMemberAddress(written));
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
    return null;
  }
}
