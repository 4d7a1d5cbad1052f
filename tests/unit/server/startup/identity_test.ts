/** Starts that are refused before anything is created. */
import { assertRejects } from "@std/assert";
import { ConfigError } from "../../../../lib/server/config/config_file.ts";
import { neighboursOf, requireOrigin } from "../../../../lib/server/startup/identity.ts";
import { MemoryDisk } from "../../../support/fakes/memory_disk.ts";

const ORIGIN = {
  nodeId: 1,
  dataDir: "/data/node-1",
  members: [{ id: 1, address: { host: "n1", port: 7001 } }],
  join: [],
};

Deno.test("requireOrigin: no new cluster is founded in a folder whose recovery was interrupted", async () => {
  const disk = new MemoryDisk();
  disk.createDirectory("/data");
  await requireOrigin(ORIGIN, disk);
  disk.createDirectory(neighboursOf(ORIGIN.dataDir).fresh);
  await assertRejects(() => requireOrigin(ORIGIN, disk), ConfigError, "recovery");
});

Deno.test("requireOrigin: an empty folder needs --cluster or --join", async () => {
  await assertRejects(
    () => requireOrigin({ ...ORIGIN, members: null }, new MemoryDisk()),
    ConfigError,
    "--join",
  );
});
