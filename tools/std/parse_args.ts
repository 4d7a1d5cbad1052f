/** Substitute for `jsr:@std/cli/parse-args` if JSR cannot be reached (see tools/std_imports.ts). */

/** Options of {@link parseArgs} (those of the real ones that kvraft uses). */
export interface ParseOptions {
  /** Whether arguments after `--` are returned separately, under that name. */
  readonly "--": true;
  /** Names of options that take no value. */
  readonly boolean: readonly string[];
  /** Names of options whose value is text; `_` keeps positional arguments from becoming numbers. */
  readonly string: readonly string[];
  /** Names of options that may occur more than once and are returned as arrays. */
  readonly collect: readonly string[];
}

/** Result of {@link parseArgs}: options by name, positional arguments under `_`. */
export interface Args {
  /** Positional arguments. */
  readonly _: (string | number)[];
  /** Arguments after `--`. */
  readonly "--": string[];
  /** The options. */
  readonly [name: string]: unknown;
}

const LONG_OPTION = /^--(?<key>.+?)(?:=(?<value>.+))?$/s;

/** Parses command line arguments. A missing value is "". */
export function parseArgs(args: readonly string[], options: ParseOptions): Args {
  const split = args.indexOf("--");
  const parsed: Args & Record<string, unknown> = {
    _: [],
    "--": split === -1 ? [] : args.slice(split + 1),
  };
  const add = (name: string, value: string | boolean): void => {
    const known = parsed[name];
    if (!options.collect.includes(name)) parsed[name] = value;
    else if (Array.isArray(known)) known.push(value);
    else parsed[name] = [value];
  };
  const rest = split === -1 ? [...args] : args.slice(0, split);
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    const { key, value } = LONG_OPTION.exec(arg)?.groups ?? {};
    if (key === undefined) {
      parsed._.push(arg);
    } else if (options.boolean.includes(key)) {
      const next = rest[0] ?? "";
      add(key, (value ?? (["true", "false"].includes(next) ? rest.shift() : "true")) !== "false");
    } else {
      const next = rest[0] ?? "";
      add(key, value ?? (next === "" || next.startsWith("-") ? "" : rest.shift() ?? ""));
    }
  }
  for (const name of options.boolean) parsed[name] ??= options.collect.includes(name) ? [] : false;
  for (const name of options.string) {
    if (name !== "_" && options.collect.includes(name)) parsed[name] ??= [];
  }
  return parsed;
}
