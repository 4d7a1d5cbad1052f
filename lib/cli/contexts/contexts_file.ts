/**
 * Contexts: named clusters, each with the options by which a client connects to it, in a file of the user.
 *
 *     {
 *       "version": 1,
 *       "inUse": "orders",
 *       "contexts": { "orders": { "cluster": "node1:7001,node2:7001", "tls-ca": "/etc/kvraft/ca.crt", "user": "ann" } }
 *     }
 *
 * The file has paths of secrets, never secrets.
 */
import { isAbsolute, join } from "@std/path";
import { errorMessage, shortened } from "../../platform/errors.ts";
import { NO_SUCH_FILE } from "../../platform/private_file.ts";
import { AddressError, parseContacts } from "../../server/config/config.ts";
import { nearest } from "../../server/config/nearest.ts";
import type { Environment } from "../environment.ts";
import { UsageError } from "../errors.ts";
import { textOfBytes } from "../text.ts";

/** The options that a context can have; those with `isPath` are kept as absolute paths. */
export const CONTEXT_SETTINGS = {
  "cluster": { isPath: false },
  "tls-ca": { isPath: true },
  "tls-cert": { isPath: true },
  "tls-key": { isPath: true },
  "tls-server-name": { isPath: false },
  "user": { isPath: false },
  "password-file": { isPath: true },
  "token-file": { isPath: true },
} as const;
type SettingName = keyof typeof CONTEXT_SETTINGS;

/** A named cluster. */
export interface NamedContext {
  readonly name: string;
  /** The values of {@link CONTEXT_SETTINGS} by name; `cluster` is among them. */
  readonly settings: ReadonlyMap<string, string>;
}

/** The contexts of a user. */
export interface Contexts {
  /** The name of the one that applies where nothing else names a cluster; null for none. */
  readonly inUse: string | null;
  /** By name, sorted. */
  readonly all: readonly NamedContext[];
}

/** The parts of the environment that contexts need. */
export type ContextEnvironment = Pick<
  Environment,
  "variable" | "readFile" | "replaceFile" | "withLock" | "absolute"
>;

const VERSION = 1;
/** Longest file. */
const MAX_FILE_BYTES = 1_048_576;
const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const NO_CONTEXTS: Contexts = { inUse: null, all: [] };

/** Returns the path of the file; null if the environment names no directory for it. */
export function contextsPath(environment: Pick<Environment, "variable">): string | null {
  const configHome = environment.variable("XDG_CONFIG_HOME");
  // The XDG base directory specification: a relative path is to be ignored.
  if (configHome !== null && isAbsolute(configHome)) return join(configHome, "kvraft", "contexts.json");
  const home = environment.variable("HOME");
  return home === null ? null : join(home, ".config", "kvraft", "contexts.json");
}

/** Reads the contexts; none without a file. Throws {@link UsageError} for a file that cannot be used. */
export function readContexts(environment: ContextEnvironment): Contexts {
  const path = contextsPath(environment);
  if (path === null) return NO_CONTEXTS;
  let bytes: Uint8Array;
  try {
    bytes = environment.readFile(path, MAX_FILE_BYTES);
  } catch (error) {
    const reason = errorMessage(error);
    if (reason === NO_SUCH_FILE) return NO_CONTEXTS;
    throw unusable(path, reason);
  }
  const text = bytes.length > MAX_FILE_BYTES ? null : textOfBytes(bytes);
  if (text === null) throw unusable(path, `it is not UTF-8, or longer than ${MAX_FILE_BYTES} bytes`);
  try {
    return contextsOf(JSON.parse(text));
  } catch (error) {
    throw unusable(path, error instanceof SyntaxError ? "it is not JSON" : errorMessage(error));
  }
}

/**
 * Writes the contexts that `change` returns in place of those that the file has, and returns them. Changes of several
 * processes follow one another. Throws {@link UsageError} if that cannot be done, and the errors of `change`.
 */
export function changeContexts(
  environment: ContextEnvironment,
  change: (before: Contexts) => Contexts,
): Contexts {
  const path = contextsPath(environment);
  if (path === null) {
    throw new UsageError(
      "Cannot keep contexts: neither XDG_CONFIG_HOME nor HOME is set. Set one of them, or use KVRAFT_CLUSTER.",
    );
  }
  return environment.withLock(path, () => {
    const after = change(readContexts(environment));
    writeContexts(path, after, environment);
    return after;
  });
}

function writeContexts(path: string, { inUse, all }: Contexts, environment: ContextEnvironment): void {
  const contexts = Object.fromEntries(
    all.map(({ name, settings }) => [name, Object.fromEntries(settings)]),
  );
  const text = `${JSON.stringify({ version: VERSION, inUse, contexts }, null, 2)}\n`;
  try {
    environment.replaceFile(path, text);
  } catch (error) {
    throw new UsageError(`Cannot write ${path}: ${errorMessage(error)}. Nothing was changed.`);
  }
}

/** Returns the context of that name. Throws {@link UsageError}, with the nearest name, if there is none. */
export function contextNamed(
  { all }: Contexts,
  { name, origin }: { readonly name: string; readonly origin: string },
): NamedContext {
  const found = all.find((context) => context.name === name);
  if (found !== undefined) return found;
  const names = all.map((context) => context.name);
  const near = nearest(name, names);
  const list = names.length === 0
    ? "There are none: kvraft client context add"
    : `There are ${names.join(", ")}`;
  throw new UsageError(
    `${origin}: there is no context "${shortened(name)}". ${
      near === null ? `${list}.` : `Did you mean ${near}?`
    }`,
  );
}

/** Throws {@link UsageError} for a name that a context cannot have. */
export function checkContextName(name: string): void {
  if (NAME_PATTERN.test(name)) return;
  throw new UsageError(
    `A context cannot be named "${shortened(name)}". Allowed: 1 to 64 letters, digits, dots, dashes and ` +
      "underscores, a letter or digit first. Example: context add orders --cluster 127.0.0.1:7001",
  );
}

/** Throws an error for a text that does not name nodes; its message is the reason. */
export function checkCluster(text: string): void {
  try {
    parseContacts(text.split(","));
  } catch (error) {
    if (error instanceof AddressError) throw new UsageError(error.message);
    throw error;
  }
}

function contextsOf(document: unknown): Contexts {
  const { version, inUse, contexts } = recordOf(document, "it");
  if (version !== VERSION) {
    throw new Error(`its version is not ${VERSION}, the only one that this kvraft reads`);
  }
  if (inUse !== null && typeof inUse !== "string") throw new Error(`"inUse" is neither a name nor null`);
  const all = Object.entries(recordOf(contexts, `"contexts"`)).map(([name, settings]) =>
    contextOf(name, settings)
  );
  if (inUse !== null && !all.some(({ name }) => name === inUse)) {
    throw new Error(`"inUse" names "${shortened(inUse)}", and there is no such context`);
  }
  return { inUse, all: all.sort((one, other) => one.name < other.name ? -1 : 1) };
}

function contextOf(name: string, document: unknown): NamedContext {
  checkContextName(name);
  const settings = new Map<string, string>();
  for (const [setting, value] of Object.entries(recordOf(document, `the context ${name}`))) {
    if (!isSetting(setting)) {
      throw new Error(`the context ${name} has an unknown setting "${shortened(setting)}"`);
    }
    if (typeof value !== "string" || value === "") {
      throw new Error(`"${setting}" of the context ${name} is no text`);
    }
    settings.set(setting, value);
  }
  const cluster = settings.get("cluster");
  if (cluster === undefined) throw new Error(`the context ${name} has no "cluster"`);
  checkCluster(cluster);
  return { name, settings };
}

function isSetting(name: string): name is SettingName {
  return Object.hasOwn(CONTEXT_SETTINGS, name);
}

function recordOf(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  throw new Error(`${what} is not a JSON object`);
}

function unusable(path: string, reason: string): UsageError {
  return new UsageError(
    `Cannot use the contexts in ${path}: ${reason.replace(/\.$/, "")}. Repair the file, or move it away; ` +
      "--cluster and KVRAFT_CLUSTER work without it.",
  );
}
