/** Mutants of the time of leases, and of how a server ends leases and keeps them alive. */
import { tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

const LOG_CLOCK = tests("log clock", "tests/unit/server/leader/log_clock_test.ts");
const EXPIRED_KEYS = tests("expired keys", "tests/unit/server/leader/expired_keys_test.ts");
const KEEP_ALIVES = tests("keep-alives", "tests/unit/server/leases/keep_alives_test.ts");
const LEASES = tests("leases", "tests/unit/server/leases/leases_test.ts");
const WRITES = tests("writes", "tests/unit/server/writes_test.ts");
const ADMISSION = tests("admission", "tests/unit/server/write_admission_test.ts");
const REPLICA = tests("replica", "tests/unit/server/replica_test.ts");

/** The mutants of `lib/server/leader` and `lib/server/leases`. */
export const LEASE_TIME_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/server/leader/log_clock.ts", [LOG_CLOCK], [
    {
      id: "M740",
      title: "a leader that is elected again continues from counts that were lost",
      failure: "leases end late by what those had counted",
      from: "return this.#own?.term === term ?",
      to: "return this.#own !== null && term > 0 ?",
    },
    {
      id: "M741",
      title: "a leader counts again what its counts in flight cover",
      failure: "leases end early while commits are slow",
      from: "? Math.max(this.#countedAtMs, this.#own.countedToMs) : this.#countedAtMs",
      to: "? this.#countedAtMs : this.#countedAtMs",
    },
    {
      id: "M742",
      title: "the first lease of a term follows no count if no time is uncounted here",
      failure: "the next leader counts time from before the lease began, and ends it early",
      from: "const isCounted = this.#own?.term === term && now - this.#own.countedToMs < 1;",
      to: "const isCounted = now - this.#countedTo(term) < 1;",
    },
    {
      id: "M743",
      title: "any time without a leader is counted",
      failure: "after an outage of an hour all sessions have expired before their clients can use them",
      from: "Math.max(this.#countedTo(term), now - MAX_CATCH_UP_MS)",
      to: "Math.max(this.#countedTo(term), now - 1_000 * MAX_CATCH_UP_MS)",
    },
    {
      id: "M744",
      title: "only a minute of a time without a leader is counted",
      failure: "leases end late by the rest",
      from: "} while (now - countedToMs >= 1);",
      to: "} while (now < 0);",
    },
    {
      id: "M745",
      title: "a leader with leases counts every five seconds",
      failure: "a successor that has just started loses seconds of every lease",
      from: "const LEASE_COUNT_MS = 500;",
      to: "const LEASE_COUNT_MS = 5_000;",
    },
    {
      id: "M746",
      title: "leases that are due wait for the next check when one entry cannot end all",
      failure: "a million keys of leases that are over stay for minutes",
      from: "if (this.#isDue(logTimeMs) && !this.#hasInFlight(term)) this.#count(term, clock.now());",
      to: "",
    },
    {
      id: "M747",
      title: "a leader that has not applied earlier entries starts the time of leases",
      failure: "it counts the time before the grant later, and the lease ends early",
      from: "if (term === null) return false;",
      to: "if (term === null) return true;",
    },
    {
      id: "M748",
      title: "no check is made at the deadline of the next lease",
      failure: "a lease ends up to half a second late under a steady leader",
      from: "Math.min(untilCountMs, untilEndMs)",
      to: "Math.min(untilCountMs, Math.max(untilCountMs, untilEndMs))",
    },
    {
      id: "M749",
      title: "a node estimates the log's time from its start",
      failure: "a lease shows less time than it has",
      from: "Math.max(0, Math.floor(clock.now() - this.#countedAtMs))",
      to: "Math.max(0, Math.floor(clock.now()))",
    },
  ]),
  ...inFile("lib/server/leader/expired_keys.ts", [EXPIRED_KEYS], [
    {
      id: "M750",
      title: "keys expire before their time",
      failure: "a value disappears that its writer still relies on",
      from: "if (next === null || next > untilMs) return;",
      to: "if (next === null || next > untilMs + 5_000) return;",
    },
    {
      id: "M751",
      title: "deletions are proposed while one is in flight",
      failure: "the log fills with entries that delete nothing",
      from: "if (term === null || this.#proposed?.term === term) return;",
      to: "if (term === null) return;",
    },
    {
      id: "M752",
      title: "a deletion that was lost with its term is waited for without end",
      failure: "keys stay after their time until the node restarts",
      from: "this.#proposed?.term === term) return;",
      to: "this.#proposed !== null) return;",
    },
  ]),
  ...inFile("lib/server/leases/keep_alives.ts", [KEEP_ALIVES], [
    {
      id: "M753",
      title: "every request of a turn gets the answer of the first",
      failure: "a holder believes in a lease that has ended",
      from: "first += leaseIds.length;",
      to: "",
    },
    {
      id: "M754",
      title: "a write has more leases than a command may have",
      failure: "every keep-alive of a busy turn is refused, and its leases end",
      from: "waiting.ids + leaseIds.length > MAX_KEEP_ALIVES",
      to: "waiting.ids < 0",
    },
  ]),
  ...inFile("lib/server/leases/lease_reads.ts", [LEASES], [
    {
      id: "M755",
      title: "a lease shows its whole time as what is left",
      failure: "no reader sees that a lease is about to end",
      from: "Math.max(0, deadlineMs - logTimeMs)",
      to: "Math.max(ttlMs, deadlineMs - logTimeMs)",
    },
    {
      id: "M764",
      title: "the keys of a lease are read after bytes that can be no key",
      failure: "a client's request throws in the node, which reports a fault of its own",
      from: "request.after === null ? null : validateKeyLength(request.after)",
      to: "request.after === null ? null : validateKeyLength(request.after.subarray(0, 1))",
    },
  ]),
  ...inFile("lib/server/writes.ts", [WRITES], [
    {
      id: "M756",
      title: "no time is counted before a grant",
      failure: "the next count covers time before the grant, and the lease ends early",
      from: 'const startsLease = plain.kind === "grantLease" || plain',
      to: "const startsLease = plain",
    },
    {
      id: "M762",
      title: "the keys that a revoke deletes are not counted",
      failure: "hundreds of revokes in one turn stop the leader until another is elected",
      from: "return stateMachine.lease(command.leaseId)?.keyCount ?? 0;",
      to: "return Math.min(0, command.leaseId);",
    },
    {
      id: "M763",
      title: "a leader with too many writes refuses keep-alives like others",
      failure: "under load the leases of holders that are well end",
      from: "waitingWrites >= MAX_WRITES_WITH_KEEP_ALIVES || !isKeepAlive(bytes)",
      to: "waitingWrites > 0 || isKeepAlive(bytes)",
    },
  ]),
  ...inFile("lib/server/auth/write_stamp.ts", [WRITES], [
    {
      id: "M757",
      title: "a grant that is sent again is proposed again",
      failure: "each retry is an entry of the log",
      from:
        '    case "grantLease":\n    case "revokeLease":\n    case "changeAuth":\n    case "databaseWrite":\n',
      to:
        '      return command.session;\n    case "grantLease":\n    case "revokeLease":\n      return null;\n    case "changeAuth":\n    case "databaseWrite":\n',
    },
  ]),
  ...inFile("lib/server/write_admission.ts", [ADMISSION], [
    {
      id: "M758",
      title: "a nearly full disk accepts leases",
      failure: "the disk fills up, and the node takes part in nothing",
      from: "this.#excessOf(command) : this.#diskProblem();",
      to: "this.#excessOf(command) : null;",
    },
  ]),
  ...inFile("lib/server/replica.ts", [REPLICA], [
    {
      id: "M759",
      title: "a snapshot does not count as a count",
      failure: "a node that was sent one and leads next counts time twice, and leases end early",
      from: "    this.#countIndex = snapshot.index;\n",
      to: "",
    },
  ]),
];
