/** `kvraft server --check-config` and `--print-config`: all problems of a configuration, or its settings. Nothing is started. */
import { shortened } from "../../platform/errors.ts";
import { NOT_A_FILE, PrivateFileError } from "../../platform/private_file.ts";
import { SERVER_OPTIONS, type ServerConfig } from "../../server/config/config.ts";
import {
  type AppliedSetting,
  type ConfigSources,
  type InspectedConfig,
  inspectServerConfig,
} from "../../server/config/reading.ts";
import type { FilesReport } from "../../server/startup/config_files.ts";
import { choiceOption, type OptionSpec, parseArguments } from "../arguments.ts";
import type { Environment } from "../environment.ts";
import { ExitCode, UsageError } from "../errors.ts";
import { jsonText } from "../json.ts";
import { escapeUnprintable } from "../text.ts";

/** Longest configuration file. */
const MAX_CONFIG_BYTES = 65_536;

/** The options of a server that ask for a report in place of a start. */
export const REPORT_OPTIONS: readonly OptionSpec[] = [
  {
    name: "check-config",
    placeholder: null,
    help: "say all that is wrong with options and the files that they name; start nothing",
  },
  {
    name: "print-config",
    placeholder: null,
    help: "print each setting with its value, and where it is from; start nothing",
  },
  { name: "output", placeholder: "text|json", help: "how these two are written (text)" },
];

/** The dependencies of a report. */
interface ReportDependencies {
  readonly environment: Environment;
  /** Checks the files that a configuration names. */
  readonly checkFiles: (config: ServerConfig) => FilesReport;
}

/** Returns the sources of a configuration whose flags are given. */
export function configSources(flags: ReadonlyMap<string, string>, environment: Environment): ConfigSources {
  return {
    flags,
    readFile: (path) => readConfigText(path, environment),
    absolute: (path) => environment.absolute(path),
    mayWrite: (path) => environment.mayWrite(path),
  };
}

/** Returns sources that read no pipe, which may serve at a start: a running node would wait for its other end. */
export function sourcesOfReload(
  sources: ConfigSources,
  { disk }: Pick<Environment, "disk">,
): ConfigSources {
  return {
    ...sources,
    readFile: (path) => {
      if (disk.stat(path) === "stream") throw new PrivateFileError(NOT_A_FILE);
      return sources.readFile(path);
    },
  };
}

/** Writes the report that the arguments ask for, and resolves to the exit code; null if they ask for none. */
export async function reportConfig(
  args: readonly string[],
  { environment, checkFiles }: ReportDependencies,
): Promise<ExitCode | null> {
  const asked = ["check-config", "print-config"].find((name) => args.includes(`--${name}`));
  if (asked === undefined || args.includes("--help")) return null;
  const { options, problems: unknown } = parseKnown(args);
  const output = choiceOption(options, "output", ["text", "json"]);
  const inspected = inspectServerConfig(configSources(options, environment));
  const { files } = inspected;
  const checked = files === null ? { problems: [], warnings: [] } : checkFiles(files);
  const found = [...inspected.problems, ...checked.problems].map(({ message }) => message);
  const problems = [...unknown, ...found];
  const { warnings } = checked;
  if (asked === "print-config") await print(inspected.settings, { environment, problems, output });
  else await sayWhetherRight(inspected, { environment, problems, warnings, output });
  return problems.length === 0 ? ExitCode.done : ExitCode.usage;
}

/** The form of a report. */
interface Report {
  readonly environment: Environment;
  readonly problems: readonly string[];
  readonly output: "text" | "json" | null;
}

async function print(
  settings: readonly AppliedSetting[],
  { environment, problems, output }: Report,
): Promise<void> {
  if (output === "json") {
    await environment.stdout.write(`${jsonText({ settings, problems })}\n`);
    return;
  }
  const nameWidth = Math.max(...settings.map(({ name }) => name.length));
  const valueWidth = Math.max(...settings.map(({ value }) => value.length));
  const lines = settings.map(({ name, value, source, place }) =>
    `${escapeUnprintable(`${name.padEnd(nameWidth)}  ${value.padEnd(valueWidth)}  ${place ?? source}`)}\n`
  );
  await environment.stdout.write(lines.join(""));
  complain(problems, environment);
}

async function sayWhetherRight(
  { settings }: InspectedConfig,
  { environment, problems, warnings, output }: Report & { readonly warnings: readonly string[] },
): Promise<void> {
  if (output === "json") {
    await environment.stdout.write(`${jsonText({ ok: problems.length === 0, problems, warnings })}\n`);
    return;
  }
  complain([...problems, ...warnings.map((warning) => `Warning: ${warning}`)], environment);
  if (problems.length > 0) return;
  const given = settings.filter(({ source }) => source !== "default").length;
  await environment.stdout.write(
    `The configuration can be used: ${given} settings, and defaults for the others.\n`,
  );
}

function complain(problems: readonly string[], environment: Environment): void {
  for (const problem of problems) environment.stderr.write(`kvraft: ${escapeUnprintable(problem)}\n`);
}

/** Parses the options that exist. The problems name each of the others, with the nearest that exists. */
function parseKnown(
  args: readonly string[],
): { readonly options: ReadonlyMap<string, string>; readonly problems: readonly string[] } {
  const specs = [...SERVER_OPTIONS, ...REPORT_OPTIONS];
  const problems: string[] = [];
  const known: string[] = [];
  for (let at = 0; at < args.length; at += 1) {
    const arg = args[at] ?? "";
    const next = args[at + 1];
    const name = /^--([^=]+)/.exec(arg)?.[1];
    const spec = specs.find((one) => one.name === name);
    const isFollowedByValue = name !== undefined && !arg.includes("=") && spec?.placeholder !== null &&
      next !== undefined && !next.startsWith("--");
    if (name === undefined) {
      problems.push(`"${shortened(arg)}" is not an option. See kvraft server --help.`);
    } else if (spec === undefined) {
      problems.push(problemOf([arg], specs) ?? `There is no option ${arg}.`);
    } else {
      known.push(arg, ...isFollowedByValue ? [next] : []);
    }
    if (isFollowedByValue) at += 1;
  }
  const problem = problemOf(known, specs);
  return problem === null
    ? { options: parseArguments(known, specs).options, problems }
    : { options: new Map(), problems: [...problems, problem] };
}

/** Returns the message of the error of parsing these arguments; null without one. */
function problemOf(args: readonly string[], specs: readonly OptionSpec[]): string | null {
  try {
    parseArguments(args, specs);
    return null;
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
}

function readConfigText(path: string, environment: Environment): string {
  const bytes = environment.readFile(path, MAX_CONFIG_BYTES);
  if (bytes.length > MAX_CONFIG_BYTES) throw new Error(`it is longer than ${MAX_CONFIG_BYTES} bytes`);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Error("it is not UTF-8");
  }
}
