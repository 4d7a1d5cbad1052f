/** `kvraft gateway`: its arguments, the ready line, the stop, and exit codes. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { GatewayConfig } from "../../../lib/cli/processes/gateway_options.ts";
import { runKvraft } from "../../../lib/cli/mod.ts";
import { AuthenticationError, ConnectionError } from "../../../lib/client/errors.ts";
import { NetworkError } from "../../../lib/platform/errors.ts";
import { settle } from "../../support/fakes/manual_clock.ts";
import { FakeEnvironment, type FakeEnvironmentOptions } from "./support/fake_environment.ts";
import { FakeStore } from "./support/fake_store.ts";
import { FakeTools } from "./support/fake_tools.ts";

const FLAGS = ["--cluster", "127.0.0.1:7001,127.0.0.1:7002", "--denokv", "4512"];

/** The options of TLS where none is given. */
const NO_TLS = {
  tlsCert: null,
  tlsKey: null,
  tlsCa: null,
  tlsClientAuth: "optional",
  tlsMinVersion: "1.3",
  peerName: null,
  allowGroupReadableKeys: false,
} as const;

interface Started {
  readonly environment: FakeEnvironment;
  readonly configs: GatewayConfig[];
  readonly closes: number[];
  readonly code: Promise<number>;
}

function start(
  args: readonly string[],
  options: FakeEnvironmentOptions & { readonly failure?: Error } = {},
): Started {
  const environment = new FakeEnvironment(options);
  const configs: GatewayConfig[] = [];
  const closes: number[] = [];
  const code = runKvraft(["gateway", ...args], {
    environment,
    connect: () => Promise.resolve(new FakeStore()),
    start: () => Promise.reject(new Error("no server is started")),
    tools: new FakeTools(),
    startGateway: (config) => {
      configs.push(config);
      if (options.failure !== undefined) return Promise.reject(options.failure);
      const close = (): Promise<void> => Promise.resolve(void closes.push(1));
      return Promise.resolve({ close });
    },
  });
  return { environment, configs, closes, code };
}

Deno.test("gateway: it prints one line when it is ready, and stops cleanly at a signal", async () => {
  const { environment, configs, closes, code } = start(FLAGS);
  await settle();
  assertEquals(environment.stdout.text, "kvraft gateway serves Deno KV on 127.0.0.1:4512\n");
  assertEquals(configs, [{
    connect: { cluster: ["127.0.0.1:7001", "127.0.0.1:7002"] },
    addresses: { denokv: { host: "127.0.0.1", port: 4512 } },
    tls: NO_TLS,
    maxConnections: 4_096,
    maxConnectionsPerAddress: null,
    logLevel: "info",
    logFormat: "text",
  }]);
  assertEquals(closes, []);
  environment.signal();
  assertEquals([await code, closes, environment.listensForSignals], [0, [1], false]);
});

Deno.test("gateway: it serves etcd's clients, alone or beside Deno KV", async () => {
  const started = start([...FLAGS, "--etcd", "2379"]);
  await settle();
  const text = "kvraft gateway serves Deno KV on 127.0.0.1:4512, etcd v3 on 127.0.0.1:2379\n";
  assertEquals(started.environment.stdout.text, text);
  started.environment.signal();
  await started.code;
  const { environment, configs, code } = start([...FLAGS.slice(0, 2), "--etcd", "2379"]);
  await settle();
  assertEquals(configs.map(({ addresses }) => addresses), [{ etcd: { host: "127.0.0.1", port: 2379 } }]);
  environment.signal();
  await code;
});

const WRONG: Readonly<Record<string, readonly string[]>> = {
  "--cluster is missing": ["--denokv", "4512"],
  "--bind, --etcd and --denokv are missing": ["--cluster", "127.0.0.1:7001"],
  "--etcd: 127.0.0.1:4512 is --denokv already": [...FLAGS, "--etcd", "4512"],
  "--etcd: other machines reach 0.0.0.0:2379": [...FLAGS, "--etcd", "0.0.0.0:2379"],
  "--denokv: Cannot read the address": [...FLAGS.slice(0, 3), "127.0.0.1:0"],
  "--denokv: other machines reach 0.0.0.0:4512": [...FLAGS.slice(0, 3), "0.0.0.0:4512"],
  "is not an option. See kvraft gateway --help": [...FLAGS, "now"],
  "--log-level": [...FLAGS, "--log-level", "loud"],
  "--tls-cert is for what the gateway listens on, and --tls-key and --tls-ca is missing": [
    ...FLAGS,
    "--tls-cert",
    "a.crt",
  ],
  "To dial nodes that use TLS: --cluster-tls-ca": [...FLAGS, "--tls-ca", "ca.crt"],
  "--tls-client-auth is for what the gateway listens on": [...FLAGS, "--tls-client-auth", "required"],
  "--cluster-tls-cert has no effect without --cluster-tls-ca": [...FLAGS, "--cluster-tls-cert", "a.crt"],
  "--bind: other machines reach 0.0.0.0:7100": [...FLAGS, "--bind", "0.0.0.0:7100"],
  "--denokv: 127.0.0.1:4512 is --bind already": [...FLAGS, "--bind", "4512"],
  "--max-connections must be an integer from 16": [...FLAGS, "--max-connections", "1"],
};

for (const [message, args] of Object.entries(WRONG)) {
  Deno.test(`gateway: “${message}” ends it with exit code 2`, async () => {
    const { environment, configs, code } = start(args);
    assertEquals([await code, configs], [2, []]);
    assertStringIncludes(environment.stderr.text, message);
  });
}

Deno.test("gateway: beyond this machine it listens only with --insecure", async () => {
  const { environment, configs, code } = start([...FLAGS.slice(0, 3), "0.0.0.0:4512", "--insecure"]);
  await settle();
  assertEquals(configs.map(({ addresses }) => addresses), [{ denokv: { host: "0.0.0.0", port: 4512 } }]);
  environment.signal();
  await code;
});

Deno.test("gateway: with TLS it listens beyond this machine, for kvraft's clients too", async () => {
  const files = ["--tls-cert", "a.crt", "--tls-key", "a.key", "--tls-ca", "ca.crt"];
  const flags = [...FLAGS.slice(0, 2), "--bind", "0.0.0.0:7100", "--tls-client-auth", "required"];
  const { environment, configs, code } = start([...flags, ...files, "--connections-per-address", "8"]);
  await settle();
  assertEquals(environment.stdout.text, "kvraft gateway serves kvraft's clients on 0.0.0.0:7100\n");
  assertEquals(configs, [{
    connect: { cluster: ["127.0.0.1:7001", "127.0.0.1:7002"] },
    addresses: { bind: { host: "0.0.0.0", port: 7100 } },
    tls: { ...NO_TLS, tlsCert: "a.crt", tlsKey: "a.key", tlsCa: "ca.crt", tlsClientAuth: "required" },
    maxConnections: 4_096,
    maxConnectionsPerAddress: 8,
    logLevel: "info",
    logFormat: "text",
  }]);
  environment.signal();
  await code;
});

Deno.test("gateway: a cluster that does not answer, a wrong user and a taken port have their exit codes", async () => {
  const failures: readonly (readonly [Error & { readonly code: string }, number])[] = [
    [new ConnectionError("Cannot reach the cluster."), 3],
    [new AuthenticationError("Cannot sign in.", { reason: "signInFailed", user: "ada" }), 6],
    [
      new NetworkError("addressInUse", { message: "Cannot serve Deno KV on 127.0.0.1:4512: it is in use." }),
      70,
    ],
  ];
  for (const [failure, exitCode] of failures) {
    const { environment, code } = start(FLAGS, { failure });
    assertEquals([await code, environment.stderr.text], [exitCode, `kvraft: ${failure.message}\n`]);
  }
});

Deno.test("gateway: its help has every option and an example", async () => {
  const { environment, code } = start(["--help"]);
  assertEquals(await code, 0);
  for (
    const part of [
      "--cluster <nodes>",
      "--denokv <host:port>",
      "--token-file",
      "--tls-ca",
      "--cluster-tls-ca",
      "--bind <host:port>",
      "Deno.openKv(",
    ]
  ) {
    assertStringIncludes(environment.stdout.text, part);
  }
  assertMatch(environment.stdout.text, /Exit codes: 0 stopped; 2 usage; 3 /);
});
