/** Mutants of the command line: arguments, terminal output, and exit codes for scripts and supervisors. */
import { CLI, SERVER } from "./checks.ts";
import { inFile, type Mutant } from "./mutant.ts";

export const COMMAND_LINE_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/cli/shell/history_search.ts", [CLI], [
    {
      id: "M3052",
      title: "Enter at Ctrl-R runs the line from before the search",
      failure: "another line is run than the one that is shown",
      from: "return { line: this.line, rest",
      to: "return { line: this.#before, rest",
    },
  ]),
  ...inFile("lib/cli/shell/shell.ts", [CLI], [
    {
      id: "M3053",
      title: "a line with a password is kept in the history file",
      failure: "a password that was refused stays readable on the disk",
      from: "      const parsed = parseLine(line);\n      this.#keep(line);",
      to: "      this.#keep(line);\n      const parsed = parseLine(line);",
    },
  ]),
  ...inFile("lib/cli/shell/history_file.ts", [CLI], [
    {
      id: "M3054",
      title: "a damaged line of the history file is taken",
      failure: "a file that another program wrote commands the terminal",
      from: "text.length <= MAX_KEPT_CHARACTERS && isPrintable(text) &&",
      to: "text.length <= MAX_KEPT_CHARACTERS &&",
    },
  ]),
  ...inFile("lib/cli/commands/keys/delete.ts", [CLI], [
    {
      id: "M3050",
      title: "delete --prefix deletes after any answer",
      failure: "Enter, or Ctrl-C at the question, deletes all keys of a prefix",
      from: "if (isMeant !== true) return",
      to: "if (isMeant === undefined) return",
    },
    {
      id: "M3051",
      title: "delete --prefix does not stop at Ctrl-C",
      failure: "the wrong prefix, noticed too late, is deleted to its last key",
      from: "        signal?.throwIfAborted();\n        const range",
      to: "        const range",
    },
  ]),
  ...inFile("lib/cli/server_tools.ts", [CLI], [
    {
      id: "M355",
      title: "an unreadable file ends a tool with the exit code of damage",
      failure: "a script that checks backups throws one away that another user owns",
      from: "if (isSystemErrorCode(error.code)) return",
      to: "if (false) return",
    },
  ]),
  ...inFile("lib/cli/text.ts", [CLI], [
    {
      id: "M270",
      title: "a terminal is sent text as it is",
      failure: "a hostile node's error or a hostile backup commands the operator's terminal",
      from: "position % 2 === 0 ? escapeUnprintable(part) : STYLES[part] ?? part",
      to: "position < 0 ? escapeUnprintable(part) : STYLES[part] ?? part",
    },
    {
      id: "M273",
      title: "a quote within a quoted word is not quoted",
      failure: "the hint of the next page, pasted into a shell, names another key or runs a command",
      from: `text.replaceAll("'", "'\\\\''")`,
      to: "text",
    },
  ]),
  ...inFile("lib/server/config/config_file.ts", [SERVER], [
    {
      id: "M271",
      title: "the nesting of a config file has no limit",
      failure: "the parser overflows the stack, and the server ends with a fault of kvraft's own",
      from: "if (depth <= MAX_DEPTH) continue;",
      to: "if (depth <= 100_000 * MAX_DEPTH) continue;",
    },
  ]),
  ...inFile("lib/cli/arguments.ts", [CLI], [
    {
      id: "M272",
      title: "only an argument that is U+FFFD alone is refused",
      failure: "two keys that are no UTF-8 become one, and a wrong one is deleted",
      from: 'arg.includes("\\ufffd")',
      to: 'arg === "\\ufffd"',
    },
  ]),
  ...inFile("lib/cli/txn/grammar.ts", [CLI], [
    {
      id: "M450",
      title: "an option in place of a value is taken as the value",
      failure: "put k --previous, with the value forgotten, writes --previous",
      from: "(isMarked && !isLiteral)",
      to: "(isMarked && isLiteral && !isLiteral)",
    },
    {
      id: "M451",
      title: "what follows a complete transaction is ignored",
      failure: "a mistyped word drops the operations after it, and the rest is applied",
      from: "if (!this.isAtEnd) throw this.#unexpected();",
      to: "",
    },
    {
      id: "M452",
      title: "absent is read as exists",
      failure: "a lock that is held is taken again",
      from: "exists: false };",
      to: "exists: true };",
    },
  ]),
  ...inFile("lib/cli/txn/json.ts", [CLI], [
    {
      id: "M453",
      title: "an unknown field of a transaction is ignored",
      failure: "a mistyped check does not guard the write",
      from: "find((name) => !this.#read.has(name))",
      to: 'find((name) => name === "" && !this.#read.has(name))',
    },
  ]),
  ...inFile("lib/cli/commands/keys/txn.ts", [CLI], [
    {
      id: "M454",
      title: "txn ends with 0 when its conditions did not hold",
      failure: "a script goes on as if it had the lock",
      from: "exitCode: succeeded ? ExitCode.done : ExitCode.no,",
      to: "exitCode: ExitCode.done,",
    },
  ]),
  ...inFile("lib/cli/errors.ts", [CLI], [
    {
      id: "M274",
      title: "a server ends with 1 for every error that has a name",
      failure:
        "a supervisor does not restart a node that a restart would repair, such as one without descriptors",
      from: "PERMANENT_ERRORS.has(code) ? ExitCode.no : ExitCode.internal",
      to: 'code === "" ? ExitCode.internal : ExitCode.no',
    },
  ]),
  ...inFile("lib/cli/client.ts", [CLI], [
    {
      id: "M275",
      title: "an answer that could not be written is not reported",
      failure: "a script takes a write that was applied for one that was not",
      from: "throw error instanceof OutputError ? answerLost(answer, error) : error;",
      to: "throw error;",
    },
  ]),
  ...inFile("lib/cli/input.ts", [CLI], [
    {
      id: "M276",
      title: "a byte order mark belongs to the first line",
      failure: "files that an editor saved with one can't be imported",
      from: "const start = hasMark ? BYTE_ORDER_MARK.length : 0;",
      to: "const start = hasMark ? 0 : 0;",
    },
  ]),
  ...inFile("lib/cli/shell/line_editor.ts", [CLI], [
    {
      id: "M277",
      title: "pasted text is given to readline one character after the other",
      failure: "a pasted line of 2,000 characters stops the shell for 14 s",
      from: "\\x9f]{2,}/;",
      to: "\\x9f]{200000,}/;",
    },
    {
      id: "M278",
      title: "a NUL and line separators that are typed go to readline",
      failure: "the shell drops the NUL, or cuts the line, and runs another command than was typed",
      from: "typed.replace(UNKEPT, REPLACEMENT)",
      to: "typed",
    },
  ]),
  ...inFile("lib/cli/commands/keys/get.ts", [CLI], [
    {
      id: "M279",
      title: "a value is always followed by a newline",
      failure: "`get key > file` writes another file than was put",
      from: "view.isTerminal || view.isOneOfMany",
      to: "view.isTerminal || view.columns > 0",
    },
  ]),
  ...inFile("lib/cli/registry.ts", [CLI], [
    {
      id: "M860",
      title: "an option has a value if it has one in some command",
      failure: "`watch --prefix app/` watches nothing: the key is taken as the prefix",
      from: "const own = likely?.options ?? []",
      to: "const own = likelyCommand([], everywhere)?.options ?? []",
    },
  ]),
  ...inFile("lib/cli/commands/coordination/hold.ts", [CLI], [
    {
      id: "M861",
      title: "a lost lock is reported as released",
      failure: "a script goes on as if it had held the lock to the end",
      from: "if (lost.aborted) throw lossOf(",
      to: "if (lost.aborted && user.aborted) throw lossOf(",
    },
    {
      id: "M862",
      title: "a lock is kept when its answer cannot be written",
      failure: "`lock … | head -0` keeps the lock until its lease ends",
      from: "if (!lost.aborted) await held.end();",
      to: "if (!lost.aborted && user.aborted) await held.end();",
    },
    {
      id: "M863",
      title: "--wait sets no limit",
      failure: "a job that gives up after a minute waits for the lock for hours",
      from: "clock.after(waitMs, () => limit.abort(",
      to: "clock.after(waitMs, () => void (",
    },
  ]),
  ...inFile("lib/cli/commands/coordination/lease.ts", [CLI], [
    {
      id: "M864",
      title: "keep-alives stop being sent after one that failed",
      failure: "a lease ends though its cluster was away for a second only",
      from: "pauseMs = RETRY_MS;",
      to: "pauseMs = RETRY_MS * 1_000;",
    },
  ]),
  ...inFile("lib/cli/commands/coordination/watch.ts", [CLI], [
    {
      id: "M865",
      title: "every attempt to begin a watch again is reported",
      failure: "standard error fills with lines while a cluster is away",
      from: "if (this.#isInterrupted) return;",
      to: "if (this.#isInterrupted && this.#events < 0) return;",
    },
    {
      id: "M866",
      title: "changes of one revision are not marked as such",
      failure: "a reader of the JSON acts on half of a transaction",
      from: "hasMore: position < events.length - 1",
      to: "hasMore: position < 0",
    },
  ]),
  ...inFile("lib/cli/shell/shell.ts", [CLI], [
    {
      id: "M867",
      title: "the shell is left at once while a command runs",
      failure: "a lock that Ctrl-D was to release is held until its lease ends",
      from: "await this.#untilIdle();",
      to: "void this.#untilIdle();",
    },
  ]),
  ...inFile("lib/cli/commands/keys/import.ts", [CLI], [
    {
      id: "M868",
      title: "keys of leases are imported as keys that stay",
      failure: "a service that stopped before the export is listed for good",
      from: "if (pair.leaseId !== undefined && !this.#selection.dropsLeases)",
      to: "if (pair.leaseId !== undefined && this.#selection.skipped > 0)",
    },
  ]),
  ...inFile("lib/cli/commands/keys/put_batches.ts", [CLI], [
    {
      id: "M2955",
      title: "two puts of one key are in flight",
      failure: "of two lines with one key, the earlier value stays",
      from: "this.#collected.keys().every((id) => !this.#keysInFlight.has(id))",
      to: "this.#collected.keys().every((id) => id.length > 0)",
    },
  ]),
  ...inFile("lib/cli/formats/redis/rdb.ts", [CLI], [
    {
      id: "M2956",
      title: "the checksum of an RDB file is not compared",
      failure: "changed bytes of a dump are imported without an error",
      from: "if (written === 0n || written === computed) return;",
      to: "if (written === 0n || written !== 1n) return;",
    },
  ]),
  ...inFile("lib/cli/formats/redis/keys.ts", [CLI], [
    {
      id: "M2957",
      title: "keys of all databases of Redis are imported",
      failure: "a key of database 3 replaces that of database 0",
      from: "if (found.database !== (database ?? 0)) {",
      to: "if (found.database < 0) {",
    },
  ]),
  ...inFile("lib/cli/formats/json_dumps.ts", [CLI], [
    {
      id: "M2958",
      title: "the number of keys that etcd reports is not compared",
      failure: "a dump that lost lines is imported without an error",
      from: 'typeof count === "number" && count !== number - before',
      to: 'typeof count === "number" && count < 0',
    },
  ]),
  ...inFile("lib/cli/formats/redis/commands.ts", [CLI], [
    {
      id: "M3201",
      title: "strings of an append-only file that are too long are held",
      failure: "an import of a file of some kilobytes takes hours and half a gigabyte",
      from: "given === null || given.length > MAX_VALUE_BYTES ? null : given",
      to: "given",
    },
    {
      id: "M3202",
      title: "a string of an append-only file shares its bytes with its copy",
      failure: "an import puts values that the server never had",
      from: "isMove ? state.value : state.value?.slice() ?? null",
      to: "state.value",
    },
  ]),
  ...inFile("lib/cli/formats/redis/aof.ts", [CLI], [
    {
      id: "M2959",
      title: "an append-only file may end within a transaction",
      failure: "an import of a file that is cut off succeeds",
      from: "if (transaction !== null) throw",
      to: "if (number < 0) throw",
    },
    {
      id: "M3129",
      title: "a transaction of an append-only file has no bound",
      failure: "a file that begins a transaction and never ends it takes the memory of the machine",
      from: "if (transactionBytes > maxTransactionBytes) {",
      to: "if (transactionBytes > Infinity) {",
    },
  ]),
  ...inFile("lib/cli/contexts/target.ts", [CLI], [
    {
      id: "M3000",
      title: "the context in use adds its sign-in to nodes that a variable names",
      failure: "the token of one cluster is sent to another",
      from: 'nodesAlone(cluster, { origin: "KVRAFT_CLUSTER", options })',
      to:
        '({ ...inUse(options, environment) ?? { context: null, options }, origin: "KVRAFT_CLUSTER", cluster })',
    },
    {
      id: "M3001",
      title: "a user of the command line does not replace the token of the context",
      failure: "a command runs as another user than it names, or not at all",
      from: 'options.has("user") || options.has("token-file")',
      to: 'options.has("token-file")',
    },
  ]),
  ...inFile("lib/server/config/reading.ts", [SERVER], [
    {
      id: "M3002",
      title: "settings that are wrong are compared with others",
      failure: "an error names a contradiction to a value that was never given",
      from: "if (!of.some((name) => wrong.has(name))) problems.push(error);",
      to: "problems.push(error);",
    },
  ]),
  ...inFile("lib/server/config/option_kinds.ts", [SERVER], [
    {
      id: "M3003",
      title: "amounts are shown in the smallest unit of which they are a whole number",
      failure: "a size is printed as 65536KiB in place of 64MiB",
      from: ".findLast(([, factor]) =>",
      to: ".find(([, factor]) =>",
    },
  ]),
  ...inFile("lib/server/startup/config_files.ts", [CLI], [
    {
      id: "M3004",
      title: "--check-config does not open the files of TLS",
      failure: "a key of another certificate is found only by the start that it prevents",
      from: "unreadable.length === 0 ? problemOf(openTls) : []",
      to: "unreadable.length < 0 ? problemOf(openTls) : []",
    },
  ]),
  ...inFile("lib/cli/processes/reload.ts", [CLI], [
    {
      id: "M3005",
      title: "a setting that needs a restart is said to have changed",
      failure: "an operator believes that the server uses a value that it does not",
      from: "if (!this.#isLive(name)) {",
      to: "if (!this.#isLive(name) && to.length < 0) {",
    },
  ]),
  ...inFile("lib/cli/options.ts", [CLI], [
    {
      id: "M869",
      title: "a time may be below its least value",
      failure: "a lock waits for 0 ms, and a lease of 1 ms is asked for",
      from: "durationMs >= minMs &&",
      to: "durationMs >= 0 &&",
    },
  ]),
];
