/** Completions by the Tab key and the grey hint of missing arguments, for a line that is being typed. */
import { assertNever } from "../../platform/assert.ts";
import { choicesOf, type OptionSpec, optionUsage } from "../arguments.ts";
import {
  type ArgumentSpec,
  argumentUsage,
  type Command,
  type TextSpec,
  wantedArguments,
} from "../command.ts";
import { COMMON_OPTIONS } from "../options.ts";
import { COMMAND_NAMES, findCommand, nextWords, wordsBeforeText } from "../registry.ts";
import { bytesOfWord, escapeBytes, wordAsTyped } from "../text.ts";
import { type Token, tokenizePartly, tokenizeStatements } from "../tokenize.ts";

const utf8 = new TextEncoder();

/** Completions of `typed`, the end of the line. Each word begins with `typed`. */
export interface Completions {
  readonly words: readonly string[];
  readonly typed: string;
}

/** Sources of completions that come from the cluster, or from the file of contexts. */
interface CompletionSources {
  /** Returns keys that begin with a prefix. */
  keys(prefix: Uint8Array): Promise<readonly Uint8Array[]>;
  /** Returns the ids of the nodes. */
  nodes(): Promise<readonly number[]>;
  /** Returns the ids of leases. */
  leases(): Promise<readonly number[]>;
  /** Returns the names of users, roles, databases, or contexts. */
  names(kind: "user" | "role" | "database" | "context"): Promise<readonly string[]>;
}

/** Returns the completions of the end of `line`. */
export async function complete(line: string, sources: CompletionSources): Promise<Completions> {
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
  if (found.kind === "group") return offer(words.length === found.wordCount ? nextWords(found) : []);
  const { command, wordCount } = found;
  const rest = words.slice(wordCount);
  const text = textIn(line, before, { command, end: line.length - typed.length });
  if (text !== null) return await completeText(text, sources);
  const { given, options, awaited, isLiteral } = sortOut(rest, command);
  if (awaited !== null) return offer(await valuesOf(awaited, { current, typed, sources }));
  if (typed.startsWith("-") && !isLiteral) return offer(optionWords(typed, command));
  if (command.name === "help") return offer(helpTopics(rest));
  const argument = wantedArguments(command, options)[given];
  return offer(argument === undefined ? [] : await argumentWords(argument, { current, typed, sources }));
}

/** Returns the words that can be an argument. */
async function argumentWords(
  { completion, choices = [] }: ArgumentSpec,
  place: Place,
): Promise<readonly string[]> {
  const { typed, sources } = place;
  switch (completion) {
    case "key":
      return await keyWords(place);
    case "node":
      return await nodeWords(typed, sources);
    case "lease":
      return (await sources.leases()).map(String);
    case "user":
    case "role":
    case "database":
    case "context":
      return (await sources.names(completion)).map((name) => wordAsTyped(utf8.encode(name)));
    case undefined:
      return choices;
    default:
      return assertNever(completion);
  }
}

/** The text of a command in a line, from the character `start` on. */
interface TypedText extends Pick<TextSpec, "expectedAfter"> {
  readonly text: string;
  readonly start: number;
}

/**
 * Returns the text of a command that takes one, from the words of a line; null for other commands and where an option of
 * the command, or its value, is typed at `end`.
 */
function textIn(line: string, tokens: readonly Token[], { command, end }: TextPlace): TypedText | null {
  const begin = wordsBeforeText(tokens.map(({ word }) => word));
  if (command.text === null || begin === null || begin > tokens.length) return null;
  if (begin === tokens.length && line.slice(end).startsWith("-")) return null;
  return { expectedAfter: command.text.expectedAfter, text: line, start: tokens[begin]?.start ?? end };
}

/** A command, and where the word under the cursor begins. */
interface TextPlace {
  readonly command: Command;
  readonly end: number;
}

/** Returns the completions of the end of a text: keywords and, where a key is expected, keys. */
async function completeText(
  { text, start, expectedAfter }: TypedText,
  sources: CompletionSources,
): Promise<Completions> {
  const last = tokenizeStatements(text, start).tokens.at(-1);
  const current = last === undefined || last.isSeparator || last.end < text.length ? null : last;
  const typed = current === null ? "" : text.slice(current.start);
  const before = text.slice(0, text.length - typed.length);
  const expected = expectedAfter({ kind: "text", text: before, start });
  const keys = expected.includes("<key>") ? await keyWords({ current, typed, sources }) : [];
  const words = [...expected.filter((word) => !/^<[a-z]+>$/.test(word)), ...keys]
    .map((word) => word === ";" || word.startsWith(`"`) ? word : word.replaceAll(";", "\\;"))
    .filter((word) => word.startsWith(typed));
  const [only] = words;
  return { words: words.length === 1 && only !== undefined ? [`${only} `] : words, typed };
}

/** The word under the cursor, and the sources for its completions. */
interface Place {
  readonly current: Token | null;
  readonly typed: string;
  readonly sources: CompletionSources;
}

/** Returns the values of an option: its choices, keys, or leases. */
async function valuesOf(spec: OptionSpec, place: Place): Promise<readonly string[]> {
  if (spec.placeholder === "<lease>") return (await place.sources.leases()).map(String);
  return spec.placeholder === "<key>" ? await keyWords(place) : choicesOf(spec);
}

/** Returns the options; after `--name=` its choices. */
function optionWords(typed: string, command: Command): readonly string[] {
  const [name = "", value] = typed.slice(2).split("=", 2);
  const spec = value === undefined ? null : valuedOption(name, command);
  if (spec !== null) return choicesOf(spec).map((choice) => `--${name}=${choice}`);
  return [...command.options, ...COMMON_OPTIONS].map((option) => `--${option.name}`);
}

/** Returns node ids as `2`, or as `n2` if the word begins with `n`. */
async function nodeWords(typed: string, sources: CompletionSources): Promise<readonly string[]> {
  const ids = await sources.nodes();
  return ids.map((id) => typed.startsWith("n") ? `n${id}` : `${id}`);
}

async function keyWords({ current, typed, sources }: Place): Promise<readonly string[]> {
  const keys = await sources.keys(current === null ? new Uint8Array() : bytesOfWord(current.word));
  return keys.map((key) => quotedLike(typed, current, key));
}

/** Returns the words that can follow `help` and these words. */
function helpTopics(words: readonly string[]): readonly string[] {
  if (words.length === 0) return COMMAND_NAMES;
  const found = findCommand(words);
  return found?.kind === "group" && found.wordCount === words.length ? nextWords(found) : [];
}

/** Returns a key, quoted as the beginning of the word is. */
function quotedLike(typed: string, current: Token | null, key: Uint8Array): string {
  if (current === null || !typed.startsWith(`"`)) return wordAsTyped(key);
  return `"${escapeBytes(key).replaceAll(`"`, `\\"`)}"`;
}

/** Returns the arguments and options that `line` still takes; "" if there are none or the command is unknown. */
export function argumentHint(line: string): string {
  const { tokens } = tokenizePartly(line);
  const words = tokens.map(({ word }) => word);
  const found = findCommand(words);
  if (found === null) return "";
  if (found.kind === "group") {
    return words.length === found.wordCount ? behind(line, nextWords(found).join("|")) : "";
  }
  const { command, wordCount } = found;
  const rest = words.slice(wordCount);
  const text = textIn(line, tokens, { command, end: line.length });
  if (text !== null) return behind(line, text.expectedAfter({ kind: "text", ...text }).join("|"));
  const { given, options, awaited } = sortOut(rest, command);
  if (awaited !== null) return "";
  const missing = wantedArguments(command, options).slice(given).map(argumentUsage);
  const untouched = given === 0 && options.length === 0;
  const choices = command.options.filter(({ isSeldom }) => isSeldom !== true);
  const offered = untouched ? choices.map((option) => `[${optionUsage(option)}]`) : [];
  return behind(line, [...missing, ...offered].join(" "));
}

/** Returns the hint, separated by a blank from the line. */
function behind(line: string, hint: string): string {
  return hint === "" || /[ \t]$/.test(line) ? hint : ` ${hint}`;
}

/** The words after a command's name, classified. */
interface TypedWords {
  /** Number of arguments. */
  readonly given: number;
  /** Names of the options. */
  readonly options: readonly string[];
  /** The option whose value comes next; null if none is expected. */
  readonly awaited: OptionSpec | null;
  /** Whether `--` was typed: all words after it are arguments. */
  readonly isLiteral: boolean;
}

/** Classifies the words after a command's name. Unknown options count as switches. */
function sortOut(words: readonly string[], command: Command): TypedWords {
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

/** Returns the option of that name that takes a value; null if there is none. */
function valuedOption(name: string, command: Command): OptionSpec | null {
  const spec = [...command.options, ...COMMON_OPTIONS].find((option) => option.name === name);
  return spec === undefined || spec.placeholder === null ? null : spec;
}
