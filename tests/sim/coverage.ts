/** Counts of the rare states that a run or a campaign visited; states that never occur are not tested. */

/** Rare states that a campaign must visit, each with a description. */
export const RARE_STATES = {
  elections: "a node won an election",
  splitVotes: "a candidate's term ended without a leader",
  preVoteRefusals: "a pre-vote was refused",
  voteRefusals: "a vote was refused",
  conflictTruncations: "a follower threw entries away that conflicted with the leader's",
  conflictHints: "a follower rejected entries and said where to look",
  earlierTermCommits: "an entry of an earlier term was committed under a later one",
  lateMessages: "a message of an earlier term arrived",
  tornTails: "recovery cut a torn tail",
  lostUnsynced: "entries that were written and not synced were lost in a crash",
  segmentRolls: "a log was found in several segments",
  deathsInDiskOperations: "a process died in the middle of a disk operation",
  diskFailures: "a write or sync failed, and the node ended",
  fullDisks: "a disk was full",
  descriptorsExhausted: "a file could not be opened for want of a descriptor",
  peersProved: "two nodes have proved the peer secret to each other",
  peersNotAuthenticated: "a node was refused that had no peer secret, or another one",
  secretsReplaced: "a running node read another peer secret",
  signIns: "a user whose rights change has signed in",
  certificatesShown: "a user whose rights change was known by its certificate",
  usersChanged: "users, roles or tokens were changed",
  authenticationDisabled: "authentication was disabled while clients worked",
  requestsDenied: "a node refused a request for want of a right",
  usersSignedOut: "a connection learned that its user or token was removed",
  tokensExpired: "a request was refused because the token of its connection had expired",
  signInsExpired: "a sign-in was refused because its token had expired",
  tokensLent: "clients that keep their rights were to sign in by a token that expires",
  deniedWhenApplied:
    "an entry was not executed, since its user had lost the right after a node had let it through",
  watchesEndedDenied: "a watch ended because its user had lost the right",
  lastRootsKept: "a change was refused that would have left no usable root",
  unreadClients: "a client asked for much and read nothing",
  crowdedSessions: "a store held as many sessions as it may",
  fullWindows: "a session's write was as far ahead as it may be",
  leapsTried: "a member's connection brought a term that no election leads to",
  duplicatesAbsorbed: "a retry was answered with the first answer",
  retriesJoined: "a retry waited for the entry of an attempt before it",
  sessionsExpired: "a session was forgotten or refused",
  forwardedWrites: "a node passed a write on to the leader",
  unknownOutcomes: "a client learned that the outcome is unknown",
  notAppliedOutcomes: "a client learned that its write was not applied",
  leadershipTransfers: "an operator moved leadership",
  orderlyStops: "a server stopped in good order",
  busyLeaders: "a leader refused a write because too much was under way",
  writesDuringTransfers: "a leader refused a write because it was handing leadership over",
  refusedReads: "a node could not serve a read yet",
  stalledWrites: "a full disk did not take a write, and it was tried again",
  lostPipelines: "a leader learned that what it had sent may be lost",
  disturbances: "a node did not let a candidate disturb a leader that is alive",
  staleAnswers: "an answer that was no longer outstanding was ignored",
  leadersResigned: "a leader stepped down because of its quorum or its disk, without a later term",
  entriesReadBack: "entries that are no longer in memory were read from the disk",
  refusedFolders: "a node found its folder damaged, and did not start",
  hugeTerms: "a node won an election in a term beyond 2^32",
  brokenLeaders: "the leader was among those that stay broken",
  readsUnderLease: "a leader answered a read under a lease",
  leasesRunOut: "a leader was asked for a read when its lease had run out",
  readsThroughFollowers: "a follower asked the leader for a read index",
  snapshotsBegun: "a node began to take a snapshot",
  snapshotsTaken: "a node took a snapshot",
  logsCut: "a node cut its log behind a snapshot",
  snapshotsSent: "a leader began to send a snapshot",
  snapshotPieces: "a piece of a snapshot came",
  snapshotsResumed: "a transfer went on where it, or one before it, had broken off",
  snapshotsReceived: "a snapshot that was received whole was shown to the core, and had no name yet",
  diedBeforeInstall: "a node died between receiving a snapshot and installing it",
  snapshotsInstalled: "a received snapshot became the beginning of a log",
  statesRestored: "a received snapshot became the state",
  snapshotsRefusedAsOlder: "a snapshot came to a node that had committed as much",
  snapshotsFellBack: "the newest snapshot was damaged, and a node started from the one before it",
  snapshotsOnDemand: "an operator had a snapshot taken",
  compactions: "the history was compacted",
  compactionsByHand: "a client compacted the history",
  pastRequests: "a client read a past revision",
  pastCompacted: "a client learned that the revision it read is compacted",
  branchesExecuted: "a client learned the outcomes of a transaction with branches",
  branchesFailed: "a transaction with branches could not be executed",
  branchesPast: "a get in a transaction with branches read a past revision",
  branchesCompacted: "a get in a transaction with branches was of a compacted revision",
  branchesFuture: "a get in a transaction with branches was of a revision of the future",
  pastReads: "a history was read at revisions below the present one",
  historiesRestored: "a snapshot with a history became the state",
  watchesResumedElsewhere: "a watch was resumed on another node",
  watchesFromThePast: "a watch was begun at a past revision",
  watchesSetBack: "a watch fell behind, and was fed from the history",
  watchesHeld: "a watch fell behind because its client did not read",
  watchesRestored: "a snapshot became the state of a node with watches",
  watchesEndedCompacted: "a watch ended because its next revision was compacted",
  watchesReset: "a watch went on with the present keys, because its next revision was compacted",
  watchesEndedLeaderless: "a watch ended because its node knew of no leader",
  leasesEndedWithKeys: "leases were over, and their keys were deleted",
  leasesEndedByAnotherLeader: "a lease ended under another leader than it was renewed by",
  leasesDueAtElection: "a lease ended under a leader that was elected when the lease was over",
  leaseEndsPostponed: "leases were over, and waited for another entry, as one deletes only so many keys",
  leasesFull: "a lease had as many keys as it may have",
  leasesRevoked: "a lease was revoked",
  leasesLost: "a holder learned that its lease has ended",
  leasesMoved: "a key was moved from one lease to another",
  putsWithoutLease: "a put named a lease that had ended",
  keysExpired: "a key was deleted because its time of the wall clock had passed",
  locksTaken: "a client took a lock",
  locksLost: "a holder learned that its lock has ended",
  fencedWrites: "a holder of a lock wrote with its check",
  databaseWrites: "a client wrote to a database",
  databaseChecksFailed: "a guarded write to a database met the write of another client",
  databaseReads: "a client read ranges of a database at one revision",
  fencedWritesRefused: "a former holder of a lock wrote with its check, and was refused",
  jointsEntered: "a leader entered a joint configuration",
  jointsLeftByAnother: "a joint configuration was left under another term than it was entered",
  configurationsRolledBack: "a configuration was thrown away with its entry",
  learnersPromoted: "a learner became a voter",
  votersDemoted: "a voter became a learner",
  nodesAdded: "an operator added a node",
  nodesReplaced: "a new node took the place of another",
  removedLeadersSteppedDown: "a removed leader stepped down",
  removedNodesEnded: "a node learned from its own log that it was removed, and ended",
  removalsMissed: "a node that had missed its removal learned of it, and ended",
  ambushes: "a node was struck in the very moment of something rare",
  amnesiacsRefused: "a node with an emptied disk was refused under its old id",
  changesRefused: "a change of membership was refused",
  changesUnknown: "an operator learned that the outcome of a change is unknown",
} as const;

/** One of {@link RARE_STATES}. */
export type RareState = keyof typeof RARE_STATES;

/** Counters. */
export class Coverage {
  readonly #counts = new Map<RareState, number>();
  #onCount: (state: RareState) => void = () => {};

  /** Called with each state that occurs. */
  set onCount(onCount: (state: RareState) => void) {
    this.#onCount = onCount;
  }

  /** Counts occurrences of a state. */
  count(state: RareState, times = 1): void {
    this.#counts.set(state, this.of(state) + times);
    this.#onCount(state);
  }

  /** Returns the number of occurrences. */
  of(state: RareState): number {
    return this.#counts.get(state) ?? 0;
  }

  /** Returns every listed state with its count, in the order of the list. */
  entries(): [RareState, number][] {
    return Object.keys(RARE_STATES).filter(isRareState).map((state) => [state, this.of(state)]);
  }

  /** Adds the counts of another coverage. */
  add(other: Coverage): void {
    for (const [state, count] of other.#counts) this.count(state, count);
  }
}

function isRareState(text: string): text is RareState {
  return text in RARE_STATES;
}
