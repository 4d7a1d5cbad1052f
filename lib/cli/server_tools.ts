/** The tools for stopped servers: `kvraft server inspect`, `restore` and `recover`. */
import {
  integerOfText,
  type OptionSpec,
  optionUsage,
  parseArguments,
  type ParsedArguments,
} from "./arguments.ts";
import { OUTPUT, outputOf } from "./options.ts";
import type { Environment } from "./environment.ts";
import { ExitCode, type Failure, failureOf, OutputError, UsageError } from "./errors.ts";
import { columns } from "./help.ts";
import { readLines } from "./input.ts";
import { failureAsJson, jsonText } from "./json.ts";
import { inspectText, membersText } from "./inspect_text.ts";
import { countOf, escapeText, escapeUnprintable, shellWord, sizeText, textOfBytes } from "./text.ts";
import { shortened, wrongPathReason } from "../platform/errors.ts";
import { AddressError, formatAddress, parseMemberAddress, parseMembers } from "../server/config/config.ts";
import type {
  RecoverReport,
  RecoveryStakes,
  RestoreRequest,
  ServerTools,
} from "../server/tools/tools_port.ts";

/** Longest line in which the cluster id is typed. */
const MAX_CONFIRMATION_BYTES = 1_024;

/** Dependencies of a tool. */
interface Dependencies {
  readonly environment: Environment;
  readonly tools: ServerTools;
}

interface Tool {
  readonly name: string;
  /** Usage after the name, without the options. */
  readonly usage: string;
  readonly options: readonly OptionSpec[];
  readonly summary: string;
  /** Whole lines. */
  readonly details: readonly string[];
  readonly examples: readonly string[];
  run(parsed: ParsedArguments, dependencies: Dependencies): Promise<ExitCode>;
}

const HELP: OptionSpec = { name: "help", placeholder: null, help: "explain, and do nothing" };
const NODE_ID: OptionSpec = { name: "node-id", placeholder: "<n>", help: "which node the directory is for" };
const DATA_DIR: OptionSpec = {
  name: "data-dir",
  placeholder: "<path>",
  help: "the directory (./data/node-<n>)",
};

const DISABLE_AUTH: OptionSpec = {
  name: "disable-auth",
  placeholder: null,
  help: "clients need not sign in until auth enable: every password and token of the role root was lost",
};

const CHECK: OptionSpec = {
  name: "check",
  placeholder: null,
  help: "only say whether --from can be restored, and what it has; nothing is written",
};

const DEEP: OptionSpec = {
  name: "deep",
  placeholder: null,
  help: "also load the state into memory, with the committed log, and check its complete structure",
};

const INSPECT: Tool = {
  name: "inspect",
  usage: "<path>",
  options: [DEEP, OUTPUT, HELP],
  summary: "say what is in a backup or in the data directory of a stopped node",
  details: [
    "Changes nothing. Exit codes: 0 all of it can be read; 1 something is damaged, or it is neither; 2 usage,",
    "or it could not be read, which is no damage.",
  ],
  examples: ["kvraft server inspect backup.snap", "kvraft server inspect --deep ./data/node-1"],
  async run(parsed, { environment, tools }): Promise<ExitCode> {
    const [path, extra] = parsed.positionals.map(({ text }) => text);
    if (path === undefined || extra !== undefined) {
      throw new UsageError(
        "inspect takes one path, of a backup or a data directory. Example: kvraft server inspect data/node-1",
      );
    }
    const report = await tools.inspect(path, { isDeep: parsed.options.has("deep") });
    const isJson = outputOf(parsed.options) === "json";
    await environment.stdout.write(isJson ? `${jsonText(report)}\n` : inspectText(report));
    return report.damage.length === 0 ? ExitCode.done : ExitCode.no;
  },
};

const RESTORE: Tool = {
  name: "restore",
  usage: "--from <file> --node-id <n> --cluster <nodes>",
  options: [
    { name: "from", placeholder: "<file>", help: "the backup, made with client snapshot save (required)" },
    NODE_ID,
    {
      name: "cluster",
      placeholder: "<nodes>",
      help: "every node of the new cluster, as id=host:port (required)",
    },
    DATA_DIR,
    { name: "cluster-name", placeholder: "<name>", help: "the same on every node (kvraft)" },
    DISABLE_AUTH,
    CHECK,
    OUTPUT,
    HELP,
  ],
  summary: "make the data directory of one node of a new cluster out of a backup",
  details: [
    "With --check it does all of that in memory and writes nothing: it says what the file has and whether a restore would",
    "succeed. Exit codes then: 0 it would; 1 the file is damaged or cannot be restored; 2 usage, or it could not be read.",
    "Run it once for each node of --cluster, with the same file, on the machine where the node is to run. The cluster is",
    "a new one with an id of its own: nodes of the old one are refused by it.",
  ],
  examples: [
    "kvraft server restore --from backup.snap --node-id 1 --cluster 1=10.0.0.1:7001,2=10.0.0.2:7001,3=10.0.0.3:7001",
    "kvraft server restore --check --from backup.snap",
  ],
  async run(parsed, { environment, tools }): Promise<ExitCode> {
    refusePositionals(parsed);
    const from = required(parsed, "from", RESTORE);
    if (parsed.options.has(CHECK.name)) return await checkRestore(from, { parsed, environment, tools });
    if (parsed.options.has(OUTPUT.name)) throw new UsageError("--output is for restore --check.");
    const nodeId = nodeIdOf(required(parsed, "node-id", RESTORE));
    const members = addressOf("--cluster", () => parseMembers(required(parsed, "cluster", RESTORE)));
    if (!members.some(({ id }) => id === nodeId)) {
      throw new UsageError(
        `--node-id is ${nodeId}, and --cluster has ${members.map(({ id }) => id).join(", ")}.`,
      );
    }
    const dataDir = writableDirectory(parsed.options.get("data-dir") ?? `./data/node-${nodeId}`, environment);
    const clusterName = clusterNameOf(parsed.options.get("cluster-name") ?? "kvraft");
    const disablesAuth = parsed.options.has(DISABLE_AUTH.name);
    const request = { from, nodeId, members, dataDir, clusterName, disablesAuth };
    const report = await tools.restore(request);
    await environment.stdout.write(
      `Restored ${dataDir} for node ${nodeId} of the new cluster ${report.clusterId}: ${
        countOf(report.keys, "key")
      }, ` +
        `revision ${report.revision}.\n${nextAfterRestore(request)}${disablesAuth ? AUTH_IS_DISABLED : ""}`,
    );
    return ExitCode.done;
  },
};

/** Options that `restore --check` takes. */
const CHECK_OPTIONS = [CHECK, OUTPUT].map(({ name }) => name).concat("from");

/** Runs `restore --check`. */
async function checkRestore(
  from: string,
  { parsed, environment, tools }: Dependencies & { readonly parsed: ParsedArguments },
): Promise<ExitCode> {
  const other = [...parsed.options.keys()].find((name) => !CHECK_OPTIONS.includes(name));
  if (other !== undefined) {
    throw new UsageError(`restore --check makes nothing, so it does not take --${other}.`);
  }
  const { file, restored } = await tools.checkRestore(from);
  const text = restored === null
    ? inspectText(file)
    : `${
      inspectText(file)
    }it can be restored: the new cluster continues from revision ${restored.revision}, ` +
      `with ${sizeText(restored.bytes)} of state\n`;
  const isJson = outputOf(parsed.options) === "json";
  await environment.stdout.write(isJson ? `${jsonText({ ...file, restored })}\n` : text);
  return restored === null ? ExitCode.no : ExitCode.done;
}

const RECOVER: Tool = {
  name: "recover",
  usage: "--data-dir <path>",
  options: [
    { ...DATA_DIR, help: "the directory of the survivor (required)" },
    { ...NODE_ID, help: "the node whose directory it must be" },
    { name: "address", placeholder: "<host:port>", help: "where it is dialled from now on (where it was)" },
    { name: "yes", placeholder: "<id>", help: "the cluster's id, in place of typing it" },
    DISABLE_AUTH,
    HELP,
  ],
  summary: "a majority is lost for good: make a cluster of one node out of a survivor",
  details: [
    "The last resort: writes that were acknowledged and never reached this node are lost. Inspect every directory that is",
    "left, and take the node with the highest last term; among those, the highest last index. Never start the others",
    "again: they join again, with empty directories and new ids. Keep a copy of the directory.",
  ],
  examples: ["kvraft server recover --data-dir ./data/node-2"],
  async run(parsed, { environment, tools }): Promise<ExitCode> {
    refusePositionals(parsed);
    const dataDir = writableDirectory(required(parsed, "data-dir", RECOVER), environment);
    const nodeId = parsed.options.get("node-id");
    const address = parsed.options.get("address");
    const confirmation = parsed.options.get("yes") ?? null;
    const disablesAuth = parsed.options.has(DISABLE_AUTH.name);
    const report = await tools.recover({
      dataDir,
      disablesAuth,
      nodeId: nodeId === undefined ? null : nodeIdOf(nodeId),
      address: address === undefined
        ? null
        : addressOf("--address", () => formatAddress(parseMemberAddress(address))),
      confirm: (stakes) => confirm(stakes, { confirmation, environment }),
    });
    if (report === null) {
      environment.stderr.write("kvraft: that is not the cluster's id; nothing was changed.\n");
      return ExitCode.no;
    }
    await environment.stdout.write(
      `Node ${report.nodeId} is a cluster of its own now, ${report.clusterId}, with the log to index ` +
        `${report.lastIndex}.\n${nextAfterRecover(report, dataDir)}${disablesAuth ? AUTH_IS_DISABLED : ""}`,
    );
    return ExitCode.done;
  },
};

const TOOLS: readonly Tool[] = [INSPECT, RESTORE, RECOVER];

/** Names of the tools, which may follow `kvraft server`. */
export const TOOL_NAMES: readonly string[] = TOOLS.map(({ name }) => name);

/** Runs the tool that `args` begin with, and reports its errors. Resolves to null if they name no tool. */
export async function serverTool(
  args: readonly string[],
  dependencies: Dependencies,
): Promise<ExitCode | null> {
  const [name, ...rest] = args;
  const tool = TOOLS.find((candidate) => candidate.name === name);
  if (tool === undefined) return null;
  const { environment } = dependencies;
  try {
    const parsed = parseArguments(rest, tool.options);
    if (!parsed.options.has("help")) return await tool.run(parsed, dependencies);
    await environment.stdout.write(toolHelp(tool));
    return ExitCode.done;
  } catch (error) {
    const failure = failureOfTool(error);
    if (failure === null) throw error;
    const { code, exitCode } = failure;
    const message = escapeUnprintable(failure.message);
    const isJson = rest.includes("--output=json") || rest[rest.indexOf("--output") + 1] === "json";
    environment.stderr.write(
      isJson ? `${failureAsJson({ code, message, exitCode })}\n` : `kvraft: ${message}\n`,
    );
    return exitCode;
  }
}

/** Returns the report of an error with a stable name, or of a path outside of the permissions; null for others. */
function failureOfTool(error: unknown): Failure | null {
  if (error instanceof OutputError) return failureOf(error);
  if (error instanceof Deno.errors.NotCapable) return failureOf(outsideOfPermissions(error.message));
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return null;
  if (isSystemErrorCode(error.code)) return cannotRead(error, error.code);
  const exitCode = error instanceof UsageError ? ExitCode.usage : ExitCode.no;
  return { code: error.code, message: error.message, exitCode };
}

/** Returns whether an error has a name of the operating system (`EACCES`): a file or directory could not be read. */
function isSystemErrorCode(code: string): boolean {
  return /^E[A-Z0-9]+$/.test(code);
}

/**
 * Returns the report of a file that could not be read. It is distinct from damage, so that a script does not discard a
 * good backup.
 */
function cannotRead(error: Error, code: string): Failure {
  const { message } = error;
  const path = / '([^']*)'$/.exec(message)?.[1] ?? "the path";
  const wrongPath = wrongPathReason(error);
  const reason = wrongPath ?? message.replace(/^E[A-Z0-9]+: /, "").replace(/, \w+ '[^']*'$/, "");
  const advice = code === "ENOENT" || wrongPath !== null
    ? "Check the path"
    : code === "EACCES" || code === "EPERM"
    ? "Give this process the right to read it (`chown -R`, `chmod -R u+rwX`)"
    : "Check the disk";
  return {
    code: "unreadable",
    message:
      `Cannot read ${path}: ${reason}. This is not damage, and nothing was changed. ${advice}, and try again.`,
    exitCode: ExitCode.usage,
  };
}

/** Returns the error for a path outside of the permissions. `message`: that of Deno, which has the path. */
function outsideOfPermissions(message: string): UsageError {
  const path = /"([^"]*)"/.exec(message)?.[1] ?? "the path";
  return new UsageError(
    `Cannot read ${path}: the permissions that this program was compiled or started with exclude it. Copy the file ` +
      "to another place, or give it as standard input and name /dev/stdin.",
  );
}

/** Returns the lines on the tools for the help of the server. */
export function toolsHelp(): string {
  const rows = TOOLS.map((
    { name, usage, summary },
  ): [string, string] => [`kvraft server ${name} ${usage}`, summary]);
  return rows.map(([usage, summary]) => `  ${usage}\n      ${summary}`).join("\n");
}

function toolHelp({ name, usage, options, summary, details, examples }: Tool): string {
  const rows = options.map((option): [string, string] => [optionUsage(option), option.help]);
  return [
    `kvraft server ${name} ${usage} [options]`,
    `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`,
    ...details,
    "",
    "Options:",
    columns(rows),
    "",
    examples.length === 1 ? "Example:" : "Examples:",
    ...examples.map((example) => `  ${example}`),
    "",
  ].join("\n");
}

/**
 * Shows what would be lost, and returns whether the user confirmed it. Throws {@link UsageError} without a terminal.
 */
async function confirm(
  stakes: RecoveryStakes,
  { confirmation, environment }: { readonly confirmation: string | null; readonly environment: Environment },
): Promise<boolean> {
  environment.stderr.write(stakesText(stakes));
  if (confirmation !== null) return confirmation === stakes.clusterId;
  if (!environment.stdin.isTerminal) {
    throw new UsageError(
      `Cannot ask for confirmation: standard input is not a terminal. To confirm: --yes=${stakes.clusterId}`,
    );
  }
  environment.stderr.write("Type the cluster's id to continue, anything else to change nothing: ");
  for await (const line of readLines(environment.stdin.stream, MAX_CONFIRMATION_BYTES)) {
    return line.kind === "line" && textOfBytes(line.bytes)?.trim() === stakes.clusterId;
  }
  return false;
}

function refusePositionals({ positionals: [extra] }: ParsedArguments): void {
  if (extra !== undefined) {
    throw new UsageError(`"${shortened(extra.text)}" is not an option. See --help.`);
  }
}

function required({ options }: ParsedArguments, name: string, tool: Tool): string {
  const text = options.get(name);
  if (text !== undefined) return text;
  throw new UsageError(`${tool.name} needs --${name}. Example: ${tool.examples[0]}`);
}

function nodeIdOf(text: string): number {
  return integerOfText(text, { name: "--node-id", min: 1, max: Number.MAX_SAFE_INTEGER });
}

function clusterNameOf(text: string): string {
  if (/^[A-Za-z0-9._-]{1,64}$/.test(text)) return text;
  throw new UsageError(
    `--cluster-name must be 1 to 64 letters, digits, dots, dashes and underscores, not "${
      shortened(text)
    }". Example: orders`,
  );
}

/** Returns what `read` returns; an invalid address or list becomes a usage error of `option`. */
function addressOf<T>(option: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof AddressError) throw new UsageError(`${option}: ${error.message}`);
    throw error;
  }
}

function writableDirectory(path: string, environment: Environment): string {
  if (environment.mayWrite(path)) return path;
  throw new UsageError(
    `--data-dir: this program runs with permissions that do not include ${path}. Compile it without KVRAFT_DATA_DIR, ` +
      `or run its source with --allow-read=${shellWord(path)} --allow-write=${shellWord(path)}.`,
  );
}

/** Returns what would be lost, to be shown before the confirmation. */
function stakesText(stakes: RecoveryStakes): string {
  const { dataDir, clusterId, nodeId, address, members, lastIndex, lastTerm, commitIndex } = stakes;
  const others = members.filter(({ id }) => id !== nodeId).map(({ id }) => `n${id}`).join(", ");
  const open = lastIndex > commitIndex
    ? `Entries ${commitIndex + 1} to ${lastIndex} were not known to be committed; they count from now on.`
    : "Every entry in it is known to be committed.";
  return escapeText(
    `${dataDir} is node ${nodeId} of cluster ${clusterId}: ${membersText(members)}. ` +
      `Its log ends at index ${lastIndex}, term ${lastTerm}. ${open}`,
  ) + `
LOST: every acknowledged write that did not reach this node.
Node ${nodeId} becomes the only member, dialled at ${escapeText(address)}.${
    others === "" ? "" : ` Never start ${others} again with the directories they have.`
  }
`;
}

/** The last lines where clients need not sign in. */
const AUTH_IS_DISABLED =
  `Authentication is disabled: every client that reaches the node may do everything. Next, type
  user passwd <a user with the role root>
  auth enable
`;

/** Returns the commands to type after a restore. */
function nextAfterRestore(
  { from, nodeId, members, dataDir, clusterName, disablesAuth }: RestoreRequest,
): string {
  const cluster = members.map(({ id, address }) => `${id}=${formatAddress(address)}`).join(",");
  const name = clusterName === "kvraft" ? "" : ` --cluster-name ${clusterName}`;
  const same = `the same ${escapeText(from)}${disablesAuth ? " and --disable-auth" : ""}`;
  const bind = members.find(({ id }) => id === nodeId)?.address;
  const start = bind === undefined
    ? ""
    : `  kvraft server --node-id ${nodeId} --bind ${formatAddress(bind)} --cluster ${cluster} --data-dir ${
      shellWord(dataDir)
    }${name}\n`;
  const others = members.filter(({ id }) => id !== nodeId).map(({ id }) => id);
  const rest = others.length === 0
    ? ""
    : `Do the same, with ${same}, for ${others.length === 1 ? "node" : "nodes"} ${
      others.join(", ")
    }; a majority of them serves.\n`;
  return `Next, start it:\n${start}${rest}`;
}

/** Returns the commands to type after a recovery. */
function nextAfterRecover({ nodeId, address }: RecoverReport, dataDir: string): string {
  return `Next, start it, then add other nodes with empty directories and new ids:
  kvraft server --node-id ${nodeId} --bind ${address} --cluster ${nodeId}=${address} --data-dir ${
    shellWord(dataDir)
  }
  kvraft server --node-id <new> --bind <host:port> --join ${address}
  kvraft client --cluster ${address} member add <new> <host:port>
`;
}
