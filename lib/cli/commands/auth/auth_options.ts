/** Arguments, options and texts that the commands on users and roles share. */
import { checkUserName, grantedPrefix } from "../../../client/auth/input.ts";
import type { GrantKeys } from "../../../client/auth/types.ts";
import type { Grant, GrantedKeys } from "../../../kv/auth/auth_command.ts";
import { assertNever } from "../../../platform/assert.ts";
import type { OptionSpec } from "../../arguments.ts";
import type { ArgumentSpec, CommandContext, Invocation, View } from "../../command.ts";
import { SecretArgumentError, UsageError } from "../../errors.ts";
import { bytesField } from "../../json.ts";
import { BYTES_OPTIONS, bytesOf } from "../../options.ts";
import { askNewPassword, secretInFile, secretInInput } from "../../sign_in/secrets.ts";
import { dim, duration, escapeBytes, wordAsTyped } from "../../text.ts";

/** A user, completed by Tab. */
export const USER: ArgumentSpec = { name: "user", required: true, completion: "user" };
/** A role, completed by Tab. */
export const ROLE: ArgumentSpec = { name: "role", required: true, completion: "role" };

/** The arguments of a grant. */
export const GRANT_ARGUMENTS: readonly ArgumentSpec[] = [
  ROLE,
  { name: "right", required: true, choices: ["read", "write", "admin"] },
  { name: "key", required: true, completion: "key", replacedBy: ["all"] },
];

/** Options for the keys of a grant. */
export const GRANT_OPTIONS: readonly OptionSpec[] = [
  { name: "prefix", placeholder: null, help: "all keys that begin with <key>, as for one that ends in /" },
  { name: "all", placeholder: null, help: "all keys, in place of <key>" },
  ...BYTES_OPTIONS,
];

/** Options for the password of a user that is added or changed. */
export const NEW_PASSWORD_OPTIONS: readonly OptionSpec[] = [
  {
    name: "new-password-file",
    placeholder: "<path>",
    help: "take the user's password from a file, and do not ask",
  },
  { name: "new-password-stdin", placeholder: null, help: "take it from the first line of standard input" },
  { name: "no-password", placeholder: null, help: "the user signs in by a token or a certificate only" },
];

const utf8 = new TextEncoder();
/** The last byte of a key that names all keys that begin with it. */
const SLASH = 0x2f;

/** Returns the text of an argument. */
export function argumentOf({ args }: Invocation, spec: ArgumentSpec): string {
  return args.get(spec.name)?.text ?? "";
}

/** Returns the line below a list in the shell. */
export function metaLine(view: View, count: string): string {
  return view.elapsedMs === null ? "" : `${dim(`${count}, ${duration(view.elapsedMs)}`, view)}\n`;
}

/** Returns the keys of a grant. Throws {@link UsageError}. */
export function grantKeysOf(invocation: Invocation): GrantKeys {
  const { options, args } = invocation;
  if (options.has("all")) {
    if (options.has("prefix")) throw new UsageError("--all names all keys, and so needs no --prefix.");
    return { prefix: "" };
  }
  const key = bytesOf(args.get("key")?.text ?? "", invocation);
  return options.has("prefix") || key.at(-1) === SLASH ? { prefix: key } : { key };
}

/** Returns the right in an argument. Throws {@link UsageError}. */
export function rightOf(invocation: Invocation): Grant["right"] {
  const text = invocation.args.get("right")?.text;
  switch (text) {
    case "read":
    case "write":
    case "admin":
      return text;
    default:
      throw new UsageError(`<right> must be read, write or admin. Example: ${invocation.command.example[0]}`);
  }
}

/** Returns the keys of a grant as they are typed: `app/`, `user: --prefix`, `--all`. */
export function keysAsTyped(keys: GrantedKeys): string {
  switch (keys.kind) {
    case "key":
      return wordAsTyped(keys.key);
    case "range": {
      const prefix = grantedPrefix(keys);
      if (prefix === null) {
        const end = keys.end === null ? "the last key" : `before ${escapeBytes(keys.end)}`;
        return `${escapeBytes(keys.start)} to ${end}`;
      }
      if (prefix.length === 0) return "--all";
      return prefix.at(-1) === SLASH ? wordAsTyped(prefix) : `${wordAsTyped(prefix)} --prefix`;
    }
    default:
      return assertNever(keys);
  }
}

/** Returns the keys of a grant in words, for a sentence. */
export function keysInWords(keys: GrantKeys): string {
  const { key, prefix } = keys;
  const wordOf = (bytes: string | Uint8Array): string =>
    wordAsTyped(typeof bytes === "string" ? utf8.encode(bytes) : bytes);
  if (key !== undefined) return `the key ${wordOf(key)}`;
  if (prefix === undefined || prefix.length === 0) return "all keys";
  return `the keys that begin with ${wordOf(prefix)}`;
}

/** Returns the document of a grant. */
export function grantDocument({ right, keys }: Grant): unknown {
  switch (keys.kind) {
    case "key":
      return { right, ...bytesField("key", keys.key) };
    case "range": {
      const prefix = grantedPrefix(keys);
      if (prefix === null) {
        const end = keys.end === null ? {} : bytesField("end", keys.end);
        return { right, ...bytesField("start", keys.start), ...end };
      }
      return prefix.length === 0 ? { right, all: true } : { right, ...bytesField("prefix", prefix) };
    }
    default:
      return assertNever(keys);
  }
}

/**
 * Returns the password for a user: from a prompt, twice, or from where the options say; null with `--no-password`. Throws
 * {@link UsageError}, and {@link SecretArgumentError} for a name with a password in it.
 */
export async function newPasswordOf(
  user: string,
  invocation: Invocation,
  context: CommandContext,
): Promise<string | null> {
  const { options } = invocation;
  const given = NEW_PASSWORD_OPTIONS.filter(({ name }) => options.has(name)).map(({ name }) => name);
  if (given.length > 1) {
    throw new UsageError(
      `${given.map((name) => `--${name}`).join(" and ")} contradict each other. Give one of them.`,
    );
  }
  checkUserName(user); // before the password is asked for
  if (options.has("no-password")) return null;
  if (user.includes(":")) {
    throw new SecretArgumentError(
      `The name of a user with a password has no ":". ${SecretArgumentError.REASON} It is asked for.`,
    );
  }
  const file = options.get("new-password-file");
  if (file !== undefined) return secretInFile(file, { what: "password", environment: context.environment });
  if (options.has("new-password-stdin")) return await secretInInput(context.stdin(), "password");
  return await askNewPassword(user, (prompt) => context.readSecret(prompt));
}
