/** Mutants of the front end for Deno KV: writes made twice or not at all, and access that was taken away. */
import { tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

const DENOKV = tests("denokv", "tests/unit/denokv", "--ignore=tests/unit/denokv/watch");
const NET_IN_PROCESS = tests("in-process", "tests/unit/transport/in_process_test.ts");

/** The mutants. */
export const DENOKV_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/denokv/undelivered_answers.ts", [DENOKV], [
    {
      id: "M1300",
      title: "a remembered answer is given more than once",
      failure: "of two equal sums of a program the second is not made",
      from: "    this.#forget(remembered);\n    return remembered.answer;",
      to: "    return remembered.answer;",
    },
    {
      id: "M1301",
      title: "answers are remembered by the body alone",
      failure: "a program's sum is not made, since another program has sent the same one",
      from: 'return `${token} ${createHash("sha256")',
      to: 'return `${token.slice(0, 3)} ${createHash("sha256")',
    },
    {
      id: "M1302",
      title: "a write that changed nothing is remembered",
      failure: "a write that is sent again after an election fails again, without being made",
      from: "if (!wasApplied) this.#forget(remembered);",
      to: "",
    },
    {
      id: "M1303",
      title: "answers are never forgotten",
      failure: "an equal write of the next day gets an old answer, and is not made",
      from: "remembered.forgetAt = this.#clock.now() + REMEMBERED_MS;",
      to: "",
    },
  ]),
  ...inFile("lib/denokv/atomic_writes.ts", [DENOKV], [
    {
      id: "M1304",
      title: "an answer that was lost is not remembered",
      failure: "a sum whose answer was lost counts twice",
      from: 'if (await request.respond(response) === "lost") rememberOnce();',
      to: "await request.respond(response);",
    },
    {
      id: "M1305",
      title: "a write is remembered only once its outcome is known",
      failure: "a sum that is sent again during an election counts twice",
      from: 'signal.addEventListener("abort", rememberOnce);',
      to: "",
    },
    {
      id: "M1306",
      title: "a write that is answered 503 at its deadline is not remembered",
      failure: "a sum that took more than ten seconds counts once for each time that it is sent",
      from: "if (known === null) rememberOnce();",
      to: "",
    },
    {
      id: "M1307",
      title: "a fault during a write counts as if nothing was written",
      failure: "a write that may have been made is made again",
      from: "return { response: failure(409, message), wasApplied: true };",
      to: "return { response: failure(503, message), wasApplied: false };",
    },
  ]),
  ...inFile("lib/denokv/answers.ts", [DENOKV], [
    {
      id: "M1308",
      title: "a write with an unknown outcome is answered 503",
      failure: "clients send it again, and a sum counts twice",
      from: 'if (outcome !== "not-applied") return 409;',
      to: "",
    },
    {
      id: "M1322",
      title: "a request is refused for good while older nodes are replaced",
      failure: "programs that start with a new cluster, or during an upgrade, end with an error",
      from: "isTransient(error) || PASSING_CODES.includes(code) || isOfOlderNodes(error)",
      to: "isTransient(error) || PASSING_CODES.includes(code)",
    },
    {
      id: "M1309",
      title: "every failure is answered 503",
      failure: "clients repeat a request that can never succeed, without end",
      from: 'return code === "permissionDenied" ? 403 : 400;',
      to: "return 503;",
    },
  ]),
  ...inFile("lib/denokv/data_tokens.ts", [DENOKV], [
    {
      id: "M1310",
      title: "the signature of a data token is not checked",
      failure: "any program can make itself a token of any database",
      from:
        "if (!timingSafeEqual(signatureOf(bytes, signingKey), bytes.subarray(CONTENT_BYTES))) return null;",
      to: "signatureOf(bytes, signingKey);",
    },
    {
      id: "M1311",
      title: "a remembered token is good under every key of the database",
      failure: "tokens of a removed database open the one that has its id",
      from: "if (signingKey !== null && areEqual(signingKey, known.signingKey)) {",
      to: "if (signingKey !== null) {",
    },
  ]),
  ...inFile("lib/denokv/access.ts", [DENOKV], [
    {
      id: "M1312",
      title: "a data token outlives its access token",
      failure: "a client whose access token was removed reads for another day",
      from: "return database.tokens.some(({ id }) => id === credentialId);",
      to: "return database.tokens.length > 0;",
    },
    {
      id: "M1313",
      title: "a data token does not expire",
      failure: "a token that was found in an old log still opens the database",
      from: "if (token === null || token.expiresAtMs <= this.#wallClock()) {",
      to: "if (token === null) {",
    },
    {
      id: "M1314",
      title: "a data token opens every database",
      failure: "a program of one database reads another one",
      from: "if (database === null || database.name !== name) {",
      to: "if (database === null) {",
    },
    {
      id: "M2627",
      title:
        "a node that has just started signs tokens of databases without access tokens by the key that it knows",
      failure: "a program is given a token of a removed database, and all of its requests are refused",
      from: "access.credentialId !== NO_CREDENTIAL || this.#directory.isConfirmed",
      to: "access.credentialId !== NO_CREDENTIAL || access.database.isOpen",
    },
    {
      id: "M1323",
      title: "data is read by the rights that a node knew before it was away",
      failure: "an access token that was removed meanwhile reads from a node that comes back",
      from: "if (!this.#directory.isConfirmed) await this.#directory.refresh();",
      to: "",
    },
    {
      id: "M1315",
      title: "a client is refused by an old state",
      failure: "a program with a new access token is refused by a node that lags, and ends",
      from: "    await this.#directory.refresh();\n    const second",
      to: "    const second",
    },
  ]),
  ...inFile("lib/denokv/directory.ts", [DENOKV], [
    {
      id: "M3192",
      title: "a gateway asks on as often as before, though the cluster refuses it",
      failure: "each gateway without credentials is some audit lines a second of every node",
      from: "if (this.#refusal !== null && readAt < this.#refusal.until) throw this.#refusal.error;",
      to: "",
      checks: [tests("directory", "tests/unit/denokv/directory_test.ts")],
    },
    {
      id: "M3127",
      title: "a database without access tokens is open where other clients must show certificates",
      failure:
        "with --tls-client-auth required any program that reaches the port of Deno KV reads and writes",
      from: "return isOpen && !this.#options.needsTokens && ",
      to: "return isOpen && ",
    },
    {
      id: "M2628",
      title: "the databases are read for refused clients without a pause",
      failure: "a flood of invalid tokens takes the time of the leader",
      from: "if (waitMs > 0) await pause(",
      to: "if (waitMs > REFRESH_INTERVAL_MS) await pause(",
    },
  ]),
  ...inFile("lib/denokv/load/large_reads.ts", [DENOKV], [
    {
      id: "M1031",
      title: "large reads are made at once",
      failure: "many large lists use the memory of a node, and none is answered in time",
      from: "if (this.#running < MAX_LARGE_READS) {",
      to: "if (this.#running < MAX_LARGE_READS * 1_000) {",
    },
    {
      id: "M1032",
      title: "the turn of a large read is not given to the next one",
      failure: "large lists wait for nothing, and are answered 503 though the node is idle",
      from: "    this.#waiting.delete(next);\n    next();",
      to: "    this.#waiting.delete(next);",
    },
  ]),
  ...inFile("lib/denokv/translation.ts", [DENOKV], [
    {
      id: "M1316",
      title: "a read of one key by npm's client gets the next key's value, which Node cannot read",
      failure: "getMany fails on a value that was not asked for",
      from: "return isReadInNode(entry.value) ? entries : [];",
      to: "return entries;",
    },
    {
      id: "M1317",
      title: "a list of all keys from Node counts as a read of one key",
      failure: "a list of the database with limit 1 finds nothing",
      from: "return isReadInNode(entry.value) ? entries : [];",
      to: "return [];",
    },
    {
      id: "M1318",
      title: "a value that has expired before it is written is written",
      failure: "a program reads a value that was to last 0 ms",
      from: "expiresAtMs <= nowMs && !versionstampedKey",
      to: "expiresAtMs < nowMs && !versionstampedKey",
    },
  ]),
  ...inFile("lib/denokv/limits.ts", [DENOKV], [
    {
      id: "M1319",
      title: "messages to enqueue are ignored",
      failure: "npm's client reports a message as enqueued that never arrives",
      from: "if (enqueues > 0) throw",
      to: "if (enqueues > 1) throw",
    },
  ]),
  ...inFile("lib/denokv/datapath.ts", [DENOKV], [
    {
      id: "M1320",
      title: "a field may be longer than its message",
      failure: "bytes of the next field are taken for a key",
      from: "if (reader.pos !== end) {",
      to: "if (reader.pos < end) {",
    },
  ]),
  ...inFile("lib/denokv/atomic_writes.ts", [DENOKV], [
    {
      id: "M1241",
      title: "commits that change nothing have the versionstamp of the last change",
      failure: "a program that compares the versionstamps of two commits takes them for one",
      from: "const next = revision === last ? Math.min(sequence + 1, MAX_SEQUENCE) : 1;",
      to: "const next = revision === last ? sequence : 0;",
    },
  ]),
  ...inFile("lib/denokv/service.ts", [DENOKV], [
    {
      id: "M3237",
      title: "clients of Deno KV with a wrong access token are not recorded",
      failure: "an operator cannot see that a machine tries tokens",
      from: "if (error.status === 401 || error.status === 404) this.#recordRefusal(error, request);",
      to: "if (error.status === 404) this.#recordRefusal(error, request);",
    },
    {
      id: "M1242",
      title: "Deno gets the entries that Node can read",
      failure: "a list with limit 1 in Deno finds nothing where the first value is an object",
      from: 'const isDeno = request.header("user-agent")?.startsWith(DENO_AGENT) === true;',
      to: 'const isDeno = request.header("user-agent") === DENO_AGENT;',
    },
  ]),
  ...inFile("lib/transport/handshake/accepting.ts", [NET_IN_PROCESS], [
    {
      id: "M1321",
      title: "a front end of the node takes the place of a client",
      failure: "a node with as many clients as allowed serves no Deno KV",
      from: "if (inProcess !== null) return null;",
      to: "",
    },
  ]),
  ...inFile("lib/denokv/access.ts", [DENOKV], [
    {
      id: "M1015",
      title: "a client is let through by databases that were read any time ago",
      failure:
        "a program without a token reads from each front end once, however long after authentication was enabled",
      from: "const mayDecide = this.#directory.isConfirmed && this.#directory.isRecent;",
      to: "const mayDecide = this.#directory.isConfirmed;",
    },
    {
      id: "M1016",
      title: "an access token is exchanged by databases that were read any time ago",
      failure: "a program without a token gets a data token after authentication was enabled",
      from: "    await this.#directory.whenRecent();\n",
      to: "",
    },
  ]),
];
