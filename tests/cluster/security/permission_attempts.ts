/**
 * A program that tries what a server must not be able to do, and prints the outcome of each attempt as JSON.
 * permissions_test.ts runs it with the permissions of the executable, in a directory that holds `inside.txt`, `x.node` and
 * the data directory that is its argument, which has a symbolic link `link` to `../../outside.txt`.
 */
// deno-lint-ignore-file no-console -- the outcome is its output
import { execSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import process from "node:process";
import { resolve } from "@std/path";
import { narrowPermissions } from "../../../lib/cli/processes/permissions.ts";

const data = Deno.args[0] ?? "";

/** The attempts, by group and name. */
const ATTEMPTS: Readonly<Record<string, Readonly<Record<string, () => unknown>>>> = {
  allowed: {
    "write in the data directory": () => Deno.writeTextFileSync(`${data}/file`, "written"),
    "read in the data directory": () => Deno.readTextFileSync(`${data}/file`),
    "listen on a port": () => Deno.listen({ hostname: "127.0.0.1", port: 0 }).close(),
    "follow a symbolic link that another program made": () => Deno.readTextFileSync(`${data}/link`),
  },
  "read outside of the data directory": {
    "a file of the working directory": () => Deno.readTextFileSync("inside.txt"),
    "a usual place that it does not use": () => Deno.readTextFileSync("/etc/kvraft/absent"),
    "another usual place": () => Deno.readTextFileSync("/var/lib/kvraft/absent"),
    "an absolute path": () => Deno.readTextFileSync("/etc/hostname"),
    "the directory above": () => Deno.readTextFileSync("../outside.txt"),
    "the directory above, with node:fs": () => fs.readFileSync("../outside.txt"),
    "a path that leads out": () => Deno.readTextFileSync(`${data}/../../outside.txt`),
    "the environment as a file": () => Deno.readTextFileSync("/proc/self/environ"),
    "the memory as a file": () => Deno.openSync("/proc/self/mem"),
    "a list of the directory above": () => [...Deno.readDirSync("..")],
    "a hard link to a file outside": () => Deno.linkSync("../outside.txt", `${data}/outside`),
    "a new symbolic link": () => Deno.symlinkSync("../../outside.txt", `${data}/symbolic`),
    "a new symbolic link, with node:fs": () => fs.symlinkSync("../../outside.txt", `${data}/symbolic`),
  },
  "write outside of the data directory": {
    "the working directory": () => Deno.writeTextFileSync("other.txt", ""),
    "the working directory, with node:fs": () => fs.writeFileSync("other.txt", ""),
    "a path that leads out": () => Deno.writeTextFileSync(`${data}/../other.txt`, ""),
    "a new name": () => Deno.renameSync(`${data}/file`, "file"),
    "a mode": () => Deno.chmodSync("inside.txt", 0o777),
    "a removal": () => Deno.removeSync("inside.txt"),
    "a temporary file": () => Deno.makeTempFileSync({ dir: ".." }),
  },
  "run programs": {
    "a command": () => new Deno.Command("true").outputSync(),
    "a command, with node:child_process": () => execSync("true"),
    "a signal": () => Deno.kill(Deno.ppid, "SIGURG"),
  },
  "read the environment": {
    "a variable": () => Deno.env.get("HOME"),
    "a variable, with node:process": () => process.env["HOME"],
    "all variables": () => Deno.env.toObject(),
    "a changed variable": () => Deno.env.set("HOME", "/"),
  },
  "load native code": {
    "a library": () => Deno.dlopen("libc.so.6", { getpid: { parameters: [], result: "i32" } }),
    "an addon of Node": () => createRequire(resolve("inside.txt"))("./x.node"),
  },
  "ask for the system": {
    "the name of the machine": () => Deno.hostname(),
    "the user": () => os.userInfo(),
    "the network interfaces": () => Deno.networkInterfaces(),
  },
};

/** Returns "done", or the name of the error that prevented the attempt. */
function outcomeOf(attempt: () => unknown): string {
  try {
    attempt();
    return "done";
  } catch (error) {
    return error instanceof Error ? error.name : "no error";
  }
}

if (import.meta.main) {
  narrowPermissions({ reads: [], writes: [resolve(data)] });
  const groups = Object.entries(ATTEMPTS).map(([group, attempts]) => [
    group,
    Object.fromEntries(Object.entries(attempts).map(([name, attempt]) => [name, outcomeOf(attempt)])),
  ]);
  const permissions = ["run", "env", "ffi", "sys"] as const;
  const asked = permissions.map((name) => [name, Deno.permissions.requestSync({ name }).state]);
  console.log(JSON.stringify({ ...Object.fromEntries(groups), "ask for more": Object.fromEntries(asked) }));
}
