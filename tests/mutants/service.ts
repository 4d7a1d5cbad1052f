/** Mutants of the state machine, the sessions, the server and the client. */
import { CLIENT, KV, NUMBER_MAP, SERVER, SIM } from "./checks.ts";
import { inFile, type Mutant } from "./mutant.ts";

export const SERVICE_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/server/replica.ts", [SERVER, SIM], [
    {
      id: "M14",
      title: "a read is answered before this node has applied its index",
      failure: "a follower serves values older than writes acknowledged before",
      from: "index <= this.stateMachine.appliedIndex",
      to: "index >= 0",
    },
    {
      id: "M154",
      title: "a leader applies its proposal at an index although another leader's entry replaced it",
      failure: "replicas part after a change of leader",
      from: "waiting?.term === entry.term ? waiting.command : null",
      to: "waiting?.command ?? null",
    },
    {
      id: "M60",
      title: "a waiting write is answered by any entry applied at its index",
      failure: "a client gets the answer of another write",
      from: "waiting.term === entry.term && ",
      to: "",
    },
    {
      id: "M70",
      title: "a node that loses the leadership keeps its clients waiting",
      failure: "their writes are never answered",
      from: "({ term }) => term !== leadingTerm",
      to: "({ term }) => term === leadingTerm",
    },
  ]),
  ...inFile("lib/kv/pages/views.ts", [KV], [
    {
      id: "M155",
      title: "a page is changed in place while a view holds it",
      failure: "a snapshot has keys of two moments",
      from: "return epoch <= this.#newestEpoch;",
      to: "return false;",
    },
  ]),
  ...inFile("lib/kv/pages/paged_store.ts", [KV], [
    {
      id: "M156",
      title: "a version that was overwritten is never freed",
      failure: "the memory of a store that is overwritten grows without bound",
      from: "if (previous !== 0) this.#views.retireVersion(previous);",
      to: "",
    },
  ]),
  ...inFile("lib/kv/pages/records.ts", [KV], [
    {
      id: "M36",
      title: "the heads of keys are compared as signed numbers",
      failure: "a key whose first byte is above 127 is not found",
      from: "(bytes[start + 3] ?? 0)) >>> 0;",
      to: "(bytes[start + 3] ?? 0));",
    },
  ]),
  ...inFile("lib/kv/keys.ts", [KV], [
    {
      id: "M66",
      title: "a listing repeats the key that it left off at",
      failure: "a client that pages through a range counts keys twice",
      from: "lowers.push(successor(after))",
      to: "lowers.push(after)",
    },
  ]),
  ...inFile("lib/kv/store.ts", [KV], [
    {
      id: "M67",
      title: "every condition on an absent key holds",
      failure: "two clients both win a lock",
      from: "(address === 0 ? 0 : records.modRevision(address)) === check.modRevision",
      to: "address === 0 || records.modRevision(address) === check.modRevision",
      checks: [KV, SIM],
    },
  ]),
  ...inFile("lib/server/write_admission.ts", [SERVER], [
    {
      id: "M157",
      title: "any number of writes may wait at a leader",
      failure: "a leader under too much load falls behind its own heartbeats",
      from: "if (waiting >= MAX_WRITES) return true;",
      to: "",
    },
    {
      id: "M159",
      title: "a write that has been applied still counts as the oldest that waits",
      failure: "a leader that was slow once answers busy forever",
      from: "index > appliedIndex",
      to: "index > 0",
    },
    {
      id: "M163",
      title: "above the quota, what makes the state smaller counts like what makes it larger",
      failure: "a store that is full can't be made smaller",
      from: "growth <= 0 || ",
      to: "",
    },
    {
      id: "M164",
      title: "a retry of an applied write is refused because of overload",
      failure: "an applied write is reported as not applied",
      from: "return isDone ? null : excess;",
      to: "return excess;",
    },
  ]),
  ...inFile("lib/client/pool.ts", [CLIENT, SIM], [
    {
      id: "M158",
      title: "a client tries no other node while its connected nodes know no leader",
      failure: "a client connected to a minority that is cut off never finds the majority",
      from: "if (leader === null) this.#dialOthers();",
      to: "if (leader === null) this.#dialLeader();",
    },
    {
      id: "M176",
      title: "stale reads all go to one node",
      failure: "nodes that are added to take reads off the others get none",
      from: "return open[this.#turn] ?? null;",
      to: "return open[0] ?? null;",
      checks: [CLIENT],
    },
  ]),
  ...inFile("lib/kv/state_machine.ts", [KV, CLIENT, SIM], [
    {
      id: "M24",
      title: "a session does not remember the answers to its writes",
      failure: "a retry is applied twice",
      from: "this.#sessions.remember(admission.session, stamp.sequence, result);",
      to: "",
    },
  ]),
  ...inFile("lib/kv/state_records.ts", [KV, SIM], [
    {
      id: "M25",
      title: "sessions are missing from the transferred state",
      failure: "after a snapshot a retry is applied twice, and hashes of the state miss it",
      from: "for (const session of state.sessions) yield* session.records();",
      to: "",
    },
  ]),
  ...inFile("lib/kv/sessions/remembered_answers.ts", [KV], [
    {
      id: "M603",
      title: "the answer to a write takes the place of another one in the table",
      failure: "a retry of the other write is applied a second time",
      from: "if (!this.#grow()) return false;",
      to: "break;",
    },
    {
      id: "M604",
      title: "a copy of a session shares the table of answers",
      failure: "a snapshot has answers to writes that it does not contain",
      from: "copy.#table = this.#table.slice();",
      to: "copy.#table = this.#table;",
    },
  ]),
  ...inFile("lib/kv/sessions/session.ts", [KV], [
    {
      id: "M280",
      title: "a session remembers the value that an answer included",
      failure: "a few failed compare-and-sets of large values have every client's session forgotten",
      from: 'return { ...answer, current: "omitted" };',
      to: "return answer;",
    },
  ]),
  ...inFile("lib/kv/sessions/session_table.ts", [KV, SIM], [
    {
      id: "M281",
      title: "sessions are forgotten for the size of answers in the order of their activity",
      failure: "one client that never acknowledges has the sessions of all others forgotten",
      from: "const largest = this.#largest();",
      to: "const largest = this.#oldest();",
      checks: [KV],
    },
    {
      id: "M26",
      title: "sessions grow old by this process's clock",
      failure: "a session expires on one replica only: the replicas part",
      from: "this.#logTimeMs += elapsedMs;",
      to: "this.#logTimeMs += Math.round(performance.now());",
    },
    {
      id: "M62",
      title: "a session that was forgotten is opened again",
      failure: "a retry from before is applied twice",
      from: "openedAt < this.#forgottenIndex || ",
      to: "",
    },
    {
      id: "M63",
      title: "a write whose answer the client has acknowledged is executed again",
      failure: "a delayed copy is applied a second time",
      from:
        'if (stamp.sequence < session.acknowledgedBelow) return { kind: "refused", reason: "answerForgotten" };',
      to: "",
    },
    {
      id: "M65",
      title: "a snapshot sees what is applied after it was taken",
      failure: "replicas return states that never existed",
      from: "if (session.generation === this.#generation) return session;",
      to: "if (session.generation <= this.#generation) return session;",
      checks: [KV],
    },
  ]),
  ...inFile("lib/client/transaction/compare_and_set.ts", [CLIENT], [
    {
      id: "M282",
      title: "a compare-and-set whose condition holds when the key is read is reported as failed",
      failure:
        "the answer shows the expected value as the reason for the failure: no order of operations explains it",
      from: "if (!isMet) {",
      to: "if (message !== null) {",
    },
  ]),
  ...inFile("lib/client/writer.ts", [CLIENT, SIM], [
    {
      id: "M35",
      title: "the client writes again under a new number though the first may have been applied",
      failure: "a write is applied twice",
      from: 'if (outcome === "not-applied") return { reason, node };\n      throw new SessionExpired',
      to: "if (outcome !== null) return { reason, node };\n      throw new SessionExpired",
    },
    {
      id: "M64",
      title: "the client acknowledges answers that it does not have yet",
      failure: "the store forgets an answer before its retry comes",
      from: "while (this.#finished.delete(this.#acknowledgedBelow)) this.#acknowledgedBelow++;",
      to: "this.#acknowledgedBelow = sequence + 1;",
    },
  ]),
  ...inFile("lib/server/forwarding.ts", [SERVER, SIM], [
    {
      id: "M40",
      title: "a write that was passed on and not answered is reported as failed",
      failure: "a caller writes again what was applied",
      from: "return unknownOutcome(",
      to: "return notApplied(",
    },
    {
      id: "M71",
      title: "an answer to a write that was passed on is taken from any node",
      failure: "a confused node answers for the leader",
      from: " || forward.leader !== from",
      to: "",
    },
  ]),
  ...inFile("lib/client/retry.ts", [CLIENT, SIM], [
    {
      id: "M61",
      title: "a client's lost connection counts as a write that did not happen",
      failure: "a change that was made is reported as not made",
      from: "return attempt.left;",
      to: "return false;",
    },
    {
      id: "M143",
      title: "a change of the members whose answer was lost is sent again",
      failure: "a change that was made is reported as refused",
      from: 'if (call === "once" && mayHaveApplied(failure)) return { kind: "giveUp" };',
      to: "",
      checks: [CLIENT],
    },
  ]),
  ...inFile("lib/server/driver.ts", [SERVER, SIM], [
    {
      id: "M68",
      title: "the driver keeps its promises before the sync has ended",
      failure: "a loss of power takes votes and entries that were answered for",
      from: "await this.#options.log.sync();",
      to: "this.#options.log.sync().catch((error) => this.#fail(error));",
    },
    {
      id: "M69",
      title: "a failed sync is no reason to stop",
      failure: "the node answers for writes that are on no disk",
      from: "    } catch (error) {\n      return this.#fail(error);\n    }\n    this.#input(",
      to: "    } catch {}\n    this.#input(",
    },
  ]),
  ...inFile("lib/client/directory.ts", [CLIENT], [
    {
      id: "M144",
      title: "a node that is behind brings members back who have left",
      failure: "a client forgets where its cluster has moved to",
      from: "if (appliedIndex < this.#membersReportedAt) return;",
      to: "",
    },
  ]),
  ...inFile("lib/client/snapshot_download.ts", [CLIENT], [
    {
      id: "M145",
      title: "the parts of a snapshot are accepted at any offset",
      failure: "a backup that can't be restored",
      from: "end.message.offset === offset && ",
      to: "",
    },
  ]),
  ...inFile("lib/server/snapshot/state_codec.ts", [SERVER], [
    {
      id: "M160",
      title: "sessions are missing from the snapshots that are taken",
      failure: "after a snapshot a retry is applied twice",
      from: "const before = body.length;",
      to: 'if (record[0] === "session" || record[0] === "answer") continue;\n    const before = body.length;',
    },
    {
      id: "M171",
      title: "a snapshot of another cluster is as good as any",
      failure: "a node goes on from a state that its cluster never had",
      from: "header.clusterId !== clusterId",
      to: 'header.clusterId === ""',
    },
  ]),
  ...inFile("lib/server/snapshot/snapshots.ts", [SERVER], [
    {
      id: "M161",
      title: "the log is cut up to the newest snapshot",
      failure: "when that is damaged, the one before it is of no use",
      from: "return Math.min(previous, ",
      to: "return Math.min(newestIndex, ",
    },
    {
      id: "M162",
      title: "the log is cut above a snapshot that is being sent",
      failure: "a follower that has received it needs another one, without end",
      from: "this.#sendingBase() ?? newestIndex, ",
      to: "",
    },
  ]),
  ...inFile("lib/server/membership/members.ts", [SERVER], [
    {
      id: "M165",
      title: "a member that restarts with an empty directory is accepted",
      failure: "it has forgotten its vote and what it acknowledged: two leaders, lost writes",
      from: "return known !== null && known !== dataId;",
      to: "return known !== null && known !== dataId && false;",
    },
  ]),
  ...inFile("lib/server/membership/member_probe.ts", [SERVER], [
    {
      id: "M166",
      title: "any node that answers at the address is added under the requested id",
      failure: "a node counts that does not exist",
      from: "clusterId === this.#options.clusterId && nodeId === id",
      to: "clusterId === this.#options.clusterId && nodeId > 0",
    },
  ]),
  ...inFile("lib/storage/snapshot/receiver.ts", [SERVER], [
    {
      id: "M167",
      title: "a chunk of a snapshot is accepted at any offset",
      failure: "what is put together is no snapshot",
      from: "offset === this.nextOffset && ",
      to: "",
    },
  ]),
  ...inFile("lib/server/membership/membership_change.ts", [SERVER], [
    {
      id: "M168",
      title: "there is no bound to the voters that learners become",
      failure: "a configuration that can't be encoded ends the leader",
      from: "whyNotVoters(target.confState.voters.length)",
      to: "whyNotVoters(1)",
    },
    {
      id: "M170",
      title: "a change of voters may leave too few that answer",
      failure: "the cluster stops, and can't take the change back",
      from: "reachable >= majority)",
      to: "reachable >= majority - 1)",
    },
  ]),
  ...inFile("lib/server/membership/membership.ts", [SERVER], [
    {
      id: "M169",
      title: "an already applied change is reported as done, committed or not",
      failure: "a change is reported as made, and taken back",
      from: 'return isSettled ? null : whyNotProposed("changeUnderWay", change);',
      to: "return null;",
    },
  ]),
  ...inFile("lib/server/tools/recover.ts", [SERVER], [
    {
      id: "M172",
      title: "a recovered folder's name is not made durable",
      failure: "after a loss of power the old node is back, and its cluster with it",
      from: "disk.syncDirectory(dirname(dataDir));",
      to: "",
    },
  ]),
  ...inFile("lib/server/node.ts", [SERVER], [
    {
      id: "M173",
      title: "a leader steps down before it answers for its own removal",
      failure: "a change that was made is reported as unknown",
      from: "if (applied !== before.applied) this.membership",
      to: "this.leadership.check();\n    if (applied !== before.applied) this.membership",
    },
  ]),
  ...inFile("lib/server/snapshot/sender.ts", [SERVER], [
    {
      id: "M174",
      title: "after a broken connection a snapshot goes on behind what was lost",
      failure: "the follower never has it whole",
      from: "this.#next = this.#acknowledged;\n",
      to: "",
    },
    {
      id: "M175",
      title: "a snapshot that was given up is asked for again at once",
      failure: "leader and follower do nothing else any more",
      from: "const rest = clock.after(intervalMs, ",
      to: "const rest = clock.after(0, ",
    },
  ]),
  ...inFile("lib/platform/memory/number_map.ts", [NUMBER_MAP], [
    {
      id: "M2910",
      title: "an entry moves to a freed place that lies before its own",
      failure: "a request is not found by its id, and its caller waits for its whole deadline",
      from: "if (distance < ((next - free) & this.#mask)) continue;",
      to: "",
    },
    {
      id: "M2911",
      title: "entries behind a freed place stay where they are",
      failure: "a write that waits for its entry is not found, and never answered",
      from: "if (key === FREE) break;",
      to: "break;",
    },
    {
      id: "M2913",
      title: "the keys of a map come in the order of their places",
      failure: "forwarded writes end before those that are due, in an order that depends on hashes",
      from: ".sort((a, b) => a - b)",
      to: "",
    },
  ]),
  ...inFile("lib/server/writes.ts", [SERVER], [
    {
      id: "M2914",
      title: "a write that has ended refers to the next write of its session",
      failure: "a collection of young objects frees no write, since each dead one keeps the next",
      from: "closed.below = closed.above = null;",
      to: "",
    },
  ]),
  ...inFile("lib/server/forwarding.ts", [SERVER], [
    {
      id: "M2915",
      title: "a lost link ends the writes that were forwarded to another node, too",
      failure: "writes over a follower have unknown outcomes when a node is stopped that does not lead",
      from: "this.#loseAll((leader) => leader === node);",
      to: "this.#loseAll(() => true);",
    },
  ]),
];
