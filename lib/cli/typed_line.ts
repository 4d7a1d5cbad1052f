/** What a line that is still being typed holds of its command: for the hint and for the Tab key alike. */
import type { OptionSpec } from "./arguments.ts";
import type { Command } from "./command.ts";
import { COMMON_OPTIONS } from "./command_options.ts";

/** The words behind a command's name, sorted out. */
export interface TypedWords {
  /** How many of them are arguments. */
  readonly given: number;
  /** Names of the options among them. */
  readonly options: readonly string[];
  /** The last word is this option, and its value follows; null when no value is awaited. */
  readonly awaited: OptionSpec | null;
  /** Whether `--` was typed: what follows it is an argument, whatever it looks like. */
  readonly isLiteral: boolean;
}

/** Sorts out the words behind a command's name. Unknown options count as switches. */
export function sortOut(words: readonly string[], command: Command): TypedWords {
  const options: string[] = [];
  let given = 0;
  let awaited: OptionSpec | null = null;
  let isLiteral = false;
  for (const word of words) {
    if (awaited !== null) {
      awaited = null;
    } else if (isLiteral || word === "-" || !word.startsWith("-")) {
      given += 1;
    } else if (word === "--") {
      isLiteral = true;
    } else {
      const [name = ""] = word.slice(2).split("=", 1);
      options.push(name);
      if (!word.includes("=")) awaited = valuedOption(name, command);
    }
  }
  return { given, options, awaited, isLiteral };
}

/** The option of that name which takes a value; null when there is none. */
export function valuedOption(name: string, command: Command): OptionSpec | null {
  const spec = [...command.options, ...COMMON_OPTIONS].find((option) => option.name === name);
  return spec === undefined || spec.placeholder === null ? null : spec;
}
