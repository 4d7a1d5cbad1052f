/** Splits arguments into options and positional arguments, by a table of options. */
import { parseArgs } from "@std/cli/parse-args";
import { shortened } from "../platform/errors.ts";
import { nearest } from "../server/config/nearest.ts";
import { SecretArgumentError, UsageError } from "./errors.ts";

/** Greatest weight of an option such as `--mix`. */
const MAX_WEIGHT = 1_000_000;

/** The description of an option, from which parser, help and completion are made. */
export interface OptionSpec {
  /** Without the dashes. */
  readonly name: string;
  /** The placeholder of its value in the help, such as `<ms>`; null for a switch, which has no value. */
  readonly placeholder: string | null;
  /** A few words on its effect. */
  readonly help: string;
  /** Whether usage lines and hints leave it out; the help of its command has it. */
  readonly isSeldom?: true;
}

/** A positional argument. */
export interface Positional {
  readonly text: string;
  /** Whether it came after `--`, so that `-` is a dash and not standard input. */
  readonly literal: boolean;
}

/** The options and positional arguments of a command line. */
export interface ParsedArguments {
  /** The given options by name; "" for a switch. */
  readonly options: ReadonlyMap<string, string>;
  readonly positionals: readonly Positional[];
}

/**
 * Parses `args` by the table `specs`. An option is `--name value` or `--name=value`, a switch is `--name`; what follows
 * `--` is positional, and so is `-` alone. Throws {@link UsageError} for an unknown option (with the nearest known
 * one), an option given twice, or one without its value.
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

/** Returns the values that the placeholder `text|json` allows; an empty list if any value is allowed. */
export function choicesOf({ placeholder }: OptionSpec): readonly string[] {
  return placeholder === null || placeholder.startsWith("<") ? [] : placeholder.split("|");
}

/** Returns how an option is written: `--limit <n>`. */
export function optionUsage(spec: OptionSpec): string {
  return spec.placeholder === null ? `--${spec.name}` : `--${spec.name} ${spec.placeholder}`;
}

/** Splits `--name=value` at the first `=`; the value is null without one. */
function partsOf(arg: string): readonly [string, string | null] {
  const bare = arg.replace(/^-{1,2}/, "");
  const at = bare.indexOf("=");
  return at === -1 ? [bare, null] : [bare.slice(0, at), bare.slice(at + 1)];
}

function isSwitch({ placeholder }: OptionSpec): boolean {
  return placeholder === null;
}

/**
 * Returns the argument for the parser. The parser gives some names a special meaning (`--_` adds to the positional
 * arguments, `--a.b` makes an object, `--no-a` negates) and takes a `true` or `false` after a switch as its value,
 * where it is a key (`get --raw true`). So it is given known names only, and every switch with its value.
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

/** Options by which other programs take secrets, with what to use here. */
const SECRET_OPTIONS: ReadonlyMap<string, string> = new Map([
  ["password", "--user asks for it; --password-file and --password-stdin do not ask"],
  ["passwd", "--user asks for it; --password-file and --password-stdin do not ask"],
  ["new-password", "it is asked for; --new-password-file and --new-password-stdin do not ask"],
  ["token", "--token-file names the file that has it"],
]);

function unknownOption(arg: string, specs: readonly OptionSpec[]): UsageError {
  const [name] = partsOf(arg);
  const instead = SECRET_OPTIONS.get(name);
  if (instead !== undefined) {
    return new SecretArgumentError(
      `There is no option --${name}. ${SecretArgumentError.REASON} Instead: ${instead}.`,
    );
  }
  const chooser = specs.find((candidate) => choicesOf(candidate).includes(name));
  const near = chooser === undefined
    ? nearest(name, specs.map((candidate) => candidate.name))
    : `${chooser.name} ${name}`;
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
 * Throws {@link UsageError} for a process argument that may differ from what was typed: Deno replaces bytes that are
 * not UTF-8 by U+FFFD, so that two keys would become one. `alternatives`: how to give such bytes instead.
 */
export function refuseReplaced(args: readonly string[], alternatives: string): void {
  const replaced = args.find((arg) => arg.includes("\ufffd"));
  if (replaced === undefined) return;
  throw new UsageError(
    `The argument "${replaced}" has bytes that are not UTF-8, or the character U+FFFD, which cannot be distinguished ` +
      `from them. Nothing was done. ${alternatives}`,
  );
}

/** Returns the integer that `text` is. Throws {@link UsageError} unless it is one from `min` to `max`. */
export function integerOfText(text: string, range: { name: string; min: number; max: number }): number {
  const value = Number(text);
  if (/^[0-9]{1,16}$/.test(text) && value >= range.min && value <= range.max) return value;
  throw new UsageError(
    `${range.name} must be an integer from ${range.min} to ${range.max}, not "${shortened(text)}".`,
  );
}

/** Returns the integer in the option `name`, or `fallback` without that option. Throws {@link UsageError}. */
export function integerOption(
  options: ReadonlyMap<string, string>,
  name: string,
  { fallback, min = 1, max }: { readonly fallback: number; readonly min?: number; readonly max: number },
): number {
  const text = options.get(name);
  return text === undefined ? fallback : integerOfText(text, { name: `--${name}`, min, max });
}

/** Returns the value of the option `name`; null without that option. Throws {@link UsageError} unless it is a choice. */
export function choiceOption<Choice extends string>(
  options: ReadonlyMap<string, string>,
  name: string,
  choices: readonly Choice[],
): Choice | null {
  const text = options.get(name);
  if (text === undefined) return null;
  const choice = choices.find((candidate) => candidate === text);
  if (choice !== undefined) return choice;
  throw new UsageError(
    `--${name} must be ${choices.join(" or ")}, not "${shortened(text)}". Example: --${name} ${
      choices.at(-1)
    }`,
  );
}

/** Returns the weights in the option `name`, such as `put=10,get=90`. Throws {@link UsageError}. */
export function weightsOfText(
  text: string,
  { name, allowed }: { readonly name: string; readonly allowed: readonly string[] },
): ReadonlyMap<string, number> {
  const weights = new Map<string, number>();
  const example = `Example: ${name} ${allowed.slice(0, 2).map((key) => `${key}=50`).join(",")}`;
  for (const part of text.split(",")) {
    const [key = "", weight = ""] = part.split("=", 2);
    if (!allowed.includes(key)) {
      throw new UsageError(`${name}: "${shortened(key)}" is not one of ${allowed.join(", ")}. ${example}`);
    }
    weights.set(key, integerOfText(weight, { name: `${name}: ${key}`, min: 0, max: MAX_WEIGHT }));
  }
  if ([...weights.values()].some((weight) => weight > 0)) return weights;
  throw new UsageError(`${name}: all weights in "${shortened(text)}" are 0. ${example}`);
}
