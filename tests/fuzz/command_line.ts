/** Targets for typed input: the server's configuration, a command line, and lines for the shell. */
import { assert, assertEquals } from "@std/assert";
import { isAbsolute } from "@std/path";
import { type FuzzTarget, texts, unrepaired } from "./target.ts";
import { ExitCode, UsageError } from "../../lib/cli/errors.ts";
import { runKvraft } from "../../lib/cli/mod.ts";
import { parseCommand } from "../../lib/cli/registry.ts";
import { tokenizePartly } from "../../lib/cli/tokenize.ts";
import type { ServerConfig } from "../../lib/server/config/config.ts";
import { ConfigError } from "../../lib/server/config/config_file.ts";
import { settle } from "../support/fakes/manual_clock.ts";
import { FakeStore } from "../unit/cli/support/fake_store.ts";
import { FakeEnvironment, type FakeEnvironmentOptions } from "../unit/cli/support/fake_environment.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const CLIENT = ["client", "--cluster", "127.0.0.1:7001"];
/** Separator of the arguments of a command line. */
const SEPARATOR = "\n";

/** Interrupts after which a program must have ended: more than an input has commands that go on until one. */
const MAX_INTERRUPTS = 10_000;

/**
 * Runs `kvraft`; it records servers instead of starting them. It must end, if it is interrupted often enough, and without an
 * internal error.
 */
async function run(
  args: readonly string[],
  options: FakeEnvironmentOptions,
): Promise<readonly ServerConfig[]> {
  const environment = new FakeEnvironment(options);
  const configs: ServerConfig[] = [];
  let hasEnded = false;
  const ended = runKvraft(args, {
    environment,
    connect: () => Promise.resolve(new FakeStore()),
    start: (config) => {
      configs.push(config);
      return Promise.reject(new ConfigError("servers are not started here"));
    },
    tools: { inspect: refuseTool, restore: refuseTool, checkRestore: refuseTool, recover: refuseTool },
  }).finally(() => hasEnded = true);
  await settle();
  for (let interrupts = 0; !hasEnded && interrupts < MAX_INTERRUPTS; interrupts += 1) {
    environment.signal();
    await settle();
  }
  assert(hasEnded, "a command does not end");
  const exitCode = await ended;
  assert(exitCode !== ExitCode.internal, environment.stderr.text);
  const said = environment.stderr.text.length + environment.stdout.bytes.length;
  assert(exitCode === ExitCode.done || said > 0, "what does not succeed says why");
  assertEquals(environment.clock.timerCount, 0, "nothing is left behind");
  return configs;
}

function refuseTool(): Promise<never> {
  return Promise.reject(new ConfigError("files are not touched here"));
}

async function configure(input: Bytes): Promise<void> {
  const args = ["server", "--config", "kvraft.json"];
  for (const config of await run(args, { files: { "kvraft.json": input } })) {
    const { nodeId, members, electionTimeoutMs, heartbeatMs, dataDir } = config;
    assert(members?.some(({ id }) => id === nodeId) ?? true, "a node is one of its cluster");
    assert(3 * heartbeatMs <= electionTimeoutMs, "the leader is heard before it is doubted");
    assert(isAbsolute(dataDir), "the working directory has no part in what is written");
  }
}

async function command(input: Bytes): Promise<void> {
  const args = new TextDecoder().decode(input).split(SEPARATOR);
  await run(args, { files: { "value.bin": "a value" }, input: ["a value"] });
}

/** Checks that the positions of tokens are in order, and that refusals are usage errors. */
function split(line: string): void {
  const { tokens, error } = tokenizePartly(line);
  let end = 0;
  for (const token of tokens) {
    assert(
      token.start >= end && token.end >= token.start && token.end <= line.length,
      "tokens are in order",
    );
    end = token.end;
  }
  try {
    if (error === null) parseCommand(tokens.map(({ word }) => word));
  } catch (refusal) {
    if (!(refusal instanceof UsageError)) throw refusal;
  }
}

async function script(input: Bytes): Promise<void> {
  for (const line of new TextDecoder().decode(input).split("\n")) split(line);
  await run(CLIENT, { input: [input], files: { "value.bin": "a value" } });
}

/** The config file of a server. */
export const CONFIG_FILE: FuzzTarget = {
  name: "config_file",
  promise: "a configuration is refused with a message, or is valid",
  tokens: texts(
    "/*",
    "//",
    ",",
    '"node-id": 1,',
    '"cluster": "1=n1:7001",',
    '"heartbeat-ms": 20000,',
    '"data-dir": "../data",',
    "1e400",
    "-0",
    "true",
    '{"__proto__":',
    "[[[[[[[[[[[[[[[[",
    "[".repeat(20_000),
    "\\u0000",
    "\uFEFF",
  ),
  repair: unrepaired,
  run: configure,
};

/** The arguments of the process, one per line. */
export const COMMAND_LINE: FuzzTarget = {
  name: "command_line",
  promise: "every command line ends with a documented exit code",
  tokens: texts(
    "\n--",
    "\n-",
    "\n--help",
    "\n--output\njson",
    "\n--timeout\n0",
    "=",
    "\n--raw=true",
    "\n--file\nvalue.bin",
    "\n--limit\n99999999999999999999",
    "\n__proto__",
    "\n--_\nx",
    "\n--escapes",
    "\n--ttl\n30s",
    "\n--lease\n47",
    "\n--prefix",
    "\n--observe",
    "\n--key-base64\n/w==",
    "\\xff",
    "\ufffd",
    "\nconstructor",
    "\0",
    "\u{1F600}",
  ),
  repair: unrepaired,
  run: command,
};

/** Lines of commands on standard input, as the shell reads them. */
export const SHELL_LINES: FuzzTarget = {
  name: "shell_lines",
  promise: "every line is executed or refused with a message, and the next one is read",
  tokens: texts(
    "\n",
    "\r\n",
    "\\x",
    "\\xff",
    "\\u{110000}",
    "\\u{d800}",
    "\\u{1F600}",
    "\\",
    "'",
    '"',
    "#",
    "put k v\n",
    "list --prefix ",
    "watch k\n",
    "lock n --wait 1s\n",
    "lease keep-alive 4711\n",
    "cas k ",
    "quit\n",
    "\0",
    "\u2028",
    "--output json",
  ),
  repair: unrepaired,
  run: script,
};
