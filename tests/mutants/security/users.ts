/** Mutants of users: their sign-ins, and the decisions about their requests. */
import { tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

const RIGHTS = tests("rights of requests", "tests/unit/server/auth/request_rights_test.ts");
const WRITES = tests("writes", "tests/unit/server/writes_test.ts");
const FORWARDED = tests("forwarded writes", "tests/unit/server/auth/forwarded_test.ts");
const REVOKED = tests("revoked rights", "tests/unit/server/auth/revoked_rights_test.ts");
const LATE = tests("late refusals", "tests/unit/server/auth/late_refusal_test.ts");
const SIGN_INS = tests("sign-ins", "tests/unit/server/auth/sign_ins_test.ts");
const PASSWORDS = tests("passwords", "tests/unit/server/auth/password_checks_test.ts");
const MONITOR = tests("monitor", "tests/unit/server/metrics/monitor_test.ts");
const AUDIT = tests("audit", "tests/unit/server/auth/audit_log_test.ts");

export const USER_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/server/auth/authentication.ts", [MONITOR], [
    {
      id: "M3235",
      title: "connections that have ended are counted",
      failure: "before authentication is enabled an operator cannot see that every client signs in",
      from: "return () => void this.#clients.delete(identity);",
      to: "return () => {};",
    },
    {
      id: "M3236",
      title: "connections are counted by what their clients have been",
      failure: "a user that was cut off still seems to be connected",
      from: 'this.#clients) numbers[identity.user(this.access.auth)?.via ?? "none"] += 1;',
      to: 'this.#clients) numbers[identity.isAnonymous ? "none" : "password"] += 1;',
    },
  ]),
  ...inFile("lib/server/auth/access.ts", [AUDIT], [
    {
      id: "M969",
      title: "audit lines do not name changes of users",
      failure: "an administrator cannot tell who was given which role by whom",
      from: "return change === null ? {} : { change };",
      to: "return change === null || change.length > 0 ? {} : { change };",
    },
  ]),
  ...inFile("lib/server/auth/access.ts", [RIGHTS], [
    {
      id: "M3082",
      title: "a user who may read some key gets every key",
      failure: "a role that is limited to a prefix does not keep other keys secret",
      from: 'user !== null && user.rights.allows("read", key)',
      to: 'user !== null && user.rights.allowsSome("read")',
    },
    {
      id: "M3083",
      title: "the front end for Deno KV gets keys that are not of its databases",
      failure: "a fault of the front end shows keys of the cluster to those with an access token",
      from: "if (identity.isOfDatabases) return false;",
      to: "if (identity.isOfDatabases) return true;",
      checks: [tests("front end rights", "tests/unit/server/auth/front_end_rights_test.ts")],
    },
  ]),
  ...inFile("lib/server/auth/request_rights.ts", [RIGHTS], [
    {
      id: "M964",
      title: "a user without rights may watch the visible keys",
      failure: "a user who can read nothing takes the watches of the others",
      from: "visibleOnly ? READ_ANY : readOf(keys)",
      to: "visibleOnly ? USER : readOf(keys)",
    },
    {
      id: "M910",
      title: "every user may read the history of every key",
      failure: "a user reads what no role of it grants",
      from: "keyHistory: { ...readingKey(({ query: { key } }) => key), isAudited: false },",
      to: "keyHistory: { needs: USER, isAudited: false },",
    },
  ]),
  ...inFile("lib/server/auth/access.ts", [FORWARDED], [
    {
      id: "M911",
      title: "a leader believes a node that claims a later auth revision",
      failure: "a node that lies lends rights: the state machine trusts the check of that revision",
      from: "command.identity.authRevision > this.auth.revision",
      to: "command.identity.authRevision < 0",
    },
  ]),
  ...inFile("lib/server/writes.ts", [FORWARDED], [
    {
      id: "M912",
      title: "a leader does not check forwarded writes",
      failure: "a follower that lags fills the log with writes that are refused when applied",
      from: "access.auth.enabled ? access.refusalOfForwarded(command, from) : null",
      to: "access.auth.revision < 0 ? access.refusalOfForwarded(command, from) : null",
    },
  ]),
  ...inFile("lib/server/writes.ts", [WRITES], [
    {
      id: "M985",
      title: "a write keeps the bytes of its frame",
      failure: "the entry of a client has the bytes of a later frame on the same connection",
      from: "const owned = ownedCommand(bytes);",
      to: "const owned = bytes;",
    },
  ]),
  ...inFile("lib/server/auth/connection_identity.ts", [REVOKED], [
    {
      id: "M913",
      title: "the user of a connection is looked up once",
      failure: "a user that was removed goes on reading until it disconnects",
      from: "if (auth.revision !== this.#revision) {",
      to: "if (this.#revision < 0) {",
    },
    {
      id: "M2900",
      title: "a connection that signs in as no user keeps that of its certificate",
      failure: "clients of a gateway that have not signed in have the rights of the gateway's certificate",
      from: "this.#signedIn = null;\n    this.#hasEnded = true;",
      to: "this.#signedIn = null;",
      checks: [tests("connection identity", "tests/unit/server/auth/connection_identity_test.ts")],
    },
    {
      id: "M914",
      title: "a token ends no sign-in when it expires",
      failure: "a stolen token works for as long as its connection lives",
      from: "return expiresAtMs !== null && this.#wallClock() >= expiresAtMs;",
      to: "return expiresAtMs !== null && this.#wallClock() < 0;",
      checks: [SIGN_INS, REVOKED],
    },
  ]),
  ...inFile("lib/server/reply.ts", [LATE], [
    {
      id: "M915",
      title: "a read that waited is answered by the rights that its user had when it asked",
      failure: "values written after a right was taken away are read by it",
      from: "const isDecided = this.#decidedAt === auth.revision &&",
      to: "const isDecided = this.#decidedAt >= 0 &&",
    },
  ]),
  ...inFile("lib/server/watch/watch_hub.ts", [REVOKED], [
    {
      id: "M916",
      title: "a watch is sent events until the next pass over all watches",
      failure: "values written after a right was taken away reach its watch",
      from: "if (connection.isChecked) return true;",
      to: "if (connection.checkedAt >= -1) return true;",
    },
    {
      id: "M917",
      title: "a watch without events does not end when its right is taken away",
      failure: "a client waits for events that it will not be sent",
      from: "if (this.#size > 0) this.#recheckTimer ??=",
      to: "if (this.#size < 0) this.#recheckTimer ??=",
    },
  ]),
  ...inFile("lib/server/auth/sign_ins.ts", [SIGN_INS], [
    {
      id: "M918",
      title: "failed sign-ins delay nothing",
      failure: "an attacker tries as many passwords as the node can hash",
      from: "if (delayMs === 0) return true;",
      to: "if (delayMs >= 0) return true;",
    },
    {
      id: "M946",
      title: "sign-ins by a known token wait for the failures of others at their address",
      failure: "one program with a wrong password keeps all others behind its proxy out",
      from: 'if (known !== null && known.kind !== "unknown") return',
      to: 'if (known !== null && known.kind === "busy") return',
    },
    {
      id: "M965",
      title: "all names share the waiting places of one name at an address",
      failure: "two programs with wrong passwords keep all other users of their address busy",
      from: "key: `name ${source} ${name}`",
      to: "key: `name ${source}`",
    },
    {
      id: "M947",
      title: "a wrong password does not count at a node that knows no leader",
      failure: "a node that is cut off checks passwords as fast as it can hash them",
      from: 'this.#ended(first, source, name);\n      return "noLeader";',
      to: 'return "noLeader";',
    },
    {
      id: "M919",
      title: "a sign-in that fails does not wait for an up-to-date state",
      failure: "a user that was just added is refused by a follower",
      from: "const changed = this.#lookedOf(method) !== first.looked;",
      to: "const changed = first.looked.length < 0;",
    },
    {
      id: "M920",
      title: "a password that is changed while its hash is computed signs in",
      failure: "the old password opens a connection after it was changed",
      from: "now === null || this.#lookedOf(method) !== looked",
      to: "now === null",
    },
  ]),
  ...inFile("lib/server/auth/password_checks.ts", [PASSWORDS], [
    {
      id: "M921",
      title: "no hash is computed for a user that does not exist",
      failure: "the time of a refusal tells which users exist",
      from: "const { hash, ...parameters } = expected ?? NO_PASSWORD;",
      to: 'if (expected === null) return { kind: "wrong" };\n      const { hash, ...parameters } = expected;',
    },
    {
      id: "M922",
      title: "any number of hashes is computed at a time",
      failure: "an attack with passwords takes all cores and the memory",
      from: "if (this.#hashing >= MAX_HASHING) {",
      to: "if (this.#hashing < 0) {",
    },
    {
      id: "M966",
      title: "one address may have all places of checks that wait",
      failure: "a user that signs in in a loop keeps all others from signing in",
      from: "this.isFull || waiting >= MAX_WAITING_CHECKS_PER_SOURCE",
      to: "this.isFull || waiting < 0",
    },
  ]),
  ...inFile("lib/server/watch/revision_events.ts", [REVOKED], [
    {
      id: "M923",
      title: "a watch of the visible keys is sent all of its range",
      failure: "a user sees values that no role of it grants",
      from: "if (mayRead !== null && !mayRead(keyIn(key))) continue;",
      to: "if (mayRead !== null && !keyIn(key)) continue;",
    },
  ]),
  ...inFile("lib/platform/bounded_lines.ts", [AUDIT], [
    {
      id: "M953",
      title: "an audit line after the end of the log starts a timer",
      failure: "the timer outlives the server",
      from: "if (!this.#isClosed) this.#window ??=",
      to: "this.#window ??=",
    },
    {
      id: "M924",
      title: "any number of audit lines is written",
      failure: "a client without a user fills the disk with lines",
      from: "if (this.#written >= max) {",
      to: "if (this.#written < 0) {",
    },
  ]),
  ...inFile("lib/server/auth/audit_log.ts", [AUDIT], [
    {
      id: "M967",
      title: "refused requests without a user share the bound of those of users",
      failure: "a client without a user keeps the refusals of users out of the audit log",
      from: "request.user === null ? this.#withoutUser",
      to: "request.user === null ? this.#refused",
    },
    {
      id: "M968",
      title: "failed sign-ins share the bound of successful ones",
      failure: "a client that tries passwords hides that one of them was right",
      from: 'result === "ok" ? this.#signIns',
      to: 'result === "ok" ? this.#failedSignIns',
    },
  ]),
];
