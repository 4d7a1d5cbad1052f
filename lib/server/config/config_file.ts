/**
 * The config file of a server: JSON with comments, one object whose keys are the names of the flags.
 *
 *     {
 *       // node 1 of three
 *       "node-id": 1,
 *       "cluster": "1=10.0.0.1:7001,2=10.0.0.2:7001,3=10.0.0.3:7001"
 *     }
 */
import { shortened } from "../../platform/errors.ts";
import { createScanner, type Node, type ParseError, parseTree, printParseErrorCode } from "jsonc-parser";
import { nearest } from "./nearest.ts";
import type { SettingType } from "./option_kinds.ts";

/** Maximum depth of objects and arrays. Settings need one level; deeper text is refused, since the parser recurses. */
const MAX_DEPTH = 16;

/** Values of jsonc-parser's SyntaxKind: an ambient const enum, which isolated modules cannot import. */
const TOKEN = { openBrace: 1, closeBrace: 2, openBracket: 3, closeBracket: 4, endOfFile: 17 } as const;

/** Checks of the values of each type, and their names in messages. */
const VALUES: Readonly<
  Record<SettingType, { readonly isOfType: (value: unknown) => boolean; readonly inWords: string }>
> = {
  number: { isOfType: (value) => typeof value === "number", inWords: "a number" },
  amount: {
    isOfType: (value) => typeof value === "number" || typeof value === "string",
    inWords: 'a number, or text with a unit, such as "64MiB" or "30s"',
  },
  text: { isOfType: (value) => typeof value === "string", inWords: "text in quotes" },
  switch: { isOfType: (value) => typeof value === "boolean", inWords: "true or false" },
};

/** A setting as it was given: its text and its origin. */
export interface Setting {
  readonly text: string;
  /** `--node-id`, or `"node-id" (kvraft.json, line 3, column 5)`: the beginning of an error's message. */
  readonly origin: string;
  /** Whether its value has not the type of the setting; the problem is reported where the file is read. */
  readonly isWrong: boolean;
}

/** The settings of a file, and the problems of single settings. */
interface FileContent {
  readonly settings: ReadonlyMap<string, Setting>;
  readonly problems: readonly ConfigError[];
}

/** A key that the file may have. */
export interface FileKey {
  readonly name: string;
  readonly type: SettingType;
}

/** A file to read. */
export interface ConfigFile {
  /** For messages. */
  readonly path: string;
  readonly text: string;
  readonly keys: readonly FileKey[];
}

/** The key by which an editor finds the schema of the file. */
const SCHEMA_KEY = "$schema";

/**
 * Reads the settings of a file. Throws {@link ConfigError}, with line and column, for text that is not JSON (comments
 * and trailing commas are); unknown or repeated keys, and values of the wrong type, are problems of the content.
 */
export function readConfigFile(file: ConfigFile): FileContent {
  checkDepth(file);
  const errors: ParseError[] = [];
  const root = parseTree(file.text, errors, { allowTrailingComma: true });
  const [error] = errors;
  if (error !== undefined) {
    throw new ConfigError(
      `--config: ${place(file, error.offset)} is not valid JSON: ${
        inWords(printParseErrorCode(error.error))
      }. ` +
        `Allowed: a JSON object; comments and trailing commas are fine. Example: { "node-id": 1 }`,
    );
  }
  if (root?.type !== "object") {
    throw new ConfigError(`--config: ${file.path} must hold one JSON object. Example: { "node-id": 1 }`);
  }
  const settings = new Map<string, Setting>();
  const problems: ConfigError[] = [];
  for (const property of root.children ?? []) {
    const [key, value] = property.children ?? [];
    if (key === undefined || value === undefined) continue;
    const name = String(key.value);
    const origin = `"${shortened(name)}" (${place(file, key.offset)})`;
    const known = file.keys.find((candidate) => candidate.name === name);
    if (name === SCHEMA_KEY) continue;
    if (known === undefined) {
      problems.push(unknownKey(origin, name, file.keys));
    } else if (settings.has(name)) {
      problems.push(new ConfigError(`${origin} is given twice. Keep one of them.`));
    } else {
      const text = textOf(value, known.type);
      settings.set(name, { text: text ?? "", origin, isWrong: text === null });
      if (text === null) problems.push(new ConfigError(`${origin} must be ${VALUES[known.type].inWords}.`));
    }
  }
  return { settings, problems };
}

/** Throws {@link ConfigError} for text nested deeper than {@link MAX_DEPTH}; the scanner itself does not recurse. */
function checkDepth(file: ConfigFile): void {
  const scanner = createScanner(file.text, true);
  let depth = 0;
  for (let token: number = scanner.scan(); token !== TOKEN.endOfFile; token = scanner.scan()) {
    if (token === TOKEN.openBrace || token === TOKEN.openBracket) depth += 1;
    if (token === TOKEN.closeBrace || token === TOKEN.closeBracket) depth -= 1;
    if (depth <= MAX_DEPTH) continue;
    throw new ConfigError(
      `--config: ${place(file, scanner.getTokenOffset())} is nested more than ${MAX_DEPTH} levels deep. ` +
        `Allowed: a JSON object of numbers and texts. Example: { "node-id": 1 }`,
    );
  }
}

function unknownKey(origin: string, name: string, keys: readonly FileKey[]): ConfigError {
  const names = keys.map((key) => key.name);
  const near = nearest(name, names);
  const hint = near === null ? `Allowed: ${names.join(", ")}.` : `Did you mean "${near}"?`;
  return new ConfigError(`${origin} is no setting. ${hint}`);
}

/** Returns the text of a value; null for one of another type. */
function textOf(value: Node, type: SettingType): string | null {
  const given: unknown = value.value;
  return VALUES[type].isOfType(given) ? String(given) : null;
}

/** `kvraft.json, line 3, column 5`. */
function place(file: ConfigFile, offset: number): string {
  const before = file.text.slice(0, offset).split("\n");
  return `${file.path}, line ${before.length}, column ${[...before.at(-1) ?? ""].length + 1}`;
}

/** `CommaExpected` → `comma expected`. */
function inWords(code: string): string {
  return code.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
}

/**
 * A setting is wrong, missing, unknown, or does not go with another. The message names the flag (or the line of the
 * config file), the reason, what is allowed, and an example.
 */
export class ConfigError extends Error {
  /** The class's name. */
  override readonly name = "ConfigError";
  /** Stable name of this error. */
  readonly code = "invalidConfig";
}
