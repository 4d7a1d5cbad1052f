/**
 * What a client command is: its description, from which help, completion and hints are made, and the function that runs
 * it; and the arguments and options that several commands share.
 */
import type { Answer } from "./answer.ts";
import {
  integerOfText,
  type OptionSpec,
  optionUsage,
  type ParsedArguments,
  type Positional,
} from "./arguments.ts";
import type { Output, System } from "./environment.ts";
import { UsageError } from "./errors.ts";
import { readValueFrom } from "./input.ts";
import { bytesOfWord } from "./text.ts";
import { unescape } from "./tokenize.ts";
import type { KvClient } from "../client/client.ts";
import type { ClusterClient } from "../client/cluster.ts";
import { DEFAULT_TIMEOUT_MS } from "../client/core.ts";
import type { CallOptions, ReadOptions } from "../client/types.ts";
import { shortened } from "../platform/errors.ts";

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

/** How answers are written. */
export const OUTPUT_FORMATS = ["text", "json"] as const;
/** One of {@link OUTPUT_FORMATS}. */
export type OutputFormat = typeof OUTPUT_FORMATS[number];

/** Longest deadline that may be asked for: an hour. */
const MAX_TIMEOUT_MS = 3_600_000;

/** Longest time that a long command may be asked to take. */
const MAX_DURATION_MS = 3_600_000;
const MS_OF_UNIT: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** How answers are written. */
export const OUTPUT: OptionSpec = {
  name: "output",
  placeholder: "text|json",
  help: "how answers are written (text)",
};

/** Options that every command takes. */
export const COMMON_OPTIONS: readonly OptionSpec[] = [
  OUTPUT,
  { name: "timeout-ms", placeholder: "<ms>", help: "deadline of each command, retries included (5000)" },
  { name: "help", placeholder: null, help: "explain, and do nothing" },
];

/** Options of commands that read. */
export const READ_OPTIONS: readonly OptionSpec[] = [
  {
    name: "consistency",
    placeholder: "linearizable|stale",
    help: "stale: what the node that is asked has, even without a leader",
  },
  { name: "stale", placeholder: null, help: "short for --consistency stale" },
];

/** Says that keys and values among the arguments hold escapes. */
const ESCAPES: OptionSpec = {
  name: "escapes",
  placeholder: null,
  isSeldom: true,
  help: "keys and values given as arguments hold escapes, as in the shell: \\xHH, \\n, \\u{H…}, \\\\",
};

/** Options with which arguments, which must be UTF-8, name any bytes; the shell's lines can do so without. */
export const BYTES_OPTIONS: readonly OptionSpec[] = [ESCAPES];

/** The same for commands on one key. */
export const KEY_BYTES_OPTIONS: readonly OptionSpec[] = [
  { name: "key-base64", placeholder: "<base64>", isSeldom: true, help: "the key's bytes, in place of <key>" },
  ESCAPES,
];

/** A key, completed by Tab. */
export const KEY: ArgumentSpec = { name: "key", required: true, isKey: true, replacedBy: "key-base64" };

/** The output format that was asked for, or null. Throws {@link UsageError}. */
export function outputOf(options: ReadonlyMap<string, string>): OutputFormat | null {
  const text = options.get("output");
  const format = OUTPUT_FORMATS.find((candidate) => candidate === text);
  if (text !== undefined && format === undefined) {
    throw new UsageError(`--output must be text or json, not "${shortened(text)}". Example: --output json`);
  }
  return format ?? null;
}

/** The deadline that was asked for, or null. Throws {@link UsageError}. */
export function timeoutOf(options: ReadonlyMap<string, string>): number | null {
  const text = options.get("timeout-ms");
  return text === undefined
    ? null
    : integerOfText(text, { name: "--timeout-ms", min: 1, max: MAX_TIMEOUT_MS });
}

/** The milliseconds of `500ms`, `10s`, `5m`. Throws {@link UsageError} for less than `minMs`, and more than an hour. */
export function durationOfText(
  text: string,
  { name, minMs }: { readonly name: string; readonly minMs: number },
): number {
  const [, number = "", unit = ""] = /^([0-9]{1,7})(ms|s|m|h)$/.exec(text) ?? [];
  const durationMs = Number(number) * (MS_OF_UNIT[unit] ?? NaN);
  if (durationMs >= minMs && durationMs <= MAX_DURATION_MS) return durationMs;
  throw new UsageError(
    `${name} must be a time from ${minMs}ms to 1h, such as 500ms, 10s or 5m, not "${shortened(text)}".`,
  );
}

/**
 * The client's options for a call: what is left of its own deadline or the context's, and the context's signal. To be
 * asked for once the client is connected: the deadline is that of the command.
 */
export function callOptions(call: Call, context: CommandContext): CallOptions {
  const wholeMs = timeoutOf(call.options) ?? context.timeoutMs;
  const spentMs = Math.ceil(context.connectMs());
  const timeoutMs = spentMs === 0 ? wholeMs : Math.max(1, (wholeMs ?? DEFAULT_TIMEOUT_MS) - spentMs);
  return {
    ...(timeoutMs === null ? {} : { timeoutMs }),
    ...(context.signal === null ? {} : { signal: context.signal }),
  };
}

/** The same for a call that reads. Throws {@link UsageError}. */
export function readOptions(call: Call, context: CommandContext): ReadOptions {
  const text = call.options.get("consistency") ?? (call.options.has("stale") ? "stale" : "linearizable");
  if (text !== "linearizable" && text !== "stale") {
    throw new UsageError(
      `--consistency must be linearizable or stale, not "${shortened(text)}". Example: --consistency stale`,
    );
  }
  if (text === "linearizable" && call.options.has("stale")) {
    throw new UsageError("--stale and --consistency linearizable contradict each other. Give one of them.");
  }
  return { ...callOptions(call, context), consistency: text };
}

/** The bytes of the argument `key`, or those of `--key-base64`. Throws {@link UsageError}. */
export function keyOf(call: Call): Uint8Array {
  const base64 = call.options.get("key-base64");
  if (base64 === undefined) return bytesOf(call.args.get("key")?.text ?? "", call);
  try {
    return Uint8Array.fromBase64(base64);
  } catch {
    throw new UsageError(`--key-base64 is not base64: "${base64}". Example: --key-base64 /w==`);
  }
}

/** The bytes that a word of `call` stands for: with `--escapes` those that its escapes say. Throws {@link UsageError}. */
export function bytesOf(word: string, call: Call): Uint8Array {
  return call.options.has(ESCAPES.name) ? unescape(word) : bytesOfWord(word);
}

/** The node that the argument `name` names: `3` or `n3`. Throws {@link UsageError}. */
export function nodeOf(call: Call, name: string): number {
  const text = call.args.get(name)?.text ?? "";
  return integerOfText(text.replace(/^n(?=\d)/, ""), {
    name: `<${name}>`,
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
  });
}

/** Whether an argument stands for standard input. */
export function isStdin(call: Call, name: string): boolean {
  const argument = call.args.get(name);
  return argument?.text === "-" && !argument.literal;
}

/** The bytes of a value: from the argument, from standard input, or, without the argument, from `--file`. */
export async function readValue(call: Call, name: string, context: CommandContext): Promise<Uint8Array> {
  const argument = call.args.get(name);
  if (argument === undefined) return await context.readFile(call.options.get("file") ?? "");
  return isStdin(call, name) ? await readValueFrom(context.stdin()) : bytesOf(argument.text, call);
}

/** The part of {@link KvClient} that commands call. */
export interface StoreClient extends
  Pick<
    KvClient,
    | "put"
    | "get"
    | "delete"
    | "list"
    | "compareAndSet"
    | "transaction"
    | "connectionState"
    | "onStateChange"
    | "close"
  > {
  readonly cluster: Pick<
    ClusterClient,
    "status" | "members" | "transferLeadership" | "changeMembership" | "takeSnapshot" | "openSnapshot"
  >;
}
