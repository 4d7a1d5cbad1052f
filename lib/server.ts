/**
 * A server of kvraft inside another program, in Deno. The usual way to run one is the program `kvraft server`.
 *
 * @example Three nodes in one process, for trying things out
 * ```ts
 * import { type RunningServer, startServer } from "@kvraft/kvraft/server";
 *
 * export async function startThree(): Promise<RunningServer[]> {
 *   const cluster = "1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003";
 *   const start = (id: number) =>
 *     startServer({ settings: { "node-id": id, bind: `127.0.0.1:700${id}`, cluster, "data-dir": `./data/node-${id}` } });
 *   return await Promise.all([1, 2, 3].map(start));
 * }
 * ```
 *
 * @module
 */
import { resolve } from "@std/path";
import { ConfigError, SERVER_OPTIONS } from "./server/config/config.ts";
import { readServerConfig } from "./server/config/reading.ts";
import { type RunningServer, startServer as startOn } from "./server/server.ts";
import { denoPlatform } from "./server/startup/deno_platform.ts";

export type { Address } from "./platform/network.ts";
export { ConfigError } from "./server/config/config.ts";
export type { RunningServer } from "./server/server.ts";

/** How to start a server. */
export interface ServerOptions {
  /**
   * The options of `kvraft server` by their names without dashes, such as `"node-id"` and `bind`, or `config` for a file
   * that has them. `kvraft server --help` lists all with their defaults.
   */
  readonly settings: Readonly<Record<string, string | number | boolean>>;
  /**
   * Takes the lines of the log, each with its newline.
   *
   * @default no log
   */
  readonly writeLog?: (line: string) => void;
  /** Ends a start that is under way, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * Starts a server and resolves once it serves. It runs until its `stop` is called or it can't go on; `finished` tells.
 *
 * @throws {ConfigError} when a setting is wrong
 * @throws {Error} when the data directory cannot be used or the address is in use; the message says what to do
 */
export async function startServer({ settings, writeLog, signal }: ServerOptions): Promise<RunningServer> {
  const flags = new Map(Object.entries(settings).map(([name, value]) => [name, String(value)]));
  const unknown = [...flags.keys()].find((name) => !SERVER_OPTIONS.some((option) => option.name === name));
  if (unknown !== undefined) {
    throw new ConfigError(`"${unknown}" is not a setting. See kvraft server --help.`);
  }
  const config = readServerConfig({
    flags,
    readFile: Deno.readTextFileSync,
    absolute: resolve,
    mayWrite: () => true,
  });
  const platform = denoPlatform(config, writeLog ?? (() => {}));
  const closeLog = (): void => platform.logger[Symbol.dispose]();
  try {
    const server = await startOn(config, signal === undefined ? platform : { ...platform, signal });
    void server.finished.then(closeLog); // never rejects
    return server;
  } catch (error) {
    closeLog();
    throw error;
  }
}
