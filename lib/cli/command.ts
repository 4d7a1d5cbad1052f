/** What a command of the client is: the shape of the table that drives running, help, Tab and hints alike. */
import type { Answer } from "./answer.ts";
import { type OptionSpec, optionUsage, type ParsedArguments, type Positional } from "./arguments.ts";
import { UsageError } from "./errors.ts";
import type { StoreClient } from "./store_client.ts";
import type { Output, System } from "./system.ts";

/** A positional argument of a command. */
export interface ArgumentSpec {
  readonly name: string;
  readonly required: boolean;
  /** Whether Tab offers the store's keys for it. */
  readonly isKey: boolean;
  /** Whether Tab offers the ids of the cluster's nodes for it. */
  readonly isNode?: true;
  /** The option that, when given, stands in its place; null when there is none. */
  readonly replacedBy: string | null;
}

/** A command. */
export interface Command {
  /** One word, or two (`member add`), of which the first one names a group. */
  readonly name: string;
  /** Other names for it. */
  readonly aliases: readonly string[];
  /**
   * Whether it is meant to take seconds and more. Then it says itself how far it is, and Ctrl-C asks it to end with
   * what it has, through the context's signal.
   */
  readonly isLong: boolean;
  readonly arguments: readonly ArgumentSpec[];
  /** Its own options, beside those that every command takes. */
  readonly options: readonly OptionSpec[];
  /** What it does, in a few words. */
  readonly summary: string;
  /** More, for its own help page; whole lines. */
  readonly details: readonly string[];
  /** A line to type, and what may come of it. */
  readonly example: readonly string[];
  run(call: Call, context: CommandContext): Promise<Answer>;
}

/** A command with what it was given. */
export interface Call {
  readonly command: Command;
  /** By the argument's name. */
  readonly args: ReadonlyMap<string, Positional>;
  readonly options: ReadonlyMap<string, string>;
}

/** What a command works with. */
export interface CommandContext {
  /** The client; connects first where that was not done yet. */
  client(): Promise<StoreClient>;
  /** Another client of the same cluster, with connections of its own. Who asks for it closes it. */
  connect(): Promise<StoreClient>;
  /** Standard input. Throws {@link UsageError} where that is where the commands come from. */
  stdin(): ReadableStream<Uint8Array>;
  /** Where a command that has much to tell writes it while it goes on. */
  readonly output: Output;
  readFile(path: string): Promise<Uint8Array>;
  /** Time, chance, and where files can be written. */
  readonly system: Pick<System, "clock" | "random" | "cpuMs" | "mayWrite" | "writeFile">;
  /** Shows a line in place of the one before, "" none; without effect where nobody looks. */
  showProgress(line: string): void;
  /** Deadline unless the call has its own; null for the client's. */
  readonly timeoutMs: number | null;
  /** How much of the deadline connecting took, in milliseconds; 0 where each request has a deadline of its own. */
  connectMs(): number;
  /** Ends the call; null when nothing does. */
  readonly signal: AbortSignal | null;
}

/** The arguments that a command wants in the presence of `options`. */
export function wantedArguments(command: Command, options: Iterable<string>): readonly ArgumentSpec[] {
  const given = new Set(options);
  return command.arguments.filter(({ replacedBy }) => replacedBy === null || !given.has(replacedBy));
}

/** `<key>`, or `[prefix]` for one that may be left out. */
export function argumentUsage(spec: ArgumentSpec): string {
  return spec.required ? `<${spec.name}>` : `[${spec.name}]`;
}

/** `put <key> <value> [--file <path>]`. */
export function commandUsage(command: Command): string {
  return [
    command.name,
    ...command.arguments.map(argumentUsage),
    ...command.options.filter(({ isSeldom }) => isSeldom !== true).map((option) =>
      `[${optionUsage(option)}]`
    ),
  ].join(" ");
}

/** Gives the arguments their names. Throws {@link UsageError} when there are too few or too many. */
export function bindArguments(command: Command, parsed: ParsedArguments): Call {
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
  return { command, args, options: parsed.options };
}

function countOf(count: number): string {
  if (count === 0) return "no arguments";
  return count === 1 ? "1 argument" : `${count} arguments`;
}
