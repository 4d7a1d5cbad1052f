/** Mutants of the users of the etcd front end, and of the tickets by which they sign in. */
import { tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

const TICKETS = tests("tickets", "tests/unit/server/auth/sign_ins_test.ts");

const CLIENTS = tests("clients of users", "tests/unit/etcd/auth/user_clients_test.ts");
const PERMISSIONS = tests("permissions", "tests/unit/etcd/auth/permissions_test.ts");
const SERVICE = tests("etcd service", "tests/unit/etcd/service_test.ts");

/** Mutants of users and tickets. */
export const ETCD_AUTH_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/server/auth/tickets.ts", [TICKETS], [
    {
      id: "M2840",
      title: "the signature of a ticket is not checked",
      failure: "any client is any user",
      from: "isSignedBy(user.password.hash, contentOfTicket(ticket), signature) ? user : null",
      to: "isSignedBy(user.password.hash, contentOfTicket(ticket), signature) ? user : user",
    },
    {
      id: "M2841",
      title: "a ticket is accepted after its password was changed",
      failure: "a password that was changed because it was stolen still serves its thief",
      from: " || user.passwordRevision !== ticket.credential",
      to: "",
    },
  ]),
  ...inFile("lib/platform/secrets.ts", [TICKETS], [
    {
      id: "M3200",
      title: "the stored form of a password signs tickets",
      failure: "an operator who may take backups, or the finder of an old one, signs in as root",
      from: 'return verify(null, Buffer.from(text, "utf8"), createPublicKey(key), signature);',
      to: "const keys = [createPublicKey(key), privateKeyOf(publicKey)];\n    " +
        'return keys.some((key) => verify(null, Buffer.from(text, "utf8"), key, signature));',
    },
  ]),
  ...inFile("lib/server/auth/sign_ins.ts", [TICKETS], [
    {
      id: "M2842",
      title: "a ticket has no end",
      failure: "a ticket in an old log file signs in until the password is changed",
      from: "if (wallClock() >= ticket.issuedAtMs + TICKET_LIFE_MS)",
      to: "if (wallClock() < ticket.issuedAtMs)",
    },
  ]),
  ...inFile("lib/etcd/auth/user_clients.ts", [CLIENTS], [
    {
      id: "M3232",
      title: "a password that is too long is a timeout for a client of etcd",
      failure: "the client signs in again and again where the password is wrong",
      from: "const isOfUser = error instanceof AuthenticationError || error instanceof InvalidRequestError;",
      to: "const isOfUser = error instanceof AuthenticationError;",
    },
    {
      id: "M2843",
      title: "a token of a user is accepted once another one of this user was",
      failure: "a forged token that names a user who is signed in acts as this user",
      from: "const lastUsedMs = this.#accepted.get(token);",
      to:
        'const lastUsedMs = this.#accepted.get(token) ?? this.#users.get(userKeyOf(token) ?? "")?.lastUsedMs;',
    },
    {
      id: "M2844",
      title: "a token has no end at a front end that has seen it",
      failure: "a token that was stolen is of use for a day",
      from: "(ticket === null || clock.now() < lastUsedMs + TOKEN_LIFE_MS)",
      to: "(ticket === null || clock.now() >= lastUsedMs)",
    },
    {
      id: "M2845",
      title: "an old token of another front end is accepted",
      failure: "a token that was stolen is of use for a day",
      from: "if (ticket !== null && wallClock() >= ticket.issuedAtMs + TOKEN_LIFE_MS) return false;",
      to: "if (ticket !== null && wallClock() < ticket.issuedAtMs) return false;",
    },
    {
      id: "M2846",
      title: "a refused token is sent to the node with every request",
      failure: "a client with a wrong token takes the time of the node",
      from: "if ((this.#refused.get(token) ?? 0) > clock.now()) return false;",
      to: "",
    },
    {
      id: "M2847",
      title: "sign-ins of an address have no bound",
      failure: "one machine takes the places of all others for signing in",
      from: " || ofSource >= MAX_SIGN_INS_PER_SOURCE) {",
      to: " || ofSource < 0) {",
    },
    {
      id: "M2848",
      title: "the client of a user is closed while it has a stream",
      failure: "a watch that is quiet for ten minutes ends",
      from: "if (client.uses > 0 || now < client.lastUsedMs + IDLE_MS) continue;",
      to: "if (now < client.lastUsedMs + IDLE_MS) continue;",
    },
    {
      id: "M2849",
      title: "tokens of the same user have clients of their own",
      failure: "a program that signs in again and again takes the places of all users",
      from: "const key = signInKeyOf(token);",
      to: "const key = token;",
    },
    {
      id: "M2854",
      title: "a node that is too busy for a sign-in is called one without a leader",
      failure: "clientv3 ends every watch of a program because another one tries passwords",
      from: "error instanceof KvraftError && !isOfUser",
      to: "error instanceof KvraftError && isOfUser",
    },
    {
      id: "M2850",
      title: "a wrong password counts for the front end, not for the address of its client",
      failure: "one client that tries passwords delays the sign-ins of all",
      from: "this.#options.connect({ token }, remote)",
      to: "this.#options.connect({ token }, null)",
    },
  ]),
  ...inFile("lib/etcd/auth/permissions.ts", [PERMISSIONS], [
    {
      id: "M2851",
      title: "a permission adds to the one over the same keys",
      failure: "a role that was reduced to reading still writes",
      from: 'return { added: of("read"), removed: of("write", "admin") };',
      to: 'return { added: of("read"), removed: [] };',
    },
    {
      id: "M2852",
      title: "a permission from a key on is one over all keys",
      failure: "a role reads keys that it was not given",
      from: "const isAll = isLastEnd(key) && isLastEnd(rangeEnd);",
      to: "const isAll = isLastEnd(rangeEnd);",
    },
  ]),
  ...inFile("lib/etcd/service.ts", [SERVICE], [
    {
      id: "M3233",
      title: "refusals of etcd's clients are not recorded with their addresses",
      failure: "an operator sees that a user tries forbidden keys, and not from which machine",
      from: "        this.#noteRefusal(again, request);\n",
      to: "",
    },
    {
      id: "M3234",
      title: "every failure of a client of etcd is recorded as a refusal",
      failure: "the audit log is full of transactions that did not hold",
      from: "if (!USER_FAILURES.some((failure) => failure.message === message)) return;",
      to: "",
    },
    {
      id: "M2853",
      title: "a node refuses by a state that is not up to date",
      failure: "a user that was just given a right is refused by the other nodes for a while",
      from: "if (!isOfUsers(toEtcdError(error, { hasToken: token !== null }))) throw error;",
      to: 'if (!isOfUsers(toEtcdError(error, { hasToken: token !== null })) || token !== "") throw error;',
    },
  ]),
];
