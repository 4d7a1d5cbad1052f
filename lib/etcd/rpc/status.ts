/**
 * The statuses of gRPC, and the failures of etcd that its clients know by code and text. The texts are those of etcd 3.7.3:
 * clients compare them, byte for byte.
 *
 * clientv3 3.7.3 sends a write again, up to a hundred times, that a server has answered with "cancelled" or "deadlineExceeded".
 * So neither is ever the answer to a request that may have been carried out.
 */

/** The numbers of gRPC's statuses. */
export const GRPC_STATUS = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

/** A name of {@link GRPC_STATUS}. */
export type StatusName = keyof typeof GRPC_STATUS;

/** A request that is answered by a status other than "ok". */
export class EtcdError extends Error {
  override readonly name = "EtcdError";
  readonly status: StatusName;

  constructor(status: StatusName, message: string) {
    super(message);
    this.status = status;
  }

  /** The number of the status. */
  get code(): number {
    return GRPC_STATUS[this.status];
  }
}

/** The failures that etcd's clients know. */
const FAILURES = {
  keyNotProvided: ["invalidArgument", "etcdserver: key is not provided"],
  keyNotFound: ["invalidArgument", "etcdserver: key not found"],
  valueProvided: ["invalidArgument", "etcdserver: value is provided"],
  leaseProvided: ["invalidArgument", "etcdserver: lease is provided"],
  tooManyOperations: ["invalidArgument", "etcdserver: too many operations in txn request"],
  duplicateKey: ["invalidArgument", "etcdserver: duplicate key given in txn request"],
  invalidSortOption: ["invalidArgument", "etcdserver: invalid sort option"],
  requestTooLarge: ["invalidArgument", "etcdserver: request is too large"],
  futureRevision: ["outOfRange", "etcdserver: mvcc: required revision is a future revision"],
  compacted: ["outOfRange", "etcdserver: mvcc: required revision has been compacted"],
  noSpace: ["resourceExhausted", "etcdserver: mvcc: database space exceeded"],
  leaseNotFound: ["notFound", "etcdserver: requested lease not found"],
  leaseExists: ["failedPrecondition", "etcdserver: lease already exists"],
  leaseTtlTooLarge: ["outOfRange", "etcdserver: too large lease TTL"],
  memberNotFound: ["notFound", "etcdserver: member not found"],
  badPeerUrls: ["invalidArgument", "etcdserver: given member URLs are invalid"],
  peerUrlExists: ["failedPrecondition", "etcdserver: Peer URLs already exists"],
  notLearner: ["failedPrecondition", "etcdserver: can only promote a learner member"],
  notLeader: ["failedPrecondition", "etcdserver: not leader"],
  badDowngradeVersion: ["invalidArgument", "etcdserver: wrong downgrade target version format"],
  badDowngradeTarget: ["invalidArgument", "etcdserver: invalid downgrade target version"],
  noDowngrade: ["failedPrecondition", "etcdserver: no inflight downgrade job"],
  badTransferee: ["failedPrecondition", "etcdserver: bad leader transferee"],
  noLeader: ["unavailable", "etcdserver: no leader"],
  timeout: ["unavailable", "etcdserver: request timed out"],
  stopped: ["unavailable", "etcdserver: server stopped"],
  tooManyRequests: ["resourceExhausted", "etcdserver: too many requests"],
  userEmpty: ["invalidArgument", "etcdserver: user name is empty"],
  invalidToken: ["unauthenticated", "etcdserver: invalid auth token"],
  permissionDenied: ["permissionDenied", "etcdserver: permission denied"],
  authFailed: ["invalidArgument", "etcdserver: authentication failed, invalid user ID or password"],
  authNotEnabled: ["failedPrecondition", "etcdserver: authentication is not enabled"],
  rootMissing: ["failedPrecondition", "etcdserver: root user does not exist"],
  rootRoleMissing: ["failedPrecondition", "etcdserver: root user does not have root role"],
  userExists: ["failedPrecondition", "etcdserver: user name already exists"],
  userNotFound: ["failedPrecondition", "etcdserver: user name not found"],
  roleEmpty: ["invalidArgument", "etcdserver: role name is empty"],
  roleExists: ["failedPrecondition", "etcdserver: role name already exists"],
  roleNotFound: ["failedPrecondition", "etcdserver: role name not found"],
  roleNotGranted: ["failedPrecondition", "etcdserver: role is not granted to the user"],
  permissionNotGiven: ["invalidArgument", "etcdserver: permission not given"],
  permissionNotGranted: ["failedPrecondition", "etcdserver: permission is not granted to the role"],
  invalidAuthManagement: ["invalidArgument", "etcdserver: invalid auth management"],
} as const satisfies Readonly<Record<string, readonly [StatusName, string]>>;

/** A name of a failure that etcd's clients know. */
export type EtcdFailure = keyof typeof FAILURES;

/** Returns the error of a failure. */
export function etcdError(failure: EtcdFailure): EtcdError {
  const [status, message] = FAILURES[failure];
  return new EtcdError(status, message);
}
