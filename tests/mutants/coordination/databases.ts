/** Mutants of databases: their writes, their numbers, and the reserved part of the key space. */
import { tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

const DATABASES = tests("databases", "tests/unit/kv/databases");
const FRONT_END = tests("front end", "tests/unit/server/auth/front_end_rights_test.ts");
const CLIENT = tests("client", "tests/unit/client/databases");
const SNAPSHOT = tests("snapshot", "tests/unit/server/snapshot/database_record_test.ts");
const TOOLS = tests("tools", "tests/unit/server/tools_test.ts", "--filter=restore");
const WATCH = tests("watch", "tests/unit/server/watch/watch_hub_test.ts");
const RIGHTS = tests("request-rights", "tests/unit/server/auth/request_rights_test.ts");

/** The mutants. */
export const DATABASE_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/kv/databases/databases.ts", [DATABASES], [
    {
      id: "M2500",
      title: "the last check of a database's write is ignored",
      failure: "a program that guards its write with a check overwrites another one's",
      from: "for (const [position, { key, revision }] of checks.entries()) {",
      to: "for (const [position, { key, revision }] of checks.slice(0, checks.length - 1).entries()) {",
    },
    {
      id: "M2501",
      title: "a sum is counted from the state before the write",
      failure: "of two sums of a key in one write the first is lost",
      from: "changed.set(text, value);",
      to: "",
    },
    {
      id: "M2502",
      title: "a write that changes nothing has no revision",
      failure: "two commits have the same versionstamp",
      from: "    this.#pages.advance(revision);\n",
      to: "    if (mutations.length > 1) this.#pages.advance(revision);\n",
    },
    {
      id: "M2503",
      title: "an access token that was removed is still good",
      failure: "a stolen token can be used for writing without an end",
      from: 'return isKnown ? null : "unauthenticated";',
      to: 'return isKnown || (database?.nextTokenId ?? 0) > credentialId ? null : "unauthenticated";',
    },
    {
      id: "M2507",
      title: "a database whose last access token was removed is open",
      failure: "revoking a token that leaked lets all clients in",
      from: "isOpen(database)) ? null",
      to: "(database?.tokens ?? []).length === 0) ? null",
    },
    {
      id: "M2504",
      title: "a write goes to the database that was written before",
      failure: "one database's keys appear in another one",
      from: "if (databaseId !== this.#keyDatabaseId) {",
      to: "if (this.#keyDatabaseId === -1) {",
    },
    {
      id: "M2505",
      title: "a versionstamped key has the versionstamp of the write before",
      failure: "keys that should be new overwrite each other",
      from: "writeVersionstampElement(this.#key, DATABASE_PREFIX_BYTES + key.length, revision);",
      to: "writeVersionstampElement(this.#key, DATABASE_PREFIX_BYTES + key.length, revision - 1);",
    },
    {
      id: "M2506",
      title: "a database with tokens is open to writes without one",
      failure: "an access token protects nothing",
      from: "return isUser || (!isAuthEnabled && isOpen(database)) ?",
      to: "return isUser || !isAuthEnabled ?",
    },
  ]),
  ...inFile("lib/kv/databases/reserved_keys.ts", [DATABASES], [
    {
      id: "M2510",
      title: "a range from below the reserved part reaches into it",
      failure: "list, export and delete --prefix meet the keys of databases",
      from: "return end === null || isReserved(end) ? RESERVED_START : end;",
      to: "return end === null ? RESERVED_START : end;",
    },
    {
      id: "M2511",
      title: "an ordinary transaction puts a reserved key",
      failure: "any writer gives itself an access token",
      from: "if (key[0] === 0xff && isReserved(key)) return true;",
      to: "if (key[0] === 0xff && key.length === 8) return true;",
    },
    {
      id: "M2512",
      title: "a transaction in a branch of another one puts a reserved key",
      failure: "the same, with one more pair of brackets",
      from: "      return branchesChangeReserved(operation);\n",
      to: "      return false;\n",
    },
  ]),
  ...inFile("lib/kv/databases/number_mutation.ts", [DATABASES], [
    {
      id: "M2520",
      title: "bounds apply to the first sum of a key",
      failure: "kvraft refuses a write that Deno KV makes",
      from: "if (stored === null) return written(operand);",
      to: "if (stored === null) return bounded(operand, mutation);",
    },
    {
      id: "M2521",
      title: "a sum is clamped to the wrong bound",
      failure: "a counter at its maximum jumps to its minimum",
      from: "    result = highest;\n",
      to: "    result = lowest ?? highest;\n",
    },
  ]),
  ...inFile("lib/kv/databases/v8_number.ts", [DATABASES], [
    {
      id: "M2522",
      title: "a result that is no number keeps the bits that the processor gave it",
      failure: "nodes on different processors have different states",
      from: "if (Number.isNaN(value)) view.setUint32(start + 4, NOT_A_NUMBER, true);\n  else view",
      to: "view",
    },
    {
      id: "M2523",
      title: "numbers are written in V8's format 16",
      failure: "no Node and no Deno before 2.8 reads a sum",
      from: "const WRITTEN_VERSION = 15;",
      to: "const WRITTEN_VERSION = 16;",
    },
  ]),
  ...inFile("lib/kv/auth/user_rights.ts", [DATABASES], [
    {
      id: "M2530",
      title: "a user who may read all keys reads the registry of databases",
      failure: "the signing keys of all databases are known to every user who may read",
      from: "if (key[0] === 0xff && !this.isRoot && isOfRegistry(key)) return false;",
      to: "",
    },
  ]),
  ...inFile("lib/kv/sessions/remembered_answers.ts", [DATABASES], [
    {
      id: "M2531",
      title: "the retry of a database's write gets the answer to a put",
      failure: "a client that lost its answer fails, though its write was made",
      from: "if (version === NO_VERSION) return",
      to: "if (version !== NO_VERSION && revision === 0) return",
    },
  ]),
  ...inFile("lib/server/auth/front_end_rights.ts", [FRONT_END], [
    {
      id: "M2540",
      title: "a front end reads every key",
      failure: "a fault in the front end shows all data of a cluster that has authentication",
      from: "return isReserved(request.key);",
      to: "return true;",
    },
    {
      id: "M2541",
      title: "a front end writes without an access token",
      failure: "each client of the front end writes, though authentication is enabled",
      from: "if (!isAuthEnabled || command.credentialId !== NO_CREDENTIAL) return null;",
      to: "if (!isAuthEnabled || command.credentialId >= NO_CREDENTIAL) return null;",
    },
  ]),
  ...inFile("lib/kv/databases/range_reads.ts", [DATABASES], [
    {
      id: "M2542",
      title: "a page of ranges ends where it is full, and is called complete",
      failure: "a list of Deno KV ends early, without an error",
      from: "return pageOf({ range: position + 1, after: null });",
      to: "return pageOf(null);",
    },
  ]),
  ...inFile("lib/client/databases/database_client.ts", [CLIENT], [
    {
      id: "M2543",
      title: "a read continues at the key that it has already",
      failure: "an entry is listed twice",
      from: "start: successor(after)",
      to: "start: after",
    },
  ]),
  ...inFile("lib/server/snapshot/state_reader.ts", [SNAPSHOT], [
    {
      id: "M2545",
      title: "the answers to writes of databases are not read from a snapshot",
      failure: "a node that was sent a snapshot does not start",
      from: '      case "databasesFailed":\n        if (this.#featureLevel >= BRANCHING_LEVEL)',
      to: '      case "databasesFailed":\n        if (answer.kind !== "databaseWritten")',
    },
  ]),
  ...inFile("lib/server/tools/tools.ts", [TOOLS], [
    {
      id: "M2546",
      title: "a restored backup continues with the revisions of the lost cluster",
      failure: "a versionstamp is given twice, and a check holds that should not",
      from: "  state.advanceRevision(RESTORED_REVISION_STEP);\n",
      to: "",
    },
  ]),
  ...inFile("lib/server/watch/watch_hub.ts", [WATCH], [
    {
      id: "M2547",
      title: "watches are sent the events of a revision that has none",
      failure: "a node fails with the first write of a database that changes nothing",
      from: "|| events.end === first) return;",
      to: ") return;",
    },
  ]),
  ...inFile("lib/kv/auth/command_rights.ts", [RIGHTS], [
    {
      id: "M1010",
      title: "a sum of a number that is stored needs no right to read it",
      failure: "a user who may only write finds a number out by the bounds of sums that fail",
      from: "command.mutations.some(isSumOfV8)",
      to: "command.mutations.length === 0",
    },
  ]),
  ...inFile("lib/kv/auth/authorize.ts", [DATABASES, FRONT_END], [
    {
      id: "M1011",
      title: "a database's write that names an access token needs neither a user nor a node",
      failure: "a program without the token writes through a node that does not know yet of authentication",
      from: 'needsUser(command) ? "unauthenticated"',
      to:
        'needsUser(command) && !(command.kind === "databaseWrite" && command.credentialId > 0) ? "unauthenticated"',
    },
  ]),
  ...inFile("lib/server/auth/front_end_rights.ts", [FRONT_END], [
    {
      id: "M1013",
      title: "the leader takes any forwarded write that names an access token for one of a front end",
      failure: "its refusal comes only when the entry is applied, after it was written to every disk",
      from: "command.identity.userId === NODE_IDENTITY.userId",
      to: "command.identity.userId >= NODE_IDENTITY.userId",
    },
  ]),
];
