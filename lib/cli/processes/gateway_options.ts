/** The options of `kvraft gateway`, and its help. */
import { AddressError, formatAddress, parseAddress } from "../../platform/address.ts";
import { LOG_FORMATS, LOG_LEVELS } from "../../platform/logger.ts";
import type { Address } from "../../platform/network.ts";
import type { ConnectOptions } from "../../client/types.ts";
import type { ServerConfig } from "../../server/config/config.ts";
import { isLoopback } from "../../server/config/protection.ts";
import { CLIENT_AUTH_MODES } from "../../server/config/tls_options.ts";
import { choiceOption, integerOption, type OptionSpec, optionUsage } from "../arguments.ts";
import type { Environment } from "../environment.ts";
import { UsageError } from "../errors.ts";
import { columns } from "../help.ts";
import { SIGN_IN_OPTIONS, signInOf } from "../sign_in/secrets.ts";
import { CLUSTER_TLS_OPTIONS, renewedTlsOf } from "../tls_options.ts";

const EXAMPLE = "kvraft gateway --cluster 127.0.0.1:7001,127.0.0.1:7002 --etcd 127.0.0.1:2379";

/** The protocols that a gateway serves: their options, with the names of what they serve. */
export const FRONT_ENDS = {
  bind: { name: "kvraft's clients", example: "127.0.0.1:7100" },
  denokv: { name: "Deno KV", example: "127.0.0.1:4512" },
  etcd: { name: "etcd v3", example: "127.0.0.1:2379" },
} as const;
type FrontEndName = keyof typeof FRONT_ENDS;
/** The names of {@link FRONT_ENDS}. */
export const FRONT_END_NAMES: readonly FrontEndName[] = ["bind", "denokv", "etcd"];

/** Clients at a time, as of a node. */
const MAX_CONNECTIONS = 4_096;
const MOST_CONNECTIONS = 65_536;
const MIN_CONNECTIONS = 16;
const TLS_MIN_VERSIONS: readonly ServerConfig["tlsMinVersion"][] = ["1.3", "1.2"];

/** The options of TLS for what a gateway listens on. */
const LISTEN_TLS_OPTIONS: readonly OptionSpec[] = [
  { name: "tls-cert", placeholder: "<path>", help: "listen with TLS; the gateway's certificate in PEM" },
  { name: "tls-key", placeholder: "<path>", help: "the private key of --tls-cert" },
  {
    name: "tls-ca",
    placeholder: "<path>",
    help: "the authorities that have issued --tls-cert and the certificates of clients",
  },
  {
    name: "tls-client-auth",
    placeholder: "<mode>",
    help: `whether clients of --bind and --etcd show a certificate: ${
      CLIENT_AUTH_MODES.join(", ")
    } (optional)`,
  },
  {
    name: "tls-min-version",
    placeholder: "<version>",
    help: `the least version of TLS: ${TLS_MIN_VERSIONS.join(", ")} (1.3)`,
  },
  {
    name: "allow-group-readable-keys",
    placeholder: null,
    help: "take a private key that its group may read",
  },
];

/** All options. */
export const GATEWAY_OPTIONS: readonly OptionSpec[] = [
  {
    name: "cluster",
    placeholder: "<nodes>",
    help: "one or more nodes, as host:port, parted by commas (required)",
  },
  {
    name: "bind",
    placeholder: "<host:port>",
    help: "serve kvraft's clients on this address, or port of 127.0.0.1",
  },
  {
    name: "denokv",
    placeholder: "<host:port>",
    help: "serve Deno KV on this address, or port of 127.0.0.1",
  },
  {
    name: "etcd",
    placeholder: "<host:port>",
    help: "serve etcd v3 on this address, or port of 127.0.0.1",
  },
  ...LISTEN_TLS_OPTIONS,
  { name: "insecure", placeholder: null, help: "listen beyond this machine without TLS" },
  ...CLUSTER_TLS_OPTIONS,
  ...SIGN_IN_OPTIONS,
  {
    name: "max-connections",
    placeholder: "<n>",
    help: `clients of --bind at a time; fewer if file descriptors are short (${MAX_CONNECTIONS})`,
  },
  {
    name: "connections-per-address",
    placeholder: "<n>",
    help: "clients of --bind from one IP address at a time (0: three quarters of all)",
  },
  {
    name: "log-level",
    placeholder: "<level>",
    help: `the least important lines that are written: ${LOG_LEVELS.join(", ")} (info)`,
  },
  {
    name: "log-format",
    placeholder: "<format>",
    help: `how log lines are written: ${LOG_FORMATS.join(", ")} (text)`,
  },
  { name: "help", placeholder: null, help: "explain, and do nothing" },
];

/** The TLS of what a gateway listens on, as the options of a server. */
type ListenTls = Pick<
  ServerConfig,
  "tlsCert" | "tlsKey" | "tlsCa" | "tlsClientAuth" | "tlsMinVersion" | "peerName" | "allowGroupReadableKeys"
>;

/** The arguments of a gateway. */
export interface GatewayConfig {
  readonly connect: ConnectOptions;
  /** Where each protocol is served; at least one is. */
  readonly addresses: Readonly<Partial<Record<FrontEndName, Address>>>;
  readonly tls: ListenTls;
  readonly maxConnections: number;
  /** Null for three quarters of them. */
  readonly maxConnectionsPerAddress: number | null;
  readonly logLevel: typeof LOG_LEVELS[number];
  readonly logFormat: typeof LOG_FORMATS[number];
}

/** Returns the configuration that the options give. Rejects with {@link UsageError}. */
export async function configOf(
  options: ReadonlyMap<string, string>,
  environment: Environment,
): Promise<GatewayConfig> {
  const cluster = options.get("cluster");
  if (cluster === undefined) throw new UsageError(`--cluster is missing. Example: ${EXAMPLE}`);
  const listenTls = listenTlsOf(options);
  const addresses = addressesOf(options, { isProtected: listenTls.tlsCert !== null });
  const tls = renewedTlsOf(options, environment, "cluster-");
  const maxConnections = integerOption(options, "max-connections", {
    fallback: MAX_CONNECTIONS,
    min: MIN_CONNECTIONS,
    max: MOST_CONNECTIONS,
  });
  const perAddress = integerOption(options, "connections-per-address", {
    fallback: 0,
    min: 0,
    max: MOST_CONNECTIONS,
  });
  const signIn = await signInOf({ options, environment });
  return {
    connect: { cluster: cluster.split(","), ...(tls === null ? {} : { tls }), ...signIn },
    addresses,
    tls: listenTls,
    maxConnections,
    maxConnectionsPerAddress: perAddress === 0 ? null : perAddress,
    logLevel: choiceOption(options, "log-level", LOG_LEVELS) ?? "info",
    logFormat: choiceOption(options, "log-format", LOG_FORMATS) ?? "text",
  };
}

/** Returns the TLS of what the gateway listens on. Throws {@link UsageError} for options that lack others. */
function listenTlsOf(options: ReadonlyMap<string, string>): ListenTls {
  const files = ["tls-cert", "tls-key", "tls-ca"];
  const missing = files.filter((name) => !options.has(name)).map((name) => `--${name}`);
  const given = LISTEN_TLS_OPTIONS.find(({ name }) => options.has(name));
  if (given !== undefined && missing.length > 0) {
    throw new UsageError(
      `--${given.name} is for what the gateway listens on, and ${
        missing.join(" and ")
      } is missing. Allowed: all of ` +
        "--tls-cert, --tls-key and --tls-ca, or none. To dial nodes that use TLS: --cluster-tls-ca.",
    );
  }
  return {
    tlsCert: options.get("tls-cert") ?? null,
    tlsKey: options.get("tls-key") ?? null,
    tlsCa: options.get("tls-ca") ?? null,
    tlsClientAuth: choiceOption(options, "tls-client-auth", CLIENT_AUTH_MODES) ?? "optional",
    tlsMinVersion: choiceOption(options, "tls-min-version", TLS_MIN_VERSIONS) ?? "1.3",
    peerName: null,
    allowGroupReadableKeys: options.has("allow-group-readable-keys"),
  };
}

/** Returns the addresses to listen on. Throws {@link UsageError} without any, or for one that nothing protects. */
function addressesOf(
  options: ReadonlyMap<string, string>,
  { isProtected }: { readonly isProtected: boolean },
): GatewayConfig["addresses"] {
  const addresses: Partial<Record<FrontEndName, Address>> = {};
  for (const name of FRONT_END_NAMES) {
    const text = options.get(name);
    if (text === undefined) continue;
    const address = addressOf(name, text);
    if (!isProtected && !options.has("insecure") && !isLoopback(address)) throw unprotected(name, address);
    const other = FRONT_END_NAMES.find((one) => {
      const taken = addresses[one];
      return taken !== undefined && formatAddress(taken) === formatAddress(address);
    });
    if (other !== undefined) {
      throw new UsageError(`--${name}: ${formatAddress(address)} is --${other} already.`);
    }
    addresses[name] = address;
  }
  if (Object.keys(addresses).length > 0) return addresses;
  throw new UsageError(
    `--bind, --etcd and --denokv are missing: at least one is needed. Example: ${EXAMPLE}`,
  );
}

function addressOf(name: FrontEndName, text: string): Address {
  const port = /^:?([0-9]+)$/.exec(text)?.[1];
  try {
    return parseAddress(port === undefined ? text : `127.0.0.1:${port}`);
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
    throw new UsageError(`--${name}: ${error.message}. Example: --${name} ${FRONT_ENDS[name].example}`);
  }
}

function unprotected(name: FrontEndName, address: Address): UsageError {
  return new UsageError(
    `--${name}: other machines reach ${
      formatAddress(address)
    }, and nothing protects it. Choose one: an address of 127.0.0.1; ` +
      "--tls-cert, --tls-key and --tls-ca, which encrypt all that it serves; --insecure, which takes the risk.",
  );
}

/** Returns the text of `kvraft gateway --help`. */
export function gatewayHelp(): string {
  return `Serves kvraft's clients, etcd v3 and Deno KV from a process of its own, which is a client of the cluster and has no data.

Usage:
  kvraft gateway --cluster <nodes> [--bind <host:port>] [--etcd <host:port>] [--denokv <host:port>] [options]

Options:
${columns(GATEWAY_OPTIONS.map((option) => [optionUsage(option), option.help]))}

--bind takes any kvraft client: kvraft client --cluster <gateway>. It relays requests over a few connections to each node,
and its clients dial no node. A write that is retried through another gateway, or at a node, is applied once. Clients that
name several gateways, parted by commas, go on with another one where one fails.

--tls-cert, --tls-key and --tls-ca are for all that the gateway listens on; they are read again while it runs, and new
connections use them. --cluster-tls-ca and its companions are for the connections to the nodes.

Clients of --bind and --etcd sign in themselves, and have the rights of their users; certificates of clients make no users
here. For Deno KV, while authentication is enabled, the gateway signs in with --user, --token-file or a certificate, as a
user with the role root: it reads the keys with which nodes sign the tokens of databases. Its own clients show access
tokens of their databases.

It prints one line to standard output when it is ready, logs to standard error, and stops cleanly on SIGINT and
SIGTERM; a second signal ends it at once.

Exit codes: 0 stopped; 2 usage; 3 the cluster could not be reached; 6 not signed in; 70 any other reason.

Example:
  ${EXAMPLE} --denokv 127.0.0.1:4512 --bind 127.0.0.1:7100
  kvraft client --cluster 127.0.0.1:7100 put greeting hello
  etcdctl --endpoints=127.0.0.1:2379 put greeting hello
  DENO_KV_ACCESS_TOKEN=x deno run --unstable-kv -A program.ts     # await Deno.openKv("http://127.0.0.1:4512")
`;
}
