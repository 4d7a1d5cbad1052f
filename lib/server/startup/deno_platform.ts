/** The platform of a server on Deno. */
import process from "node:process";
import { SystemClock } from "../../platform/system.ts";
import { DenoNetwork } from "../../platform/deno_network.ts";
import { readPrivateFile } from "../../platform/private_file.ts";
import { HttpOverNetwork } from "../../transport/http_server.ts";
import { DenoDisk, isOutOfDescriptors } from "../../storage/mod.ts";
import { Log, type LogFormat, type LogLevel } from "../../platform/logger.ts";
import type { Resources } from "../metrics/metric.ts";
import type { ServerPlatform } from "../server.ts";
import { serverTools } from "../tools/tools.ts";
import type { ServerTools } from "../tools/tools_port.ts";

/** Returns Deno's files, sockets, clock and random numbers, and a log whose lines go to `writeLog`; the caller disposes of it. */
export function denoPlatform(
  options: {
    readonly logLevel: LogLevel;
    readonly logFormat: LogFormat;
    readonly writeLog: (line: string) => void;
  },
): ServerPlatform & { readonly logger: Log } {
  const clock = new SystemClock();
  const logger = new Log({
    level: options.logLevel,
    format: options.logFormat,
    write: options.writeLog,
    now: () => new Date(),
    clock,
  });
  const network = new DenoNetwork();
  return {
    disk: new DenoDisk(),
    network,
    clock,
    wallClock: Date.now,
    random: Math.random,
    readPrivateFile,
    logger,
    audit: logger,
    freeDescriptors,
    monitoring: { http: new HttpOverNetwork({ network, clock, logger }), resources },
  };
}

/**
 * Counts free descriptors by opening the working directory repeatedly, 7 µs each: to read the limit itself needs permission
 * to read /proc or to run `ulimit`. Nothing else runs meanwhile, and all are closed before this returns. Deno raises the
 * soft limit to the hard one when it starts.
 */
function freeDescriptors(upTo: number): number {
  const files: Deno.FsFile[] = [];
  try {
    while (files.length < upTo) files.push(Deno.openSync("."));
  } catch (error) {
    // Any other error says nothing about descriptors.
    if (!isOutOfDescriptors(error)) return upTo;
  } finally {
    for (const file of files) file.close();
  }
  return files.length;
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
