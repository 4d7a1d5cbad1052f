/** The list of the client's commands, and the lookup of the command that a line names. */
import {
  type Answer,
  answer,
  bindArguments,
  bindText,
  type Command,
  type CommandText,
  defineCommand,
  type Invocation,
} from "./command.ts";
import { COMMON_OPTIONS } from "./options.ts";
import { type OptionSpec, parseArguments } from "./arguments.ts";
import { AUTH_COMMANDS } from "./commands/auth/auth.ts";
import { ROLE_COMMANDS } from "./commands/auth/role.ts";
import { USER_COMMANDS } from "./commands/auth/user.ts";
import { ELECT } from "./commands/coordination/elect.ts";
import { LEASE_COMMANDS } from "./commands/coordination/lease.ts";
import { LOCK } from "./commands/coordination/lock.ts";
import { WATCH } from "./commands/coordination/watch.ts";
import { DENOKV_DATABASE_COMMANDS } from "./commands/denokv/databases.ts";
import { DENOKV_IMPORT } from "./commands/denokv/import.ts";
import { DENOKV_KEY_COMMANDS } from "./commands/denokv/keys.ts";
import { BENCH } from "./commands/load/bench.ts";
import { CAS } from "./commands/keys/cas.ts";
import { CHECK } from "./commands/load/check.ts";
import { DELETE } from "./commands/keys/delete.ts";
import { EXPORT } from "./commands/keys/export.ts";
import { GET } from "./commands/keys/get.ts";
import { CONTEXT_COMMANDS } from "./commands/cluster/context.ts";
import { DOCTOR } from "./commands/cluster/doctor.ts";
import { HEALTH } from "./commands/cluster/health.ts";
import { COMPACT, HISTORY } from "./commands/keys/history.ts";
import { IMPORT } from "./commands/keys/import.ts";
import { LIST } from "./commands/keys/list.ts";
import { MIRROR } from "./commands/keys/mirror.ts";
import { MEMBER_COMMANDS } from "./commands/cluster/member.ts";
import { MEMBERS } from "./commands/cluster/members.ts";
import { PUT } from "./commands/keys/put.ts";
import { SNAPSHOT_COMMANDS } from "./commands/cluster/snapshot.ts";
import { STATUS } from "./commands/cluster/status.ts";
import { TOP } from "./commands/cluster/top.ts";
import { TRANSFER_LEADER } from "./commands/cluster/transfer_leader.ts";
import { TXN } from "./commands/keys/txn.ts";
import { UsageError } from "./errors.ts";
import { helpOfCommand, helpOfCommands } from "./help.ts";
import { enumeration } from "./text.ts";
import { tokenizePartly } from "./tokenize.ts";
import { shortened } from "../platform/errors.ts";
import { nearest } from "../server/config/nearest.ts";

const HELP = defineCommand({
  name: "help",
  otherNames: ["man", "?", "commands"],
  arguments: [
    { name: "command", required: false },
    { name: "word", required: false },
    { name: "another", required: false },
  ],
  summary: "the commands, or one of them with an example",
  details: ["A command of several words is named by all of them: help member add."],
  example: ["help put"],
  run(invocation): Promise<Answer> {
    const words = ["command", "word", "another"].flatMap((name) => invocation.args.get(name)?.text ?? []);
    const help = helpOf(words);
    return Promise.resolve(answer({ text: () => ({ output: help, note: "" }), json: () => ({ help }) }));
  },
});

function helpOf(words: readonly string[]): string {
  if (words.length === 0) return helpOfCommands(COMMANDS);
  const found = findCommand(words);
  if (found?.kind === "group" && words.length === found.wordCount) return helpOfCommands(found.commands);
  return helpOfCommand(commandNamed(words).command, COMMON_OPTIONS);
}

/** Leaves the shell. Client and shell end at this command and show no answer. */
export const QUIT = defineCommand({
  name: "quit",
  aliases: ["exit"],
  otherNames: ["q", "bye", "logout"],
  summary: "leave the shell (exit and Ctrl-D do the same)",
  example: ["quit"],
  run: () => Promise.resolve(answer({ text: () => ({ output: "", note: "" }), json: () => null })),
});

/** Every command, in the order of the help. */
export const COMMANDS: readonly Command[] = [
  PUT,
  GET,
  DELETE,
  LIST,
  CAS,
  TXN,
  HISTORY,
  COMPACT,
  WATCH,
  ...LEASE_COMMANDS,
  LOCK,
  ELECT,
  STATUS,
  MEMBERS,
  DOCTOR,
  TOP,
  HEALTH,
  ...MEMBER_COMMANDS,
  TRANSFER_LEADER,
  ...SNAPSHOT_COMMANDS,
  ...AUTH_COMMANDS,
  ...USER_COMMANDS,
  ...ROLE_COMMANDS,
  ...DENOKV_DATABASE_COMMANDS,
  ...DENOKV_KEY_COMMANDS,
  DENOKV_IMPORT,
  EXPORT,
  IMPORT,
  MIRROR,
  BENCH,
  CHECK,
  ...CONTEXT_COMMANDS,
  HELP,
  QUIT,
];

/** The first words of all commands. */
export const COMMAND_NAMES: readonly string[] = [
  ...new Set(COMMANDS.flatMap(({ name, aliases }) => [name.split(" ", 1)[0] ?? name, ...aliases])),
];

/** Returns the command that an unknown first word probably means: by meaning, then by spelling; null for neither. */
function meantBy(word: string): string | null {
  const name = word.toLowerCase();
  const spelled = COMMAND_NAMES.find((candidate) => candidate === name);
  const other = COMMANDS.find(({ otherNames }) => otherNames.includes(name))?.name;
  return spelled ?? other ?? nearest(word, COMMAND_NAMES);
}

/** The most words of a command's name. */
const MAX_NAME_WORDS = 3;

/**
 * The meaning of the first words of a line: a command, or a group of commands that share these words. `wordCount`: how many
 * words name it.
 */
export type Found =
  | { readonly kind: "command"; readonly command: Command; readonly wordCount: number }
  | { readonly kind: "group"; readonly commands: readonly Command[]; readonly wordCount: number };

/** Returns the command or group that these words name, by as many of them as possible; null for an unknown name. */
export function findCommand(words: readonly string[]): Found | null {
  for (let wordCount = Math.min(MAX_NAME_WORDS, words.length); wordCount > 0; wordCount -= 1) {
    const typed = words.slice(0, wordCount).join(" ");
    const command = COMMANDS.find(({ name, aliases }) => name === typed || aliases.includes(typed));
    if (command !== undefined) return { kind: "command", command, wordCount };
    const commands = COMMANDS.filter(({ name }) => name.startsWith(`${typed} `));
    if (commands.length > 0) return { kind: "group", commands, wordCount };
  }
  return null;
}

/** Returns the words that can follow the first `wordCount` words of a group's commands. */
export function nextWords({ commands, wordCount }: Extract<Found, { kind: "group" }>): readonly string[] {
  return [...new Set(commands.map(({ name }) => name.split(" ")[wordCount] ?? ""))];
}

/**
 * Returns the command that `words` begin with. Throws {@link UsageError}, with the nearest command, for an unknown
 * name.
 */
function commandNamed(words: readonly string[]): Extract<Found, { kind: "command" }> {
  const found = findCommand(words);
  if (found?.kind === "command") return found;
  const [first = ""] = words;
  if (found === null) {
    const near = meantBy(first);
    const hint = near === null ? "help lists the commands." : `Did you mean ${near}?`;
    throw new UsageError(`There is no command "${shortened(first)}". ${hint}`);
  }
  const allowed = nextWords(found);
  const group = words.slice(0, found.wordCount).join(" ");
  const next = words[found.wordCount];
  if (next === undefined) {
    const ordinal = found.wordCount === 1 ? "second" : "third";
    throw new UsageError(
      `${group} needs a ${ordinal} word: ${allowed.join(", ")}. Example: ${found.commands[0]?.example[0]}`,
    );
  }
  const near = nearest(next, allowed);
  const hint = near === null ? `There are ${allowed.join(", ")}.` : `Did you mean ${group} ${near}?`;
  throw new UsageError(`There is no command "${group} ${shortened(next)}". ${hint}`);
}

/** A parsed line; `invocation` is null if it has options only. */
export interface ParsedLine {
  readonly invocation: Invocation | null;
  readonly options: ReadonlyMap<string, string>;
}

/**
 * Returns the number of words before the text of a command that takes one: its name, and options before and after it.
 * Null if the words name another command, or none; more than there are words if the value of an option is missing.
 */
export function wordsBeforeText(words: readonly string[], extra: readonly OptionSpec[] = []): number | null {
  let command: Command | null = null;
  let next = 0;
  for (;; next += 1) {
    const word = words[next];
    if (command === null && (word === undefined || word === "--")) return null;
    const specs = [...COMMON_OPTIONS, ...extra, ...command?.options ?? []];
    const option = specs.find(({ name }) => word === `--${name}` || word?.startsWith(`--${name}=`) === true);
    if (option !== undefined) {
      if (option.placeholder !== null && word === `--${option.name}`) next += 1;
    } else if (command === null) {
      command = COMMANDS.find(({ name, text }) => name === word && text !== null) ?? null;
      if (command === null) return null;
    } else {
      return word === "--" ? next + 1 : next;
    }
  }
}

/**
 * Parses a command with its arguments and options, which can come in any order. `extra`: options that are allowed
 * besides {@link COMMON_OPTIONS} and those of the command. Throws {@link UsageError}.
 */
export function parseCommand(words: readonly string[], extra: readonly OptionSpec[] = []): ParsedLine {
  const end = wordsBeforeText(words, extra);
  if (end === null) return parseWords(words, { text: null, extra });
  const [first, ...others] = words.slice(end);
  if (first === undefined) return parseWords(words.slice(0, end), { text: null, extra });
  const [behind] = others;
  if (behind !== undefined && /\s/.test(first)) throw argumentBehindText(behind, words);
  const text: CommandText = others.length === 0
    ? { kind: "text", text: first, start: 0 }
    : { kind: "words", words: [first, ...others] };
  return parseWords(words.slice(0, end), { text, extra });
}

/** Returns the error for an argument behind a text in quotes, most likely an option. */
function argumentBehindText(argument: string, words: readonly string[]): UsageError {
  const command = COMMANDS.find(({ name, text }) => text !== null && words.includes(name));
  const name = command?.name ?? "the command";
  return new UsageError(
    `"${
      shortened(argument)
    }" is behind the text of ${name}, which is one argument in quotes or one argument a word. ` +
      `Options of ${name} come before its text.`,
  );
}

/** Parses a line as it was typed; null if it is empty or a comment. Throws {@link UsageError}. */
export function parseLine(line: string): ParsedLine | null {
  const { tokens, error } = tokenizePartly(line);
  const words = tokens.map(({ word }) => word);
  const end = wordsBeforeText(words);
  if (end === null) {
    if (error !== null) throw error;
    return words.length === 0 ? null : parseWords(words, { text: null, extra: [] });
  }
  const start = tokens[end]?.start;
  const text: CommandText | null = start === undefined ? null : { kind: "text", text: line, start };
  return parseWords(words.slice(0, end), { text, extra: [] });
}

/**
 * Returns the command that words name behind options that every command takes; null where that is not known yet. It decides
 * which options have a value where commands differ in that.
 */
function likelyCommand(words: readonly string[], everywhere: readonly OptionSpec[]): Command | null {
  const typed: string[] = [];
  for (let next = 0; next < words.length && typed.length < MAX_NAME_WORDS; next += 1) {
    const word = words[next] ?? "";
    if (word === "--") break;
    if (!word.startsWith("-")) typed.push(word);
    const option = everywhere.find(({ name }) => word === `--${name}`);
    if (option !== undefined && option.placeholder !== null) next += 1;
  }
  const found = findCommand(typed);
  return found?.kind === "command" ? found.command : null;
}

/** Parses a command's name with arguments and options; its text, if it takes one, is given apart. */
function parseWords(
  words: readonly string[],
  { text, extra }: { readonly text: CommandText | null; readonly extra: readonly OptionSpec[] },
): ParsedLine {
  const everywhere = [...COMMON_OPTIONS, ...extra];
  const likely = likelyCommand(words, everywhere);
  const own = likely?.options ?? [];
  const specs = new Map(
    [...COMMANDS.flatMap(({ options }) => options), ...everywhere, ...own].map((spec) => [spec.name, spec]),
  );
  // Before the values of options are looked at: an option of another command may need one.
  if (likely !== null) {
    const misplaced = optionNames(words).find((name) =>
      specs.has(name) && ![...everywhere, ...own].some((spec) => spec.name === name)
    );
    if (misplaced !== undefined) throw misplacedOption(misplaced, likely);
  }
  const parsed = parseArguments(words, [...specs.values()]);
  const typed = parsed.positionals.map(({ text }) => text);
  const named = findCommand(typed);
  // `denokv --help` and `denokv help`: the commands that begin with this word.
  const isGroupHelp = named?.kind === "group" &&
    (parsed.options.has("help")
      ? typed.length === named.wordCount
      : typed.slice(named.wordCount).join() === HELP.name);
  const found = typed.length === 0 || isGroupHelp ? null : commandNamed(typed);
  const command = found?.command ?? null;
  const allowed = [...everywhere, ...command?.options ?? []].map((spec) => spec.name);
  for (const option of parsed.options.keys()) {
    if (!allowed.includes(option)) throw misplacedOption(option, command);
  }
  const { options } = parsed;
  if (isGroupHelp || (parsed.options.has("help") && typed.length > 0)) {
    const topic = typed.slice(0, named?.wordCount).map((text) => ({ text, literal: true }));
    return { invocation: bindArguments(HELP, { positionals: topic, options }), options };
  }
  if (found === null) return { invocation: null, options };
  if (found.command.text !== null) {
    const { command } = found;
    return { invocation: bindText({ command, text: found.command.text }, { text, options }), options };
  }
  const positionals = parsed.positionals.slice(found.wordCount);
  return { invocation: bindArguments(found.command, { positionals, options }), options };
}

/** Returns the names of the options among words, without their values. */
function optionNames(words: readonly string[]): readonly string[] {
  const end = words.indexOf("--");
  return words.slice(0, end === -1 ? words.length : end).filter((word) => word.startsWith("--"))
    .map((word) => word.slice(2).replace(/=.*$/s, ""));
}

/** Commands that do what an option of etcdctl does, by the command and the option that are typed. */
const OTHER_COMMANDS: ReadonlyMap<string, string> = new Map([
  ["get --prefix", "list <prefix> reads all keys with a prefix"],
]);

function misplacedOption(option: string, command: Command | null): UsageError {
  const other = OTHER_COMMANDS.get(`${command?.name} --${option}`);
  if (command !== null && other !== undefined) {
    return new UsageError(`${command.name} has no option --${option}: ${other}. See help ${command.name}.`);
  }
  const owners = COMMANDS.filter(({ options }) => options.some(({ name }) => name === option))
    .map(({ name }) => name);
  const names = enumeration(owners);
  return new UsageError(
    command === null
      ? `--${option} is an option of ${names}; name the command.`
      : `${command.name} has no option --${option}; ${names} ${
        owners.length === 1 ? "has" : "have"
      }. See help ${command.name}.`,
  );
}
