/** Mutants of users, roles and tokens in the replicated state. */
import { tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

const USERS = tests("users", "tests/unit/kv/auth");
const RECORDS = tests("records of users", "tests/unit/server/snapshot/auth_record_test.ts");
const IDENTITIES = tests("identities", "tests/unit/protocol/codec_test.ts", "--filter=identit");

/** Mutants of who may do what. */
export const AUTH_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/kv/auth/authorize.ts", [USERS], [
    {
      id: "M877",
      title: "the check of a node counts as valid for every later state",
      failure: "a user whose right was taken away still writes, through a node that lags",
      from: "const isCurrent = identity.authRevision === auth.revision;",
      to: "const isCurrent = identity.authRevision <= auth.revision;",
    },
    {
      id: "M878",
      title: "the keys of a lease are not looked at when the command is applied",
      failure: "a user revokes a lease to which another one has just attached keys",
      from: "if (isCurrent && !concernsLeases(command)) return null;",
      to: "if (isCurrent) return null;",
    },
    {
      id: "M879",
      title: "an old credential is not noticed when the command is applied",
      failure: "after a password was changed because it was stolen, its thief still writes",
      from: "if (user === null || !auth.holds(identity)) return",
      to: "if (user === null) return",
    },
    {
      id: "M880",
      title: "a change of users needs no user",
      failure: "any client disables authentication",
      from: '    case "revokeLease":\n    case "changeAuth":\n    case "changeDatabases":',
      to:
        '    case "revokeLease":\n      return true;\n    case "changeAuth":\n      return false;\n    case "changeDatabases":',
    },
    {
      id: "M971",
      title: "a compaction needs no user",
      failure:
        "a client's compaction that was received before authentication was enabled is executed after it",
      from: '    case "compact":\n    case "keepLeasesAlive":\n      return true;',
      to: '    case "keepLeasesAlive":\n      return true;\n    case "compact":\n      return false;',
    },
    {
      id: "M972",
      title: "the identity of the leader lets every command through",
      failure: "a node that forges it writes without a user",
      from: 'return isOfNode(command.command) ? NO_USER : "unauthenticated";',
      to: "return NO_USER;",
    },
  ]),
  ...inFile("lib/server/reply.ts", [tests("registry", "tests/unit/server/auth/registry_test.ts")], [
    {
      id: "M975",
      title: "a listing of the visible keys has the registry of databases",
      failure: "a user who may read all keys reads the keys with which nodes sign tokens of databases",
      from: "rights.readableRanges ?? []",
      to: 'rights.ranges("read").ranges ?? []',
    },
  ]),
  ...inFile("lib/server/tools/tools.ts", [tests("tools", "tests/unit/server/tools_test.ts")], [
    {
      id: "M974",
      title: "a folder restored with --disable-auth is of the same cluster as one restored without",
      failure: "two nodes of a cluster disagree about who may do what",
      from: 'if (disablesAuth) origin.push("without authentication");',
      to: "",
    },
  ]),
  ...inFile("lib/kv/auth/command_rights.ts", [USERS], [
    {
      id: "M3240",
      title: "the keys of a lease are not looked at when it is kept alive",
      failure: "a user keeps a lease alive to which another one has just attached keys",
      from: 'command.kind === "keepLeasesAlive" ||',
      to: "",
    },
    {
      id: "M881",
      title: "a delete that returns what was there does not need the right to read",
      failure: "a user who may only write reads values",
      from:
        '        this.#add("write", operation.keys);\n        if (operation.returnPrevious) this.#add("read", operation.keys);',
      to: '        this.#add("write", operation.keys);',
    },
    {
      id: "M882",
      title: "attaching a key to a lease needs no right over its keys",
      failure: "a user makes the lease of another one impossible to keep alive",
      from: 'this.#leases.push({ right: "write", leaseId });',
      to: "void leaseId;",
    },
    {
      id: "M883",
      title: "the operations of the else branch need no rights",
      failure: "a condition that never holds lets a user write everything",
      from: "for (const operation of otherwise) this.#addOperation(operation);",
      to: "void otherwise;",
    },
  ]),
  ...inFile("lib/kv/auth/command_rights.ts", [USERS], [
    {
      id: "M963",
      title: "a user without rights may grant leases and open sessions",
      failure: "it evicts the sessions of all others, and takes all leases",
      from: "return rights.allowsSome(right) ? null :",
      to: "return rights.ranges(right).ranges.length >= 0 ? null :",
    },
    {
      id: "M2624",
      title: "a lease without keys is that of every user who may grant one",
      failure: "a user ends the lease of another one before its first key is attached",
      from: "return owner !== NO_OWNER && owner !== userId;",
      to: "return owner !== NO_OWNER && owner < userId && owner > userId;",
    },
    {
      id: "M2625",
      title: "a lease that was granted while authentication was disabled is no user's",
      failure: "holders lose their leases when authentication is enabled",
      from: "return owner !== NO_OWNER && owner !== userId;",
      to: "return owner !== userId;",
    },
    {
      id: "M961",
      title: "a sign-in by a token may add tokens of its user",
      failure: "a stolen token that expires soon becomes one that never expires",
      from: 'return requester.isByToken ? { kind: "signInByPassword" } : null;',
      to: "return null;",
    },
  ]),
  ...inFile("lib/protocol/auth_command.ts", [IDENTITIES], [
    {
      id: "M2920",
      title: "an identity with a large number is read as that of another user",
      failure: "a write counts as that of a user with a similar number, on the nodes that decode it",
      from: "return high * 65_536 + this.#next(bytes) * 256",
      to: "return high * 65_535 + this.#next(bytes) * 256",
    },
    {
      id: "M2921",
      title: "a command has the identity of the one before, if only the credentials differ",
      failure: "a write by a password that was changed is executed after one by the new password",
      from: "last.credential !== credential ||",
      to: "(last.credential !== credential && credential < 0) ||",
    },
  ]),
  ...inFile("lib/kv/feature_level.ts", [USERS], [
    {
      id: "M2922",
      title: "a command of a user exists at every feature level",
      failure: "nodes of the first version refuse an entry that others execute: the replicas differ",
      from: "if (command !== given && featureLevel < AUTH_LEVEL) return false;",
      to: "if (command !== given && featureLevel < FIRST_FEATURE_LEVEL) return false;",
    },
  ]),
  ...inFile("lib/kv/state_records.ts", [USERS], [
    {
      id: "M2626",
      title: "a snapshot does not have the owners of leases",
      failure: "a node that is fed by a snapshot lets others end a lease: the replicas differ",
      from: "yield ownerId === NO_OWNER ? record : [...record, ownerId];",
      to: "yield ownerId >= NO_OWNER ? record : [...record, ownerId];",
    },
  ]),
  ...inFile("lib/kv/auth/auth_state.ts", [USERS], [
    {
      id: "M962",
      title: "no credential counts as a token",
      failure: "a stolen token that expires soon becomes one that never expires",
      from: "return tokens.some((token) => token.credential === credential);",
      to: "return tokens.some((token) => token.credential < credential && token.credential > credential);",
    },
    {
      id: "M884",
      title: "the last user with the role root may be removed while authentication is enabled",
      failure: "no user can ever change anything again",
      from: "!this.#hasLastingRoot(user, replacement)",
      to: "!this.#hasLastingRoot(user, user)",
    },
    {
      id: "M959",
      title: "a root user without a password and a token counts as one that can sign in",
      failure: "enabling authentication without TLS locks out all users for good",
      from: "return password !== null || tokens.some(({ expiresAtMs }) => expiresAtMs === null);",
      to: "return password !== null || tokens.every(({ expiresAtMs }) => expiresAtMs === null);",
    },
    {
      id: "M885",
      title: "rights stay cached after a change",
      failure: "nodes that have restarted decide otherwise than the others, and replicas diverge",
      from: "    this.#rights.clear();\n",
      to: "",
    },
    {
      id: "M886",
      title: "a removed role stays with its users",
      failure: "who had it gets the rights of a later role of the same name",
      from: "      if (!user.roles.includes(name)) continue;\n",
      to: "      if (user.roles.includes(name)) continue;\n",
    },
  ]),
  ...inFile("lib/kv/auth/validate_auth.ts", [USERS], [
    {
      id: "M960",
      title: "a name may have an invisible character",
      failure: "an audit line shows a user who looks like another one",
      from: "u200b-\\u200f",
      to: "u200c-\\u200f",
    },
  ]),
  ...inFile("lib/kv/auth/user_rights.ts", [USERS], [
    {
      id: "M887",
      title: "a range is allowed when its first key is",
      failure: "a user lists, watches and deletes keys beyond its prefix",
      from: "return range.end === null || (end !== null && compareKeys(end, range.end) <= 0);",
      to: "return true;",
    },
  ]),
  ...inFile("lib/kv/sessions/session_table.ts", [USERS], [
    {
      id: "M888",
      title: "a session answers any user",
      failure: "a user who guesses the id of a session reads what another one has read",
      from: "known.userId !== userId && known.userId !== 0 && userId !== 0",
      to: "known.userId !== userId && known.userId !== 0 && userId === 0",
    },
  ]),
  ...inFile("lib/server/snapshot/auth_record_codec.ts", [RECORDS], [
    {
      id: "M889",
      title: "a snapshot may give a role that does not exist",
      failure: "a user of a damaged backup has the rights of any role that is added later under that name",
      from: "role === ROOT_ROLE || this.#roles.has(role)",
      to: "role.length > 0",
    },
  ]),
];
