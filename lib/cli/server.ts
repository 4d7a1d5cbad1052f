/** `kvraft server`: configuration, start, the ready line, and a clean stop; or one of the tools. */
import { errorMessage, shortened } from "../platform/errors.ts";
import { parseArguments, refuseReplaced } from "./arguments.ts";
import type { Environment } from "./environment.ts";
import { ExitCode, exitCodeOfServer, OutputClosedError, OutputError, UsageError } from "./errors.ts";
import { serverHelp } from "./help.ts";
import { serverTool, TOOL_NAMES, toolsHelp } from "./server_tools.ts";
import { escapeUnprintable } from "./text.ts";
import {
  ConfigError,
  formatAddress,
  namedPathsOf,
  SERVER_OPTIONS,
  type ServerConfig,
} from "../server/config/config.ts";
import { inspectServerConfig } from "../server/config/reading.ts";
import type { Logger } from "../platform/logger.ts";
import { resolve } from "@std/path";
import { LiveConfig } from "./processes/reload.ts";
import { nearest } from "../server/config/nearest.ts";
import { type RunningServer, startServer } from "../server/mod.ts";
import { denoPlatform } from "../server/startup/deno_platform.ts";
import type { ServerTools } from "../server/tools/tools_port.ts";
import type { NamedPaths } from "../platform/named_paths.ts";
import { checkFiles as checkConfigFiles } from "../server/startup/config_files.ts";
import { configSources, REPORT_OPTIONS, reportConfig, sourcesOfReload } from "./processes/config_report.ts";
import { narrowPermissions } from "./processes/permissions.ts";
import { StopRequest } from "./processes/stop_request.ts";

/** Longest duration of a clean stop; after it the process ends, within 5 s of the signal. */
const STOP_DEADLINE_MS = 4_500;

/** Options of a start besides its configuration. */
export interface StartOptions {
  /** Writes a line of the log. */
  readonly writeLog: (line: string) => void;
  /** Aborts a start, which then rejects with the reason of the signal. */
  readonly signal: AbortSignal;
  /** The paths that flags and configuration name; this process gives its permissions for all others back. */
  readonly named: NamedPaths;
}

/** Starts a server. */
export type StartServer = (config: ServerConfig, options: StartOptions) => Promise<StartedServer>;

/** A running server and its log. */
interface StartedServer {
  readonly server: RunningServer;
  readonly logger: Logger;
  /** Writes the lines that the log has buffered. */
  closeLog(): void;
}

/** Dependencies of the command. */
interface ServerDependencies {
  readonly environment: Environment;
  readonly start: StartServer;
  /** The tools for the data directories of stopped servers. */
  readonly tools: ServerTools;
  /** Returns every problem of the files that a configuration names. Default: on this machine. */
  readonly checkFiles?: typeof checkConfigFiles;
}

/** Starts a server with the disk, network and clock of this machine. */
export async function startDenoServer(
  config: ServerConfig,
  { writeLog, signal, named }: StartOptions,
): Promise<StartedServer> {
  const platform = denoPlatform(config, writeLog);
  const closeLog = (): void => platform.logger[Symbol.dispose]();
  const onDirectoryOpen = (): void => narrowPermissions(named);
  try {
    const server = await startServer(config, { ...platform, signal, onDirectoryOpen });
    return { server, logger: platform.logger, closeLog };
  } catch (error) {
    closeLog();
    throw error;
  }
}

/** Runs `kvraft server` with these arguments until a signal or an error stops it. Resolves to the exit code. */
export async function serverCommand(
  args: readonly string[],
  { environment, start, tools, checkFiles = checkConfigFiles }: ServerDependencies,
): Promise<ExitCode> {
  let read: ReadConfig | null;
  try {
    refuseReplaced(args, "Give paths and names as UTF-8.");
    const ended = await serverTool(args, { environment, tools });
    if (ended !== null) return ended;
    const reported = await reportConfig(args, { environment, checkFiles });
    if (reported !== null) return reported;
    read = readConfig(args, environment);
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof ConfigError)) throw error;
    environment.stderr.write(`kvraft: ${escapeUnprintable(error.message)}\n`);
    return ExitCode.usage;
  }
  if (read === null) {
    await environment.stdout.write(serverHelp(toolsHelp()));
    return ExitCode.done;
  }
  const { live, named } = read;
  const { config } = live;
  let started: StartedServer | null = null;
  // Before the start there is nothing to reload.
  using stop = new StopRequest(
    environment,
    "this node",
    () => started !== null && read?.reload(started.logger),
  );
  try {
    started = await start(config, {
      writeLog: (line) => environment.stderr.write(line),
      signal: stop.signal,
      named,
    });
  } catch (error) {
    if (stop.signal.aborted && error === stop.signal.reason) return ExitCode.done;
    if (error instanceof Deno.errors.NotCapable) {
      environment.stderr.write(`kvraft: ${escapeUnprintable(refusedPath(error, config))}\n`);
      return ExitCode.usage;
    }
    if (!isNamed(error)) throw error;
    environment.stderr.write(`kvraft: ${escapeUnprintable(error.message)}\n`);
    return exitCodeOfServer(error);
  }
  return await serve(started, { config, environment, stop });
}

/** The configuration of a start. */
interface ReadConfig {
  readonly live: LiveConfig;
  readonly named: NamedPaths;
  /** Reads it again. */
  reload(logger: Logger): void;
}

/** Returns the configuration; null if help was asked for. */
function readConfig(args: readonly string[], environment: Environment): ReadConfig | null {
  const help = { name: "help", placeholder: null, help: "" };
  const { options, positionals } = parseArguments(args, [...SERVER_OPTIONS, ...REPORT_OPTIONS, help]);
  if (options.has("help")) return null;
  const [extra] = positionals;
  if (extra !== undefined) {
    const near = nearest(extra.text, TOOL_NAMES);
    const hint = near === null ? "See kvraft server --help." : `Did you mean kvraft server ${near}?`;
    throw new UsageError(`"${shortened(extra.text)}" is not an option. ${hint}`);
  }
  // Later the permission for the working directory may be gone.
  const directory = environment.absolute(".");
  const absolute = (path: string): string => resolve(directory, path);
  const sources = { ...configSources(options, environment), absolute };
  const { config, problems: [problem], settings } = inspectServerConfig(sources);
  if (config === null) throw problem ?? new ConfigError("The configuration has a problem.");
  const live = new LiveConfig(config, settings);
  const configFile = options.get("config");
  return {
    live,
    named: namedPathsOf(config, configFile === undefined ? null : absolute(configFile)),
    reload: (logger) => live.reload(inspectServerConfig(sourcesOfReload(sources, environment)), logger),
  };
}

async function serve(
  { server, closeLog }: StartedServer,
  { config, environment, stop }: { config: ServerConfig; environment: Environment; stop: StopRequest },
): Promise<ExitCode> {
  const { nodeId, dataDir } = config;
  await announce(
    `kvraft server ${nodeId} is ready to serve on ${formatAddress(server.address)} ` +
      `(cluster ${server.clusterId}, data ${dataDir})\n`,
    environment,
  );
  const ended = await Promise.race([server.finished, stop.requested]);
  if (ended !== "stop") {
    closeLog();
    const message = errorMessage(ended);
    environment.stderr.write(`kvraft: this node stopped: ${escapeUnprintable(message)}\n`);
    return exitCodeOfServer(ended);
  }
  const deadline = Promise.withResolvers<"late">();
  const timer = environment.clock.after(STOP_DEADLINE_MS, () => deadline.resolve("late"));
  const outcome = await Promise.race([server.stop(), deadline.promise]);
  timer.cancel();
  closeLog();
  if (outcome === "late") {
    environment.stderr.write(
      `kvraft: the clean stop took longer than ${STOP_DEADLINE_MS} ms and was ended. No acknowledged write is lost.\n`,
    );
  }
  return ExitCode.done;
}

/** Writes a line to standard output. The server also runs if that fails. */
async function announce(line: string, environment: Environment): Promise<void> {
  try {
    await environment.stdout.write(line);
  } catch (error) {
    if (!(error instanceof OutputClosedError || error instanceof OutputError)) throw error;
  }
}

/**
 * Returns the message about a path that Deno refuses though the permissions of this program include it, as every path
 * below /dev (findings/deno_refuses_granted_dev_shm.sh).
 */
function refusedPath({ message }: Error, { dataDir }: ServerConfig): string {
  const path = /"([^"]*)"/.exec(message)?.[1] ?? dataDir;
  return `Cannot use ${path}: Deno refuses it to every program with limited permissions, as it does all of /dev, /proc ` +
    `and /sys. Choose a directory elsewhere: --data-dir is ${dataDir} now.`;
}

/** Returns whether an error has a stable name, so that its message is written for users. */
function isNamed(error: unknown): error is Error & { readonly code: string } {
  return error instanceof Error && "code" in error && typeof error.code === "string";
}
