/** Checks the files that a configuration names, without starting anything: `kvraft server --check-config`. */
import { errorMessage } from "../../platform/errors.ts";
import type { LogFields, Logger } from "../../platform/logger.ts";
import { fileErrorReason, readPrivateFile, readPublicFile } from "../../platform/private_file.ts";
import { SystemClock } from "../../platform/system.ts";
import type { ServerConfig } from "../config/config.ts";
import { ConfigError } from "../config/config_file.ts";
import { openPeerSecret } from "./peer_secret_file.ts";
import { MAX_TLS_FILE_BYTES, openServerTls } from "./server_tls.ts";

/** The result of a check of files. */
export interface FilesReport {
  /** Which cannot be read, and certificates, keys and secrets that cannot be used. */
  readonly problems: readonly ConfigError[];
  /** Why a server that starts with them would warn, as of a certificate that expires soon. */
  readonly warnings: readonly string[];
}

/** Checks the files that a configuration names. */
export function checkFiles(config: ServerConfig): FilesReport {
  const warnings: string[] = [];
  const warn = (message: string, fields: LogFields = {}): void => {
    const { event: _event, ...shown } = fields;
    const values = Object.entries(shown).map(([name, value]) => `${name}: ${value}`);
    warnings.push(values.length === 0 ? `${message}.` : `${message} (${values.join(", ")}).`);
  };
  const ignore = (): void => {};
  const logger: Logger = { debug: ignore, info: ignore, warn, error: warn };
  const { tlsCert, tlsKey, tlsCa, dataDir, allowGroupReadableKeys: mayGroupRead } = config;
  const platform = { clock: new SystemClock(), logger, readPrivateFile };
  const readPublic = (path: string): string => readPublicFile(path, MAX_TLS_FILE_BYTES);
  const unreadable = [
    ...problemOfFile("tls-cert", tlsCert, readPublic),
    ...problemOfFile(
      "tls-key",
      tlsKey,
      (path) => readPrivateFile(path, { maxBytes: MAX_TLS_FILE_BYTES, mayGroupRead }),
    ),
    ...problemOfFile("tls-ca", tlsCa, readPublic),
  ];
  const openTls = (): void => {
    const { deno: denoVersion } = Deno.version;
    const reading = { readPublicFile, wallClock: Date.now, denoVersion };
    openServerTls(config, { ...platform, ...reading })?.close();
  };
  const problems = [
    ...unreadable,
    // With a file that cannot be read it would only say so again.
    ...unreadable.length === 0 ? problemOf(openTls) : [],
    ...problemOf(() => void openPeerSecret(config, platform)),
    ...problemOfDataDirectory(dataDir),
  ];
  return { problems, warnings };
}

function problemOfFile(
  flag: string,
  path: string | null,
  read: (path: string) => string,
): readonly ConfigError[] {
  if (path === null) return [];
  try {
    read(path);
    return [];
  } catch (error) {
    const reason = error instanceof Error && "code" in error && error.code === "privateFile"
      ? errorMessage(error)
      : fileErrorReason(error);
    return [new ConfigError(`--${flag}: cannot use ${path}: ${reason}.`)];
  }
}

/** Returns the ConfigError that a function throws, in a list. */
function problemOf(open: () => void): readonly ConfigError[] {
  try {
    open();
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return [error];
    throw error;
  }
}

function problemOfDataDirectory(path: string): readonly ConfigError[] {
  try {
    if (Deno.statSync(path).isDirectory) return [];
    return [new ConfigError(`--data-dir: ${path} is not a directory. Choose another --data-dir.`)];
  } catch (error) {
    // A directory that is missing is created at the start.
    if (error instanceof Deno.errors.NotFound) return [];
    return [new ConfigError(`--data-dir: cannot use ${path}: ${fileErrorReason(error)}.`)];
  }
}
