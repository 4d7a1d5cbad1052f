/** The commands of the client: one table, from which they are run, helped with, completed and hinted at. */
import { nearest } from "../server/nearest.ts";
import type { Answer } from "./answer.ts";
import { type OptionSpec, parseArguments } from "./arguments.ts";
import { CHECK } from "./check_command.ts";
import { MEMBERS, STATUS, TRANSFER_LEADER } from "./cluster_commands.ts";
import { bindArguments, type Call, type Command } from "./command.ts";
import { COMMON_OPTIONS } from "./command_options.ts";
import { UsageError } from "./errors.ts";
import { helpOfCommand, helpOfCommands } from "./help.ts";
import { CAS, DELETE, GET, PUT } from "./key_commands.ts";
import { LIST } from "./list_command.ts";

const HELP: Command = {
  name: "help",
  aliases: [],
  isLong: false,
  arguments: [{ name: "command", required: false, isKey: false, replacedBy: null }],
  options: [],
  summary: "the commands, or one of them with an example",
  details: [],
  example: ["help put"],
  run(call): Promise<Answer> {
    const name = call.args.get("command")?.text;
    const text = name === undefined
      ? helpOfCommands(COMMANDS)
      : helpOfCommand(commandNamed(name), COMMON_OPTIONS);
    return Promise.resolve({ kind: "help", text });
  },
};

const QUIT: Command = {
  name: "quit",
  aliases: ["exit"],
  isLong: false,
  arguments: [],
  options: [],
  summary: "leave the shell (exit and Ctrl-D do the same)",
  details: [],
  example: ["quit"],
  run: () => Promise.resolve({ kind: "quit" }),
};

/** Every command, in the order of the help. */
export const COMMANDS: readonly Command[] = [
  PUT,
  GET,
  DELETE,
  LIST,
  CAS,
  STATUS,
  MEMBERS,
  TRANSFER_LEADER,
  CHECK,
  HELP,
  QUIT,
];

/** The names that a command may be typed by. */
export const COMMAND_NAMES: readonly string[] = COMMANDS.flatMap(({ name, aliases }) => [name, ...aliases]);

/** The command of that name. Throws {@link UsageError}, with the nearest one, when there is none. */
export function commandNamed(name: string): Command {
  const command = COMMANDS.find((candidate) => candidate.name === name || candidate.aliases.includes(name));
  if (command !== undefined) return command;
  const near = nearest(name, COMMAND_NAMES);
  const hint = near === null ? "Type help for those there are." : `Did you mean ${near}?`;
  throw new UsageError(`There is no command "${name}". ${hint}`);
}

/** What `words` ask for: null when there is no command among them, only options. */
export interface ParsedLine {
  readonly call: Call | null;
  readonly options: ReadonlyMap<string, string>;
}

/**
 * Reads a command with its arguments and options; options may stand anywhere. `extra` are options beside
 * {@link COMMON_OPTIONS} that may stand there too. Throws {@link UsageError}.
 */
export function parseCommand(words: readonly string[], extra: readonly OptionSpec[] = []): ParsedLine {
  const everywhere = [...COMMON_OPTIONS, ...extra];
  const specs = new Map(
    [...everywhere, ...COMMANDS.flatMap(({ options }) => options)].map((spec) => [spec.name, spec]),
  );
  const parsed = parseArguments(words, [...specs.values()]);
  const [name, ...positionals] = parsed.positionals;
  const command = name === undefined ? null : commandNamed(name.text);
  const allowed = [...everywhere, ...command?.options ?? []].map((spec) => spec.name);
  for (const option of parsed.options.keys()) {
    if (!allowed.includes(option)) throw misplacedOption(option, command);
  }
  if (command === null) return { call: null, options: parsed.options };
  if (parsed.options.has("help")) {
    const args = new Map([["command", { text: command.name, literal: true }]]);
    return { call: { command: HELP, args, options: parsed.options }, options: parsed.options };
  }
  return { call: bindArguments(command, { positionals, options: parsed.options }), options: parsed.options };
}

function misplacedOption(option: string, command: Command | null): UsageError {
  const owners = COMMANDS.filter(({ options }) => options.some(({ name }) => name === option)).map((
    { name },
  ) => name);
  return new UsageError(
    command === null
      ? `--${option} is an option of ${owners.join(", ")}; name the command.`
      : `${command.name} has no option --${option}; ${owners.join(", ")} has. See help ${command.name}.`,
  );
}
