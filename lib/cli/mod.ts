/**
 * The command line: `kvraft server`, `kvraft client` with its shell, and `kvraft gateway`.
 *
 * `server.ts` runs a node, `server_tools.ts` the tools for stopped nodes. `client.ts` runs one command, the lines of
 * standard input, or `shell/`. `registry.ts` lists the client's commands, one file each below `commands/`; help,
 * completion and parsing are derived from that list. `environment.ts` is the interface to the process.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { errorMessage, shortened } from "../platform/errors.ts";
import type { Connect } from "./client.ts";
import { denoEnvironment, type Environment } from "./environment.ts";
import { ExitCode, OutputClosedError, OutputError } from "./errors.ts";
import type { StartGateway } from "./processes/gateway.ts";
import { MAIN_HELP, SECRET_HELP } from "./help.ts";
import { serverCommand, startDenoServer, type StartServer } from "./server.ts";
import { escapeUnprintable } from "./text.ts";
import { secretBytes } from "../platform/secrets.ts";
import { nearest } from "../server/config/nearest.ts";
import { VERSION } from "../server/mod.ts";
import { toolsOfThisMachine } from "../server/startup/deno_platform.ts";
import type { ServerTools } from "../server/tools/tools_port.ts";

/** Dependencies of the command line; tests replace them. */
export interface Dependencies {
  readonly environment: Environment;
  readonly connect: Connect;
  readonly start: StartServer;
  /** Default: on Deno. */
  readonly startGateway?: StartGateway;
  readonly tools: ServerTools;
}

/** Returns the dependencies of the real process. */
export function processDependencies(): Dependencies {
  return {
    environment: denoEnvironment(),
    connect: async (options) => await (await import("./client.ts")).connectClient(options),
    start: startDenoServer,
    tools: toolsOfThisMachine(),
  };
}

/** Runs `kvraft` with these arguments. Resolves to the exit code and never rejects. */
export async function runKvraft(args: readonly string[], dependencies: Dependencies): Promise<ExitCode> {
  try {
    return await dispatch(args, dependencies);
  } catch (error) {
    if (error instanceof OutputClosedError) return ExitCode.done;
    if (error instanceof OutputError) {
      dependencies.environment.stderr.write(`kvraft: ${error.message}\n`);
      return ExitCode.output;
    }
    dependencies.environment.stderr.write(`${describeFault(error, args)}\n`);
    return ExitCode.internal;
  }
}

/** Returns the message for an unexpected error, which is a fault in kvraft; with `--log-level debug` also the stack. */
export function describeFault(error: unknown, args: readonly string[]): string {
  const message = errorMessage(error);
  const isDebug = args.includes("--log-level=debug") ||
    args.some((arg, position) => arg === "--log-level" && args[position + 1] === "debug");
  const stack = isDebug && error instanceof Error ? `\n${error.stack}` : "";
  return `kvraft: a fault in kvraft: ${escapeUnprintable(message)}${stack}`;
}

async function dispatch(args: readonly string[], dependencies: Dependencies): Promise<ExitCode> {
  const { environment } = dependencies;
  const [command, ...rest] = args;
  switch (command) {
    case "server":
      return await serverCommand(rest, dependencies);
    // A node never runs these two, so it does not hold their code in memory.
    case "client": {
      const { clientCommand } = await import("./client.ts");
      return await clientCommand(rest, dependencies);
    }
    case "gateway": {
      const { gatewayCommand, startDenoGateway } = await import("./processes/gateway.ts");
      return await gatewayCommand(rest, { startGateway: startDenoGateway, ...dependencies });
    }
    case "secret":
      return await secretCommand(rest, environment);
    case "--help":
    case "-h":
    case "help":
      await environment.stdout.write(MAIN_HELP);
      return ExitCode.done;
    case "--version":
      await environment.stdout.write(`kvraft ${VERSION}\n`);
      return ExitCode.done;
    case undefined:
      environment.stderr.write(MAIN_HELP);
      return ExitCode.usage;
    default: {
      const near = nearest(command, ["server", "client", "gateway", "secret", "--help", "--version"]);
      const hint = near === null
        ? "Allowed: server, client, gateway, secret, --help, --version."
        : `Did you mean ${near}?`;
      environment.stderr.write(
        `kvraft: There is no command "${shortened(command)}". ${hint} Example: kvraft server --help\n`,
      );
      return ExitCode.usage;
    }
  }
}

/** Bytes of a new secret. */
const SECRET_BYTES = 32;

/** Runs `kvraft secret new`: prints a secret that `--peer-secret-file` takes. */
async function secretCommand(args: readonly string[], environment: Environment): Promise<ExitCode> {
  if (args.some((arg) => arg === "--help" || arg === "-h")) {
    await environment.stdout.write(SECRET_HELP);
    return ExitCode.done;
  }
  if (args.length === 1 && args[0] === "new") {
    const text = Buffer.from(secretBytes(SECRET_BYTES)).toString("base64url");
    await environment.stdout.write(`${text}\n`);
    return ExitCode.done;
  }
  environment.stderr.write(
    "kvraft: secret takes one word, new: it prints a secret for --peer-secret-file of all nodes. " +
      "Example: (umask 077; kvraft secret new > peer.secret)\n",
  );
  return ExitCode.usage;
}
