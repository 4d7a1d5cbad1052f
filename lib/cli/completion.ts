/** What the Tab key offers: commands, options, and the store's own keys. */
import { wantedArguments } from "./command.ts";
import { COMMON_OPTIONS } from "./command_options.ts";
import { COMMAND_NAMES, findCommand, secondWords } from "./commands.ts";
import { escapeBytes, wordAsTyped } from "./escape.ts";
import { type Token, tokenizePartly } from "./tokenize.ts";
import { bytesOfWord } from "./words.ts";

/** Words that may stand in place of `typed`, which is what the line ends with. Each of them begins with `typed`. */
export interface Completions {
  readonly words: readonly string[];
  readonly typed: string;
}

/** Gives some keys that begin with a prefix. */
export type KeySource = (prefix: Uint8Array) => Promise<readonly Uint8Array[]>;

/** What may stand at the end of `line`. */
export async function complete(line: string, keys: KeySource): Promise<Completions> {
  const { tokens } = tokenizePartly(line);
  const last = tokens.at(-1);
  const current = last === undefined || last.end < line.length ? null : last;
  const before = current === null ? tokens : tokens.slice(0, -1);
  const typed = current === null ? "" : line.slice(current.start);
  const offer = (words: readonly string[]): Completions => {
    const fitting = words.filter((word) => word.startsWith(typed));
    const [only] = fitting;
    return { words: fitting.length === 1 && only !== undefined ? [`${only} `] : fitting, typed };
  };
  const words = before.map(({ word }) => word);
  if (words.length === 0) return offer(COMMAND_NAMES);
  const found = findCommand(words);
  if (found === null) return offer([]);
  if (found.kind === "group") return offer(words.length === 1 ? secondWords(found.commands) : []);
  const { command, wordCount } = found;
  const rest = words.slice(wordCount);
  if (typed.startsWith("-")) {
    return offer([...command.options, ...COMMON_OPTIONS].map(({ name }) => `--${name}`));
  }
  if (command.name === "help") return offer(helpTopics(rest));
  const options = rest.filter((word) => word.startsWith("--")).map((word) => word.slice(2));
  const given = rest.filter((word) => !word.startsWith("--")).length;
  const argument = wantedArguments(command, options)[given];
  if (argument === undefined || !argument.isKey) return offer([]);
  const stored = await keys(current === null ? new Uint8Array() : bytesOfWord(current.word));
  return offer(stored.map((key) => quotedLike(typed, current, key)));
}

/** What may follow `help` and these words. */
function helpTopics(words: readonly string[]): readonly string[] {
  if (words.length === 0) return COMMAND_NAMES;
  const found = words.length === 1 ? findCommand(words) : null;
  return found?.kind === "group" ? secondWords(found.commands) : [];
}

/** A key, quoted the way its beginning was typed. */
function quotedLike(typed: string, current: Token | null, key: Uint8Array): string {
  if (current === null || !typed.startsWith(`"`)) return wordAsTyped(key);
  return `"${escapeBytes(key).replaceAll(`"`, `\\"`)}"`;
}
