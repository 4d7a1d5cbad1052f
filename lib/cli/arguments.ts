/** Splits arguments into options and positional arguments by a table of the options there are. */
import { parseArgs } from "@std/cli/parse-args";
import { nearest } from "../server/nearest.ts";
import { UsageError } from "./errors.ts";

/** An option as its readers need it: the parser, the help, the Tab key. */
export interface OptionSpec {
  /** Without the dashes. */
  readonly name: string;
  /** What stands for its value in the help, such as `<ms>`; null for a switch, which has none. */
  readonly placeholder: string | null;
  /** What it does, in a few words. */
  readonly help: string;
}

/** A positional argument. */
export interface Positional {
  readonly text: string;
  /** It stood behind `--`: a `-` there is a dash and nothing else. */
  readonly literal: boolean;
}

/** Arguments, sorted out. */
export interface ParsedArguments {
  /** The options given, by name; a switch has "". */
  readonly options: ReadonlyMap<string, string>;
  readonly positionals: readonly Positional[];
}

/**
 * Reads `args` by the table `specs`. Throws {@link UsageError} for an unknown option (with the nearest real one), an
 * option given twice, or one without its value.
 */
export function parseArguments(args: readonly string[], specs: readonly OptionSpec[]): ParsedArguments {
  const switches = specs.filter((spec) => spec.placeholder === null).map((spec) => spec.name);
  const valued = specs.filter((spec) => spec.placeholder !== null).map((spec) => spec.name);
  const parsed: Readonly<Record<string, unknown>> = parseArgs(spellOutSwitches(args, switches), {
    "--": true,
    boolean: switches,
    string: [...valued, "_"],
    collect: [...switches, ...valued],
    unknown: (arg, key) => {
      if (key !== undefined) throw unknownOption(arg, specs);
      return true;
    },
  });
  const options = new Map<string, string>();
  for (const spec of specs) {
    const given = textsOf(parsed[spec.name]);
    if (given.length > 1) {
      throw new UsageError(`--${spec.name} is given ${given.length} times. Give it once.`);
    }
    const [value] = given;
    if (value === undefined) continue;
    if (spec.placeholder !== null && value === "") throw missingValue(spec);
    options.set(spec.name, spec.placeholder === null ? "" : value);
  }
  return {
    options,
    positionals: [
      ...textsOf(parsed["_"]).map((text) => ({ text, literal: false })),
      ...textsOf(parsed["--"]).map((text) => ({ text, literal: true })),
    ],
  };
}

/** How an option is written: `--limit <n>`. */
export function optionUsage(spec: OptionSpec): string {
  return spec.placeholder === null ? `--${spec.name}` : `--${spec.name} ${spec.placeholder}`;
}

/**
 * The parser takes a `true` or `false` behind a switch for its value; here these are keys and values like any other
 * (`get --raw true`), so every switch gets its value before.
 */
function spellOutSwitches(args: readonly string[], switches: readonly string[]): string[] {
  const end = args.indexOf("--");
  return args.map((arg, position) => {
    const isOption = end === -1 || position < end;
    if (!isOption || !arg.startsWith("--")) return arg;
    const [name = "", value] = arg.slice(2).split("=", 2);
    if (!switches.includes(name)) return arg;
    if (value !== undefined) throw new UsageError(`--${name} takes no value. Write --${name} alone.`);
    return `${arg}=true`;
  });
}

function unknownOption(arg: string, specs: readonly OptionSpec[]): UsageError {
  const [name = ""] = arg.replace(/^-+/, "").split("=", 1);
  const spec = specs.find((candidate) => candidate.name === name);
  if (arg.startsWith("--") && spec !== undefined) return missingValue(spec);
  const near = nearest(name, specs.map((candidate) => candidate.name));
  const hint = near === null ? "See --help for all options." : `Did you mean --${near}?`;
  const dash = arg.startsWith("--") ? "" : " To pass text that begins with a dash, put -- before it.";
  return new UsageError(`There is no option ${arg.split("=", 1)[0]}. ${hint}${dash}`);
}

function missingValue(spec: OptionSpec): UsageError {
  return new UsageError(
    `--${spec.name} needs a value: ${
      optionUsage(spec)
    }. (For one that begins with a dash write --${spec.name}=…)`,
  );
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

/** The integer that `text` is; throws {@link UsageError} when it is none from `min` to `max`. */
export function integerOfText(text: string, range: { name: string; min: number; max: number }): number {
  const value = Number(text);
  if (/^[0-9]{1,16}$/.test(text) && value >= range.min && value <= range.max) return value;
  throw new UsageError(`${range.name} must be an integer from ${range.min} to ${range.max}, not "${text}".`);
}
