/**
 * Reads the configuration of a server from flags, config file and defaults, and checks all of it: each value, what values
 * contradict one another, and the paths. Nothing is started, opened or created before that.
 */
import { formatAddress } from "../../platform/address.ts";
import { errorMessage } from "../../platform/errors.ts";
import { CONFIG_FILE_OPTION, OPTIONS, type ServerConfig } from "./config.ts";
import { ConfigError, readConfigFile, type Setting } from "./config_file.ts";
import { type Contradiction, contradictions } from "./contradictions.ts";
import type { ServerOption, TypedOption } from "./option_kinds.ts";
import { fromDirectoryOf, isDefaultInRoot } from "./paths.ts";

/** The inputs of a configuration. */
export interface ConfigSources {
  /** The flags that were given, by name without dashes. */
  readonly flags: ReadonlyMap<string, string>;
  /** Reads the config file; throws when it cannot. */
  readFile(path: string): string;
  /** Returns the absolute path of one that may be relative to the working directory. */
  absolute(path: string): string;
  /** Whether this program is permitted to write there. */
  mayWrite(path: string): boolean;
}

/** A setting as it applies. */
export interface AppliedSetting {
  readonly name: string;
  /** As it would be given: sizes and times in their greatest unit, paths absolute. No setting is a secret. */
  readonly value: string;
  readonly source: "default" | "flag" | "file";
  /** The line of the config file; null for other sources. */
  readonly place: string | null;
}

/** A configuration, and every problem of it. */
export interface InspectedConfig {
  /** Null if there are problems. */
  readonly config: ServerConfig | null;
  /** The same for a check of the files that it names, also if it has problems; null if a path itself is wrong. */
  readonly files: ServerConfig | null;
  /** The problems, those of the config file first. */
  readonly problems: readonly ConfigError[];
  /** The settings without a problem, in the order of the help. */
  readonly settings: readonly AppliedSetting[];
}

/** The settings that were given, by name. */
type Settings = ReadonlyMap<string, Setting>;

/** The options by the names of their fields. */
const ALL: Readonly<Record<string, TypedOption<unknown>>> = OPTIONS;

/**
 * Reads flags, config file and defaults, and checks all of it.
 *
 * @throws {ConfigError} for the first setting that is wrong
 */
export function readServerConfig(sources: ConfigSources): ServerConfig {
  const { config, problems: [problem] } = inspectServerConfig(sources);
  if (config !== null) return config;
  throw problem ?? new ConfigError("the configuration has a problem");
}

/** Reads the same and returns every problem. What contradicts a setting that is wrong itself is none. */
export function inspectServerConfig(sources: ConfigSources): InspectedConfig {
  const problems: ConfigError[] = [];
  const settings = new Map<string, Setting>();
  try {
    const file = fileSettings(sources);
    problems.push(...file.problems);
    for (const [name, setting] of file.settings) settings.set(name, setting);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    // Without the file most settings would seem to be missing.
    return { config: null, files: null, problems: [error], settings: [] };
  }
  for (const [name, text] of sources.flags) {
    settings.set(name, { text, origin: `--${name}`, isWrong: false });
  }
  const wrong = new Set<string>();
  const config = readAll(settings, {
    absolute: sources.absolute,
    onProblem: (name, problem) => {
      wrong.add(name);
      if (problem !== null) problems.push(problem);
    },
  });
  for (const { of, error } of allContradictions(config, { settings, sources })) {
    if (!of.some((name) => wrong.has(name))) problems.push(error);
  }
  const isPathWrong = Object.values(ALL).some(({ name, path }) => path !== undefined && wrong.has(name));
  return {
    config: problems.length === 0 ? config : null,
    files: isPathWrong ? null : config,
    problems,
    settings: appliedSettings(config, settings).filter(({ name }) => !wrong.has(name)),
  };
}

function* allContradictions(
  config: ServerConfig,
  { settings, sources }: { readonly settings: Settings; readonly sources: ConfigSources },
): Generator<Contradiction> {
  yield* contradictions(config, (name) => settings.get(name)?.origin ?? null);
  const { dataDir } = config;
  const of = [OPTIONS.dataDir.name];
  const isDefault = !settings.has(OPTIONS.dataDir.name);
  if (isDefault && isDefaultInRoot(sources.absolute("."))) {
    const error = new ConfigError(
      `--data-dir is missing, and the default below the working directory, ${dataDir}, is in the root of the file ` +
        "system. Example: --data-dir /var/lib/kvraft",
    );
    yield { of, error };
  } else if (!sources.mayWrite(dataDir)) {
    const origin = settings.get(OPTIONS.dataDir.name)?.origin ?? "--data-dir";
    const error = new ConfigError(
      `${origin}: this program runs with permissions that do not include ${dataDir}. Allowed: a directory for which ` +
        "Deno's --allow-read and --allow-write, or KVRAFT_DATA_DIR at compilation, are. Example: --data-dir " +
        "/var/lib/kvraft",
    );
    yield { of: isDefault ? [...of, OPTIONS.nodeId.name] : of, error };
  }
}

/** Returns a configuration with these values, and the defaults for the others. Nothing is checked. */
export function serverConfigOf(
  values: Pick<ServerConfig, "nodeId" | "bind"> & Partial<ServerConfig>,
): ServerConfig {
  const { nodeId, bind } = values;
  const required = [[OPTIONS.nodeId.name, String(nodeId)], [OPTIONS.bind.name, formatAddress(bind)]] as const;
  const settings = new Map(required.map(([name, text]) => [name, { text, origin: name, isWrong: false }]));
  const defaults = readAll(settings, {
    absolute: (path) => path,
    onProblem: (_name, problem) => {
      if (problem !== null) throw problem;
    },
  });
  return { ...defaults, ...values };
}

/** The handling of settings that are wrong: `problem` is null if it is known already. */
interface Reading {
  absolute(path: string): string;
  onProblem(name: string, problem: ConfigError | null): void;
}

/** Returns the values of all settings; one that is wrong or missing has that of its example. */
function readAll(settings: Settings, reading: Reading): ServerConfig {
  const nodeId = settings.get(OPTIONS.nodeId.name)?.text ?? "";
  const values = Object.entries(ALL).map(([key, option]) => {
    const value = readOption(option, { settings, nodeId, reading });
    return [key, option.path !== undefined && typeof value === "string" ? reading.absolute(value) : value];
  });
  // Each key has the value of its option: the type is made from the same table.
  return Object.fromEntries(values) as ServerConfig;
}

function readOption<T>(
  option: TypedOption<T>,
  { settings, nodeId, reading }: {
    readonly settings: Settings;
    readonly nodeId: string;
    readonly reading: Reading;
  },
): T {
  const given = settings.get(option.name);
  if (given === undefined && option.absent !== undefined) return option.absent;
  if (given?.isWrong === true) {
    reading.onProblem(option.name, null);
    return exampleOf(option);
  }
  const text = given?.text ?? option.fallback?.replace("<n>", nodeId);
  if (text === undefined) {
    const allowed = `Allowed: ${option.allowed}. Example: --${option.name} ${option.example}`;
    reading.onProblem(option.name, new ConfigError(`--${option.name} is missing. ${allowed}`));
    return exampleOf(option);
  }
  const result = option.read(text);
  if ("value" in result) return result.value;
  const origin = given?.origin ?? `--${option.name}`;
  reading.onProblem(option.name, wrongSetting(option, { origin, reason: result.reason }));
  return exampleOf(option);
}

function exampleOf<T>(option: TypedOption<T>): T {
  const result = option.read(option.example);
  if ("value" in result) return result.value;
  throw new Error(`the example of --${option.name} cannot be read: ${result.reason}`);
}

function wrongSetting(
  { name, allowed, example }: ServerOption,
  { origin, reason }: { readonly origin: string; readonly reason: string },
): ConfigError {
  return new ConfigError(`${origin}: ${reason}. Allowed: ${allowed}. Example: --${name} ${example}`);
}

function appliedSettings(config: ServerConfig, settings: Settings): readonly AppliedSetting[] {
  const values: Readonly<Record<string, unknown>> = config;
  return Object.entries(ALL).map(([key, option]): AppliedSetting => {
    const { name } = option;
    const given = settings.get(name);
    const value = textOf(option, { value: values[key], given: given?.text ?? null, nodeId: config.nodeId });
    if (given === undefined) return { name, value, source: "default", place: null };
    const isFlag = given.origin === `--${name}`;
    return { name, value, source: isFlag ? "flag" : "file", place: isFlag ? null : given.origin };
  });
}

/** Returns the value of a setting as it would be given. */
function textOf(
  option: TypedOption<unknown>,
  { value, given, nodeId }: {
    readonly value: unknown;
    readonly given: string | null;
    readonly nodeId: number;
  },
): string {
  if (option.show !== undefined) return option.show(value);
  if (option.type === "switch" || (option.path !== undefined && typeof value === "string")) {
    return String(value);
  }
  return given ?? option.fallback?.replace("<n>", String(nodeId)) ?? "";
}

function fileSettings(
  sources: ConfigSources,
): { readonly settings: Settings; readonly problems: readonly ConfigError[] } {
  const path = sources.flags.get(CONFIG_FILE_OPTION.name);
  if (path === undefined) return { settings: new Map(), problems: [] };
  let text: string;
  try {
    text = sources.readFile(path);
  } catch (error) {
    throw wrongSetting(CONFIG_FILE_OPTION, {
      origin: "--config",
      reason: `cannot read ${path}: ${errorMessage(error)}`,
    });
  }
  const options = Object.values(ALL);
  const { settings, problems } = readConfigFile({ path, text, keys: options });
  return { settings: fromDirectoryOf(path, { settings, options }), problems };
}
