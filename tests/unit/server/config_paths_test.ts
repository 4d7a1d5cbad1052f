/** The paths among the settings of a server: those that its flags and its configuration file name. */
import { assertEquals, assertThrows } from "@std/assert";
import { resolve } from "@std/path";
import { ConfigError, namedPathsOf, type ServerConfig } from "../../../lib/server/config/config.ts";
import { readServerConfig } from "../../../lib/server/config/reading.ts";

const REQUIRED = { "node-id": "1", bind: "127.0.0.1:7001", cluster: "1=127.0.0.1:7001" };

Deno.test("readServerConfig: paths are absolute, those of the config file continue its directory", () => {
  const config = readServerConfig({
    flags: new Map(Object.entries({ ...REQUIRED, "tls-ca": "ca.crt", config: "conf/node.json" })),
    readFile: () => '{ "data-dir": "../one", "tls-cert": "node.crt", "tls-key": "/etc/node.key" }',
    absolute: (path) => resolve("/work", path),
    mayWrite: () => true,
  });
  const { dataDir, tlsCert, tlsKey, tlsCa } = config;
  assertEquals([dataDir, tlsCert, tlsKey, tlsCa], [
    "/work/one",
    "/work/conf/node.crt",
    "/etc/node.key",
    "/work/ca.crt",
  ]);
  assertEquals(namedPathsOf(config, "/work/conf/node.json"), {
    reads: ["/work/conf/node.json", "/work/conf/node.crt", "/etc/node.key", "/work/ca.crt"],
    writes: ["/work/one"],
  });
});

Deno.test("readServerConfig: in the root of the file system no default is taken for the data directory", () => {
  const inRoot = (flags: Readonly<Record<string, string>>): ServerConfig =>
    readServerConfig({
      flags: new Map(Object.entries(flags)),
      readFile: () => "",
      absolute: (path) => resolve("/", path),
      mayWrite: () => true,
    });
  assertEquals(
    assertThrows(() => inRoot(REQUIRED), ConfigError).message,
    "--data-dir is missing, and the default below the working directory, /data/node-1, is in the root of the file " +
      "system. Example: --data-dir /var/lib/kvraft",
  );
  assertEquals(inRoot({ ...REQUIRED, "data-dir": "kv" }).dataDir, "/kv");
});
