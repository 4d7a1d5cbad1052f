/** Mutants of users and rights that take a whole cluster, with requests in progress when a right is taken away, to show. */
import { SIM_USERS, tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

const REVOKED_RIGHTS = tests("revoked rights", "tests/unit/server/auth/revoked_rights_test.ts");
const CERTIFIED_USERS = tests("certified users", "tests/unit/server/auth/connection_identity_test.ts");
const NEW_SIGN_INS = tests("new sign-ins", "tests/unit/client/auth/sign_in_test.ts");
const LATE_REFUSALS = tests("late refusals", "tests/unit/server/auth/late_refusal_test.ts");

export const SIMULATED_USER_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/server/auth/connection_identity.ts", [SIM_USERS], [
    {
      id: "M950",
      title: "a node says that it has checked a command by a later state than it has",
      failure: "a write is executed after the entry that took the right to it away",
      from: "const identity = { userId, credential, authRevision: auth.revision };",
      to: "const identity = { userId, credential, authRevision: auth.revision + 1 };",
    },
    {
      id: "M3040",
      title: "the token of a connection does not end",
      failure: "who has signed in by a token that expires keeps its rights as long as the connection lasts",
      from: "return this.isOver() ? null : this.#current;",
      to: "return this.#current;",
    },
    {
      id: "M3215",
      title: "the user that a certificate names is looked up once",
      failure: "it keeps rights that were taken away until it disconnects",
      from: "if (auth.revision !== this.#revision) {",
      to: 'if (auth.revision !== this.#revision && this.#current?.via !== "certificate") {',
    },
    {
      id: "M3216",
      title: "a connection whose token was revoked has the user of its certificate",
      failure: "who revokes the token of a program does not cut it off",
      from: "certificate.problem !== null || this.#hasEnded) return null;",
      to: "certificate.problem !== null) return null;",
      checks: [CERTIFIED_USERS],
    },
  ]),
  ...inFile("lib/kv/auth/auth_state.ts", [SIM_USERS], [
    {
      id: "M3217",
      title: "a user that a certificate names is none when its command is applied",
      failure: "clients with certificates can read, and cannot write",
      from: "if (credential === 0) return true;",
      to: "if (credential === 0) return false;",
    },
  ]),
  ...inFile("lib/server/auth/connection_identity.ts", [CERTIFIED_USERS], [
    {
      id: "M3193",
      title: "the certificate of a connection does not end",
      failure: "a client whose certificate has expired keeps its rights as long as the connection lasts",
      from: 'via: "certificate", expiresAtMs: certificate.notAfterMs',
      to: 'via: "certificate", expiresAtMs: null',
    },
  ]),
  ...inFile("lib/server/auth/watch_rights.ts", [REVOKED_RIGHTS], [
    {
      id: "M3041",
      title: "a watch goes on when the token of its connection has expired",
      failure: "a program whose token has expired is still sent every change",
      from: "return this.#identity.isOver();",
      to: "return false;",
    },
  ]),
  ...inFile("lib/server/auth/sign_ins.ts", [SIM_USERS], [
    {
      id: "M3042",
      title: "a token is taken after its time",
      failure: "an expired token signs in on every new connection",
      from: "if (expiresAtMs !== null && expiresAtMs <= wallClock()) return",
      to: "if (expiresAtMs !== null && expiresAtMs + 10_000 <= wallClock()) return",
    },
    {
      id: "M3043",
      title: "a token ends before its time",
      failure: "programs are refused while their tokens are good",
      from: "const { userId, credential, expiresAtMs } = token;",
      to:
        "const { userId, credential } = token;\n        const expiresAtMs = token.expiresAtMs === null ? null : token.expiresAtMs - 500;",
    },
  ]),
  ...inFile("lib/server/watch/watch_requests.ts", [SIM_USERS], [
    {
      id: "M951",
      title: "a watch begins by the rights that its user had when it asked",
      failure: "a user whose right was taken away learns the revision, and may be sent events",
      from: "ready ? reply.lateRefusal() ?? startRefusal(request, this.#options) : notUpToDate()",
      to: "ready ? startRefusal(request, this.#options) : notUpToDate()",
    },
  ]),
  ...inFile("lib/kv/auth/auth_state.ts", [SIM_USERS], [
    {
      id: "M952",
      title: "authentication is disabled where a state is restored from a snapshot",
      failure: "a node that was behind serves every client",
      from: "    this.#enabled = enabled;\n    this.#revision = revision;",
      to: "    this.#enabled = false;\n    this.#revision = revision;",
    },
    {
      id: "M954",
      title: "a removed user is still known by its id",
      failure: "its connections keep all rights",
      from: "this.#usersById.delete(user.id);",
      to: "",
    },
  ]),
  ...inFile("lib/server/reply.ts", [SIM_USERS], [
    {
      id: "M955",
      title: "a listing of the visible keys has all keys",
      failure: "users see keys to which they have no right",
      from: "return this.#target.identity.user(auth)?.rights.readableRanges ?? [];",
      to: "return null;",
    },
    {
      id: "M3044",
      title: "a read that waits is answered although the token of its connection has expired",
      failure: "an expired token reads another time",
      from: "if (isDecided && !identity.isOver()) return null;",
      to: "if (isDecided) return null;",
      checks: [LATE_REFUSALS],
    },
  ]),
  ...inFile("lib/client/retry.ts", [NEW_SIGN_INS], [
    {
      id: "M3045",
      title: "a client whose token has expired does not sign in again",
      failure: "a program fails when its token ends, although it has another",
      from: '(failure.code === "unauthenticated" || failure.code === "tokenExpired")',
      to: 'failure.code === "unauthenticated"',
    },
  ]),
];
