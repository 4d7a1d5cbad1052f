/** `kvraft gateway`: front ends of a cluster in a process of their own, beside the programs that use them. */
import { AddressError, formatAddress, parseAddress } from "../../platform/address.ts";
import { DenoNetwork } from "../../platform/deno_network.ts";
import { errorMessage } from "../../platform/errors.ts";
import { Log, LOG_FORMATS, LOG_LEVELS } from "../../platform/logger.ts";
import type { Address } from "../../platform/network.ts";
import { SystemClock } from "../../platform/system.ts";
import { KvraftError } from "../../client/errors.ts";
import type { ConnectOptions } from "../../client/types.ts";
import { openGateway } from "../../denokv/gateway.ts";
import { openEtcdGateway } from "../../etcd/gateway_process.ts";
import { isLoopback } from "../../server/config/protection.ts";
import { choiceOption, type OptionSpec, parseArguments, refuseReplaced } from "../arguments.ts";
import type { Environment } from "../environment.ts";
import { ExitCode, failureOf, UsageError } from "../errors.ts";
import { columns } from "../help.ts";
import { optionUsage } from "../arguments.ts";
import { SIGN_IN_OPTIONS, signInOf } from "../sign_in/secrets.ts";
import { StopRequest } from "./stop_request.ts";
import { escapeUnprintable } from "../text.ts";
import { CLIENT_TLS_OPTIONS, tlsOf } from "../tls_options.ts";

const EXAMPLE = "kvraft gateway --cluster 127.0.0.1:7001,127.0.0.1:7002 --etcd 127.0.0.1:2379";

/** The front ends of a gateway: their options, with the names of what they serve. */
const FRONT_ENDS = {
  denokv: { name: "Deno KV", example: "127.0.0.1:4512" },
  etcd: { name: "etcd v3", example: "127.0.0.1:2379" },
} as const;
type FrontEndName = keyof typeof FRONT_ENDS;
const FRONT_END_NAMES: readonly FrontEndName[] = ["denokv", "etcd"];

const OPTIONS: readonly OptionSpec[] = [
  {
    name: "cluster",
    placeholder: "<nodes>",
    help: "one or more nodes, as host:port, parted by commas (required)",
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
  { name: "insecure", placeholder: null, help: "listen beyond this machine, without encryption" },
  ...CLIENT_TLS_OPTIONS,
  ...SIGN_IN_OPTIONS,
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

/** The arguments of a gateway. */
export interface GatewayConfig {
  readonly connect: ConnectOptions;
  /** Where each front end listens; at least one does. */
  readonly addresses: Readonly<Partial<Record<FrontEndName, Address>>>;
  readonly logLevel: typeof LOG_LEVELS[number];
  readonly logFormat: typeof LOG_FORMATS[number];
}

/** A running gateway. */
export interface Gateway {
  /** Answers the requests in progress, and closes everything. May be called again without effect. */
  close(): Promise<void>;
}

/** Opens a gateway; `writeLog` takes the lines of its log. */
export type StartGateway = (
  config: GatewayConfig,
  writeLog: (line: string) => void,
) => Promise<Gateway>;

/** Dependencies of the command. */
interface GatewayDependencies {
  readonly environment: Environment;
  readonly startGateway: StartGateway;
}

/** Opens a gateway on Deno. */
export async function startDenoGateway(
  config: GatewayConfig,
  writeLog: (line: string) => void,
): Promise<Gateway> {
  const { connect, addresses: { denokv, etcd }, logLevel: level, logFormat: format } = config;
  const clock = new SystemClock();
  const logger = new Log({ level, format, write: writeLog, now: () => new Date(), clock });
  await using opened = new AsyncDisposableStack();
  opened.defer(() => logger[Symbol.dispose]());
  const options = { network: new DenoNetwork(), connect, clock, wallClock: Date.now, logger };
  if (denokv !== undefined) {
    opened.adopt(await openGateway({ ...options, address: denokv }), (gateway) => gateway.close());
  }
  if (etcd !== undefined) {
    const gateway = await openEtcdGateway({ ...options, address: etcd, random: Math.random });
    opened.adopt(gateway, (gateway) => gateway.close());
  }
  const all = opened.move();
  return { close: () => all.disposeAsync() };
}

/** Runs `kvraft gateway` with these arguments until a signal stops it. Resolves to the exit code. */
export async function gatewayCommand(
  args: readonly string[],
  { environment, startGateway }: GatewayDependencies,
): Promise<ExitCode> {
  try {
    refuseReplaced(args, "Give names and paths as UTF-8.");
    const { options, positionals } = parseArguments(args, OPTIONS);
    if (options.has("help")) {
      await environment.stdout.write(gatewayHelp());
      return ExitCode.done;
    }
    const [extra] = positionals;
    if (extra !== undefined) {
      throw new UsageError(`"${extra.text}" is not an option. See kvraft gateway --help.`);
    }
    const config = await configOf(options, environment);
    using stop = new StopRequest(environment, "this gateway");
    const gateway = await startGateway(config, (line) => environment.stderr.write(line));
    await environment.stdout.write(`kvraft gateway serves ${describe(config)}\n`);
    await stop.requested;
    await gateway.close();
    return ExitCode.done;
  } catch (error) {
    const isNamed = error instanceof UsageError || error instanceof KvraftError ||
      error instanceof Error && "code" in error && typeof error.code === "string";
    if (!isNamed) throw error;
    environment.stderr.write(`kvraft: ${escapeUnprintable(errorMessage(error))}\n`);
    return failureOf(error).exitCode;
  }
}

/** Returns what a gateway serves: `Deno KV on 127.0.0.1:4512, etcd v3 on 127.0.0.1:2379`. */
function describe({ addresses }: GatewayConfig): string {
  return FRONT_END_NAMES.flatMap((name) => {
    const address = addresses[name];
    return address === undefined ? [] : [`${FRONT_ENDS[name].name} on ${formatAddress(address)}`];
  }).join(", ");
}

async function configOf(
  options: ReadonlyMap<string, string>,
  environment: Environment,
): Promise<GatewayConfig> {
  const cluster = options.get("cluster");
  if (cluster === undefined) throw new UsageError(`--cluster is missing. Example: ${EXAMPLE}`);
  const addresses = addressesOf(options);
  const tls = tlsOf(options, environment);
  const signIn = await signInOf({ options, environment });
  return {
    connect: { cluster: cluster.split(","), ...(tls === null ? {} : { tls }), ...signIn },
    addresses,
    logLevel: choiceOption(options, "log-level", LOG_LEVELS) ?? "info",
    logFormat: choiceOption(options, "log-format", LOG_FORMATS) ?? "text",
  };
}

/** Returns the addresses to listen on. Throws {@link UsageError} without any, or for one that nothing protects. */
function addressesOf(options: ReadonlyMap<string, string>): GatewayConfig["addresses"] {
  const addresses: Partial<Record<FrontEndName, Address>> = {};
  for (const name of FRONT_END_NAMES) {
    const text = options.get(name);
    if (text === undefined) continue;
    const address = addressOf({ name, text }, options);
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
  throw new UsageError(`--etcd and --denokv are missing: at least one is needed. Example: ${EXAMPLE}`);
}

function addressOf(
  { name, text }: { readonly name: FrontEndName; readonly text: string },
  options: ReadonlyMap<string, string>,
): Address {
  const port = /^:?([0-9]+)$/.exec(text)?.[1];
  let address: Address;
  try {
    address = parseAddress(port === undefined ? text : `127.0.0.1:${port}`);
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
    throw new UsageError(`--${name}: ${error.message}. Example: --${name} ${FRONT_ENDS[name].example}`);
  }
  if (isLoopback(address) || options.has("insecure")) return address;
  throw new UsageError(
    `--${name}: other machines reach ${
      formatAddress(address)
    }, and nothing protects it. Choose one: an address of ` +
      "127.0.0.1, behind a proxy that speaks TLS and HTTP/2; --insecure, which takes the risk.",
  );
}

function gatewayHelp(): string {
  return `Serves etcd v3 and Deno KV from a process of its own, which is a client of the cluster.

Usage:
  kvraft gateway --cluster <nodes> [--etcd <host:port>] [--denokv <host:port>] [options]

Options:
${columns(OPTIONS.map((option) => [optionUsage(option), option.help]))}

For Deno KV, while authentication is enabled, it signs in with --user, --token-file or a certificate, as a user with the role
root: it reads the keys with which nodes sign the tokens of databases. Its own clients show access tokens of their databases.
Clients of etcd sign in themselves, and have the rights of their users.

It prints one line to standard output when it is ready, logs to standard error, and stops cleanly on SIGINT and
SIGTERM; a second signal ends it at once.

Exit codes: 0 stopped; 2 usage; 3 the cluster could not be reached; 6 not signed in; 70 any other reason.

Example:
  ${EXAMPLE} --denokv 127.0.0.1:4512
  etcdctl --endpoints=127.0.0.1:2379 put greeting hello
  DENO_KV_ACCESS_TOKEN=x deno run --unstable-kv -A program.ts     # await Deno.openKv("http://127.0.0.1:4512")
`;
}
