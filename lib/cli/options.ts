/** Arguments and options that several commands share, and their values. */
import { choiceOption, integerOfText, type OptionSpec } from "./arguments.ts";
import type { ArgumentSpec, CommandContext, Invocation } from "./command.ts";
import { UsageError } from "./errors.ts";
import { readValueFile, readValueFrom } from "./input.ts";
import { bytesOfWord } from "./text.ts";
import { unescape } from "./tokenize.ts";
import { DEFAULT_TIMEOUT_MS } from "../client/core.ts";
import { TimeoutError } from "../client/errors.ts";
import type { CallOptions, ConsistencyOptions, ReadOptions } from "../client/types.ts";
import { shortened } from "../platform/errors.ts";

/** Formats of answers. */
const OUTPUT_FORMATS = ["text", "json"] as const;
/** One of {@link OUTPUT_FORMATS}. */
export type OutputFormat = typeof OUTPUT_FORMATS[number];

/** Longest deadline: an hour. */
const MAX_TIMEOUT_MS = 3_600_000;

/** Longest duration of a long command. */
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
export const CONSISTENCY_OPTIONS: readonly OptionSpec[] = [
  {
    name: "consistency",
    placeholder: "linearizable|stale",
    help: "stale: what the node that is asked has, even without a leader",
  },
  { name: "stale", placeholder: null, help: "short for --consistency stale" },
];

/** Options of commands that read the present state, or a past one. */
export const READ_OPTIONS: readonly OptionSpec[] = [
  { name: "revision", placeholder: "<n>", help: "as of this revision, while the history has it" },
  ...CONSISTENCY_OPTIONS,
];

/** Of commands that take keys of another store: a part of its keys, and where they go. */
export const PREFIX: OptionSpec = {
  name: "prefix",
  placeholder: "<prefix>",
  help: "only keys that begin with it",
};
export const TO_PREFIX: OptionSpec = {
  name: "to-prefix",
  placeholder: "<prefix>",
  help: "put it before each key, in place of --prefix",
};

/** Leaves out keys that the user may not read. */
export const VISIBLE_ONLY: OptionSpec = {
  name: "visible-only",
  placeholder: null,
  isSeldom: true,
  help: "leave out keys that the user may not read, in place of being refused",
};

/** Switches on escapes in keys and values among the arguments. */
const ESCAPES: OptionSpec = {
  name: "escapes",
  placeholder: null,
  isSeldom: true,
  help: "keys and values given as arguments hold escapes, as in the shell: \\xHH, \\n, \\u{H…}, \\\\",
};

/** Options that allow any bytes in arguments, which are UTF-8; the shell's lines need none. */
export const BYTES_OPTIONS: readonly OptionSpec[] = [ESCAPES];

/** The same options for commands on one key. */
export const KEY_BYTES_OPTIONS: readonly OptionSpec[] = [
  { name: "key-base64", placeholder: "<base64>", isSeldom: true, help: "the key's bytes, in place of <key>" },
  ESCAPES,
];

/** A file that replaces a value among the arguments. */
export const FILE: OptionSpec = { name: "file", placeholder: "<path>", help: "take the value from a file" };

/** A key, completed by Tab. */
export const KEY: ArgumentSpec = {
  name: "key",
  required: true,
  completion: "key",
  replacedBy: ["key-base64"],
};

/** Returns the requested output format, or null. Throws {@link UsageError}. */
export function outputOf(options: ReadonlyMap<string, string>): OutputFormat | null {
  return choiceOption(options, "output", OUTPUT_FORMATS);
}

/** Returns the requested deadline, or null. Throws {@link UsageError}. */
export function timeoutOf(options: ReadonlyMap<string, string>): number | null {
  const text = options.get("timeout-ms");
  return text === undefined
    ? null
    : integerOfText(text, { name: "--timeout-ms", min: 1, max: MAX_TIMEOUT_MS });
}

/** Returns the milliseconds of `500ms`, `10s`, `5m`, `2h`. Throws {@link UsageError} unless it is within the limits. */
export function durationOfText(
  text: string,
  { name, minMs, maxMs = MAX_DURATION_MS }: {
    readonly name: string;
    readonly minMs: number;
    readonly maxMs?: number;
  },
): number {
  const [, number = "", unit = ""] = /^([0-9]{1,13})(ms|s|m|h)$/.exec(text) ?? [];
  const durationMs = Number(number) * (MS_OF_UNIT[unit] ?? NaN);
  if (durationMs >= minMs && durationMs <= maxMs) return durationMs;
  throw new UsageError(
    `${name} must be a time from ${durationAsTyped(minMs)} to ${
      durationAsTyped(maxMs)
    }, such as 1500ms, 10s or 5m, ` +
      `not "${shortened(text)}".`,
  );
}

/** Returns `500ms`, `10s`, `5m` or `2h`: a duration in its greatest unit without a fraction. */
export function durationAsTyped(durationMs: number): string {
  const units = Object.entries(MS_OF_UNIT).toReversed();
  const [unit, ms] = units.find(([, ms]) => durationMs > 0 && durationMs % ms === 0) ?? ["ms", 1];
  return `${durationMs / ms}${unit}`;
}

/**
 * Returns the client's options for a request: the signal, and what is left of the command's deadline. So it is called
 * after the client has connected.
 */
export function callOptions(invocation: Invocation, context: CommandContext): CallOptions {
  const wholeMs = timeoutOf(invocation.options) ?? context.timeoutMs;
  const spentMs = Math.ceil(context.connectMs());
  const timeoutMs = spentMs === 0 ? wholeMs : Math.max(1, (wholeMs ?? DEFAULT_TIMEOUT_MS) - spentMs);
  return {
    ...(timeoutMs === null ? {} : { timeoutMs }),
    ...(context.signal === null ? {} : { signal: context.signal }),
  };
}

/**
 * Returns an error of a command with the deadline that was given, where it names what was left of that after connecting.
 */
export function withWholeDeadline(error: unknown, invocation: Invocation, context: CommandContext): unknown {
  if (!(error instanceof TimeoutError) || context.connectMs() === 0) return error;
  const wholeMs = timeoutOf(invocation.options) ?? context.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const message = error.message.replace(
    ` within ${callOptions(invocation, context).timeoutMs} ms`,
    ` within ${wholeMs} ms`,
  );
  return new TimeoutError(message, { outcome: error.outcome, cause: error.cause });
}

/** Returns the same options, with the consistency, for a read. Throws {@link UsageError}. */
export function consistencyOptions(
  invocation: Invocation,
  context: CommandContext,
): ConsistencyOptions {
  const { options } = invocation;
  const given = choiceOption(options, "consistency", ["linearizable", "stale"]);
  if (given === "linearizable" && options.has("stale")) {
    throw new UsageError("--stale and --consistency linearizable contradict each other. Give one of them.");
  }
  const consistency = given ?? (options.has("stale") ? "stale" : "linearizable");
  return { ...callOptions(invocation, context), consistency };
}

/** Returns the same options, with the revision, for a read of the present state or a past one. Throws {@link UsageError}. */
export function readOptions(invocation: Invocation, context: CommandContext): ReadOptions {
  const text = invocation.options.get("revision");
  const range = { name: "--revision", min: 0, max: Number.MAX_SAFE_INTEGER };
  const revision = text === undefined ? {} : { revision: integerOfText(text, range) };
  return { ...consistencyOptions(invocation, context), ...revision };
}

/** Returns the bytes of the argument `key`, or those of `--key-base64`. Throws {@link UsageError}. */
export function keyOf(invocation: Invocation): Uint8Array {
  const base64 = invocation.options.get("key-base64");
  if (base64 === undefined) return bytesOf(invocation.args.get("key")?.text ?? "", invocation);
  try {
    return Uint8Array.fromBase64(base64);
  } catch {
    throw new UsageError(`--key-base64 is not base64: "${base64}". Example: --key-base64 /w==`);
  }
}

/** Returns the bytes of a word, with `--escapes` after reading its escapes. Throws {@link UsageError}. */
export function bytesOf(word: string, invocation: Invocation): Uint8Array {
  return invocation.options.has(ESCAPES.name) ? unescape(word) : bytesOfWord(word);
}

/** Returns the node id in the argument `name`: `3` or `n3`. Throws {@link UsageError}. */
export function nodeOf(invocation: Invocation, name: string): number {
  const text = invocation.args.get(name)?.text ?? "";
  return integerOfText(text.replace(/^n(?=\d)/, ""), {
    name: `<${name}>`,
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
  });
}

/** Returns whether an argument means standard input. */
export function isStdin(invocation: Invocation, name: string): boolean {
  const argument = invocation.args.get(name);
  return argument?.text === "-" && !argument.literal;
}

/** Returns the bytes of a value: from the argument, from standard input, or, without the argument, from `--file`. */
export async function readValue(
  invocation: Invocation,
  name: string,
  context: CommandContext,
): Promise<Uint8Array> {
  const argument = invocation.args.get(name);
  if (argument === undefined) {
    return readValueFile(invocation.options.get(FILE.name) ?? "", context.environment);
  }
  return isStdin(invocation, name)
    ? await readValueFrom(context.stdin())
    : bytesOf(argument.text, invocation);
}
