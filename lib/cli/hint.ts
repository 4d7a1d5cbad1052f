/** The grey hint of the arguments that are still to be typed. */
import { optionUsage } from "./arguments.ts";
import { argumentUsage, type Command, wantedArguments } from "./command.ts";
import { findCommand, secondWords } from "./commands.ts";
import { tokenizePartly } from "./tokenize.ts";

/** What could follow `line`, as it would be put behind it; "" when nothing is known to. */
export function argumentHint(line: string): string {
  const { tokens } = tokenizePartly(line);
  const words = tokens.map(({ word }) => word);
  const found = findCommand(words);
  if (found === null) return "";
  if (found.kind === "group") {
    return words.length === 1 ? behind(line, secondWords(found.commands).join("|")) : "";
  }
  const { command, wordCount } = found;
  const rest = words.slice(wordCount);
  const { given, options, isValueMissing } = sortOut(rest, command);
  if (isValueMissing) return "";
  const missing = wantedArguments(command, options).slice(given).map(argumentUsage);
  const untouched = given === 0 && options.length === 0;
  const offered = untouched ? command.options.map((option) => `[${optionUsage(option)}]`) : [];
  return behind(line, [...missing, ...offered].join(" "));
}

/** The hint as it stands behind the line, parted from its last word. */
function behind(line: string, hint: string): string {
  return hint === "" || /[ \t]$/.test(line) ? hint : ` ${hint}`;
}

/** Which of the words are arguments, which are options, and whether the last option still wants its value. */
function sortOut(
  words: readonly string[],
  command: Command,
): { given: number; options: string[]; isValueMissing: boolean } {
  const options: string[] = [];
  let given = 0;
  let isValueMissing = false;
  for (const word of words) {
    if (isValueMissing) {
      isValueMissing = false;
    } else if (word.startsWith("--")) {
      const [name = ""] = word.slice(2).split("=", 1);
      options.push(name);
      const spec = command.options.find((option) => option.name === name);
      isValueMissing = spec !== undefined && spec.placeholder !== null && !word.includes("=");
    } else {
      given += 1;
    }
  }
  return { given, options, isValueMissing };
}
