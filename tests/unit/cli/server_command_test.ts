/** `kvraft server` and `kvraft`: start, the ready line, signals, and exit codes. */
import { assertEquals, assertMatch } from "@std/assert";
import { FakeStore } from "./support/fake_store.ts";
import { FakeEnvironment, type FakeEnvironmentOptions } from "./support/fake_environment.ts";
import { FakeTools } from "./support/fake_tools.ts";
import { peerSecretsOf } from "../../../lib/server/startup/peer_secret_file.ts";
import { describeFault, runKvraft } from "../../../lib/cli/mod.ts";
import type { StartServer } from "../../../lib/cli/server.ts";
import type { ServerConfig } from "../../../lib/server/config/config.ts";
import type { RunningServer } from "../../../lib/server/mod.ts";
import { settle } from "../../support/fakes/manual_clock.ts";
import config from "../../../deno.json" with { type: "json" };

const FLAGS = ["server", "--node-id", "1", "--bind", "127.0.0.1:7001", "--cluster", "1=127.0.0.1:7001"];
const READY = "kvraft server 1 is ready to serve on 127.0.0.1:7001 (cluster 7f3a, data /work/data/node-1)\n";

class FakeServer implements RunningServer {
  readonly address = { host: "127.0.0.1", port: 7001 };
  readonly clusterId = "7f3a";
  readonly ended = Promise.withResolvers<unknown>();
  readonly stopped = Promise.withResolvers<void>();
  stops = 0;

  get finished(): Promise<unknown> {
    return this.ended.promise;
  }

  stop(): Promise<void> {
    this.stops += 1;
    return this.stopped.promise;
  }
}

interface Started {
  readonly environment: FakeEnvironment;
  readonly server: FakeServer;
  readonly configs: ServerConfig[];
  readonly code: Promise<number>;
}

function start(
  args: readonly string[],
  options: FakeEnvironmentOptions & { failure?: Error; isSlow?: boolean } = {},
): Started {
  const environment = new FakeEnvironment(options);
  const server = new FakeServer();
  const configs: ServerConfig[] = [];
  const startServer: StartServer = (given, { writeLog, signal }) => {
    configs.push(given);
    if (options.isSlow) {
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    }
    if (options.failure !== undefined) return Promise.reject(options.failure);
    const log = (message: string, fields: object = {}): void =>
      writeLog(`${message} ${JSON.stringify(fields)}\n`);
    const logger = { debug: log, info: log, warn: log, error: log };
    return Promise.resolve({ server, logger, closeLog: () => writeLog("log closed\n") });
  };
  const connect = (): Promise<FakeStore> => Promise.resolve(new FakeStore());
  return {
    environment,
    server,
    configs,
    code: runKvraft(args, { environment, connect, start: startServer, tools: new FakeTools() }),
  };
}

/** Runs a command that ends by itself, and returns its output. */
async function run(
  args: readonly string[],
  options?: FakeEnvironmentOptions,
): Promise<readonly [number, string, string]> {
  const { environment, code } = start(args, options);
  return [await code, environment.stdout.text, environment.stderr.text];
}

Deno.test("server: it prints one line when it is ready, and stops cleanly at the first signal", async () => {
  const { environment, server, code } = start(FLAGS);
  await settle();
  assertEquals([environment.stdout.text, server.stops], [READY, 0]);
  environment.signal();
  await settle();
  assertEquals(server.stops, 1);
  server.stopped.resolve();
  assertEquals([await code, environment.stdout.text, environment.stderr.text], [0, READY, "log closed\n"]);
  assertEquals([environment.listensForSignals, environment.clock.timerCount], [false, 0]);
});

Deno.test("server: a second signal ends the process at once", async () => {
  const { environment, server, code } = start(FLAGS);
  await settle();
  environment.signal();
  environment.signal();
  assertEquals(environment.exits, [70]);
  server.stopped.resolve();
  await code;
});

Deno.test("server: hangups stop one that was started on a terminal, once and cleanly", async () => {
  const { environment, server, code } = start(FLAGS, { input: null });
  await settle();
  environment.hangup();
  environment.hangup();
  await settle();
  assertEquals([server.stops, environment.exits], [1, []]);
  server.stopped.resolve();
  assertEquals([await code, environment.listensForSignals], [0, false]);
});

Deno.test("server: without a terminal a hangup applies what the config file changes live, and names the rest", async () => {
  const files = { "/work/node.json": '{ "quota-bytes": "1GiB" }' };
  const { environment, server, configs, code } = start([...FLAGS, "--config", "/work/node.json"], {
    files,
  });
  await settle();
  const [config] = configs;
  environment.written.set(
    "/work/node.json",
    '{ "quota-bytes": "2GiB", "log-level": "debug", "segment-bytes": "8MiB" }',
  );
  environment.hangup();
  assertEquals([config?.quotaBytes, config?.logLevel, config?.segmentBytes], [
    2_147_483_648,
    "debug",
    67_108_864,
  ]);
  environment.written.set("/work/node.json", '{ "quota-bytes": "3GiB", "log-level": "loud" }');
  environment.hangup();
  assertEquals([config?.quotaBytes, config?.logLevel], [2_147_483_648, "debug"]);
  environment.written.set("/work/node.json", '{ "quota-bytes": "2GiB", "log-level": "debug" }');
  environment.hangup();
  assertEquals([server.stops, environment.stderr.text.split("\n")], [0, [
    'A setting has changed {"setting":"log-level","from":"info","to":"debug"}',
    'A setting has changed and needs a restart {"setting":"segment-bytes","from":"64MiB","to":"8MiB"}',
    'A setting has changed {"setting":"quota-bytes","from":"1GiB","to":"2GiB"}',
    'Cannot reload the configuration: nothing has changed {"reason":"\\"log-level\\" (/work/node.json, line 1, column 26): ' +
    'there is no \\"loud\\". Allowed: debug, info, warn, error. Example: --log-level warn"}',
    "The configuration was read again: no setting has changed {}",
    "",
  ]]);
  environment.signal();
  server.stopped.resolve();
  assertEquals([await code, environment.exits], [0, []]);
});

Deno.test("server: a signal during the start ends it at once", async () => {
  const { environment, code } = start(FLAGS, { isSlow: true });
  await settle();
  environment.signal();
  assertEquals([await code, environment.stdout.text, environment.stderr.text], [0, "", ""]);
  assertEquals(environment.listensForSignals, false);
});

Deno.test("server: a slow stop is ended after 4.5 s", async () => {
  const { environment, code } = start(FLAGS);
  await settle();
  environment.signal();
  await settle();
  environment.clock.advance(4_499);
  await settle();
  assertEquals(environment.stderr.text, "");
  environment.clock.advance(1);
  assertEquals(await code, 0);
  assertMatch(environment.stderr.text, /the clean stop took longer than/);
});

/** Stable error names and the exit code of a server: 1 only for those that a restart cannot fix. */
const ENDS: readonly (readonly [string | null, number])[] = [
  ["nodeRefused", 1],
  ["folderLost", 1],
  ["foreignNode", 1],
  ["foreignCluster", 1],
  ["newerFormat", 1],
  ["dataDirectoryDamaged", 1],
  ["logDamaged", 1],
  ["logMissing", 1],
  ["snapshotMissing", 1],
  ["dataDirectoryLocked", 70],
  ["dataDirectoryUnusable", 70],
  ["logFailed", 70],
  ["logFull", 70],
  ["EMFILE", 70],
  ["EADDRINUSE", 70],
  ["cannotJoin", 70],
  ["invalidConfig", 2],
];

Deno.test("server: one that fails says why, and ends with 1 only if a restart cannot fix it", async () => {
  for (const [code, exitCode] of [...ENDS, [null, 70] as const]) {
    const started = start(FLAGS);
    await settle();
    started.server.ended.resolve(Object.assign(new Error("the disk failed"), code === null ? {} : { code }));
    assertEquals([await started.code, started.environment.stderr.text], [
      exitCode,
      "log closed\nkvraft: this node stopped: the disk failed\n",
    ], `${code}`);
  }
});

Deno.test("server: it serves when standard output cannot be written", async () => {
  const { environment, server, code } = start(FLAGS, { isOutputFull: true });
  await settle();
  assertEquals(environment.listensForSignals, true);
  environment.signal();
  server.stopped.resolve();
  assertEquals([await code, server.stops], [0, 1]);
});

Deno.test("help: a write error of standard output ends with 5", async () => {
  const [code, , err] = await run(["server", "--help"], { isOutputFull: true });
  assertEquals([code, err], [5, "kvraft: Cannot write to standard output: No space left on device.\n"]);
});

Deno.test("server: it serves when standard output is closed", async () => {
  const { environment, server, code } = start(FLAGS);
  environment.stdout.isClosed = true;
  await settle();
  assertEquals(environment.listensForSignals, true);
  environment.signal();
  server.stopped.resolve();
  assertEquals([await code, server.stops], [0, 1]);
});

Deno.test("server: an error of the start is printed with its message, and has the same exit codes", async () => {
  for (const [code, exitCode] of ENDS) {
    const failure = Object.assign(new Error("Cannot listen on 127.0.0.1:7001: the port is in use."), {
      code,
    });
    const started = start(FLAGS, { failure });
    assertEquals(
      [await started.code, started.environment.stderr.text],
      [exitCode, `kvraft: ${failure.message}\n`],
      `${code}`,
    );
  }
});

Deno.test("runKvraft: an unexpected error is one line and 70; its stack is shown only at --log-level debug", async () => {
  const failure = new TypeError("x is undefined");
  const { environment, code } = start(FLAGS, { failure });
  assertEquals([await code, environment.stderr.text], [
    70,
    "kvraft: a fault in kvraft: x is undefined\n",
  ]);
  assertMatch(describeFault(failure, ["server", "--log-level", "debug"]), /x is undefined\n[^]*at /);
});

Deno.test("server: a path that Deno refuses though it is permitted is wrong usage, not a fault", async () => {
  const failure = new Deno.errors.NotCapable(
    'Requires all access to "/dev/shm/a/data/node-1", run again with the --allow-all flag',
  );
  const { environment, code } = start(FLAGS, { failure });
  assertEquals([await code, environment.stderr.text], [
    2,
    "kvraft: Cannot use /dev/shm/a/data/node-1: Deno refuses it to every program with limited permissions, as it does " +
    "all of /dev, /proc and /sys. Choose a directory elsewhere: --data-dir is /work/data/node-1 now.\n",
  ]);
});

Deno.test("server: configuration file and flags are combined", async () => {
  const files = { "node.json": '{ "heartbeat-ms": 50, "node-id": 1 }' };
  const args = ["server", "--config", "node.json", ...FLAGS.slice(3), "--log-format", "json"];
  const { server, environment, configs, code } = start(args, { files });
  await settle();
  environment.signal();
  server.stopped.resolve();
  assertEquals(await code, 0);
  assertEquals(configs.map(({ nodeId, heartbeatMs, logFormat }) => ({ nodeId, heartbeatMs, logFormat })), [
    { nodeId: 1, heartbeatMs: 50, logFormat: "json" },
  ]);
});

Deno.test("server: wrong usage ends with 2, and nothing is started", async () => {
  const table: readonly (readonly [readonly string[], string])[] = [
    [["server", "--nod-id", "1"], "There is no option --nod-id. Did you mean --node-id?"],
    [["server", "extra"], '"extra" is not an option. See kvraft server --help.'],
    [
      [...FLAGS, "--data-dir", "/srv/kv"],
      "--data-dir: this program runs with permissions that do not include /srv/kv. Allowed: a directory for which " +
      "Deno's --allow-read and --allow-write, or KVRAFT_DATA_DIR at compilation, are. Example: --data-dir /var/lib/kvraft",
    ],
    [
      ["server", "--config", "big.json"],
      "--config: cannot read big.json: it is longer than 65536 bytes. Allowed: a file; paths in it are " +
      "relative to its directory. Example: --config kvraft.json",
    ],
  ];
  for (const [args, message] of table) {
    const { environment, configs, code } = start(args, { files: { "big.json": " ".repeat(70_000) } });
    assertEquals([await code, environment.stderr.text, configs], [2, `kvraft: ${message}\n`, []]);
  }
});

Deno.test("runKvraft: help and version work without a cluster, and the version is the package's", async () => {
  assertEquals(await run(["--version"]), [0, `kvraft ${config.version}\n`, ""]);
  const commands = [[], ["server"], ["client"], ["gateway"], ["secret"], ["server", "inspect"], [
    "server",
    "restore",
  ]];
  const asked = [...commands, ["server", "recover"], ["client", "get"], ["client", "auth"]].map((
    one,
  ) => [...one, "--help"]);
  for (const args of [...asked, ["-h"]]) {
    const [code, out, err] = await run(args);
    assertEquals(
      [code, out.length > 100, err],
      [0, true, ""],
      args.join(" "),
    );
  }
});

Deno.test("runKvraft: secret new prints a secret that --peer-secret-file takes, another one each time", async () => {
  const secrets: string[] = [];
  for (let time = 0; time < 2; time++) {
    const [code, out, err] = await run(["secret", "new"]);
    assertEquals([code, err], [0, ""]);
    secrets.push(...peerSecretsOf(out));
  }
  assertEquals(secrets.map((secret) => /^[A-Za-z0-9_-]{43}$/.test(secret)), [true, true]);
  assertEquals(new Set(secrets).size, 2);
  for (const args of [["secret"], ["secret", "old"], ["secret", "new", "now"]]) {
    const [code, out, err] = await run(args);
    assertEquals([code, out, err.startsWith("kvraft: secret takes one word, new")], [2, "", true]);
  }
});

Deno.test("runKvraft: an unknown command is answered with the nearest one", async () => {
  assertEquals(await run(["sever"]), [
    2,
    "",
    'kvraft: There is no command "sever". Did you mean server? Example: kvraft server --help\n',
  ]);
  const [code, out, err] = await run([]);
  assertEquals([code, out, err.includes("Usage:")], [2, "", true]);
});
