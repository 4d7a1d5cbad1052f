/** Starts that are refused before anything is created. */
import { assertRejects } from "@std/assert";
import { ConfigError } from "../../../../lib/server/config/config_file.ts";
import { neighboursOf, requireOrigin } from "../../../../lib/server/startup/identity.ts";
import { DenoDisk } from "../../../../lib/storage/mod.ts";
import { MemoryDisk } from "../../../support/fakes/memory_disk.ts";
import { TemporaryFolder } from "../../../support/temporary.ts";

const ORIGIN = {
  nodeId: 1,
  dataDir: "/data/node-1",
  members: [{ id: 1, address: { host: "n1", port: 7001 } }],
  join: [],
};

Deno.test("requireOrigin: no new cluster is founded in a directory whose recovery was interrupted", async () => {
  const disk = new MemoryDisk();
  disk.createDirectory("/data");
  await requireOrigin(ORIGIN, disk);
  disk.createDirectory(neighboursOf(ORIGIN.dataDir).fresh);
  await assertRejects(() => requireOrigin(ORIGIN, disk), ConfigError, "recovery");
});

Deno.test({
  name:
    "requireOrigin: a data directory that is a file, below a file, or behind a circle of links is a wrong flag",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await using folder = await TemporaryFolder.make();
    const [file, circle] = [`${folder.path}/file`, `${folder.path}/circle`];
    await Deno.writeTextFile(file, "");
    await Deno.symlink("circle", circle);
    const table = [
      [file, "it is a file, not a directory"],
      [`${file}/node-1`, "a part of the path is a file, not a directory"],
      [circle, "its symbolic links lead in a circle"],
    ] as const;
    for (const [dataDir, reason] of table) {
      const refused = `--data-dir: cannot use ${dataDir}: ${reason}.`;
      await assertRejects(() => requireOrigin({ ...ORIGIN, dataDir }, new DenoDisk()), ConfigError, refused);
    }
  },
});

Deno.test("requireOrigin: a data directory below one that the user may not enter is a wrong flag", async () => {
  const disk = new MemoryDisk();
  const forbidden = Object.assign(new Error("permission denied"), { code: "EACCES" });
  disk.stat = (path) => {
    if (path === ORIGIN.dataDir) throw forbidden;
    return null;
  };
  const refused = `--data-dir: cannot use ${ORIGIN.dataDir}: this user may not enter a directory above it.`;
  await assertRejects(() => requireOrigin(ORIGIN, disk), ConfigError, refused);
});

Deno.test("requireOrigin: an empty directory needs --cluster or --join", async () => {
  await assertRejects(
    () => requireOrigin({ ...ORIGIN, members: null }, new MemoryDisk()),
    ConfigError,
    "--join",
  );
});
