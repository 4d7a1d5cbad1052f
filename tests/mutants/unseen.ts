/**
 * Mutants chosen by reading the code alone, without the tests: a condition dropped, a comparison loosened, a cleanup
 * omitted. They show how well the tests detect unexpected faults.
 */
import { CLIENT, GOLDEN, KV, NET, RAFT, RANDOM, RECORDING, SERVER, SIM, STORAGE } from "./checks.ts";
import { inFile, type Mutant } from "./mutant.ts";

const CORE = [GOLDEN, RAFT, RANDOM, SIM];

export const UNSEEN_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/storage/wal/log_state.ts", [RECORDING, STORAGE, SERVER, SIM], [
    {
      id: "M290",
      title: "an entry that overrides others gets no known place of its own",
      failure: "reading the log back finds overridden entries, takes them for damage, and the node ends",
      from: "overrides || near === undefined ||",
      to: "near === undefined ||",
    },
    {
      id: "M292",
      title: "places of overridden entries stay known",
      failure: "reading the log back begins at an entry that is not in it any more",
      from: "this.#checkpoints = this.#checkpoints.filter((checkpoint) => checkpoint.index < index);",
      to: "",
    },
  ]),
  ...inFile("lib/storage/wal/wal.ts", [RECORDING, STORAGE, SERVER, SIM], [
    {
      id: "M291",
      title: "a batch that was revoked (disk full) is not cut off durably",
      failure: "after a crash its records come alive behind a shorter batch",
      from: "this.#segment.file.truncate(this.#segment.end);\n      this.#segment.file.syncNow();",
      to: "this.#segment.file.truncate(this.#segment.end);",
    },
    {
      id: "M293",
      title: "a reader of the log that is done is not counted off",
      failure: "old segments are never removed again, and the disk fills",
      from: "this.#removal.endRead();",
      to: "",
    },
  ]),
  ...inFile("lib/raft/progress.ts", CORE, [
    {
      id: "M294",
      title: "acknowledged entries still count as bytes in flight",
      failure: "after some megabytes nothing is sent to a follower before a silence",
      from: "this.#bytes -= bytes;\n      freed++;",
      to: "freed++;",
    },
  ]),
  ...inFile("lib/storage/wal/recovery.ts", [RECORDING, STORAGE, SERVER, SIM], [
    {
      id: "M295",
      title:
        "the tail that recovery hands back keeps an entry that was overridden beside the one that overrode it",
      failure: "the log that is handed to the core is not consecutive, and the node cannot start",
      from: "last !== null && last.index >= entry.index;",
      to: "last !== null && last.index > entry.index;",
    },
  ]),
  ...inFile("lib/storage/wal/recovery.ts", [RECORDING, STORAGE, SERVER, SIM], [
    {
      id: "M296",
      title: "a snapshot that contradicts committed entries replaces the log instead of being refused",
      failure: "committed entries are dropped silently",
      from: "if (snapshot.index > hardState.commitIndex && snapshot.index > compacted.index) return true;",
      to: "if (snapshot.index > compacted.index) return true;",
    },
  ]),
  ...inFile("lib/raft/read_index.ts", CORE, [
    {
      id: "M297",
      title: "reads that were answered count as waiting",
      failure: "after some thousand the leader refuses every read",
      from: "this.#count -= confirmed.length;",
      to: "",
    },
  ]),
  ...inFile("lib/storage/wal/reader.ts", [RECORDING, STORAGE, SERVER, SIM], [
    {
      id: "M298",
      title: "reading the log back for a follower does not stop where entries were overridden",
      failure: "it gets ones that the log no longer has",
      from: "Math.min(checkpoints[at + 1]?.index ?? lastIndex + 1, lastIndex + 1);",
      to: "lastIndex + 1;",
    },
  ]),
  ...inFile("lib/storage/snapshot/store.ts", [RECORDING, STORAGE, SERVER, SIM], [
    {
      id: "M299",
      title: "a damaged snapshot counts as one of those that are kept",
      failure: "the last undamaged one is removed",
      from: "else if (snapshot.damage === null) kept += 1;",
      to: "else kept += 1;",
    },
    {
      id: "M300",
      title: "a snapshot that was ever read stays pinned",
      failure: "old ones are never removed and fill the disk",
      from: "if (pins === 0) this.#pins.delete(name);\n      else this.#pins.set(name, pins);",
      to: "this.#pins.set(name, pins);",
    },
  ]),
  ...inFile("lib/server/snapshot/receiver.ts", [SERVER, SIM], [
    {
      id: "M301",
      title: "a file of another size is taken for the same snapshot (a leader of another version sends it)",
      failure: "it is never completed",
      from: "announced.term === snapshotTerm &&\n        announced.totalBytes === totalBytes;",
      to: "announced.term === snapshotTerm;",
    },
  ]),
  ...inFile("lib/transport/peers.ts", [NET, SIM], [
    {
      id: "M302",
      title: "a node beside the members that is in use keeps the place of its first call",
      failure: "it is the first to be forgotten when others call",
      from: "transient.usedAt = this.#options.clock.now();\n    this.#transientPeers.delete(id);",
      to: "transient.usedAt = this.#options.clock.now();",
    },
    {
      id: "M334",
      title: "the link to a member's old address stays open beside the new one",
      failure: "two lanes of one node replace each other, or a node that is not meant is still sent to",
      from: "if (known !== undefined && !isUsable) this.#drop(known);",
      to: "",
    },
  ]),
  ...inFile("lib/server/snapshot/sender.ts", [SERVER, SIM], [
    {
      id: "M303",
      title: "quiet intervals are counted over the whole transfer instead of in a row",
      failure: "a slow link's transfer is given up",
      from: "this.#quietIntervals = 0;\n    const damage",
      to: "const damage",
    },
  ]),
  ...inFile("lib/server/snapshot/exchange.ts", [SERVER, SIM], [
    {
      id: "M304",
      title: "a transfer goes on though its follower does not need it any more",
      failure: "its file stays pinned, and the log behind it is kept",
      from: "for (const to of targets) if (!waiting.has(to)) this.#sender.stop(to);",
      to: "",
    },
  ]),
  ...inFile("lib/server/snapshot/downloads.ts", [SERVER, SIM], [
    {
      id: "M305",
      title: "a download that ends is not taken from the count of all",
      failure: "after sixteen backups none is possible until a restart",
      from: "this.#options.totals.open -= 1;",
      to: "",
    },
    {
      id: "M306",
      title: "reading on does not stop the idle timer",
      failure: "a backup that takes longer than a minute is cut off",
      from: "download.timer.cancel();\n    download.timer = this.#idleTimer(snapshotId);",
      to: "download.timer = this.#idleTimer(snapshotId);",
    },
  ]),
  ...inFile("lib/server/snapshot/snapshots.ts", [SERVER, SIM], [
    {
      id: "M307",
      title: "a snapshot that is suspected is verified once in the life of a process",
      failure: "a second damage is never found",
      from: "} finally {\n      this.#verifying = false;\n    }",
      to: "}",
    },
    {
      id: "M308",
      title:
        "after a snapshot that could not be taken the next is begun at once, with every batch applied, onto the full disk",
      failure: "a full disk is written to without a pause",
      from: "!this.#isDue() || clock.now() < this.#notBefore) return;",
      to: "!this.#isDue()) return;",
    },
  ]),
  ...inFile("lib/transport/pending_hellos.ts", [NET, SIM], [
    {
      id: "M309",
      title: "a connection that said hello does not let the next one in",
      failure: "that waits until another counts as silent",
      from: "if (share.remove(channel)) this.#left.resolve();",
      to: "share.remove(channel);",
    },
  ]),
  ...inFile("lib/raft/raft.ts", CORE, [
    {
      id: "M310",
      title: "entries read back from the disk that were rewritten meanwhile are applied",
      failure: "replicas apply different entries at one index",
      from: "({ index, term }) => index <= commitIndex && log.termAt(index) === term);",
      to: "({ index }) => index <= commitIndex);",
    },
    {
      id: "M311",
      title: "entries of earlier terms are taken from the count of what is under way",
      failure: "it becomes negative, and a leader takes more than its bound",
      from: "if (entry.term === state.term) state.role.unappliedBytes -= entryBytes(entry);",
      to: "state.role.unappliedBytes -= entryBytes(entry);",
    },
  ]),
  ...inFile("lib/raft/election.ts", CORE, [
    {
      id: "M312",
      title: "a later term alone restarts the election timer",
      failure: "a candidate that cannot win keeps those who can from campaigning",
      from: 'leader === null && state.role.kind !== "leader" ? state.role.elapsedTicks : 0;',
      to: "0;",
    },
  ]),
  ...inFile("lib/raft/membership.ts", CORE, [
    {
      id: "M313",
      title: "a removed node that does not answer is waited for without end",
      failure: "the leader keeps sending to it",
      from: "isOver || peer.progress.matchIndex >= configurations.newestIndex",
      to: "peer.progress.matchIndex >= configurations.newestIndex",
    },
  ]),
  ...inFile("lib/raft/replication.ts", [RAFT, SERVER], [
    {
      id: "M981",
      title: "a peer that was behind is sent all that may be in flight at once",
      failure: "clients wait for 8 MiB of entries to be encoded",
      from: "if (bytes >= MAX_SENT_BYTES_PER_READY) {",
      to: "if (bytes > 16 * MAX_SENT_BYTES_PER_READY) {",
    },
  ]),
  ...inFile("lib/server/driver.ts", [SERVER], [
    {
      id: "M982",
      title: "the driver sends all batches for a peer that was behind in one turn",
      failure: "the same",
      from: "if (ready.hasMoreToSend) break;",
      to: "",
    },
  ]),
  ...inFile("lib/raft/replication.ts", CORE, [
    {
      id: "M314",
      title: "progress does not reset the count of a silent peer",
      failure: "a follower that always answers is probed again every election timeout",
      from: "progress.nextIndex = Math.max(progress.nextIndex, matchIndex + 1);\n    peer.stalledTicks = 0;",
      to: "progress.nextIndex = Math.max(progress.nextIndex, matchIndex + 1);",
    },
  ]),
  ...inFile("lib/kv/sessions/session_table.ts", [KV, SIM], [
    {
      id: "M315",
      title: "forgetting a session can take back how far sessions are known to be forgotten",
      failure: "one that was forgotten before is opened again, and a late retry is applied twice",
      from: "this.#forgottenIndex = Math.max(this.#forgottenIndex, openedIndex);",
      to: "this.#forgottenIndex = openedIndex;",
    },
    {
      id: "M330",
      title: "a session is opened at an index that no node had reached",
      failure: "it can be forgotten and opened again, and a write applied twice",
      from: "|| openedAt >= index)) return null;",
      to: ")) return null;",
    },
    {
      id: "M331",
      title: "sessions that come back from a snapshot are in the order of their ids, not of their use",
      failure: "replicas forget different ones",
      from:
        "const byActivity = [...this.#sessions.values()].sort((a, b) => a.lastActiveIndex - b.lastActiveIndex);",
      to: "const byActivity = [...this.#sessions.values()];",
    },
  ]),
  ...inFile("lib/raft/transfer.ts", CORE, [
    {
      id: "M316",
      title: "leadership is transferred to a dead node when it has most of the log",
      failure: "nothing is written for an election timeout",
      from: "peer.recentlyActive && state.confState.voters.includes(node)",
      to: "state.confState.voters.includes(node)",
    },
  ]),
  ...inFile("lib/raft/lease.ts", CORE, [
    {
      id: "M317",
      title: "a leader counts on its own lease's length where a voter promised less",
      failure: "reads may be stale",
      from: "TRUSTED_SHARE * Math.min(promisedMs, this.#config.durationMs);",
      to: "TRUSTED_SHARE * Math.max(promisedMs, this.#config.durationMs);",
    },
  ]),
  ...inFile("lib/client/pool.ts", [CLIENT, SIM], [
    {
      id: "M318",
      title: "a node's report of the leader counts after its connection has ended",
      failure: "a client continues to prefer a former leader",
      from: "this.#directory.forgetView(node);",
      to: "",
    },
  ]),
  ...inFile("lib/server/membership/membership.ts", [SERVER, SIM], [
    {
      id: "M319",
      title: "half of the voters that there would be count as a majority that has answered",
      failure: "a removal from an even number is refused before the others could answer",
      from: "if (voters.filter(answered).length > voters.length / 2) end();",
      to: "if (voters.filter(answered).length >= voters.length / 2) end();",
    },
    {
      id: "M328",
      title: "after the probes of other nodes the change is not checked again",
      failure: "the unfinished result of another change is answered as done",
      from: "if (laterReason !== null) return answer(laterReason);",
      to: "",
    },
  ]),
  ...inFile("lib/raft/follower.ts", CORE, [
    {
      id: "M320",
      title: "a read that was passed on and timed out is not forgotten",
      failure: "it is refused at every tick, and their number fills up until the follower refuses all",
      from: "role.forwardedReads.delete(readId);\n      state.reads.push({ readId, index: null });",
      to: "state.reads.push({ readId, index: null });",
    },
  ]),
  ...inFile("lib/server/driver.ts", [SERVER, SIM], [
    {
      id: "M321",
      title: "a disk with free space again counts as full forever",
      failure: "writes are refused and leadership is given away",
      from: "this.#shortage = null;\n    this.#options.metrics",
      to: "this.#options.metrics",
    },
    {
      id: "M322",
      title: "a turn of applying is not bounded by bytes",
      failure: "replaying large values holds up heartbeats",
      from: " && bytes < BYTES_PER_TURN && clock.now() < end);",
      to: " && clock.now() < end);",
    },
  ]),
  ...inFile("lib/server/node.ts", [SERVER, SIM], [
    {
      id: "M323",
      title: "the core gets no report that the bulk lane broke",
      failure: "the lost entries are sent again only after an election timeout",
      from: "this.#driver.messagesLost(node);\n    if (!connected)",
      to: "if (!connected)",
    },
  ]),
  ...inFile("lib/server/leader/leader_proposals.ts", [SERVER, SIM], [
    {
      id: "M324",
      title: "a new leader counts time before it has applied its predecessor's count",
      failure: "the log's time runs ahead, and sessions expire early",
      from: "raft.isLeader && replica.applied.term === raft.term ? raft.term : null",
      to: "raft.isLeader ? raft.term : null",
    },
  ]),
  ...inFile("lib/server/leader/history_bound.ts", [SERVER, SIM], [
    {
      id: "M371",
      title: "the history is compacted within its bound",
      failure: "earlier versions are lost within the bound",
      from: "if (machine.historyBytes <= bytes) return;",
      to: "",
    },
  ]),
  ...inFile("lib/server/replica.ts", [SERVER, SIM], [
    {
      id: "M325",
      title: "reads that wait at a follower are not answered when it catches up by a snapshot",
      failure: "they are refused after a while",
      from: "this.#confirmed?.applied(this.stateMachine.appliedIndex);\n  }\n\n  /** Applies committed",
      to: "  }\n\n  /** Applies committed",
    },
  ]),
  ...inFile("lib/server/writes.ts", [SERVER, SIM], [
    {
      id: "M326",
      title:
        "a retry at a node that lost leadership with the first attempt in flight is answered as not applied",
      failure: "an applied write is reported as not applied",
      from: "if (this.#join(stamp, answer)) return;\n    if (leader !== null)",
      to: "if (leader !== null)",
    },
  ]),
  ...inFile("lib/server/forwarding.ts", [SERVER, SIM], [
    {
      id: "M327",
      title: "the timer of forwarded writes stops after its first run when the next is not due yet",
      failure: "later ones wait without end",
      from: "if (deadline > now) return this.#watch(deadline - now);",
      to: "if (deadline > now) return;",
    },
  ]),
  ...inFile("lib/server/membership/membership_change.ts", [SERVER, SIM], [
    {
      id: "M329",
      title: "the majority that must answer after a change is counted one too low for even numbers",
      failure: "a removal that leaves no majority is accepted",
      from: "const majority = Math.floor(voters.length / 2) + 1;",
      to: "const majority = Math.ceil(voters.length / 2);",
    },
  ]),
  ...inFile("lib/server/leader/log_clock.ts", [SERVER, SIM], [
    {
      id: "M332",
      title: "time in which there were neither sessions nor leases is counted",
      failure: "a session opened after an idle time expires early",
      from: "if (sessionCount === 0 && leaseCount === 0) this.#countedAtMs = now;",
      to: "",
    },
  ]),
  ...inFile("lib/transport/outbound_lane.ts", [NET, SIM], [
    {
      id: "M333",
      title: "a lane with a long queue that is getting shorter is closed for want of answers",
      failure: "over a slow link a node never gets its entries",
      from: "if (queuedBytes > 0 && bytesOut > this.#bytesOut) this.#unanswered = 0;",
      to: "",
    },
  ]),
  ...inFile("lib/transport/frame_channel.ts", [NET, SIM], [
    {
      id: "M335",
      title: "a closed channel keeps its share of the memory for slow connections",
      failure: "after a while correct clients are closed for it",
      from: "this.#share?.end();",
      to: "",
    },
  ]),
  ...inFile("lib/client/calls.ts", [CLIENT, SIM], [
    {
      id: "M336",
      title: "an unknown outcome becomes 'not applied' again with a later attempt that did nothing",
      failure: "the caller gets the report that nothing was changed",
      from: 'if (changesSomething(kind) && mayHaveApplied(attempted)) outcome = "unknown";',
      to: 'if (changesSomething(kind)) outcome = mayHaveApplied(attempted) ? "unknown" : "not-applied";',
    },
  ]),
  ...inFile("lib/client/connection.ts", [CLIENT, SIM], [
    {
      id: "M337",
      title:
        "a request that was handed to the network and not confirmed counts as not sent when the connection ends",
      failure: "the caller gets the report that nothing was changed",
      from: "const { bytesWritten } = this.#channel;",
      to: "const { bytesOut: bytesWritten } = this.#channel;",
    },
  ]),
  ...inFile("lib/client/writer.ts", [CLIENT, SIM], [
    {
      id: "M338",
      title: "a client acknowledges one number a write at most",
      failure: "answers that come out of order fill its window for good",
      from: "while (this.#finished.delete(this.#acknowledgedBelow)) this.#acknowledgedBelow++;",
      to: "if (this.#finished.delete(this.#acknowledgedBelow)) this.#acknowledgedBelow++;",
    },
  ]),
  ...inFile("lib/client/admission.ts", [CLIENT, SIM], [
    {
      id: "M339",
      title: "a call that gives up waiting keeps its place in the queue",
      failure: "the queue fills with those that left",
      from: "this.#remove(waiter);\n      return taken;",
      to: "return taken;",
    },
  ]),
];
