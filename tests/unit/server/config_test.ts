/** ServerConfig: the values of flags, config file and defaults, and the error for each wrong one. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { ConfigError, SERVER_OPTIONS, type ServerConfig } from "../../../lib/server/config/config.ts";
import { readServerConfig, serverConfigOf } from "../../../lib/server/config/reading.ts";
import { resolve } from "@std/path";
import { readCheckout } from "../../support/checkout.ts";
import { editDistance, nearest } from "../../../lib/server/config/nearest.ts";

const CLUSTER = "2=127.0.0.1:7002,1=127.0.0.1:7001,3=[::1]:7003";

interface Given {
  readonly flags?: Readonly<Record<string, string>>;
  readonly file?: string;
  readonly mayWrite?: (path: string) => boolean;
}

function read({ flags = {}, file, mayWrite = (): boolean => true }: Given): ServerConfig {
  const given = new Map(Object.entries(flags));
  if (file !== undefined) given.set("config", "node.json");
  return readServerConfig({
    flags: given,
    readFile(path): string {
      if (file === undefined || path !== "node.json") throw new Error("there is no such file");
      return file;
    },
    absolute: (path) => resolve("/work", path),
    mayWrite,
  });
}

const NOT_PERMITTED =
  "--data-dir: this program runs with permissions that do not include /srv/kv. Allowed: a directory for which Deno's " +
  "--allow-read and --allow-write, or KVRAFT_DATA_DIR at compilation, are. Example: --data-dir /var/lib/kvraft";

const REQUIRED = { "node-id": "1", bind: "127.0.0.1:7001", cluster: CLUSTER };

/** The message of the error for `given`. */
function refusal(given: Given): string {
  return assertThrows(() => read(given), ConfigError).message;
}

const DEFAULTS: ServerConfig = {
  nodeId: 1,
  bind: { host: "127.0.0.1", port: 7001 },
  http: null,
  denokv: null,
  etcd: null,
  etcdAdvertise: null,
  join: [],
  members: [
    { id: 1, address: { host: "127.0.0.1", port: 7001 } },
    { id: 2, address: { host: "127.0.0.1", port: 7002 } },
    { id: 3, address: { host: "::1", port: 7003 } },
  ],
  clusterName: null,
  dataDir: "/work/data/node-1",
  electionTimeoutMs: 1000,
  heartbeatMs: 100,
  readMode: "read-index",
  logLevel: "info",
  logFormat: "text",
  auditLog: "off",
  slowMs: 500,
  maxValueBytes: 1_048_576,
  segmentBytes: 67_108_864,
  maxConnections: 4096,
  maxConnectionsPerAddress: null,
  peerSecretFile: null,
  peerAuth: "require",
  tlsCert: null,
  tlsKey: null,
  tlsCa: null,
  tlsClientAuth: "optional",
  tlsMinVersion: "1.3",
  peerName: null,
  allowGroupReadableKeys: false,
  insecure: false,
  quotaBytes: null,
  historyBytes: 67_108_864,
  historySeconds: null,
  snapshotLogBytes: 67_108_864,
  ...{ backupTo: null, backupEveryMs: 3_600_000, backupKeep: 24 },
};

Deno.test("readServerConfig: three flags suffice, and all others have defaults", () => {
  assertEquals(read({ flags: REQUIRED }), DEFAULTS);
});

Deno.test("serverConfigOf: values that are not given have the defaults of the flags", () => {
  const { nodeId, bind, members } = DEFAULTS;
  assertEquals(serverConfigOf({ nodeId, bind, members }), { ...DEFAULTS, dataDir: "./data/node-1" });
});

Deno.test("docs/operations.md: it names every option, with its default", () => {
  const page = readCheckout("docs/operations.md");
  for (const { name, fallback } of SERVER_OPTIONS) {
    assert(page.includes(`--${name}`), `docs/operations.md does not name --${name}`);
    const row = new RegExp(`^\\| \`--${name}\` +\\| (\\S+)`, "m").exec(page);
    if (row !== null) assertEquals(row[1], fallback, `the default of --${name} in docs/operations.md`);
  }
});

/** Each setting, and another one than the default. */
const EVERY_FLAG = {
  ...REQUIRED,
  "cluster-name": "orders",
  "data-dir": "./data/one",
  "election-timeout-ms": "300",
  "heartbeat-ms": "50",
  "read-mode": "lease",
  "log-level": "debug",
  "log-format": "json",
  "audit-log": "on",
  "slow-ms": "20",
  http: "127.0.0.1:9101",
  denokv: "127.0.0.1:4512",
  etcd: "127.0.0.1:2379",
  "etcd-advertise": "node1.example:2379",
  "max-value-bytes": "1024",
  "segment-bytes": "4096",
  "max-connections": "16",
  "connections-per-address": "8",
  "peer-secret-file": "secrets/peer",
  "peer-auth": "accept",
  "tls-cert": "certs/node1.crt",
  "tls-key": "certs/node1.key",
  "tls-ca": "certs/ca.crt",
  "tls-client-auth": "required",
  "tls-min-version": "1.2",
  "peer-name": "kvraft.internal",
  "allow-group-readable-keys": "",
  insecure: "",
  "quota-bytes": "1000000",
  "history-bytes": "0",
  "history-seconds": "3600",
  "snapshot-log-bytes": "8192",
  "backup-to": "./backups",
  "backup-every": "15m",
  "backup-keep": "3",
};

Deno.test("readServerConfig: every setting can be given as a flag", () => {
  assertEquals(
    [...Object.keys(EVERY_FLAG), "join"].sort(),
    SERVER_OPTIONS.map(({ name }) => name).filter((n) => n !== "config").sort(),
  );
  assertEquals(read({ flags: EVERY_FLAG }), {
    ...DEFAULTS,
    clusterName: "orders",
    dataDir: "/work/data/one",
    electionTimeoutMs: 300,
    heartbeatMs: 50,
    readMode: "lease",
    logLevel: "debug",
    logFormat: "json",
    auditLog: "on",
    slowMs: 20,
    http: { host: "127.0.0.1", port: 9101 },
    denokv: { host: "127.0.0.1", port: 4512 },
    etcd: { host: "127.0.0.1", port: 2379 },
    etcdAdvertise: { host: "node1.example", port: 2379 },
    maxValueBytes: 1024,
    segmentBytes: 4096,
    maxConnections: 16,
    maxConnectionsPerAddress: 8,
    peerSecretFile: "/work/secrets/peer",
    peerAuth: "accept",
    tlsCert: "/work/certs/node1.crt",
    tlsKey: "/work/certs/node1.key",
    tlsCa: "/work/certs/ca.crt",
    tlsClientAuth: "required",
    tlsMinVersion: "1.2",
    peerName: "kvraft.internal",
    allowGroupReadableKeys: true,
    insecure: true,
    quotaBytes: 1_000_000,
    historyBytes: 0,
    historySeconds: 3_600,
    snapshotLogBytes: 8_192,
    ...{ backupTo: "/work/backups", backupEveryMs: 900_000, backupKeep: 3 },
  });
});

Deno.test("readServerConfig: HTTP is off without --http, and on loopback unless a host is named", () => {
  const flags = { ...REQUIRED, insecure: "" };
  const http = (text: string): ServerConfig["http"] => read({ flags: { ...flags, http: text } }).http;
  assertEquals(http("9101"), { host: "127.0.0.1", port: 9101 });
  assertEquals(http(":9101"), { host: "127.0.0.1", port: 9101 });
  assertEquals(http("0.0.0.0:9101"), { host: "0.0.0.0", port: 9101 });
  assertEquals(http("[::1]:9101"), { host: "::1", port: 9101 });
  assertEquals(http("none"), null);
  assertEquals(
    refusal({ flags: { ...REQUIRED, http: "localhost" } }).split(". Allowed: ")[1],
    "a host and a port of this machine, or a port alone for 127.0.0.1. Example: --http 127.0.0.1:9101",
  );
  assertEquals(
    refusal({ flags: { ...REQUIRED, http: "127.0.0.1:7001" } }),
    "--http: 127.0.0.1:7001 is --bind already. Allowed: another port. Example: --http 127.0.0.1:9101",
  );
});

Deno.test("readServerConfig: Deno KV is off without --denokv, and on a port of its own", () => {
  const denokv = (flags: Record<string, string>): ServerConfig["denokv"] =>
    read({ flags: { ...REQUIRED, ...flags } }).denokv;
  assertEquals(denokv({}), null);
  assertEquals(denokv({ denokv: "4512" }), { host: "127.0.0.1", port: 4512 });
  for (
    const [flags, other] of [[{ http: "4512" }, "--http"], [{ bind: "127.0.0.1:4512" }, "--bind"]] as const
  ) {
    assertEquals(
      refusal({ flags: { ...REQUIRED, ...flags, denokv: "4512" } }),
      `--denokv: 127.0.0.1:4512 is ${other} already. Allowed: another port. Example: --denokv 127.0.0.1:4512`,
    );
  }
});

Deno.test("readServerConfig: etcd is off without --etcd, on a port of its own, and protected beyond this machine", () => {
  const etcd = (flags: Record<string, string>): ServerConfig["etcd"] =>
    read({ flags: { ...REQUIRED, ...flags } }).etcd;
  assertEquals(etcd({}), null);
  assertEquals(etcd({ etcd: "2379" }), { host: "127.0.0.1", port: 2379 });
  assertEquals(
    refusal({ flags: { ...REQUIRED, denokv: "2379", etcd: "2379" } }),
    "--etcd: 127.0.0.1:2379 is --denokv already. Allowed: another port. Example: --etcd 127.0.0.1:2379",
  );
  assertStringIncludes(
    refusal({ flags: { ...REQUIRED, etcd: "0.0.0.0:2379" } }),
    "--etcd: other machines reach 0.0.0.0:2379, and nothing protects it.",
  );
});

Deno.test("readServerConfig: a node of a running cluster needs no list of nodes, but --join or its data directory", () => {
  const { cluster: _, ...flags } = REQUIRED;
  assertEquals(read({ flags }), { ...DEFAULTS, members: null });
  const join = [{ host: "n1", port: 7001 }, { host: "n2", port: 7002 }];
  assertEquals(read({ flags: { ...flags, join: "n1:7001,n2:7002" } }), { ...DEFAULTS, members: null, join });
  assertEquals(
    refusal({ flags: { ...REQUIRED, join: "n1:7001" } }),
    "--join and --cluster were both given. A new cluster begins with --cluster; a new node of a running cluster " +
      "joins it. Example: --join 127.0.0.1:7001",
  );
});

Deno.test("readServerConfig: the config file accepts every setting, comments and trailing commas, and flags override it", () => {
  const file = `{
    // this node
    "node-id": 2, "bind": "127.0.0.1:7001", /* all of them */ "cluster": "${CLUSTER}",
    "heartbeat-ms": 50, "log-format": "json",
  }`;
  const expected = {
    ...DEFAULTS,
    nodeId: 2,
    dataDir: "/work/data/node-2",
    heartbeatMs: 60,
    logFormat: "json",
  } as const;
  assertEquals(read({ file, flags: { "heartbeat-ms": "60" } }), expected);
});

Deno.test("readServerConfig: the example in the help of each option is accepted", () => {
  for (const { name, example } of SERVER_OPTIONS.filter((option) => option.name !== "config")) {
    const { cluster: _, ...joining } = REQUIRED;
    const tls = { "tls-cert": "node.crt", "tls-key": "node.key", "tls-ca": "ca.crt" };
    const others = { ...tls, "peer-secret-file": "peer.secret", etcd: "127.0.0.1:2378", "backup-to": "/b" };
    read({ flags: { ...(name === "join" ? joining : REQUIRED), ...others, [name]: example } });
  }
});

Deno.test("readServerConfig: a switch is true or false in the file, and has no value as a flag", () => {
  assertEquals(read({ file: '{ "insecure": true }', flags: REQUIRED }).insecure, true);
  assertEquals(read({ file: '{ "insecure": false }', flags: REQUIRED }).insecure, false);
  assert(refusal({ file: '{ "insecure": "yes" }', flags: REQUIRED }).includes("must be true or false"));
  assert(refusal({ flags: { ...REQUIRED, insecure: "maybe" } }).includes("is neither true nor false"));
});

Deno.test("readServerConfig: an address beyond loopback needs TLS, a peer secret or --insecure, and the error names them", () => {
  const reachable = { ...REQUIRED, bind: "0.0.0.0:7001" };
  const error = refusal({ flags: reachable });
  for (const part of ["--bind: ", "0.0.0.0:7001", "--tls-cert", "--peer-secret-file", "--insecure"]) {
    assert(error.includes(part), error);
  }
  const tls = { "tls-cert": "node.crt", "tls-key": "node.key", "tls-ca": "ca.crt" };
  for (const way of [tls, { "peer-secret-file": "peer.secret" }, { insecure: "" }]) {
    read({ flags: { ...reachable, ...way } });
  }
  for (const bind of ["127.0.0.1:7001", "127.1.2.3:7001", "[::1]:7001", "localhost:7001"]) {
    read({ flags: { ...REQUIRED, bind } });
  }
  const http = { ...REQUIRED, http: "0.0.0.0:9101", "peer-secret-file": "peer.secret" };
  assert(refusal({ flags: http }).startsWith("--http: other machines reach 0.0.0.0:9101"));
  read({ flags: { ...http, ...tls } });
  const denokv = { ...REQUIRED, denokv: "0.0.0.0:4512", "peer-secret-file": "peer.secret" };
  assert(refusal({ flags: denokv }).startsWith("--denokv: other machines reach 0.0.0.0:4512"));
  for (const way of [tls, { insecure: "" }]) read({ flags: { ...denokv, ...way } });
});

Deno.test("readServerConfig: options of TLS are refused where one is missing, or TLS is", () => {
  const { message } = assertThrows(
    () => read({ flags: { ...REQUIRED, "tls-cert": "node.crt" } }),
    ConfigError,
  );
  assert(message.startsWith("--tls-key and --tls-ca are missing. Allowed: all of"), message);
  for (const flag of [{ "peer-name": "kv.example" }, { "tls-client-auth": "required" }]) {
    const { message } = assertThrows(() => read({ flags: { ...REQUIRED, ...flag } }), ConfigError);
    assert(message.includes("it has no effect without TLS"), message);
  }
});

Deno.test("readServerConfig: the error for a wrong flag has the reason, the allowed values and an example", () => {
  const table: readonly (readonly [Record<string, string>, string])[] = [
    [
      { "node-id": "4" },
      "--node-id: 4 is not in --cluster. Allowed: one of its ids: 1, 2, 3; a node that is to be added uses --join in " +
      "its place. Example: --node-id 1",
    ],
    [
      { "node-id": "x" },
      '--node-id: "x" is not an integer. Allowed: an integer from 1 to 2^52 - 1. Example: --node-id 1',
    ],
    [
      { "node-id": "0" },
      "--node-id: 0 is too small. Allowed: an integer from 1 to 2^52 - 1. Example: --node-id 1",
    ],
    [
      { "node-id": "99999999999999999999" },
      "--node-id: 99999999999999999999 is too large. Allowed: an integer from 1 to 2^52 - 1. Example: --node-id 1",
    ],
    [
      { "segment-bytes": "1e6" },
      '--segment-bytes: "1e6" is not a size. Allowed: a size from 4KiB to 1GiB, such as 65536, 512KiB or 64MiB. ' +
      "Example: --segment-bytes 16MiB",
    ],
    [
      { "segment-bytes": "2GiB" },
      "--segment-bytes: 2GiB is too large. Allowed: a size from 4KiB to 1GiB, such as 65536, 512KiB or 64MiB. " +
      "Example: --segment-bytes 16MiB",
    ],
    [
      { "heartbeat-ms": "400" },
      "--heartbeat-ms: 400 is too long for an election timeout of 1000 ms, which must be at least 3 heartbeats. " +
      "Allowed: 10 to 333, or a longer --election-timeout-ms. Example: --heartbeat-ms 100",
    ],
    [
      { "log-level": "wran" },
      '--log-level: there is no "wran"; the nearest is warn. Allowed: debug, info, warn, error. ' +
      "Example: --log-level warn",
    ],
    [
      { "cluster-name": "a b" },
      `--cluster-name: "a b" can't be used. Allowed: 1 to 64 letters, digits, dots, dashes and underscores. ` +
      "Example: --cluster-name orders",
    ],
  ];
  for (const [flags, message] of table) assertEquals(refusal({ flags: { ...REQUIRED, ...flags } }), message);
});

Deno.test("readServerConfig: the error for a missing flag names it", () => {
  const { bind: _, ...flags } = REQUIRED;
  assertEquals(
    refusal({ flags }),
    "--bind is missing. Allowed: a host and a port of this machine; 0.0.0.0 and [::] for all its addresses. " +
      "Example: --bind 127.0.0.1:7001",
  );
});

Deno.test("readServerConfig: --peer-auth without a peer secret is refused, in the file too", () => {
  const expected =
    "it has no effect without --peer-secret-file. Allowed: both, or neither. Example: --peer-auth accept " +
    "--peer-secret-file peer.secret";
  assertEquals(refusal({ flags: { ...REQUIRED, "peer-auth": "accept" } }), `--peer-auth: ${expected}`);
  assertEquals(
    refusal({ flags: REQUIRED, file: '{ "peer-auth": "require" }' }),
    `"peer-auth" (node.json, line 1, column 3): ${expected}`,
  );
});

Deno.test("readServerConfig: an invalid address is refused with the flag that has it", () => {
  const one = "1=127.0.0.1:7001";
  const table = [
    { bind: "localhost" },
    { bind: "127.0.0.1:0" },
    { bind: "127.0.0.1:70000" },
    { bind: "::1:7001" },
    { cluster: "" },
    { cluster: "127.0.0.1:7001" },
    { cluster: `${one},1=127.0.0.1:7002` },
    { cluster: `${one},2=127.0.0.1:7001` },
    { cluster: "1=0.0.0.0:7001" },
    { cluster: "0=127.0.0.1:7001" },
    { cluster: Array.from({ length: 8 }, (_, n) => `${n + 1}=127.0.0.1:${7001 + n}`).join(",") },
  ];
  for (const flags of table) {
    const [name = ""] = Object.keys(flags);
    const message = refusal({ flags: { ...REQUIRED, ...flags } });
    assertEquals([message.startsWith(`--${name}: Cannot `), message.includes(`Example: --${name} `)], [
      true,
      true,
    ]);
  }
});

const SETTINGS =
  "node-id, bind, http, denokv, etcd, etcd-advertise, cluster, join, cluster-name, data-dir, election-timeout-ms, heartbeat-ms, read-mode, log-level, " +
  "log-format, audit-log, slow-ms, max-value-bytes, segment-bytes, max-connections, connections-per-address, peer-secret-file, peer-auth, " +
  "tls-cert, tls-key, tls-ca, tls-client-auth, tls-min-version, peer-name, allow-group-readable-keys, insecure, " +
  "quota-bytes, history-bytes, history-seconds, snapshot-log-bytes, backup-to, backup-every, backup-keep";

Deno.test("readServerConfig: an error in the config file has line and column", () => {
  const table = [
    [
      '{\n  "node-id": 1,\n  "nod-id": 2\n}',
      '"nod-id" (node.json, line 3, column 3) is no setting. Did you mean "node-id"?',
    ],
    ['{ "config": "x.json" }', `"config" (node.json, line 1, column 3) is no setting. Allowed: ${SETTINGS}.`],
    ['{ "node-id": "1" }', '"node-id" (node.json, line 1, column 3) must be a number.'],
    ['{ "bind": 7001 }', '"bind" (node.json, line 1, column 3) must be text in quotes.'],
    ['{ "bind": null }', '"bind" (node.json, line 1, column 3) must be text in quotes.'],
    [
      '{ "node-id": 1,\n"node-id": 1 }',
      '"node-id" (node.json, line 2, column 1) is given twice. Keep one of them.',
    ],
    ["[]", '--config: node.json must hold one JSON object. Example: { "node-id": 1 }'],
    [
      '{\n "node-id" 1 }',
      "--config: node.json, line 2, column 12 is not valid JSON: colon expected. Allowed: a JSON object; comments " +
      'and trailing commas are fine. Example: { "node-id": 1 }',
    ],
    [
      '{ "é": 1, "heartbeat-ms": 5 }',
      `"é" (node.json, line 1, column 3) is no setting. Allowed: ${SETTINGS}.`,
    ],
    [
      '{ "heartbeat-ms": 5 }',
      '"heartbeat-ms" (node.json, line 1, column 3): 5 is too small. Allowed: a time from 10ms to 20s, such as 1500 ' +
      "(milliseconds), 1500ms, 30s or 5m. Example: --heartbeat-ms 100ms",
    ],
  ] as const;
  for (const [file, message] of table) {
    assertEquals(refusal({ file, flags: REQUIRED }), message);
  }
});

Deno.test("readServerConfig: a deeply nested config file is refused before it is parsed", () => {
  const place = "--config: node.json, line 2, column 25 is nested more than 16 levels deep.";
  for (const [open, close] of [["[", "]"], [`{"a":`, "}"]] as const) {
    const file = (depth: number): string =>
      `{ // one\n "bind": ${open.repeat(depth)}1${close.repeat(depth)} }`;
    assertEquals(refusal({ file: file(3) }).includes("must be text in quotes"), true);
    assertEquals(refusal({ file: file(10_000) }).includes("is nested more than 16 levels deep"), true);
  }
  assertEquals(refusal({ file: `{ // one\n "bind": ${"[".repeat(60_000)}` }).startsWith(place), true);
});

Deno.test("readServerConfig: a config file that can't be read is named, with the reason", () => {
  assertEquals(
    refusal({ flags: { ...REQUIRED, config: "other.json" } }),
    "--config: cannot read other.json: there is no such file. Allowed: a file; paths in it are relative to its directory. " +
      "Example: --config kvraft.json",
  );
});

Deno.test("readServerConfig: a data directory that the program may not write is refused", () => {
  const asked: string[] = [];
  const mayWrite = (path: string): boolean => {
    asked.push(path);
    return path.startsWith("/work/");
  };
  assertEquals(read({ flags: REQUIRED, mayWrite }), DEFAULTS);
  assertEquals(
    refusal({ flags: { ...REQUIRED, "data-dir": "/srv/kv" }, mayWrite }),
    NOT_PERMITTED,
  );
  assertEquals(asked, ["/work/data/node-1", "/srv/kv"]);
});

import fc from "fast-check";

Deno.test("editDistance: it counts insertions, deletions, replacements and swaps of neighbours", () => {
  const pairs = ["put put", "put puts", "put pt", "put get", "lsit list", " abc"];
  const distances = pairs.map((pair) => pair.split(" ")).map(([a = "", b = ""]) => editDistance(a, b));
  assertEquals(distances, [0, 1, 1, 2, 1, 3]);
});

Deno.test("editDistance: it is symmetric, and zero only between equal words", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "é", "💾"), maxLength: 6 });
  fc.assert(fc.property(word, word, (a, b) => {
    assertEquals(editDistance(a, b), editDistance(b, a));
    assertEquals(editDistance(a, b) === 0, a === b);
  }));
});

Deno.test("nearest: it finds a name by a misspelling or by its beginning, and else none", () => {
  const names = ["node-id", "bind", "cluster", "cluster-name"];
  const found = ["nodeid", "NODE-ID", "bnid", "clustr", "clust", "zzz", "b", ""].map((typed) =>
    nearest(typed, names)
  );
  assertEquals(found, ["node-id", "node-id", "bind", "cluster", "cluster", null, null, null]);
});
