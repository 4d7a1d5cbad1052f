/** The grey hint of the arguments that are still to be typed. */
import { optionUsage } from "./arguments.ts";
import { argumentUsage, wantedArguments } from "./command.ts";
import { findCommand, secondWords } from "./commands.ts";
import { tokenizePartly } from "./tokenize.ts";
import { sortOut } from "./typed_line.ts";

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
  const { given, options, awaited } = sortOut(rest, command);
  if (awaited !== null) return "";
  const missing = wantedArguments(command, options).slice(given).map(argumentUsage);
  const untouched = given === 0 && options.length === 0;
  const choices = command.options.filter(({ isSeldom }) => isSeldom !== true);
  const offered = untouched ? choices.map((option) => `[${optionUsage(option)}]`) : [];
  return behind(line, [...missing, ...offered].join(" "));
}

/** The hint as it stands behind the line, parted from its last word. */
function behind(line: string, hint: string): string {
  return hint === "" || /[ \t]$/.test(line) ? hint : ` ${hint}`;
}
