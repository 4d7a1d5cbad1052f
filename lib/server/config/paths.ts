/** Paths among the settings of a server: made absolute, listed, and checked. */
import { dirname, isAbsolute, join } from "@std/path";
import type { NamedPaths } from "../../platform/named_paths.ts";
import type { Setting } from "./config_file.ts";
import type { PathUse, ServerOption } from "./option_kinds.ts";

/** The settings that were given, by name. */
type Settings = ReadonlyMap<string, Setting>;

/**
 * Returns the settings of the configuration file at `path` with its relative paths continued from its directory: the
 * working directory of a service is not where its operator keeps the files that the configuration names.
 */
export function fromDirectoryOf(
  path: string,
  { settings, options }: { readonly settings: Settings; readonly options: readonly ServerOption[] },
): Settings {
  const names = new Set(options.filter((option) => option.path !== undefined).map(({ name }) => name));
  return new Map(Array.from(settings, ([name, setting]) => {
    if (!names.has(name) || isAbsolute(setting.text)) return [name, setting];
    return [name, { ...setting, text: join(dirname(path), setting.text) }];
  }));
}

/** Returns the paths that a configuration and its file (null for none) name. `options` are those of its keys. */
export function pathsNamedBy(
  config: Readonly<Record<string, unknown>>,
  { options, configFile }: {
    readonly options: Readonly<Record<string, ServerOption>>;
    readonly configFile: string | null;
  },
): NamedPaths {
  const pathsFor = (use: PathUse): readonly string[] =>
    Object.entries(options).flatMap(([key, { path }]) => {
      const value = config[key];
      return path === use && typeof value === "string" ? [value] : [];
    });
  return {
    reads: configFile === null ? pathsFor("read") : [configFile, ...pathsFor("read")],
    writes: pathsFor("write"),
  };
}

/**
 * Returns whether the default data directory would be in the root of the file system: a service manager starts programs
 * there, and /data/node-1 is hardly ever meant.
 */
export function isDefaultInRoot(workingDirectory: string): boolean {
  return dirname(workingDirectory) === workingDirectory;
}
