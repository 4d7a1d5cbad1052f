/** The commands on users and their tokens: `user list`, `show`, `add`, `passwd`, `remove`, `grant`, `revoke`, `token …`. */
import type { TokenInfo, UserInfo } from "../../../client/auth/types.ts";
import {
  type Answer,
  answer,
  type AnswerText,
  changeAnswer,
  type Command,
  type CommandContext,
  defineCommand,
  type Invocation,
  type StoreClient,
  type View,
  withElapsed,
} from "../../command.ts";
import { argumentOf, metaLine, NEW_PASSWORD_OPTIONS, newPasswordOf, ROLE, USER } from "./auth_options.ts";
import { ExitCode } from "../../errors.ts";
import { ttlOfText } from "../../lease_options.ts";
import { callOptions } from "../../options.ts";
import { countOf, dim, escapeText, table, timeText } from "../../text.ts";

/** The name of a user that is added: Tab has nothing to offer. */
const NEW_USER = { name: "user", required: true } as const;
/** The name of a token. */
const TOKEN = { name: "name", required: true } as const;

const LIST = defineCommand({
  name: "user list",
  otherNames: ["users"],
  summary: "the users, with their roles",
  details: [
    "Into a file or pipe go name, password or -, roles parted by commas, and number of tokens, parted by tabs.",
  ],
  example: ["user list", "ada\tpassword\troot\t0", "deploy\t-\tapp\t1"],
  async run(invocation, context): Promise<Answer> {
    const client = await context.client();
    const users = await client.auth.users(callOptions(invocation, context));
    return answer({ text: (view) => listText(users, view), json: () => ({ users }) });
  },
});

const SHOW = defineCommand({
  name: "user show",
  arguments: [USER],
  summary: "a user: its roles and tokens",
  details: ["Ends with 1 when there is no such user. Every user may see itself."],
  example: ["user show deploy", "password: none", "roles: app", "token ci, expires 2030-01-31T09:30:00.000Z"],
  async run(invocation, context): Promise<Answer> {
    const name = argumentOf(invocation, USER);
    const client = await context.client();
    const user = await client.auth.user(name, callOptions(invocation, context));
    return user === null ? noUser(name) : answer({
      text: (view) => ({ output: withElapsed(userText(user), view), note: "" }),
      json: () => user,
    });
  },
});

const ADD = defineCommand({
  name: "user add",
  otherNames: ["adduser", "useradd"],
  takesPassword: true,
  arguments: [NEW_USER],
  options: NEW_PASSWORD_OPTIONS,
  summary: "add a user, and ask for its password",
  details: [
    "The password is asked for twice and not shown. It is hashed here: the cluster gets the hash. A name has up to 128",
    "characters, and no /. The user has no rights before user grant.",
  ],
  example: ["user add ada", "New password of ada: ", "The same again: ", "ok  user ada added"],
  async run(invocation, context): Promise<Answer> {
    const name = argumentOf(invocation, NEW_USER);
    const password = await newPasswordOf(name, invocation, context);
    const client = await context.client();
    const { authRevision } = await client.auth.addUser(name, {
      password,
      ...callOptions(invocation, context),
    });
    return done(`user ${escapeText(name)} added`, { user: name, authRevision });
  },
});

const PASSWD = defineCommand({
  name: "user passwd",
  otherNames: ["passwd", "password"],
  takesPassword: true,
  arguments: [USER],
  options: NEW_PASSWORD_OPTIONS,
  summary: "change the password of a user",
  details: [
    "Every user may change its own. Connections that signed in by the old password have to sign in again.",
  ],
  example: ["user passwd ada", "New password of ada: ", "The same again: ", "ok  password of ada changed"],
  async run(invocation, context): Promise<Answer> {
    const name = argumentOf(invocation, USER);
    const password = await newPasswordOf(name, invocation, context);
    const client = await context.client();
    const { authRevision } = await client.auth.setPassword(name, password, callOptions(invocation, context));
    const what = password === null ? "removed" : "changed";
    return done(`password of ${escapeText(name)} ${what}`, { user: name, authRevision });
  },
});

const REMOVE = defineCommand({
  name: "user remove",
  otherNames: ["deluser", "userdel"],
  arguments: [USER],
  summary: "remove a user with its tokens",
  details: ["What its connections request from then on is refused, on every node."],
  example: ["user remove deploy", "ok  user deploy removed"],
  async run(invocation, context): Promise<Answer> {
    const name = argumentOf(invocation, USER);
    const client = await context.client();
    const { authRevision } = await client.auth.removeUser(name, callOptions(invocation, context));
    return done(`user ${escapeText(name)} removed`, { user: name, authRevision });
  },
});

const GRANT = defineCommand({
  name: "user grant",
  arguments: [USER, ROLE],
  summary: "give a role to a user",
  details: ["The role root has every right, also over users and roles. It always exists."],
  example: ["user grant ada root", "ok  ada has the role root"],
  async run(invocation, context): Promise<Answer> {
    const [name, role] = [argumentOf(invocation, USER), argumentOf(invocation, ROLE)];
    const client = await context.client();
    const { authRevision } = await client.auth.grantRole(name, role, callOptions(invocation, context));
    await noteWithoutEffect(client, { name, role }, { invocation, context });
    return done(`${escapeText(name)} has the role ${escapeText(role)}`, { user: name, role, authRevision });
  },
});

const REVOKE = defineCommand({
  name: "user revoke",
  arguments: [USER, ROLE],
  summary: "take a role from a user",
  details: ["What the user may not do any more is refused from then on, and its watches end."],
  example: ["user revoke ada root", "ok  ada has the role root no more"],
  async run(invocation, context): Promise<Answer> {
    const [name, role] = [argumentOf(invocation, USER), argumentOf(invocation, ROLE)];
    const client = await context.client();
    const { authRevision } = await client.auth.revokeRole(name, role, callOptions(invocation, context));
    const line = `${escapeText(name)} has the role ${escapeText(role)} no more`;
    return done(line, { user: name, role, authRevision });
  },
});

const TOKEN_CREATE = defineCommand({
  name: "user token create",
  arguments: [USER, TOKEN],
  options: [{
    name: "ttl",
    placeholder: "<time>",
    help: "how long it can be used, such as 720h (without end)",
  }],
  summary: "make a token by which a user signs in, and show it once",
  details: [
    "The token is the only thing on standard output, so that it can go into a file: umask 077 first. The cluster has its",
    "hash only. Programs sign in by --token-file, or the client library's token. Every user may make its own.",
  ],
  example: ["user token create deploy ci --ttl 720h", "kvt_3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],
  async run(invocation, context): Promise<Answer> {
    const [user, name] = [argumentOf(invocation, USER), argumentOf(invocation, TOKEN)];
    const ttl = invocation.options.get("ttl");
    const expiry = ttl === undefined ? {} : { expiresInMs: ttlOfText(ttl, "--ttl") };
    const client = await context.client();
    const options = callOptions(invocation, context);
    const { token, expiresAtMs, authRevision } = await client.auth.createToken(user, {
      name,
      ...expiry,
      ...options,
    });
    const until = expiresAtMs === null ? "" : `, expires ${timeText(expiresAtMs)}`;
    const note = `-- token ${escapeText(name)} of ${escapeText(user)}${until}; it is not shown again\n`;
    return answer({
      text: () => ({ output: `${token}\n`, note }),
      json: () => ({ user, name, token, expiresAtMs, authRevision }),
      outcome: `The token ${name} of ${user} was made, and is lost: revoke it.`,
    });
  },
});

const TOKEN_LIST = defineCommand({
  name: "user token list",
  otherNames: ["tokens"],
  arguments: [USER],
  summary: "the tokens of a user",
  details: ["Name and time of expiry, parted by a tab. The tokens themselves are not kept."],
  example: ["user token list deploy", "ci\t2030-01-31T09:30:00.000Z"],
  async run(invocation, context): Promise<Answer> {
    const name = argumentOf(invocation, USER);
    const client = await context.client();
    const user = await client.auth.user(name, callOptions(invocation, context));
    if (user === null) return noUser(name);
    const lines = user.tokens.map((token) => `${escapeText(token.name)}\t${expiryText(token) || "-"}\n`);
    return answer({
      text: (view) => ({ output: lines.join(""), note: metaLine(view, countOf(lines.length, "token")) }),
      json: () => ({ tokens: user.tokens }),
    });
  },
});

const TOKEN_REVOKE = defineCommand({
  name: "user token revoke",
  arguments: [USER, TOKEN],
  summary: "revoke a token of a user",
  details: ["What connections request that signed in by it is refused from then on."],
  example: ["user token revoke deploy ci", "ok  token ci of deploy revoked"],
  async run(invocation, context): Promise<Answer> {
    const [user, name] = [argumentOf(invocation, USER), argumentOf(invocation, TOKEN)];
    const client = await context.client();
    const { authRevision } = await client.auth.revokeToken(user, name, callOptions(invocation, context));
    return done(`token ${escapeText(name)} of ${escapeText(user)} revoked`, { user, name, authRevision });
  },
});

export const USER_COMMANDS: readonly Command[] = [
  LIST,
  SHOW,
  ADD,
  PASSWD,
  REMOVE,
  GRANT,
  REVOKE,
  TOKEN_CREATE,
  TOKEN_LIST,
  TOKEN_REVOKE,
];

/** Returns the answer of a change of users or roles. */
function done(what: string, document: unknown): Answer {
  return changeAnswer({ line: `ok  ${what}`, document });
}

/** Says that a role gives no right to a user that has every right. */
async function noteWithoutEffect(
  client: StoreClient,
  { name, role }: { readonly name: string; readonly role: string },
  { invocation, context }: { readonly invocation: Invocation; readonly context: CommandContext },
): Promise<void> {
  if (role === "root") return;
  const user = await client.auth.user(name, callOptions(invocation, context));
  if (user?.roles.includes("root") !== true) return;
  context.note(`${name} has the role root, and with it every right: the role ${role} adds none`);
}

function noUser(name: string): Answer {
  return answer({
    text: (view) => ({ output: "", note: withElapsed("(no such user)\n", view) }),
    json: () => null,
    exitCode: ExitCode.no,
    outcome: `There is no user ${name}.`,
  });
}

function listText(users: readonly UserInfo[], view: View): AnswerText {
  const cells = users.map(({ name, hasPassword, roles, tokens }) => [
    escapeText(name),
    hasPassword ? "password" : "-",
    roles.map(escapeText).join(","),
    `${tokens.length}`,
  ]);
  const [header = "", ...rows] = table([["user", "password", "roles", "tokens"], ...cells]);
  const lines = view.isTerminal
    ? users.length === 0 ? [] : [dim(header, view), ...rows]
    : cells.map((row) => row.join("\t"));
  return {
    output: lines.map((line) => `${line}\n`).join(""),
    note: metaLine(view, countOf(users.length, "user")),
  };
}

function userText({ hasPassword, roles, tokens }: UserInfo): string {
  const lines = [
    `password: ${hasPassword ? "set" : "none"}`,
    `roles: ${roles.length === 0 ? "none" : roles.map(escapeText).join(", ")}`,
    ...tokens.map((token) => {
      const expiry = expiryText(token);
      return `token ${escapeText(token.name)}${expiry === "" ? "" : `, expires ${expiry}`}`;
    }),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

function expiryText({ expiresAtMs }: TokenInfo): string {
  return expiresAtMs === null ? "" : timeText(expiresAtMs);
}
