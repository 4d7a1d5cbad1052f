/**
 * A server's configuration: one table of settings that drives flags, the config file, the help, and the checks.
 *
 * Nothing is started, opened or created before all of it was checked.
 */
import { errorMessage, shortened } from "../../platform/errors.ts";
import { MAX_VALUE_BYTES } from "../../kv/command.ts";
import { AddressError, formatAddress, parseAddress } from "../../platform/address.ts";
import { type NodeAddress, parseContacts, parseMembers } from "../../protocol/node_list.ts";
import type { Address } from "../../platform/network.ts";
import { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from "../../platform/logger.ts";
import { ConfigError, readConfigFile, type Setting } from "./config_file.ts";
import { nearest } from "./nearest.ts";

export { AddressError, formatAddress, parseMemberAddress } from "../../platform/address.ts";
export { parseMembers } from "../../protocol/node_list.ts";
export { ConfigError } from "./config_file.ts";

/** How linearizable reads are made sure of: by asking a majority, or under a lease that rests upon clocks. */
export const READ_MODES = ["read-index", "lease"] as const;
/** One of {@link READ_MODES}. */
export type ReadMode = typeof READ_MODES[number];

/** Everything that a server is told before it starts. */
export interface ServerConfig {
  /** Which of `members` this server is. */
  readonly nodeId: number;
  /** Where it listens. */
  readonly bind: Address;
  /** Where it serves metrics, health and status over HTTP; null where it does not. */
  readonly http: Address | null;
  /** The nodes that a new cluster begins with, sorted by id; null where the data folder or `join` says. */
  readonly members: readonly NodeAddress[] | null;
  /** Nodes of a running cluster that a new node asks to be let in by; empty when it is not told to. */
  readonly join: readonly Address[];
  /** Goes into the cluster's id, so that clusters with equal members stay apart; null when none was given. */
  readonly clusterName: string | null;
  /** The data directory; created when missing. */
  readonly dataDir: string;
  /** A follower that hears nothing for this long, up to twice as long, campaigns. */
  readonly electionTimeoutMs: number;
  /** Between two heartbeats of the leader. */
  readonly heartbeatMs: number;
  readonly readMode: ReadMode;
  /** Lines below this level are not written. */
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  /** The longest value that a client may write. */
  readonly maxValueBytes: number;
  /** Size at which a file of the log is ended and the next begun. */
  readonly segmentBytes: number;
  /** Clients at a time; more are refused. Fewer where the process has too few file descriptors (descriptors.ts). */
  readonly maxConnections: number;
  /** Most bytes of keys and values; null for no quota. */
  readonly quotaBytes: number | null;
  /** Bytes of log after which a snapshot is taken. */
  readonly snapshotLogBytes: number;
}

/** A setting as the command line and the help know it. */
export interface ServerOption {
  /** Of the flag, without dashes, and of the key in the config file. */
  readonly name: string;
  /** What stands for the value in the help. */
  readonly placeholder: string;
  readonly help: string;
  /** What is allowed, in words. */
  readonly allowed: string;
  /** What applies when it is not given; null when it must be. */
  readonly fallback: string | null;
  /** A value that is fine. */
  readonly example: string;
}

interface Row<T> extends ServerOption {
  readonly numeric: boolean;
  /** The value that `text` stands for; a sentence with the reason when it stands for none. */
  read(text: string): { readonly value: T } | { readonly reason: string };
}

/** The leader must be heard a few times before anybody doubts it. */
const HEARTBEATS_PER_ELECTION_TIMEOUT = 3;

const ROWS = {
  nodeId: integerRow({
    name: "node-id",
    placeholder: "<n>",
    help: "which node this is; an id is never used for another",
    range: { min: 1, max: Number.MAX_SAFE_INTEGER },
    fallback: null,
    example: "1",
  }),
  bind: addressRow({
    name: "bind",
    placeholder: "<host:port>",
    help: "where it listens, for nodes and clients",
    allowed: "a host and a port of this machine; 0.0.0.0 and [::] for all its addresses",
    fallback: null,
    example: "127.0.0.1:7001",
  }, parseAddress),
  http: addressRow({
    name: "http",
    placeholder: "<host:port>",
    help: "serve metrics, health and status over HTTP, open to whoever reaches it",
    allowed: "a host and a port of this machine, or a port alone for 127.0.0.1",
    fallback: "none",
    example: "127.0.0.1:9101",
  }, orNone(parseHttpAddress)),
  members: addressRow({
    name: "cluster",
    placeholder: "<nodes>",
    help: "the nodes that a new cluster begins with; later starts need it no more",
    allowed: "1 to 7 times id=host:port, parted by commas, no id and no address twice",
    fallback: "none",
    example: "1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003",
  }, orNone(parseMembers)),
  join: addressRow({
    name: "join",
    placeholder: "<host:port>",
    help: "any node of a running cluster, for a new node to be added to it",
    allowed: "one or more times host:port, parted by commas",
    fallback: "none",
    example: "127.0.0.1:7001",
  }, orNone(parseAddresses)),
  clusterName: textRow({
    name: "cluster-name",
    placeholder: "<name>",
    help: "keeps clusters apart; the same on every node",
    allowed: "1 to 64 letters, digits, dots, dashes and underscores",
    pattern: /^[A-Za-z0-9._-]{1,64}$/,
    fallback: "kvraft",
    example: "orders",
  }),
  dataDir: textRow({
    name: "data-dir",
    placeholder: "<path>",
    help: "where its data lies; created when missing",
    allowed: "a path under ./data",
    pattern: /^[^\0]+$/,
    fallback: "./data/node-<n>",
    example: "./data/node-1",
  }),
  electionTimeoutMs: integerRow({
    name: "election-timeout-ms",
    placeholder: "<ms>",
    help: "silence of the leader after which a node campaigns",
    range: { min: 100, max: 60_000 },
    fallback: "1000",
    example: "1000",
  }),
  heartbeatMs: integerRow({
    name: "heartbeat-ms",
    placeholder: "<ms>",
    help: "time between two heartbeats of the leader",
    range: { min: 10, max: 20_000 },
    fallback: "100",
    example: "100",
  }),
  readMode: choiceRow({
    name: "read-mode",
    placeholder: "<mode>",
    help: "how linearizable reads are made sure of; lease trusts clocks",
    choices: READ_MODES,
    fallback: "read-index",
    example: "lease",
  }),
  logLevel: choiceRow({
    name: "log-level",
    placeholder: "<level>",
    help: "the least important lines that are written",
    choices: LOG_LEVELS,
    fallback: "info",
    example: "warn",
  }),
  logFormat: choiceRow({
    name: "log-format",
    placeholder: "<format>",
    help: "how log lines are written, to standard error",
    choices: LOG_FORMATS,
    fallback: "text",
    example: "json",
  }),
  maxValueBytes: integerRow({
    name: "max-value-bytes",
    placeholder: "<bytes>",
    help: "the longest value a client may write",
    range: { min: 1, max: MAX_VALUE_BYTES },
    fallback: String(MAX_VALUE_BYTES),
    example: "65536",
  }),
  segmentBytes: integerRow({
    name: "segment-bytes",
    placeholder: "<bytes>",
    help: "size of one file of the log",
    range: { min: 4_096, max: 1_073_741_824 },
    fallback: "67108864",
    example: "16777216",
  }),
  maxConnections: integerRow({
    name: "max-connections",
    placeholder: "<n>",
    help: "clients connected at a time; fewer where file descriptors are short",
    range: { min: 16, max: 65_536 },
    fallback: "4096",
    example: "1000",
  }),
  quotaBytes: integerRow({
    name: "quota-bytes",
    placeholder: "<bytes>",
    help: "keys and values together; beyond it only deletes are taken (0: no quota)",
    range: { min: 0, max: Number.MAX_SAFE_INTEGER },
    fallback: "0",
    example: "2147483648",
  }),
  snapshotLogBytes: integerRow({
    name: "snapshot-log-bytes",
    placeholder: "<bytes>",
    help: "log after which a snapshot is taken, if the last one was no larger",
    range: { min: 4_096, max: Number.MAX_SAFE_INTEGER },
    fallback: "67108864",
    example: "268435456",
  }),
};

/** Names the config file; the only flag that it cannot hold itself. */
const CONFIG_FILE_OPTION: ServerOption = {
  name: "config",
  placeholder: "<file.json>",
  help: "a file with any of these settings (JSON with comments); flags win",
  allowed: "a file in the working directory or below",
  fallback: "none",
  example: "kvraft.json",
};

/** Every option of a server, in the order of the help. */
export const SERVER_OPTIONS: readonly ServerOption[] = [...Object.values(ROWS), CONFIG_FILE_OPTION];

/** What reading a configuration needs from its surroundings. */
export interface ConfigSources {
  /** The flags that were given, by name without dashes. */
  readonly flags: ReadonlyMap<string, string>;
  /** Reads the config file; throws when it cannot. */
  readFile(path: string): string;
  /** Whether this program is permitted to write there. */
  mayWrite(path: string): boolean;
}

/**
 * Puts flags, config file and defaults together and checks all of it.
 * Throws {@link ConfigError} for the first thing that is wrong.
 */
export function readServerConfig(sources: ConfigSources): ServerConfig {
  const settings = new Map(fileSettings(sources));
  for (const [name, text] of sources.flags) settings.set(name, { text, origin: `--${name}` });
  const nodeId = read(ROWS.nodeId, settings);
  const config: ServerConfig = {
    nodeId,
    bind: read(ROWS.bind, settings),
    http: read(ROWS.http, settings),
    members: read(ROWS.members, settings),
    join: read(ROWS.join, settings) ?? [],
    clusterName: settings.has(ROWS.clusterName.name) ? read(ROWS.clusterName, settings) : null,
    dataDir: settings.has(ROWS.dataDir.name) ? read(ROWS.dataDir, settings) : `./data/node-${nodeId}`,
    electionTimeoutMs: read(ROWS.electionTimeoutMs, settings),
    heartbeatMs: read(ROWS.heartbeatMs, settings),
    readMode: read(ROWS.readMode, settings),
    logLevel: read(ROWS.logLevel, settings),
    logFormat: read(ROWS.logFormat, settings),
    maxValueBytes: read(ROWS.maxValueBytes, settings),
    segmentBytes: read(ROWS.segmentBytes, settings),
    maxConnections: read(ROWS.maxConnections, settings),
    quotaBytes: read(ROWS.quotaBytes, settings) || null,
    snapshotLogBytes: read(ROWS.snapshotLogBytes, settings),
  };
  checkTogether(config, settings);
  if (!sources.mayWrite(config.dataDir)) throw outsideOfWhatIsPermitted(config.dataDir, settings);
  return config;
}

/** Whether a setting goes with the others. */
function checkTogether(config: ServerConfig, settings: ReadonlyMap<string, Setting>): void {
  const ids = config.members?.map(({ id }) => id) ?? [];
  if (config.members !== null && config.join.length > 0) {
    throw new ConfigError(
      "--join and --cluster were both given. A new cluster begins with --cluster; a new node of a running cluster " +
        `joins it. Example: --join ${ROWS.join.example}`,
    );
  }
  if (config.members !== null && !ids.includes(config.nodeId)) {
    throw problem(ROWS.nodeId, {
      settings,
      reason: `${config.nodeId} is not in --cluster`,
      allowed: `one of its ids: ${ids.join(", ")}; a node that is to be added uses --join in its place`,
      example: String(ids[0]),
    });
  }
  if (config.http !== null && formatAddress(config.http) === formatAddress(config.bind)) {
    throw problem(ROWS.http, {
      settings,
      reason: `${formatAddress(config.http)} is --bind already`,
      allowed: "another port",
      example: ROWS.http.example,
    });
  }
  const longest = Math.floor(config.electionTimeoutMs / HEARTBEATS_PER_ELECTION_TIMEOUT);
  if (config.heartbeatMs > longest) {
    throw problem(ROWS.heartbeatMs, {
      settings,
      reason:
        `${config.heartbeatMs} is too long for an election timeout of ${config.electionTimeoutMs} ms, ` +
        `which must be at least ${HEARTBEATS_PER_ELECTION_TIMEOUT} heartbeats`,
      allowed: `10 to ${longest}, or a longer --election-timeout-ms`,
      example: String(Math.min(100, longest)),
    });
  }
}

/** An address; without a host it is one that only this machine reaches, since nobody who asks is asked who they are. */
function parseHttpAddress(text: string): Address {
  const port = /^:?([0-9]+)$/.exec(text)?.[1];
  return parseAddress(port === undefined ? text : `127.0.0.1:${port}`);
}

/** A list of addresses, parted by commas. */
function parseAddresses(text: string): readonly Address[] {
  return parseContacts(text.split(",")).map(({ address }) => address);
}

/** A setting that may be missing: then its fallback is "none". */
function orNone<T>(parse: (text: string) => T): (text: string) => T | null {
  return (text) => text === "none" ? null : parse(text);
}

function outsideOfWhatIsPermitted(path: string, settings: ReadonlyMap<string, Setting>): ConfigError {
  const origin = settings.get(ROWS.dataDir.name)?.origin ?? `--${ROWS.dataDir.name}`;
  return new ConfigError(
    `${origin}: this program may write only under ./data of the directory it was started in, and ${path} is not ` +
      `there. Either start it in another working directory, whose ./data holds the path, or compile it for that ` +
      `place: KVRAFT_DATA_DIR=${path} deno task compile. Example: --data-dir ${ROWS.dataDir.example}`,
  );
}

function fileSettings(sources: ConfigSources): ReadonlyMap<string, Setting> {
  const path = sources.flags.get(CONFIG_FILE_OPTION.name);
  if (path === undefined) return new Map();
  let text: string;
  try {
    text = sources.readFile(path);
  } catch (error) {
    const reason = errorMessage(error);
    throw new ConfigError(
      `--config: cannot read ${path}: ${reason}. Allowed: ${CONFIG_FILE_OPTION.allowed}. ` +
        `Example: --config ${CONFIG_FILE_OPTION.example}`,
    );
  }
  return readConfigFile({ path, text, keys: Object.values(ROWS) });
}

function read<T>(row: Row<T>, settings: ReadonlyMap<string, Setting>): T {
  const text = settings.get(row.name)?.text ?? row.fallback;
  if (text === null) {
    throw new ConfigError(
      `--${row.name} is missing. Allowed: ${row.allowed}. Example: --${row.name} ${row.example}`,
    );
  }
  const result = row.read(text);
  if ("value" in result) return result.value;
  throw problem(row, { settings, reason: result.reason, allowed: row.allowed, example: row.example });
}

function problem(
  row: ServerOption,
  what: { settings: ReadonlyMap<string, Setting>; reason: string; allowed: string; example: string },
): ConfigError {
  const origin = what.settings.get(row.name)?.origin ?? `--${row.name}`;
  return new ConfigError(
    `${origin}: ${what.reason}. Allowed: ${what.allowed}. Example: --${row.name} ${what.example}`,
  );
}

function integerRow(
  { range: { min, max }, ...row }: Omit<ServerOption, "allowed"> & { range: { min: number; max: number } },
): Row<number> {
  return {
    ...row,
    numeric: true,
    allowed: max === Number.MAX_SAFE_INTEGER
      ? `an integer from ${min} up`
      : `an integer from ${min} to ${max}`,
    read(text): { value: number } | { reason: string } {
      const value = Number(text);
      if (!/^[+-]?[0-9]+$/.test(text)) return { reason: `"${shortened(text)}" is not an integer` };
      if (!Number.isSafeInteger(value) || value > max) return { reason: `${shortened(text)} is too large` };
      return value < min ? { reason: `${shortened(text)} is too small` } : { value };
    },
  };
}

function addressRow<T>(row: ServerOption, parse: (text: string) => T): Row<T> {
  return {
    ...row,
    numeric: false,
    read(text): { value: T } | { reason: string } {
      try {
        return { value: parse(text) };
      } catch (error) {
        if (error instanceof AddressError) return { reason: error.message.replace(/\.$/, "") };
        throw error;
      }
    },
  };
}

function textRow({ pattern, ...row }: ServerOption & { pattern: RegExp }): Row<string> {
  return {
    ...row,
    numeric: false,
    read: (text) => pattern.test(text) ? { value: text } : { reason: `"${shortened(text)}" can't be used` },
  };
}

function choiceRow<T extends string>(
  { choices, ...row }: Omit<ServerOption, "allowed"> & { choices: readonly T[] },
): Row<T> {
  return {
    ...row,
    numeric: false,
    allowed: choices.join(", "),
    read(text): { value: T } | { reason: string } {
      const value = choices.find((choice) => choice === text);
      if (value !== undefined) return { value };
      const near = nearest(text, choices);
      return { reason: `there is no "${shortened(text)}"${near === null ? "" : `; the nearest is ${near}`}` };
    },
  };
}
