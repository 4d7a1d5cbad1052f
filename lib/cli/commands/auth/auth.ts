/** The commands `auth status`, `sign-in`, `enable` and `disable`. */
import type { AuthStatus } from "../../../client/auth/types.ts";
import { AuthChangeRefusedError } from "../../../client/errors.ts";
import {
  type Answer,
  answer,
  changeAnswer,
  type Command,
  defineCommand,
  withElapsed,
} from "../../command.ts";
import { argumentOf, grantDocument, keysAsTyped, USER } from "./auth_options.ts";
import { UsageError } from "../../errors.ts";
import { callOptions } from "../../options.ts";
import { askSecret } from "../../sign_in/secrets.ts";
import { escapeText, table } from "../../text.ts";

const STATUS = defineCommand({
  name: "auth status",
  otherNames: ["whoami", "id"],
  summary: "whether clients have to sign in, and who this one is",
  details: [
    "Needs no right. Shows the roles of the user and what they allow: right and keys, parted by two spaces.",
  ],
  example: [
    "auth status",
    "authentication is enabled",
    "signed in as ada, by password",
    "roles: app",
    "read  app/",
  ],
  async run(invocation, context): Promise<Answer> {
    const client = await context.client();
    const status = await client.auth.status(callOptions(invocation, context));
    return answer({
      text: (view) => ({ output: withElapsed(statusText(status), view), note: "" }),
      json: () => ({ ...status, grants: status.grants.map(grantDocument) }),
    });
  },
});

const SIGN_IN = defineCommand({
  name: "auth sign-in",
  otherNames: ["login", "authenticate", "su"],
  takesPassword: true,
  arguments: [USER],
  summary: "in the shell: sign in as a user, by a password that is asked for",
  details: [
    "What is typed from then on is done as this user. Where the password is wrong, the user stays the one before.",
    "A command on the command line signs in by the options --user or --token-file.",
  ],
  example: ["auth sign-in ada", "ok  signed in as ada"],
  async run(invocation, context): Promise<Answer> {
    const user = argumentOf(invocation, USER);
    if (context.signIn === null) {
      throw new UsageError(
        "Only the shell signs in by a command. Here, give the option --user or --token-file.",
      );
    }
    const password = await askSecret(
      `Password of ${escapeText(user)}: `,
      (prompt) => context.readSecret(prompt),
    );
    await context.signIn({ user, password });
    return changeAnswer({ line: `ok  signed in as ${escapeText(user)}`, document: { user } });
  },
});

const ENABLE = defineCommand({
  name: "auth enable",
  summary: "have every client sign in from now on",
  details: [
    "Needs a user with the role root and a password or a token that never expires: user add ada, then user grant ada root.",
    "Clients that are connected are asked to sign in with their next request.",
  ],
  example: ["auth enable", "ok  authentication is enabled"],
  async run(invocation, context): Promise<Answer> {
    const client = await context.client();
    try {
      const { user } = await client.auth.status(callOptions(invocation, context));
      const { authRevision } = await client.auth.enable(callOptions(invocation, context));
      if (user === null) {
        context.note(
          context.signIn === null
            ? `this client has not signed in. From now on type: ${context.commandLine()} --user <name>`
            : "this client has not signed in. Type auth sign-in <name>",
        );
      }
      return changeAnswer({
        line: "ok  authentication is enabled",
        document: { enabled: true, authRevision },
      });
    } catch (error) {
      if (!(error instanceof AuthChangeRefusedError) || error.reason !== "noRoot") throw error;
      throw new AuthChangeRefusedError(
        "Cannot enable authentication: no user has the role root and a password or a token that never expires (a certificate " +
          "alone does not count), so it could not be disabled again. Type user add <name>, then user grant <name> root, and try again.",
        { reason: error.reason },
      );
    }
  },
});

const DISABLE = defineCommand({
  name: "auth disable",
  summary: "let every client do everything without signing in",
  details: ["Users and roles are kept."],
  example: ["auth disable", "ok  authentication is disabled"],
  async run(invocation, context): Promise<Answer> {
    const client = await context.client();
    const { authRevision } = await client.auth.disable(callOptions(invocation, context));
    return changeAnswer({
      line: "ok  authentication is disabled",
      document: { enabled: false, authRevision },
    });
  },
});

export const AUTH_COMMANDS: readonly Command[] = [STATUS, SIGN_IN, ENABLE, DISABLE];

function statusText({ enabled, user, via, roles, grants, hasMoreGrants }: AuthStatus): string {
  const lines = [
    enabled ? "authentication is enabled" : "authentication is disabled: every client may do everything",
  ];
  if (user === null) {
    lines.push("not signed in");
  } else {
    lines.push(`signed in as ${escapeText(user)}, by ${via ?? "?"}`);
    lines.push(`roles: ${roles.length === 0 ? "none" : roles.map(escapeText).join(", ")}`);
  }
  lines.push(...table(grants.map(({ right, keys }) => [right, keysAsTyped(keys)])));
  if (hasMoreGrants) lines.push("… and more");
  return lines.map((line) => `${line}\n`).join("");
}
