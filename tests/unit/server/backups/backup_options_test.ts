/** The options of scheduled backups. */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { resolve } from "@std/path";
import { ConfigError, type ServerConfig } from "../../../../lib/server/config/config.ts";
import { readServerConfig } from "../../../../lib/server/config/reading.ts";

type Flags = Readonly<Record<string, string>>;

const REQUIRED: Flags = { "node-id": "1", bind: "127.0.0.1:7001", cluster: "1=127.0.0.1:7001" };

function read(flags: Flags): ServerConfig {
  return readServerConfig({
    flags: new Map(Object.entries({ ...REQUIRED, ...flags })),
    readFile: () => "",
    absolute: (path) => resolve("/work", path),
    mayWrite: () => true,
  });
}

/** The message of the error for `flags`. */
function refusal(flags: Flags): string {
  return assertThrows(() => read(flags), ConfigError).message;
}

Deno.test("readServerConfig: times of backups have units, and a number alone is seconds", () => {
  const everyOf = (text: string): number =>
    read({ "backup-to": "/backups", "backup-every": text }).backupEveryMs;
  assertEquals(["30", "90s", "15m", "2h", "7d"].map(everyOf), [
    30_000,
    90_000,
    900_000,
    7_200_000,
    604_800_000,
  ]);
  const allowed =
    "Allowed: a time from 1s to 7d, such as 900 (seconds), 15m, 1h or 1d. Example: --backup-every 1h";
  for (
    const [text, reason] of [["1.5h", '"1.5h" is not a time'], ["8d", "8d is too large"], [
      "0",
      "0 is too small",
    ]]
  ) assertEquals(everyRefusal(text ?? ""), `--backup-every: ${reason}. ${allowed}`);
});

/** The message of the error for a time between backups. */
function everyRefusal(text: string): string {
  return refusal({ "backup-to": "/backups", "backup-every": text });
}

Deno.test("readServerConfig: backups are outside of the data directory, and their options need one", () => {
  const data = "/work/data/node-1";
  for (const path of [data, `${data}/backups`, "./data"]) {
    assertStringIncludes(
      refusal({ "backup-to": path }),
      "are one in the other, so that both are lost together. Allowed: a directory outside of it",
    );
  }
  assertEquals(
    refusal({ "backup-keep": "3" }),
    "--backup-keep: it has no effect without --backup-to. Allowed: both, or neither. " +
      "Example: --backup-to /var/backups/kvraft",
  );
});
