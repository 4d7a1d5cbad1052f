/**
 * A client command: its description, from which help, completion and hints are made, and the function that runs it.
 * `options.ts` has the arguments and options that several commands share.
 */
import { type OptionSpec, optionUsage, type ParsedArguments, type Positional } from "./arguments.ts";
import type { Environment, Output, Terminal } from "./environment.ts";
import { ExitCode, SecretArgumentError, UsageError } from "./errors.ts";
import { jsonText } from "./json.ts";
import type { OutputFormat } from "./options.ts";
import type { SecretEnd } from "./sign_in/secret_line.ts";
import { dim, duration, escapeUnprintable } from "./text.ts";
import type { AuthClient } from "../client/auth/auth_client.ts";
import type { KvClient } from "../client/client.ts";
import type { ClusterClient } from "../client/cluster.ts";
import type { DatabaseClient } from "../client/databases/database_client.ts";
import type { LeaseClient } from "../client/leases/lease_client.ts";

/** A positional argument of a command. */
export interface ArgumentSpec {
  readonly name: string;
  readonly required: boolean;
  /** Tab completes it with keys of the store, ids of the cluster's nodes, ids of leases, users, roles, or databases. */
  readonly completion?: "key" | "node" | "lease" | "user" | "role" | "database" | "context";
  /** Its allowed values, which Tab completes. */
  readonly choices?: readonly string[];
  /** Options each of which replaces it. */
  readonly replacedBy?: readonly string[];
}

/** Text in a grammar of its own, as it was typed. */
export type CommandText =
  /** Text from the character `start` of `text` on; messages name the place in `text`. */
  | { readonly kind: "text"; readonly text: string; readonly start: number }
  /** The arguments of a process, each of them one word. */
  | { readonly kind: "words"; readonly words: readonly string[] };

/** The text that a command takes in place of arguments. The command's options come before it. */
export interface TextSpec {
  /** The placeholder in usage lines. */
  readonly usage: string;
  /** An option that replaces the text. */
  readonly replacedBy: string;
  /** Returns the words that can follow an unfinished text, and placeholders such as `<key>`. */
  expectedAfter(text: CommandText): readonly string[];
}

/** A command. */
export interface Command {
  /** One word, or two (`member add`), of which the first one names a group. */
  readonly name: string;
  /** Other names by which it can be typed. */
  readonly aliases: readonly string[];
  /** Names in other stores and shells; a line that begins with one of them is answered with `name`. */
  readonly otherNames: readonly string[];
  /**
   * Whether it usually takes seconds or more. Such a command shows its progress itself, and Ctrl-C asks it, through the
   * context's signal, to end with the result so far.
   */
  readonly isLong: boolean;
  /** The option with which a command is long that otherwise is not; null for none. */
  readonly longOption: string | null;
  readonly arguments: readonly ArgumentSpec[];
  /** The text that it takes in place of arguments; null for most commands. */
  readonly text: TextSpec | null;
  /** Whether it takes a password, which is no argument: a further argument is refused with the reason. */
  readonly takesPassword: boolean;
  /** Its own options, beside those that every command takes. */
  readonly options: readonly OptionSpec[];
  /** A few words on its effect. */
  readonly summary: string;
  /** Whole lines for its own help page. */
  readonly details: readonly string[];
  /** A line to type, and a possible answer. */
  readonly example: readonly string[];
  run(invocation: Invocation, context: CommandContext): Promise<Answer>;
}

/** A command with the arguments and options that were typed. */
export interface Invocation {
  readonly command: Command;
  /** By the argument's name. */
  readonly args: ReadonlyMap<string, Positional>;
  /** The text of a command that takes one; null without it, as with the option that replaces it. */
  readonly text: CommandText | null;
  readonly options: ReadonlyMap<string, string>;
}

/** The context in which a command runs. */
export interface CommandContext {
  /** Returns the client; the first call connects it. */
  client(): Promise<StoreClient>;
  /** Returns another client of the same cluster, with connections of its own. The caller closes it. */
  connect(): Promise<StoreClient>;
  /** Standard input. Throws {@link UsageError} where the commands themselves come from it. */
  stdin(): ReadableStream<Uint8Array>;
  /**
   * Resolves when standard input has ended; what it holds is dropped. Never in the shell, which reads it itself. Throws
   * {@link UsageError} where the commands come from it.
   */
  endOfInput(): Promise<void>;
  /**
   * Shows a prompt and reads a secret, which is not shown. Throws {@link UsageError} where there is no terminal to ask on.
   */
  readSecret(prompt: string): Promise<SecretEnd>;
  /** Asks a question on the terminal, and returns whether the answer is yes; null where there is none to ask on. */
  readonly confirm: ((question: string) => Promise<boolean>) | null;
  /**
   * Signs in as another user from now on; where that fails the client stays as it was. Null outside of the shell, where each
   * command signs in by its options.
   */
  readonly signIn: ((signIn: PasswordSignIn) => Promise<void>) | null;
  /** Standard output, for a command that writes data while it runs. */
  readonly output: Output;
  /** The whole terminal, for a command that redraws it; null in the shell, without a terminal, and where JSON is asked for. */
  readonly terminal: { readonly open: () => Terminal; readonly color: boolean } | null;
  /** Writes parts of the answer to standard output while the command runs. Rejects as `output.write` does. */
  show(parts: readonly AnswerPart[]): Promise<void>;
  /** Writes a remark to standard error while the command runs. */
  note(remark: string): void;
  /** Time, randomness and files. */
  readonly environment: Pick<
    Environment,
    | "absolute"
    | "clock"
    | "cpuMs"
    | "disk"
    | "mayWrite"
    | "random"
    | "readFile"
    | "readSecretFile"
    | "replaceFile"
    | "variable"
    | "withLock"
    | "writeFile"
  >;
  /** Shows a line in place of the one before, "" none. Has no effect without a terminal. */
  showProgress(line: string): void;
  /** Returns how to start another client of this cluster, without a sign-in: `kvraft client --cluster 127.0.0.1:7001`. */
  commandLine(): string;
  /** Deadline unless the invocation has its own; null for the client's default. */
  readonly timeoutMs: number | null;
  /** How much of the deadline connecting took, in milliseconds; 0 where each request has a deadline of its own. */
  connectMs(): number;
  /** Asks the command to end; null when nothing does. */
  readonly signal: AbortSignal | null;
}

/** A sign-in by a password that was typed. */
export interface PasswordSignIn {
  readonly user: string;
  readonly password: string;
}

/** The reason of {@link CommandContext.signal} when the shell in which the command runs is left. */
export const SHELL_LEFT = "the shell was left";

/** The recipient of the text of an answer. */
export interface View {
  /** Whether it goes to a terminal. */
  readonly isTerminal: boolean;
  readonly color: boolean;
  readonly columns: number;
  /** Whether other answers follow on the same output, so that a value needs a newline behind it. */
  readonly isOneOfMany: boolean;
  /** The duration of the command, which the shell shows; null outside the shell. */
  readonly elapsedMs: number | null;
}

/** The text of an answer. */
export interface AnswerText {
  /** For standard output. */
  readonly output: string | Uint8Array;
  /** For standard error: what is not part of the data; "" for nothing. */
  readonly note: string;
}

/** A part of an answer that is shown while the command runs. */
export interface AnswerPart {
  /** Returns whole lines for people and pipes. */
  text(view: View): string;
  /** Returns the document of `--output json`, which is a line of its own. */
  json(): unknown;
}

/** The result of a command, which shows itself. */
export interface Answer {
  /** Returns the text for people and pipes. */
  text(view: View): AnswerText;
  /** Returns the document of `--output json`. */
  json(): unknown;
  readonly exitCode: ExitCode;
  /** A sentence on what the command changed, for standard error if standard output does not take the answer. */
  readonly outcome: string;
  /** Whether standard output already has the command's data. The document then goes to standard error. */
  readonly hasWrittenData: boolean;
}

/** Returns a command; the properties that `spec` leaves out are empty. */
export function defineCommand(
  spec: Pick<Command, "name" | "summary" | "example" | "run"> & Partial<Command>,
): Command {
  const nothing = { aliases: [], otherNames: [], arguments: [], text: null, options: [], details: [] };
  return { isLong: false, longOption: null, takesPassword: false, ...nothing, ...spec };
}

/** Returns whether a command is long ({@link Command.isLong}) with the options that were given. */
export function isLong({ command, options }: Invocation): boolean {
  return command.isLong || (command.longOption !== null && options.has(command.longOption));
}

/** Returns an answer; the properties that `spec` leaves out are those of a command that reads and succeeds. */
export function answer(spec: Pick<Answer, "text" | "json"> & Partial<Answer>): Answer {
  return {
    exitCode: ExitCode.done,
    outcome: "Nothing was changed; what was written is not everything.",
    hasWrittenData: false,
    ...spec,
  };
}

/** Returns the answer of a command that changed the store or the cluster: a line such as `ok  revision 7`. */
export function changeAnswer(
  { line, document, exitCode = ExitCode.done }: {
    readonly line: string;
    readonly document: unknown;
    readonly exitCode?: ExitCode;
  },
): Answer {
  return answer({
    text: (view) => ({ output: withElapsed(`${line}\n`, view), note: "" }),
    json: () => document,
    exitCode,
    outcome: `The command was carried out: ${line.replace(/^ok {2}/, "").replace(/\.$/, "")}.`,
  });
}

/** Returns the text of parts of an answer, for a recipient or as lines of JSON. */
export function textOfParts(parts: readonly AnswerPart[], view: View | "json"): string {
  return parts.map((part) => view === "json" ? `${jsonText(part.json())}\n` : part.text(view)).join("");
}

/** Returns the line of a remark. */
export function textOfNote(remark: string, format: OutputFormat): string {
  return format === "json" ? `${jsonText({ note: remark })}\n` : `-- ${escapeUnprintable(remark)}\n`;
}

/** Adds, in the shell, the duration of the command: behind a single line, below a longer text. */
export function withElapsed(text: string, view: View): string {
  if (view.elapsedMs === null) return text;
  const separator = text.indexOf("\n") === text.length - 1 ? "  " : "\n";
  return `${text.trimEnd()}${separator}${dim(duration(view.elapsedMs), view)}\n`;
}

/** Returns the arguments that a command takes together with `options`. */
export function wantedArguments(command: Command, options: Iterable<string>): readonly ArgumentSpec[] {
  const given = new Set(options);
  return command.arguments.filter(({ replacedBy = [] }) => !replacedBy.some((option) => given.has(option)));
}

/** Returns `<key>`, or `[prefix]` for an optional argument. */
export function argumentUsage(spec: ArgumentSpec): string {
  return spec.required ? `<${spec.name}>` : `[${spec.name}]`;
}

/** Returns `put <key> <value>`. */
export function argumentsUsage(command: Command): string {
  const text = command.text === null ? [] : [command.text.usage];
  return [command.name, ...command.arguments.map(argumentUsage), ...text].join(" ");
}

/** Returns `put <key> <value> [--file <path>]`. */
export function commandUsage(command: Command): string {
  return [
    argumentsUsage(command),
    ...command.options.filter(({ isSeldom }) => isSeldom !== true).map((option) =>
      `[${optionUsage(option)}]`
    ),
  ].join(" ");
}

/** Assigns the positional arguments to their names. Throws {@link UsageError} for too few or too many. */
export function bindArguments(command: Command, parsed: ParsedArguments): Invocation {
  const wanted = wantedArguments(command, parsed.options.keys());
  const missing = wanted.slice(parsed.positionals.length).find(({ required }) => required);
  if (missing !== undefined) {
    throw new UsageError(
      `${command.name} needs <${missing.name}>. Usage: ${commandUsage(command)}. Example: ${
        command.example[0]
      }`,
    );
  }
  if (parsed.positionals.length > wanted.length) {
    if (command.takesPassword) {
      throw new SecretArgumentError(
        `${command.name} takes ${countOf(wanted.length)}, not ${parsed.positionals.length}. ` +
          `${SecretArgumentError.REASON} Usage: ${commandUsage(command)}.`,
      );
    }
    throw new UsageError(
      `${command.name} takes ${countOf(wanted.length)}, not ${parsed.positionals.length}. ` +
        `Usage: ${commandUsage(command)}. Text with spaces goes in quotes.`,
    );
  }
  const args = new Map<string, Positional>();
  for (const [position, { name }] of wanted.entries()) {
    const positional = parsed.positionals[position];
    if (positional !== undefined) args.set(name, positional);
  }
  return { command, args, text: null, options: parsed.options };
}

/** Combines a command with its text. Throws {@link UsageError} without one, and for a text and the option instead of it. */
export function bindText(
  { command, text: spec }: { readonly command: Command; readonly text: TextSpec },
  { text, options }: Pick<Invocation, "text" | "options">,
): Invocation {
  const isReplaced = options.has(spec.replacedBy);
  if (text !== null && isReplaced) {
    throw new UsageError(`${command.name} takes ${spec.usage} or --${spec.replacedBy}. Give one of them.`);
  }
  if (text === null && !isReplaced) {
    throw new UsageError(
      `${command.name} needs ${spec.usage}. Usage: ${commandUsage(command)}. Example: ${command.example[0]}`,
    );
  }
  return { command, args: new Map(), text, options };
}

function countOf(count: number): string {
  if (count === 0) return "no arguments";
  return count === 1 ? "1 argument" : `${count} arguments`;
}

/** The public methods of {@link KvClient}, which tests implement without a cluster. */
export interface StoreClient
  extends Omit<KvClient, "auth" | "cluster" | "lease" | "leases" | "prefix" | typeof Symbol.asyncDispose> {
  readonly auth: Omit<AuthClient, never>;
  readonly leases: Omit<LeaseClient, never>;
  readonly cluster: Omit<ClusterClient, never>;
  readonly databases: Pick<DatabaseClient, "read" | "write" | "databases" | "change">;
}
