/** Splits arguments into options and positional arguments by a table of the options there are. */
import { parseArgs } from "@std/cli/parse-args";
import { shortened } from "../platform/errors.ts";
import { nearest } from "../server/config/nearest.ts";
import { UsageError } from "./errors.ts";

/** An option as its readers need it: the parser, the help, the Tab key. */
export interface OptionSpec {
  /** Without the dashes. */
  readonly name: string;
  /** What stands for its value in the help, such as `<ms>`; null for a switch, which has none. */
  readonly placeholder: string | null;
  /** What it does, in a few words. */
  readonly help: string;
  /** Left out of usage lines and hints, since it is seldom needed; the help of its command has it. */
  readonly isSeldom?: true;
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
 * Reads `args` by the table `specs`. An option stands as `--name value` or `--name=value`, a switch as `--name`; what
 * follows `--` is positional, and so is `-` alone. Throws {@link UsageError} for an unknown option (with the nearest
 * real one), an option given twice, or one without its value.
 */
export function parseArguments(args: readonly string[], specs: readonly OptionSpec[]): ParsedArguments {
  const end = args.indexOf("--");
  const checked = args.map((arg, position) => end === -1 || position < end ? checkedOption(arg, specs) : arg);
  const parsed: Readonly<Record<string, unknown>> = parseArgs(checked, {
    "--": true,
    boolean: specs.filter(isSwitch).map(({ name }) => name),
    string: [...specs.filter((spec) => !isSwitch(spec)).map(({ name }) => name), "_"],
    collect: specs.map(({ name }) => name),
  });
  const options = new Map<string, string>();
  for (const spec of specs) {
    const given = textsOf(parsed[spec.name]);
    if (given.length > 1) {
      throw new UsageError(`--${spec.name} is given ${given.length} times. Give it once.`);
    }
    const [value] = given;
    if (value === undefined) continue;
    if (!isSwitch(spec) && value === "") throw missingValue(spec);
    options.set(spec.name, isSwitch(spec) ? "" : value);
  }
  return {
    options,
    positionals: [
      ...textsOf(parsed["_"]).map((text) => ({ text, literal: false })),
      ...textsOf(parsed["--"]).map((text) => ({ text, literal: true })),
    ],
  };
}

/** The words of which an option's value must be one, as its placeholder `text|json` says; none where any will do. */
export function choicesOf({ placeholder }: OptionSpec): readonly string[] {
  return placeholder === null || placeholder.startsWith("<") ? [] : placeholder.split("|");
}

/** How an option is written: `--limit <n>`. */
export function optionUsage(spec: OptionSpec): string {
  return spec.placeholder === null ? `--${spec.name}` : `--${spec.name} ${spec.placeholder}`;
}

/** The name and, behind the first `=`, the value of `--name=value`; null where there is no `=`. */
function partsOf(arg: string): readonly [string, string | null] {
  const bare = arg.replace(/^-{1,2}/, "");
  const at = bare.indexOf("=");
  return at === -1 ? [bare, null] : [bare.slice(0, at), bare.slice(at + 1)];
}

function isSwitch({ placeholder }: OptionSpec): boolean {
  return placeholder === null;
}

/**
 * The argument as the parser may have it. The parser gives some names a meaning of their own (`--_` adds to the positional
 * arguments, `--a.b` makes an object, `--no-a` negates) and takes a `true` or `false` behind a switch for its value, which
 * here are keys like any other (`get --raw true`). So it sees known names only, and every switch with its value.
 */
function checkedOption(arg: string, specs: readonly OptionSpec[]): string {
  if (!arg.startsWith("-") || arg === "-") return arg;
  const [name, value] = partsOf(arg);
  const spec = arg.startsWith("--") ? specs.find((candidate) => candidate.name === name) : undefined;
  if (spec === undefined) throw unknownOption(arg, specs);
  if (!isSwitch(spec)) {
    if (value === "") throw missingValue(spec);
    return arg;
  }
  if (value !== null) throw new UsageError(`--${name} takes no value. Write --${name} alone.`);
  return `${arg}=true`;
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function unknownOption(arg: string, specs: readonly OptionSpec[]): UsageError {
  const [name] = partsOf(arg);
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

/**
 * Throws {@link UsageError} for a process argument that may not be what was typed: Deno gives U+FFFD in place of bytes
 * that are no UTF-8, so that two keys would become one, and the character itself can't be told from them. `ways`: how
 * such bytes are given instead.
 */
export function refuseReplaced(args: readonly string[], ways: string): void {
  const replaced = args.find((arg) => arg.includes("\ufffd"));
  if (replaced === undefined) return;
  throw new UsageError(
    `The argument "${replaced}" holds bytes that are no UTF-8, or the character U+FFFD, which stands for them: which ` +
      `of both can't be told here, so nothing was done. ${ways}`,
  );
}

/** The integer that `text` is; throws {@link UsageError} when it is none from `min` to `max`. */
export function integerOfText(text: string, range: { name: string; min: number; max: number }): number {
  const value = Number(text);
  if (/^[0-9]{1,16}$/.test(text) && value >= range.min && value <= range.max) return value;
  throw new UsageError(
    `${range.name} must be an integer from ${range.min} to ${range.max}, not "${shortened(text)}".`,
  );
}
