/** The platform of a server on Deno. */
import process from "node:process";
import { getHeapSpaceStatistics, getHeapStatistics } from "node:v8";
import { SystemClock } from "../../platform/system.ts";
import { DenoNetwork } from "../../platform/deno_network.ts";
import { confinedDisk, type NamedPaths } from "../../platform/named_paths.ts";
import { readPrivateFile, readPublicFile } from "../../platform/private_file.ts";
import { HttpOverNetwork } from "../../transport/http_server.ts";
import { DenoDisk, isOutOfDescriptors } from "../../storage/mod.ts";
import type { Clock } from "../../platform/clock.ts";
import { Log } from "../../platform/logger.ts";
import type { NodeMemory } from "../../protocol/diagnostics/report.ts";
import { namedPathsOf, type ServerConfig } from "../config/config.ts";
import { neighboursOf } from "./identity.ts";
import type { Resources } from "../metrics/metric.ts";
import type { ServerPlatform } from "../server.ts";
import { openServerTls, type ServerTls } from "./server_tls.ts";
import { serverTools } from "../tools/tools.ts";
import type { ServerTools } from "../tools/tools_port.ts";

/**
 * Returns Deno's files, sockets, clock and random numbers, and a log whose lines go to `writeLog`; the caller disposes of
 * it. Throws {@link ConfigError} if the files for TLS cannot be used.
 */
export function denoPlatform(
  config: ServerConfig,
  writeLog: (line: string) => void,
): ServerPlatform & { readonly logger: Log } {
  const clock = new SystemClock();
  const logger = new Log({
    // Both can change while the server runs.
    get level(): ServerConfig["logLevel"] {
      return config.logLevel;
    },
    get format(): ServerConfig["logFormat"] {
      return config.logFormat;
    },
    write: writeLog,
    now: () => new Date(),
    clock,
  });
  const tls = openTls(config, { clock, logger });
  const plain = new DenoNetwork();
  const network = tls?.network ?? plain;
  const httpNetwork = tls?.httpNetwork ?? plain;
  const webNetworks = { denokv: tls?.webNetwork ?? plain, etcd: tls?.certifiedWebNetwork ?? plain };
  return {
    tls,
    disk: confinedDisk(new DenoDisk(), withNeighbours(config)),
    network,
    webNetworks,
    clock,
    wallClock: Date.now,
    random: Math.random,
    readPrivateFile,
    logger,
    audit: logger,
    runtime: { version: Deno.version.deno, instance: INSTANCE, memory },
    freeDescriptors: (upTo) => freeDescriptors(upTo, config.dataDir),
    monitoring: { http: new HttpOverNetwork({ network: httpNetwork, clock, logger }), resources },
  };
}

/** Returns the paths that a configuration names, and the place where a recovery leaves a data directory. */
function withNeighbours(config: ServerConfig): NamedPaths {
  const { reads, writes } = namedPathsOf(config, null);
  return { reads: [...reads, neighboursOf(config.dataDir).fresh], writes };
}

function openTls(
  config: ServerConfig,
  { clock, logger }: { readonly clock: Clock; readonly logger: Log },
): ServerTls | null {
  try {
    return openServerTls(config, {
      clock,
      wallClock: Date.now,
      logger,
      readPublicFile,
      readPrivateFile,
      denoVersion: Deno.version.deno,
    });
  } catch (error) {
    logger[Symbol.dispose]();
    throw error;
  }
}

/**
 * Counts free descriptors by opening a directory repeatedly, 7 µs each: to read the limit itself needs permission
 * to read /proc or to run `ulimit`. Nothing else runs meanwhile, and all are closed before this returns. Deno raises the
 * soft limit to the hard one when it starts.
 */
export function freeDescriptors(upTo: number, directory: string): number {
  const files: Deno.FsFile[] = [];
  try {
    while (files.length < upTo) files.push(Deno.openSync(directory));
  } catch (error) {
    // Any other error says nothing about descriptors.
    if (!isOutOfDescriptors(error)) return upTo;
  } finally {
    for (const file of files) file.close();
  }
  return files.length;
}

/** Bytes of {@link INSTANCE} before they are text. */
const INSTANCE_BYTES = 16;
/** Random text of this process: the reports of two processes with one node id differ in it. */
const INSTANCE = crypto.getRandomValues(new Uint8Array(INSTANCE_BYTES)).toHex();

/** Three semi-spaces of 8 MiB each, as the flags of V8 in deno.json have it. */
const YOUNG_GENERATION_BYTES = 3 * 8 * 1_048_576;

/**
 * Returns the memory of this process. Of the heap only the old generation counts: once that is full the process ends, even
 * where the young generation, which V8's limit contains, has space.
 */
function memory(): NodeMemory {
  const { rss, external } = Deno.memoryUsage();
  const heapBytes = getHeapSpaceStatistics().filter(({ space_name }) => !space_name.startsWith("new_"))
    .reduce((sum, { space_used_size }) => sum + space_used_size, 0);
  const heapLimitBytes = getHeapStatistics().heap_size_limit - YOUNG_GENERATION_BYTES;
  return { residentBytes: rss, heapBytes, externalBytes: external, heapLimitBytes };
}

/** Returns the resources that this process uses. */
function resources(): Resources {
  const { rss, heapUsed, heapTotal, external } = Deno.memoryUsage();
  const { user, system } = process.cpuUsage();
  return {
    residentBytes: rss,
    heapUsedBytes: heapUsed,
    heapTotalBytes: heapTotal,
    externalBytes: external,
    cpuMs: (user + system) / 1_000,
  };
}

/** Returns the operator's tools on this machine's disk. */
export function toolsOfThisMachine(): ServerTools {
  return serverTools({ disk: new DenoDisk(), random: Math.random });
}
