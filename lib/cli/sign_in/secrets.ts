/**
 * Passwords and tokens for commands: from a prompt that does not show them, a file, or standard input. They are never
 * arguments, which other users of the machine can read and which shells remember, and never in a message.
 */
import { AbortError } from "../../client/errors.ts";
import { MAX_SECRET_CHARACTERS } from "../../kv/mod.ts";
import { errorMessage } from "../../platform/errors.ts";
import type { OptionSpec } from "../arguments.ts";
import type { Environment } from "../environment.ts";
import { SecretArgumentError, UsageError } from "../errors.ts";
import { readLines } from "../input.ts";
import type { SecretEnd } from "./secret_line.ts";
import { textOfBytes } from "../text.ts";

/** Bytes of a file or line with a secret: its longest text in UTF-8, and the end of the line. */
const MAX_SECRET_BYTES = 4 * MAX_SECRET_CHARACTERS + 2;

/** Options by which a client signs in. */
export const SIGN_IN_OPTIONS: readonly OptionSpec[] = [
  { name: "user", placeholder: "<name>", help: "sign in as this user; asks for the password" },
  { name: "password-file", placeholder: "<path>", help: "take the password from a file, and do not ask" },
  {
    name: "password-stdin",
    placeholder: null,
    help: "take the password from the first line of standard input",
  },
  { name: "token-file", placeholder: "<path>", help: "sign in by the token in a file" },
];

/** How a client signs in, as the client library takes it. */
export type SignIn =
  | { readonly user: string; readonly password: string | (() => string) }
  | { readonly token: () => string };

/** Sources of secrets. */
interface SecretSources {
  readonly environment: Pick<Environment, "disk" | "readSecretFile" | "readSecret" | "stdin">;
  readonly options: ReadonlyMap<string, string>;
}

/**
 * Returns how the options say that the client signs in; null without such options. Files are read again at each sign-in, so
 * that a renewed token or password is used. Throws {@link UsageError}.
 */
export async function signInOf({ environment, options }: SecretSources): Promise<SignIn | null> {
  const tokenFile = options.get("token-file");
  const user = options.get("user");
  const ways = ["password-file", "password-stdin", "token-file"].filter((name) => options.has(name));
  if (ways.length > 1) throw contradiction(ways);
  if (tokenFile !== undefined) {
    if (user !== undefined) {
      throw new UsageError("--token-file says who signs in, and so does --user. Give one of them.");
    }
    return { token: secretSource(tokenFile, { what: "token", environment }) };
  }
  if (user === undefined) {
    if (ways.length === 0) return null;
    throw new UsageError(`--${ways[0]} has a password; --user says whose it is. Give both.`);
  }
  refusePasswordInName(user);
  return { user, password: await passwordOf(user, { environment, options }) };
}

async function passwordOf(
  user: string,
  { environment, options }: SecretSources,
): Promise<string | (() => string)> {
  const file = options.get("password-file");
  if (file !== undefined) return secretSource(file, { what: "password", environment });
  if (options.has("password-stdin")) return await secretInInput(environment.stdin.stream, "password");
  if (environment.stdin.isTerminal) {
    return await askSecret(`Password of ${user}: `, (prompt) => environment.readSecret(prompt));
  }
  throw new UsageError(
    "There is no terminal to ask for the password on. Use --password-file or --password-stdin.",
  );
}

/** Asks for a secret on the terminal. Throws {@link AbortError} if that is cancelled. */
export async function askSecret(
  prompt: string,
  read: (prompt: string) => Promise<SecretEnd>,
): Promise<string> {
  const end = await read(prompt);
  if (end.kind === "cancelled") throw new AbortError("Cancelled at the prompt. Nothing was changed.");
  return checkSecret(end.secret, "what was typed");
}

/** Asks for a new password twice. Throws as {@link askSecret}, and {@link UsageError} if the two differ. */
export async function askNewPassword(
  user: string,
  read: (prompt: string) => Promise<SecretEnd>,
): Promise<string> {
  const password = await askSecret(`New password of ${user}: `, read);
  const again = await askSecret(`The same again: `, read);
  if (password === again) return password;
  throw new UsageError("The two passwords differ. Nothing was changed; try again.");
}

/**
 * Returns a function that reads the secret in a file. It is read now as well, so that a file that cannot be read is reported
 * before connecting. A pipe, as of a shell's `<(…)`, has its secret once: it is kept. Throws as {@link secretInFile}.
 */
export function secretSource(
  path: string,
  { what, environment }: {
    readonly what: string;
    readonly environment: Pick<Environment, "disk" | "readSecretFile">;
  },
): () => string {
  const first = secretInFile(path, { what, environment });
  if (environment.disk.stat(path) === "stream") return () => first;
  return () => secretInFile(path, { what, environment });
}

/** Returns the secret in a file: its text, without the end of the line. Throws {@link UsageError}. */
export function secretInFile(
  path: string,
  { what, environment }: { readonly what: string; readonly environment: Pick<Environment, "readSecretFile"> },
): string {
  let bytes: Uint8Array;
  try {
    bytes = environment.readSecretFile(path, MAX_SECRET_BYTES);
  } catch (error) {
    throw new UsageError(`Cannot read the ${what} from the file ${path}: ${errorMessage(error)}.`);
  }
  const text = textOfBytes(bytes)?.replace(/\r?\n$/, "") ?? "\ufffd";
  return checkSecret(text, `the file ${path}`);
}

/** Returns the secret in the first line of a stream. Throws {@link UsageError}. */
export async function secretInInput(stream: ReadableStream<Uint8Array>, what: string): Promise<string> {
  for await (const line of readLines(stream, MAX_SECRET_BYTES)) {
    const bytes = line.kind === "line" ? line.bytes : new Uint8Array(MAX_SECRET_BYTES);
    return checkSecret(textOfBytes(bytes) ?? "\ufffd", "the first line of standard input");
  }
  throw new UsageError(`Standard input is empty, so it has no ${what}.`);
}

/** Returns a secret that can be one. Throws {@link UsageError}, whose message does not have it. */
function checkSecret(secret: string, source: string): string {
  if (secret === "") throw new UsageError(`Cannot take a secret from ${source}: it is empty.`);
  if (secret.length > MAX_SECRET_CHARACTERS) {
    throw new UsageError(
      `Cannot take a secret from ${source}: it has more than ${MAX_SECRET_CHARACTERS} characters.`,
    );
  }
  // deno-lint-ignore no-control-regex -- control characters are what is refused
  if (/[\x00-\x1f\x7f]/.test(secret) || secret.includes("\ufffd")) {
    throw new UsageError(
      `Cannot take a secret from ${source}: it has to be one line of UTF-8 without control characters.`,
    );
  }
  return secret;
}

/** Refuses `name:password`, which other programs take. */
function refusePasswordInName(user: string): void {
  if (!user.includes(":")) return;
  throw new SecretArgumentError(
    `--user takes a name, without ":" and a password. ${SecretArgumentError.REASON} ` +
      "Without further options it is asked for.",
  );
}

function contradiction(ways: readonly string[]): UsageError {
  const names = ways.map((name) => `--${name}`).join(" and ");
  return new UsageError(`${names} contradict each other. Give one of them.`);
}
