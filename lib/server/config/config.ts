/**
 * The configuration of a server. One table of options gives the type, the defaults, the flags, the keys of the config
 * file and its schema, the help and the checks. `reading.ts` reads and checks all of it before anything is started.
 */
import { MAX_VALUE_BYTES } from "../../kv/command.ts";
import { parseAddress, parseMemberAddress } from "../../platform/address.ts";
import { FIRST_GATEWAY_ID } from "../../protocol/hello.ts";
import { parseContacts, parseMembers } from "../../protocol/node_list.ts";
import type { NamedPaths } from "../../platform/named_paths.ts";
import type { Address } from "../../platform/network.ts";
import { LOG_FORMATS, LOG_LEVELS } from "../../platform/logger.ts";
import { PEER_AUTH_MODES } from "../../transport/handshake/peer_authentication.ts";
import {
  addressOption,
  amountOption,
  amountText,
  BYTES,
  choiceOption,
  integerOption,
  MILLISECONDS,
  nullForZero,
  nullWhenAbsent,
  pathOption,
  SECONDS,
  type ServerOption,
  textOption,
  type TypedOption,
} from "./option_kinds.ts";

import { BACKUP_OPTIONS } from "./backup_options.ts";
import { pathsNamedBy } from "./paths.ts";
import { TLS_OPTIONS } from "./tls_options.ts";

export type { ServerOption } from "./option_kinds.ts";

export { AddressError, formatAddress, parseMemberAddress } from "../../platform/address.ts";
export { parseContacts, parseMembers } from "../../protocol/node_list.ts";
export { ConfigError } from "./config_file.ts";

/** The methods that make a read linearizable: a round of heartbeats, or a lease, which depends on clocks. */
export const READ_MODES = ["read-index", "lease"] as const;
/** One of {@link READ_MODES}. */
export type ReadMode = typeof READ_MODES[number];

/** A year: longer timers than a sixteenth of it overflow. */
const MAX_HISTORY_SECONDS = 31_536_000;

/** All options, in the order of the help. A new option is a new entry here. */
export const OPTIONS = {
  /** Which of `members` this server is. */
  nodeId: integerOption({
    name: "node-id",
    placeholder: "<n>",
    help: "the id of this node; an id is never used for another node",
    range: { min: 1, max: FIRST_GATEWAY_ID - 1 },
    fallback: null,
    example: "1",
  }),
  /** Where it listens. */
  bind: addressOption({
    name: "bind",
    placeholder: "<host:port>",
    help: "the address on which it listens, for nodes and clients",
    allowed: "a host and a port of this machine; 0.0.0.0 and [::] for all its addresses",
    fallback: null,
    example: "127.0.0.1:7001",
  }, parseAddress),
  /** Where it serves metrics, health and status over HTTP; null where it does not. */
  http: addressOption({
    name: "http",
    placeholder: "<host:port>",
    help: "serve metrics, health and the status page over HTTP",
    allowed: "a host and a port of this machine, or a port alone for 127.0.0.1",
    fallback: "none",
    example: "127.0.0.1:9101",
  }, orNone(parseHttpAddress)),
  /** Where it serves Deno KV; null where it does not. */
  denokv: addressOption({
    name: "denokv",
    placeholder: "<host:port>",
    help: 'serve Deno KV: Deno.openKv("http://<host:port>")',
    allowed: "a host and a port of this machine, or a port alone for 127.0.0.1",
    fallback: "none",
    example: "127.0.0.1:4512",
  }, orNone(parseHttpAddress)),
  /** Where it serves clients of etcd v3; null where it does not. */
  etcd: addressOption({
    name: "etcd",
    placeholder: "<host:port>",
    help: "serve clients of etcd v3: etcdctl --endpoints=<host:port>",
    allowed: "a host and a port of this machine, or a port alone for 127.0.0.1",
    fallback: "none",
    example: "127.0.0.1:2379",
  }, orNone(parseHttpAddress)),
  /** Where clients of etcd v3 reach it; null for the address on which it listens. */
  etcdAdvertise: addressOption({
    name: "etcd-advertise",
    placeholder: "<host:port>",
    help: "the address that clients of --etcd use, if it is another one",
    allowed: "host:port that other programs can dial",
    fallback: "none",
    example: "node1.example:2379",
  }, orNone(parseMemberAddress)),
  /** The nodes that a new cluster begins with, sorted by id; null where the data directory or `join` says. */
  members: addressOption({
    name: "cluster",
    placeholder: "<nodes>",
    help: "the nodes that a new cluster begins with; later starts do not need it",
    allowed: "1 to 7 times id=host:port, separated by commas, no id and no address twice",
    fallback: "none",
    example: "1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003",
  }, orNone(parseMembers)),
  /** Nodes of a running cluster, which a new node asks for the cluster; empty where it does not join one. */
  join: addressOption({
    name: "join",
    placeholder: "<host:port>",
    help: "any node of a running cluster that this new node is to join",
    allowed: "one or more times host:port, separated by commas",
    fallback: "none",
    example: "127.0.0.1:7001",
  }, (text) => text === "none" ? [] : parseAddresses(text)),
  /** Part of the cluster's id, so that clusters with equal members differ; null when none was given. */
  clusterName: nullWhenAbsent(textOption({
    name: "cluster-name",
    placeholder: "<name>",
    help: "keeps clusters apart; the same on every node",
    allowed: "1 to 64 letters, digits, dots, dashes and underscores",
    pattern: /^[A-Za-z0-9._-]{1,64}$/,
    fallback: "kvraft",
    example: "orders",
  })),
  /** The data directory; created when missing. */
  dataDir: pathOption({
    name: "data-dir",
    placeholder: "<path>",
    help: "the data directory, which no other node may use; created when missing",
    allowed: "a directory on a local disk",
    path: "write",
    fallback: "./data/node-<n>",
    example: "./data/node-1",
  }),
  /** A follower that receives nothing for this long, up to twice as long, campaigns. */
  electionTimeoutMs: amountOption({
    name: "election-timeout-ms",
    placeholder: "<time>",
    help: "time without messages of the leader after which a node campaigns",
    units: MILLISECONDS,
    range: { min: 100, max: 60_000 },
    fallback: "1s",
    example: "1s",
  }),
  /** Interval between two heartbeats of the leader. */
  heartbeatMs: amountOption({
    name: "heartbeat-ms",
    placeholder: "<time>",
    help: "time between two heartbeats of the leader",
    units: MILLISECONDS,
    range: { min: 10, max: 20_000 },
    fallback: "100ms",
    example: "100ms",
  }),
  readMode: choiceOption({
    name: "read-mode",
    placeholder: "<mode>",
    help: "how a read is made linearizable; lease depends on clocks",
    choices: READ_MODES,
    fallback: "read-index",
    example: "lease",
  }),
  /** Lines below this level are not written. */
  logLevel: choiceOption({
    name: "log-level",
    placeholder: "<level>",
    help: "the least important lines that are written",
    choices: LOG_LEVELS,
    fallback: "info",
    example: "warn",
  }),
  logFormat: choiceOption({
    name: "log-format",
    placeholder: "<format>",
    help: "how log lines are written, to standard error",
    choices: LOG_FORMATS,
    fallback: "text",
    example: "json",
  }),
  /** Whether each write and administrative request of a user has a line in the log; refusals always have. */
  auditLog: choiceOption({
    name: "audit-log",
    placeholder: "<on|off>",
    help: "also log what users write, and what they do to the cluster",
    choices: ["on", "off"],
    fallback: "off",
    example: "on",
  }),
  /** Time above which a request has a line in the log; null for none. */
  slowMs: nullForZero(amountOption({
    name: "slow-ms",
    placeholder: "<time>",
    help: "requests that take longer are logged with where the time went (0: none)",
    units: MILLISECONDS,
    range: { min: 0, max: 600_000 },
    fallback: "500ms",
    example: "200ms",
  })),
  /** The longest value that a client may write. */
  maxValueBytes: amountOption({
    name: "max-value-bytes",
    placeholder: "<size>",
    help: "the longest value a client may write",
    units: BYTES,
    range: { min: 1, max: MAX_VALUE_BYTES },
    fallback: amountText(MAX_VALUE_BYTES, BYTES),
    example: "64KiB",
  }),
  /** Size at which a file of the log is ended and the next begun. */
  segmentBytes: amountOption({
    name: "segment-bytes",
    placeholder: "<size>",
    help: "size of one file of the log",
    units: BYTES,
    range: { min: 4_096, max: 1_073_741_824 },
    fallback: "64MiB",
    example: "16MiB",
  }),
  /** Clients at a time; more are refused. Fewer where the process has too few file descriptors (descriptors.ts). */
  maxConnections: integerOption({
    name: "max-connections",
    placeholder: "<n>",
    help: "clients connected at a time; fewer if file descriptors are short",
    range: { min: 16, max: 65_536 },
    fallback: "4096",
    example: "1000",
  }),
  /** Clients from one source address at a time; null for three quarters of `maxConnections`. */
  maxConnectionsPerAddress: nullForZero(integerOption({
    name: "connections-per-address",
    placeholder: "<n>",
    help: "clients from one IP address at a time (0: three quarters of all)",
    range: { min: 0, max: 65_536 },
    fallback: "0",
    example: "500",
  })),
  /** Holds the secret that the nodes of a cluster share; null without one. */
  peerSecretFile: nullWhenAbsent(pathOption({
    name: "peer-secret-file",
    placeholder: "<path>",
    help: "the secret by which the nodes of a cluster know each other",
    allowed: "a file that only its owner may read",
    path: "read",
    fallback: "none",
    example: "peer.secret",
  })),
  /** Whether nodes that do not prove the secret are refused. */
  peerAuth: choiceOption({
    name: "peer-auth",
    placeholder: "<mode>",
    help: "refuse nodes without the peer secret, or (accept) introduce it step by step",
    choices: PEER_AUTH_MODES,
    fallback: "require",
    example: "accept",
  }),
  ...TLS_OPTIONS,
  /** Maximum bytes of keys and values; null for no quota. */
  quotaBytes: nullForZero(amountOption({
    name: "quota-bytes",
    placeholder: "<size>",
    help: "keys and values together; beyond it only deletes are taken (0: no quota)",
    units: BYTES,
    range: { min: 0, max: Number.MAX_SAFE_INTEGER },
    fallback: "0",
    example: "2GiB",
  })),
  /** Bytes that earlier versions of keys may take before the leader compacts them. */
  historyBytes: amountOption({
    name: "history-bytes",
    placeholder: "<size>",
    help: "earlier versions of keys that are kept; the leader's value applies",
    units: BYTES,
    range: { min: 0, max: Number.MAX_SAFE_INTEGER },
    fallback: "64MiB",
    example: "16MiB",
  }),
  /** Seconds after which the leader compacts earlier versions of keys; null for no bound of time. */
  historySeconds: nullForZero(amountOption({
    name: "history-seconds",
    placeholder: "<time>",
    help: "time after which earlier versions of keys are dropped (0: no bound of time)",
    units: SECONDS,
    range: { min: 0, max: MAX_HISTORY_SECONDS },
    fallback: "0",
    example: "24h",
  })),
  /** Bytes of log after which a snapshot is taken. */
  snapshotLogBytes: amountOption({
    name: "snapshot-log-bytes",
    placeholder: "<size>",
    help: "log after which a snapshot is taken, if the last one was no larger",
    units: BYTES,
    range: { min: 4_096, max: Number.MAX_SAFE_INTEGER },
    fallback: "64MiB",
    example: "256MiB",
  }),
  ...BACKUP_OPTIONS,
};

/** The configuration of a server; each field is documented at its option. */
export type ServerConfig = {
  readonly [Name in keyof typeof OPTIONS]: typeof OPTIONS[Name] extends TypedOption<infer T> ? T : never;
};

/**
 * The settings that can change while a server runs (SIGHUP). They change in the object of its configuration: nothing keeps
 * a copy of them. `history-seconds` changes only from one time to another.
 */
export const LIVE_SETTINGS = [
  "logLevel",
  "logFormat",
  "auditLog",
  "slowMs",
  "quotaBytes",
  "historyBytes",
  "historySeconds",
] as const satisfies readonly (keyof ServerConfig)[];
/** The values of {@link LIVE_SETTINGS}. */
export type LiveSettings = Pick<ServerConfig, typeof LIVE_SETTINGS[number]>;

/** Names the config file; the only flag that the file cannot set. */
export const CONFIG_FILE_OPTION: ServerOption = {
  name: "config",
  placeholder: "<file.json>",
  help: "a file with any of these settings (JSON with comments); flags win",
  allowed: "a file; paths in it are relative to its directory",
  fallback: "none",
  example: "kvraft.json",
  path: "read",
};

/** Every option of a server, in the order of the help. */
export const SERVER_OPTIONS: readonly ServerOption[] = [...Object.values(OPTIONS), CONFIG_FILE_OPTION];

/** Returns the paths that a configuration names, and its file; null for none. */
export function namedPathsOf(config: ServerConfig, configFile: string | null): NamedPaths {
  return pathsNamedBy(config, { options: OPTIONS, configFile });
}

/** Parses an address; without a host it is on loopback, since HTTP clients are not authenticated. */
function parseHttpAddress(text: string): Address {
  const port = /^:?([0-9]+)$/.exec(text)?.[1];
  return parseAddress(port === undefined ? text : `127.0.0.1:${port}`);
}

/** Parses addresses separated by commas. */
function parseAddresses(text: string): readonly Address[] {
  return parseContacts(text.split(",")).map(({ address }) => address);
}

/** Makes a parser that returns null for "none". */
function orNone<T>(parse: (text: string) => T): (text: string) => T | null {
  return (text) => text === "none" ? null : parse(text);
}
