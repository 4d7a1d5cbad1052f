/** `kvraft gateway`: clients of a cluster served by a process of its own, beside the nodes or beside the programs that use them. */
import { formatAddress } from "../../platform/address.ts";
import { DenoNetwork } from "../../platform/deno_network.ts";
import { errorMessage } from "../../platform/errors.ts";
import { Log } from "../../platform/logger.ts";
import { readPrivateFile, readPublicFile } from "../../platform/private_file.ts";
import { SystemClock } from "../../platform/system.ts";
import { KvraftError } from "../../client/errors.ts";
import { openGateway } from "../../denokv/gateway.ts";
import { openEtcdGateway } from "../../etcd/gateway_process.ts";
import { openClientGateway } from "../../gateway/gateway.ts";
import { ConfigError } from "../../server/config/config_file.ts";
import { freeDescriptors } from "../../server/startup/deno_platform.ts";
import { fitConnections } from "../../server/startup/descriptors.ts";
import { openServerTls, type ServerTls } from "../../server/startup/server_tls.ts";
import { parseArguments, refuseReplaced } from "../arguments.ts";
import type { Environment } from "../environment.ts";
import { ExitCode, failureOf, UsageError } from "../errors.ts";
import { escapeUnprintable } from "../text.ts";
import {
  configOf,
  FRONT_END_NAMES,
  FRONT_ENDS,
  GATEWAY_OPTIONS,
  type GatewayConfig,
  gatewayHelp,
} from "./gateway_options.ts";
import { StopRequest } from "./stop_request.ts";

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
  const { connect, addresses: { bind, denokv, etcd }, logLevel: level, logFormat: format } = config;
  const clock = new SystemClock();
  const logger = new Log({ level, format, write: writeLog, now: () => new Date(), clock });
  await using opened = new AsyncDisposableStack();
  opened.defer(() => logger[Symbol.dispose]());
  const tls = openTls(config, { clock, logger });
  opened.defer(() => tls?.close());
  const dialer = new DenoNetwork();
  const options = { connect, clock, wallClock: Date.now, random: Math.random, logger, audit: logger };
  if (denokv !== undefined) {
    const network = tls?.webNetwork ?? dialer;
    const needsTokens = tls?.requiresCertificates ?? false;
    const gateway = await openGateway({ ...options, network, needsTokens, address: denokv });
    opened.adopt(gateway, (gateway) => gateway.close());
  }
  if (etcd !== undefined) {
    const network = tls?.certifiedWebNetwork ?? dialer;
    const gateway = await openEtcdGateway({ ...options, network, address: etcd });
    opened.adopt(gateway, (gateway) => gateway.close());
  }
  if (bind !== undefined) {
    const gateway = await openClientGateway({
      ...options,
      ...config,
      ...fitConnections({
        maxConnections: config.maxConnections,
        logger,
        freeDescriptors: (upTo) => freeDescriptors(upTo, "."),
      }),
      address: bind,
      network: tls?.network ?? dialer,
      tls,
      dialer,
    });
    opened.adopt(gateway, (gateway) => gateway.close());
  }
  tls?.watch();
  const all = opened.move();
  return { close: () => all.disposeAsync() };
}

/** Returns the TLS of what the gateway listens on; null without it. Throws {@link ConfigError}. */
function openTls(
  { tls }: GatewayConfig,
  { clock, logger }: { readonly clock: SystemClock; readonly logger: Log },
): ServerTls | null {
  return openServerTls(tls, {
    clock,
    wallClock: Date.now,
    logger,
    readPublicFile,
    readPrivateFile,
    denoVersion: Deno.version.deno,
  });
}

/** Runs `kvraft gateway` with these arguments until a signal stops it. Resolves to the exit code. */
export async function gatewayCommand(
  args: readonly string[],
  { environment, startGateway }: GatewayDependencies,
): Promise<ExitCode> {
  try {
    refuseReplaced(args, "Give names and paths as UTF-8.");
    const { options, positionals } = parseArguments(args, GATEWAY_OPTIONS);
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
    return error instanceof ConfigError ? ExitCode.usage : failureOf(error).exitCode;
  }
}

/** Returns what a gateway serves: `Deno KV on 127.0.0.1:4512, etcd v3 on 127.0.0.1:2379`. */
function describe({ addresses }: GatewayConfig): string {
  return FRONT_END_NAMES.flatMap((name) => {
    const address = addresses[name];
    return address === undefined ? [] : [`${FRONT_ENDS[name].name} on ${formatAddress(address)}`];
  }).join(", ");
}
