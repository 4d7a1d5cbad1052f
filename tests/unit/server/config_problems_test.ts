/** Sizes and times in the configuration of a server, and all problems of one at once. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { ServerConfig } from "../../../lib/server/config/config.ts";
import { amountText, BYTES, SECONDS } from "../../../lib/server/config/option_kinds.ts";
import { type InspectedConfig, inspectServerConfig } from "../../../lib/server/config/reading.ts";

const REQUIRED = { "node-id": "1", "bind": "127.0.0.1:7001", "cluster": "1=127.0.0.1:7001" };

/** Returns what flags and the text of a config file give. */
function inspect(flags: Readonly<Record<string, string>>, file?: string): InspectedConfig {
  return inspectServerConfig({
    flags: new Map(Object.entries(file === undefined ? flags : { ...flags, config: "node.json" })),
    readFile: () => file ?? "",
    absolute: (path) => path.startsWith("/") ? path : `/work/${path}`,
    mayWrite: () => true,
  });
}

function read(flags: Readonly<Record<string, string>>, file?: string): ServerConfig {
  const { config, problems } = inspect({ ...REQUIRED, ...flags }, file);
  assertEquals(problems, []);
  assert(config !== null);
  return config;
}

function refusal(flags: Readonly<Record<string, string>>, file?: string): string {
  return inspect({ ...REQUIRED, ...flags }, file).problems.map(({ message }) => message).join("\n");
}

Deno.test("readServerConfig: sizes and times have units, as flags and as text in the file, and numbers count one unit", () => {
  const flags = { "quota-bytes": "2GiB", "history-seconds": "7d", "election-timeout-ms": "3s" };
  const file = '{ "history-bytes": "512KiB", "segment-bytes": 65536, "heartbeat-ms": "50ms" }';
  assertEquals(read(flags, file), {
    ...read({}),
    quotaBytes: 2_147_483_648,
    historySeconds: 604_800,
    electionTimeoutMs: 3_000,
    historyBytes: 524_288,
    segmentBytes: 65_536,
    heartbeatMs: 50,
  });
  assert(
    refusal({ "history-seconds": "500ms" }).includes("its units are s, m, h, d"),
  );
  assert(
    refusal({}, '{ "history-bytes": true }').includes(
      "must be a number, or text with a unit",
    ),
  );
  const shown = [0, 1, 1_000, 1_024, 1_536, 67_108_864, 1_099_511_627_776].map((bytes) =>
    amountText(bytes, BYTES)
  );
  assertEquals(shown, ["0", "1", "1000", "1KiB", "1536", "64MiB", "1TiB"]);
});

Deno.test("amountText: what it returns is read as the same amount", () => {
  for (const [units, name] of [[BYTES, "quota-bytes"], [SECONDS, "history-seconds"]] as const) {
    fc.assert(fc.property(fc.integer({ min: 1, max: 31_536_000 }), (value) => {
      const { quotaBytes, historySeconds } = read({ [name]: amountText(value, units) });
      assertEquals(name === "quota-bytes" ? quotaBytes : historySeconds, value);
    }));
  }
});

Deno.test("inspectServerConfig: all problems of file and flags, and no contradictions of settings that are wrong", () => {
  const file = `{
    "$schema": "docs/config.schema.json",
    "nod-id": 1,
    "bind": 7001,
    "heartbeat-ms": "900ms",
    "log-level": "wran",
    "peer-name": "kv.example",
  }`;
  const { config, problems, settings } = inspect({ "etcd-advertise": "n1:2379", "quota-bytes": "1GB" }, file);
  assertEquals(config, null);
  assertEquals(problems.map(({ message }) => message.split(/\. (?:Allowed|Did)/, 1)[0]), [
    '"nod-id" (node.json, line 3, column 5) is no setting',
    '"bind" (node.json, line 4, column 5) must be text in quotes.',
    "--node-id is missing",
    '"log-level" (node.json, line 6, column 5): there is no "wran"; the nearest is warn',
    '--quota-bytes: "1GB" is not a size; its units are KiB, MiB, GiB, TiB',
    "--etcd-advertise: it has no effect without --etcd",
    '"heartbeat-ms" (node.json, line 5, column 5): 900 is too long for an election timeout of 1000 ms, which must be ' +
    "at least 3 heartbeats",
    '"peer-name" (node.json, line 7, column 5): it has no effect without TLS',
  ]);
  assertEquals(settings.some(({ name }) => name === "log-level"), false);
});

Deno.test("inspectServerConfig: a wrong value contradicts no other", () => {
  const { problems } = inspect({ ...REQUIRED, "node-id": "x", "cluster": "7=127.0.0.1:7007" });
  assertEquals(problems.map(({ message }) => message.split(":", 1)[0]), ["--node-id"]);
});

Deno.test("inspectServerConfig: each setting has its value as it would be given, and its source", () => {
  const { settings, problems } = inspect(REQUIRED, '{ "quota-bytes": 1073741824, "data-dir": "kv" }');
  assertEquals(problems, []);
  const shown = new Map(settings.map((setting) => [setting.name, setting]));
  assertEquals(shown.get("quota-bytes"), {
    name: "quota-bytes",
    value: "1GiB",
    source: "file",
    place: '"quota-bytes" (node.json, line 1, column 3)',
  });
  assertEquals(shown.get("bind"), { name: "bind", value: "127.0.0.1:7001", source: "flag", place: null });
  assertEquals(shown.get("history-bytes"), {
    name: "history-bytes",
    value: "64MiB",
    source: "default",
    place: null,
  });
  assertEquals(shown.get("tls-key"), { name: "tls-key", value: "none", source: "default", place: null });
  assertEquals(shown.get("data-dir")?.value, "/work/kv");
  assertEquals(shown.get("insecure")?.value, "false");
});
