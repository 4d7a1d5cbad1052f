/** The commands on roles: `role list`, `show`, `add`, `remove`, `grant` and `revoke`. */
import type { RoleInfo } from "../../../client/auth/types.ts";
import {
  type Answer,
  answer,
  type AnswerText,
  changeAnswer,
  type Command,
  defineCommand,
  type View,
  withElapsed,
} from "../../command.ts";
import {
  argumentOf,
  GRANT_ARGUMENTS,
  GRANT_OPTIONS,
  grantDocument,
  grantKeysOf,
  keysAsTyped,
  keysInWords,
  metaLine,
  rightOf,
  ROLE,
} from "./auth_options.ts";
import { ExitCode } from "../../errors.ts";
import { callOptions } from "../../options.ts";
import { countOf, dim, escapeText, table } from "../../text.ts";

/** The name of a role that is added: Tab has nothing to offer. */
const NEW_ROLE = { name: "role", required: true } as const;

const LIST = defineCommand({
  name: "role list",
  otherNames: ["roles"],
  summary: "the roles, beside root",
  details: ["Into a file or pipe go name and number of grants, parted by a tab."],
  example: ["role list", "app\t2"],
  async run(invocation, context): Promise<Answer> {
    const client = await context.client();
    const roles = await client.auth.roles(callOptions(invocation, context));
    return answer({
      text: (view) => listText(roles, view),
      json: () => ({ roles: roles.map(roleDocument) }),
    });
  },
});

const SHOW = defineCommand({
  name: "role show",
  arguments: [ROLE],
  summary: "the grants of a role: right and keys",
  details: ["The keys are as role grant and role revoke take them. Ends with 1 when there is no such role."],
  example: ["role show app", "read   app/", "write  app/log/"],
  async run(invocation, context): Promise<Answer> {
    const name = argumentOf(invocation, ROLE);
    const client = await context.client();
    const role = await client.auth.role(name, callOptions(invocation, context));
    return role === null ? noRole(name) : answer({
      text: (view) => ({
        output: roleText(role, view),
        note: metaLine(view, countOf(role.grants.length, "grant")),
      }),
      json: () => roleDocument(role),
    });
  },
});

const ADD = defineCommand({
  name: "role add",
  arguments: [NEW_ROLE],
  summary: "add a role, which allows nothing before role grant",
  example: ["role add app", "ok  role app added"],
  async run(invocation, context): Promise<Answer> {
    const role = argumentOf(invocation, NEW_ROLE);
    const client = await context.client();
    const { authRevision } = await client.auth.addRole(role, callOptions(invocation, context));
    return changeAnswer({ line: `ok  role ${escapeText(role)} added`, document: { role, authRevision } });
  },
});

const REMOVE = defineCommand({
  name: "role remove",
  arguments: [ROLE],
  summary: "remove a role, from all users as well",
  example: ["role remove app", "ok  role app removed"],
  async run(invocation, context): Promise<Answer> {
    const role = argumentOf(invocation, ROLE);
    const client = await context.client();
    const { authRevision } = await client.auth.removeRole(role, callOptions(invocation, context));
    return changeAnswer({ line: `ok  role ${escapeText(role)} removed`, document: { role, authRevision } });
  },
});

const GRANT = defineCommand({
  name: "role grant",
  arguments: GRANT_ARGUMENTS,
  options: GRANT_OPTIONS,
  summary: "give a right over keys to a role",
  details: [
    "read and write are independent of each other. admin includes both; with --all it also allows operating the cluster.",
    "A <key> that ends in / means all keys that begin with it.",
  ],
  example: ["role grant app read app/", "ok  app may read the keys that begin with app/"],
  async run(invocation, context): Promise<Answer> {
    const [role, right, keys] = [argumentOf(invocation, ROLE), rightOf(invocation), grantKeysOf(invocation)];
    const client = await context.client();
    const result = await client.auth.grant(role, right, keys, callOptions(invocation, context));
    if (result.wasCovered) context.note(`other grants of ${role} covered this one before: it adds no right`);
    return changeAnswer({
      line: `ok  ${escapeText(role)} may ${verbOf(right)} ${keysInWords(keys)}`,
      document: { role, ...result },
    });
  },
});

const REVOKE = defineCommand({
  name: "role revoke",
  arguments: GRANT_ARGUMENTS,
  options: GRANT_OPTIONS,
  summary: "take a right over keys from a role",
  details: [
    "Right and keys are those of one grant, as role show lists them. A right that another grant covers remains, and role",
    "show has it. What users may not do any more is refused from then on, and their watches end.",
  ],
  example: ["role revoke app read app/", "ok  app lost the right to read the keys that begin with app/"],
  async run(invocation, context): Promise<Answer> {
    const [role, right, keys] = [argumentOf(invocation, ROLE), rightOf(invocation), grantKeysOf(invocation)];
    const client = await context.client();
    const result = await client.auth.revoke(role, right, keys, callOptions(invocation, context));
    return changeAnswer({
      line: `ok  ${escapeText(role)} lost the right to ${verbOf(right)} ${keysInWords(keys)}`,
      document: { role, ...result },
    });
  },
});

export const ROLE_COMMANDS: readonly Command[] = [LIST, SHOW, ADD, REMOVE, GRANT, REVOKE];

function verbOf(right: ReturnType<typeof rightOf>): string {
  return right === "admin" ? "administer" : right;
}

function roleDocument({ name, grants }: RoleInfo): unknown {
  return { name, grants: grants.map(grantDocument) };
}

function roleText({ grants }: RoleInfo, view: View): string {
  const cells = grants.map(({ right, keys }) => [right, keysAsTyped(keys)]);
  const lines = view.isTerminal ? table(cells) : cells.map((row) => row.join("\t"));
  return lines.map((line) => `${line}\n`).join("");
}

function noRole(name: string): Answer {
  return answer({
    text: (view) => ({ output: "", note: withElapsed("(no such role)\n", view) }),
    json: () => null,
    exitCode: ExitCode.no,
    outcome: `There is no role ${name}.`,
  });
}

function listText(roles: readonly RoleInfo[], view: View): AnswerText {
  const cells = roles.map(({ name, grants }) => [escapeText(name), `${grants.length}`]);
  const [header = "", ...rows] = table([["role", "grants"], ...cells]);
  const lines = view.isTerminal
    ? roles.length === 0 ? [] : [dim(header, view), ...rows]
    : cells.map((row) => row.join("\t"));
  return {
    output: lines.map((line) => `${line}\n`).join(""),
    note: metaLine(view, countOf(roles.length, "role")),
  };
}
