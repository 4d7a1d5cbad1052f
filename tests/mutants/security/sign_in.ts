/** Mutants of signing in: in the client library and on the command line. */
import { PROMPTS, SIGN_IN, tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

export const SIGN_IN_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/client/auth/sign_ins.ts", [SIGN_IN], [
    {
      id: "M925",
      title: "a refused password is sent again by the next call",
      failure: "a client with a wrong password has the cluster delay all sign-ins from its address",
      from: "this.#refusal = { secret, error, until: this.#clock.now() + REFUSED_MS };",
      to: "",
    },
    {
      id: "M926",
      title: "a password that no node has accepted yet is sent to several nodes at a time",
      failure: "one call to connect with a wrong password counts as several failures",
      from: "while (secret !== this.#accepted && this.#first !== null) {",
      to: "while (signal.aborted && this.#first !== null) {",
    },
  ]),
  ...inFile("lib/client/pool.ts", [SIGN_IN], [
    {
      id: "M927",
      title: "a connection is used before it is signed in",
      failure: "calls fail at nodes that were connected late, and each costs another round trip",
      from: "if (this.#signIns !== null) await this.#signIn(this.#signIns, connection, signal);",
      to: "",
    },
  ]),
  ...inFile("lib/client/calls.ts", [SIGN_IN], [
    {
      id: "M928",
      title: "a call signs in again at a node as often as the node asks for it",
      failure: "a node that does not accept a user keeps calls going until their deadline",
      from: "if (needsSignIn(failure) && failure.node !== signedInAt) {",
      to: "if (needsSignIn(failure) && (signedInAt === null || signedInAt > 0)) {",
    },
    {
      id: "M3151",
      title: "a call is signed in again once at a node, also after an election",
      failure: "a call that waits for a leader ends as not signed in when the second token ends",
      from: "          signedInAt = null;\n",
      to: "",
    },
    {
      id: "M3080",
      title: "a new sign-in of a call that was not answered counts as one",
      failure: "calls end as not signed in where a token is renewed while there is no leader",
      from: "if (unanswered === null) {",
      to: "if (unanswered === null || except !== null) {",
    },
  ]),
  ...inFile("lib/client/reads/history.ts", [SIGN_IN], [
    {
      id: "M3150",
      title: "a compaction is not repeated after a new sign-in",
      failure: "a compaction fails where a token is renewed between its arrival and its entry",
      from: "if (!isUnaccepted || hasSignedIn) return { result, outcome };",
      to: "if (outcome.length > 0) return { result, outcome };",
    },
  ]),
  ...inFile("lib/client/retry.ts", [SIGN_IN], [
    {
      id: "M929",
      title: "a call is repeated until its deadline though the sign-in was refused",
      failure: "a program with a wrong password hangs, and reports a timeout",
      from: "return failure.error instanceof AuthenticationError\n",
      to: "return failure.error instanceof RangeError\n",
    },
  ]),
  ...inFile("lib/client/watch/watch.ts", [SIGN_IN], [
    {
      id: "M930",
      title: "a watch ends with its token",
      failure: "a program that renews its token misses the changes after it",
      from: "if (needsSignIn(end.failure) && end.failure.node !== this.#signedInAt) {",
      to: "if (needsSignIn(end.failure) && end.failure.node === this.#signedInAt) {",
    },
    {
      id: "M3152",
      title: "a watch is signed in again once at a node, also after an election",
      failure: "a watch that waits for a leader ends as not signed in when the second token ends",
      from: "          this.#signedInAt = null;\n",
      to: "",
    },
    {
      id: "M3081",
      title: "a new sign-in of a watch that was not answered counts as one",
      failure: "watches end where a token is renewed while there is no leader",
      from: "if (await this.#signInAgain(node)) break;",
      to: "this.#signedInAt = node;\nif (await this.#signInAgain(node)) break;",
    },
  ]),
  ...inFile("lib/client/snapshot_download.ts", [SIGN_IN], [
    {
      id: "M931",
      title: "the download of a snapshot ends with its token",
      failure: "a backup that takes longer than a token lasts is never whole",
      from: 'if (end.kind !== "refused" || !needsSignIn(',
      to: 'if (end.kind !== "refused" || needsSignIn(',
    },
  ]),
  ...inFile("lib/client/auth/secrets.ts", [SIGN_IN], [
    {
      id: "M932",
      title: "all passwords have the same salt",
      failure: "who has a backup guesses the passwords of all users at the price of one",
      from: "salt: secretBytes(MIN_SALT_BYTES)",
      to: "salt: new Uint8Array(MIN_SALT_BYTES)",
    },
  ]),
  ...inFile("lib/cli/shell/line_editor.ts", [PROMPTS], [
    {
      id: "M933",
      title: "the up key brings back a line with a password",
      failure: "the next person at the terminal reads it",
      from: 'if (!options.mayRemember(lines[0] ?? "")) lines.shift();',
      to: "",
    },
  ]),
  ...inFile("lib/cli/sign_in/secrets.ts", [PROMPTS], [
    {
      id: "M934",
      title: "--user takes name:password",
      failure: "the password is in the list of processes, and in the error that names the user",
      from: "  refusePasswordInName(user);\n",
      to: "",
    },
    {
      id: "M3190",
      title: "the secret in a pipe is read at each sign-in",
      failure: "a client with --token-file <(…) cannot sign in: the pipe is empty the second time",
      from: 'environment.disk.stat(path) === "stream"',
      to: 'environment.disk.stat(path) === "directory"',
      checks: [tests("environment", "tests/unit/cli/environment_test.ts")],
    },
  ]),
];
