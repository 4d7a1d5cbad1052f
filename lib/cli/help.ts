/** Help pages, made from the tables of commands and options. */
import { SERVER_OPTIONS } from "../server/config/config.ts";
import { type OptionSpec, optionUsage } from "./arguments.ts";
import { REPORT_OPTIONS } from "./processes/config_report.ts";
import { argumentsUsage, type Command, commandUsage } from "./command.ts";

/** The text of `kvraft --help`. */
export const MAIN_HELP = `kvraft: a linearizable key-value store of 1 to 7 nodes

Usage:
  kvraft server --node-id <n> --bind <host:port> --cluster <nodes> [options]
  kvraft server inspect | restore | recover [options]
  kvraft secret new
  kvraft client --cluster <nodes> [options] [command [arguments]]
  kvraft gateway --cluster <nodes> --bind | --etcd | --denokv <host:port> [options]
  kvraft --help | --version

  kvraft server --help    a node: its options, with examples
  kvraft client --help    the client and its shell: options, commands, exit codes
  kvraft gateway --help   serve clients, etcd v3 and Deno KV from a process beside the nodes
  kvraft secret new       print a new secret for --peer-secret-file of all nodes

Example, a cluster of one node and a first key:
  kvraft server --node-id 1 --bind 127.0.0.1:7001 --cluster 1=127.0.0.1:7001 &
  kvraft client --cluster 127.0.0.1:7001 put greeting hello
`;

/** The text of `kvraft secret --help`. */
export const SECRET_HELP = `Prints a new secret, 32 random bytes as text, for --peer-secret-file of all nodes.

Usage:
  kvraft secret new

Nothing is stored: write it to a file that only its owner can read, and copy the file to each node.

Example:
  (umask 077; kvraft secret new > peer.secret)
  kvraft server --node-id 1 --bind 127.0.0.1:7001 --cluster 1=127.0.0.1:7001 --peer-secret-file peer.secret
`;

/** Returns the text of `kvraft server --help`. `tools`: the lines on the tools. */
export function serverHelp(tools: string): string {
  const rows = SERVER_OPTIONS.map((option): [string, string] => {
    const fallback = option.fallback === null ? "(required)" : `(default ${option.fallback})`;
    const first = `${option.help} ${fallback}`;
    const text = first.length <= MAX_HELP_COLUMNS
      ? `${first}\n${option.allowed}`
      : `${option.help}\n${option.allowed} ${fallback}`;
    return [optionUsage(option), text];
  });
  rows.push(...REPORT_OPTIONS.map((option): [string, string] => [optionUsage(option), option.help]));
  rows.push(["--help", "explain, and do nothing"]);
  return `Runs one node of a cluster.

Usage:
  kvraft server --node-id <n> --bind <host:port> --cluster <nodes> [--data-dir <path>] [options]

Options:
${columns(rows, MAX_OPTION_COLUMNS)}

It reads the files that its options and the configuration file name, and writes --data-dir and --backup-to, nothing
else. With data in ./data or /var/lib/kvraft and those files in /etc/kvraft, the compiled program gives its permission
for all other files back when it starts; elsewhere it refuses them itself (docs/security.md).

It prints one line to standard output when it is ready, logs to standard error, and stops cleanly on SIGINT and
SIGTERM; a second signal ends it at once.

Exit codes: 0 stopped; 1 no restart helps: it was removed, or its directory is damaged, incomplete or another node's;
2 usage; 70 any other reason to stop, which may be gone at the next start: let a supervisor restart it.

Examples:
  kvraft server --node-id 1 --bind 127.0.0.1:7001 \\
    --cluster 1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003
  kvraft server --config node1.json --log-format json
  kvraft server --config node1.json --check-config

node1.json, with the names of the options as keys:
  {
    // this node
    "node-id": 1,
    "bind": "0.0.0.0:7001",
    "cluster": "1=node1:7001,2=node2:7001,3=node3:7001"
  }

For backups, and for the directories of stopped servers (each explains itself with --help):
${tools}
`;
}

/** Returns the text of `kvraft client --help`. */
export function clientHelp(options: readonly OptionSpec[], commands: readonly Command[]): string {
  return `Talks to a cluster: one command, a shell, or commands from standard input.

Usage:
  kvraft client --cluster <nodes> [options]                        the shell
  kvraft client --cluster <nodes> [options] <command> [arguments]  one command
  kvraft client --cluster <nodes> [options] < file                 one command a line, quoted as in the shell

Options:
${columns(options.map((option) => [optionUsage(option), option.help]))}

${helpOfCommands(commands)}
Values come from the argument, from standard input (-), or from a file (--file). As text, what is not printable is
shown with escapes (\\n, \\xHH) that the shell understands. A get into a pipe or file gives the value's bytes and
nothing else; on a terminal, and with commands from standard input, a newline follows.

Bytes that are not UTF-8 can't be arguments: write them as \\xHH with --escapes ('\\n', '\\\\' and '\\u{H…}' work too),
a key also as --key-base64, a value also as - or --file.

With commands from standard input every line is run, also after one that failed, and the exit code is the
highest of all. A line that begins with # is a comment.

Exit codes: 0 done; 1 the answer is no (key not found, compare failed, conditions of a transaction did not hold,
change refused, no such lease, lock lost or not had in time, doctor found something); 2 usage, also a revision that
the history does not have; 3 the cluster could not be reached or has no leader, and nothing happened; 4 a write or
change whose outcome is not known; 5 done, but standard output did not take the answer, or the results of a
transaction are no longer known (standard error has the outcome); 6 not signed in, or not permitted, and nothing was
changed; 70 a fault in kvraft.

The cluster is named by --cluster or --context; else by KVRAFT_CLUSTER or KVRAFT_CONTEXT; else it is the context in
use (help context). What names only nodes uses nothing of a context, so that no cluster gets another's token.

Passwords and tokens are never arguments: --user asks for the password, or a file or standard input has it.

Examples:
  kvraft client --cluster 127.0.0.1:7001 put greeting hello
  kvraft client --cluster 127.0.0.1:7001,127.0.0.1:7002 list user: --limit 10 --output json
  kvraft client --cluster 127.0.0.1:7001 put photo - < photo.jpg
`;
}

/** Returns the text of `help`: all commands. */
export function helpOfCommands(commands: readonly Command[]): string {
  const rows = commands.map((command): [string, string] => [
    argumentsUsage(command),
    command.summary,
  ]);
  const [first] = commands;
  const how = first === undefined
    ? ""
    : `\n\nhelp ${first.name} explains ${first.name}, with its options and an example.`;
  return `Commands:\n${columns(rows)}${how}\n`;
}

/** Returns the text of `help put`: one command. */
export function helpOfCommand(command: Command, common: readonly OptionSpec[]): string {
  const rows = [...command.options, ...common].map((
    option,
  ): [string, string] => [optionUsage(option), option.help]);
  const [typed = "", ...shown] = command.example;
  const details = command.details.map((line) => `${line}\n`).join("");
  const example = [`  > ${typed}`, ...shown.map((line) => `  ${line}`)].join("\n");
  return `${commandUsage(command)}\n${sentence(command.summary)}\n${details}\nOptions:\n${
    columns(rows)
  }\n\nExample:\n${example}\n`;
}

/** The width of the text of an option, which ends within 120 columns then. */
const MAX_HELP_COLUMNS = 88;
/** The width of the options of a server; the text of a longer one begins on the next line. */
const MAX_OPTION_COLUMNS = 28;

/**
 * Returns two indented columns, the second one aligned; a newline in it starts another line of it. Behind a first column
 * of more than `maxWidth` the second one begins on the next line.
 */
export function columns(rows: readonly (readonly [string, string])[], maxWidth = Infinity): string {
  const width = Math.max(...rows.map(([left]) => left.length).filter((length) => length <= maxWidth));
  return rows.map(([left, right]) => {
    const [first = "", ...rest] = (left.length > width ? `\n${right}` : right).split("\n");
    return [
      `  ${left.padEnd(width)}  ${first}`.trimEnd(),
      ...rest.map((line) => `  ${" ".repeat(width)}  ${line}`),
    ]
      .join("\n");
  }).join("\n");
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
