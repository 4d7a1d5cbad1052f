/** The database of a denokv server that stock Deno has filled, imported into a cluster. */
import { assertEquals, assertMatch } from "@std/assert";
import { DenokvCluster } from "../../support/denokv/cluster.ts";
import { makeDatabaseFile } from "../../support/denokv/files.ts";
import { CLIENT_ENVIRONMENT, denokvCommand, DenokvServer } from "../../support/denokv/server.ts";
import { skip } from "../../support/processes/process.ts";

/** The keys of make_file.ts, as `denokv list` shows them. */
const LISTED = [
  `["odd", 1.5, -0, NaN, true, new Uint8Array([1, 0, 255])]\tv8 format 16\t"text"`,
  `["photo"]\tbytes\tnew Uint8Array([1, 2, 3])`,
  `["session"]\tv8 format 16\t"for a day"`,
  `["users", 17n]\tv8 format 16\t{ name: "Ada" }`,
  `["visits"]\tu64\tnew Deno.KvU64(7n)`,
];

Deno.test("denokv import: the file of a denokv server, while it runs and after it was stopped", async () => {
  const command = denokvCommand();
  if (command === null) return skip("denokv is not installed");
  await using served = await DenokvCluster.start();
  const { cluster } = served;
  await using denokv = await DenokvServer.start(command, cluster.folder.path);
  await makeDatabaseFile(denokv.url, { env: CLIENT_ENVIRONMENT });
  const file = `./${denokv.file.slice(cluster.folder.path.length + 1)}`;
  const imported = async (name: string): Promise<readonly string[]> => {
    await cluster.client(["denokv", "create", name]);
    const { stdout } = await cluster.client(["denokv", "import", name, file]);
    assertMatch(stdout, /^ok {2}revision \d+, 5 keys, \d+ B, in [^;]*\n$/);
    const listed = await cluster.client(["denokv", "list", name]);
    return listed.stdout.trimEnd().split("\n");
  };
  assertEquals(await imported("running"), LISTED);
  await denokv.stop();
  assertEquals(await imported("stopped"), LISTED);
  const session = await cluster.client(["denokv", "get", "stopped", `["session"]`, "--output", "json"]);
  const { expiresAtMs } = JSON.parse(session.stdout);
  assertEquals(Math.round((expiresAtMs - Date.now()) / 3_600_000), 24);
});
