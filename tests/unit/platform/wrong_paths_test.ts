/** Paths at which there is no readable file: the reason is a sentence, without codes of the operating system. */
import { assertEquals, assertThrows } from "@std/assert";
import { denoEnvironment } from "../../../lib/cli/environment.ts";
import { runKvraft } from "../../../lib/cli/mod.ts";
import { serverTools } from "../../../lib/server/tools/tools.ts";
import { DataDirectory, DenoDisk } from "../../../lib/storage/mod.ts";
import { TemporaryFolder } from "../../support/temporary.ts";
import { FakeEnvironment } from "../cli/support/fake_environment.ts";

const IS_WINDOWS = Deno.build.os === "windows";

/** A folder with a file and a symbolic link that leads to itself. */
async function makeDirectory(): Promise<TemporaryFolder> {
  const folder = await TemporaryFolder.make();
  await Deno.writeTextFile(`${folder.path}/file`, "text");
  await Deno.symlink("circle", `${folder.path}/circle`);
  return folder;
}

Deno.test({
  name: "Environment: the reason for which a file cannot be read is a part of a sentence",
  ignore: IS_WINDOWS,
  fn: async () => {
    await using folder = await makeDirectory();
    const { readFile } = denoEnvironment();
    const table = [
      [".", "it is a directory, not a file"],
      ["file/below", "a part of the path is a file, not a directory"],
      ["circle", "its symbolic links lead in a circle"],
      ["x".repeat(300), "it, or a part of it, is longer than a name may be"],
      ["none", "there is no such file"],
    ] as const;
    for (const [name, reason] of table) {
      const { message } = assertThrows(() => readFile(`${folder.path}/${name}`, 100), Error);
      assertEquals(message, reason);
    }
  },
});

Deno.test({
  name: "inspect, DataDirectory: a path that cannot be a file or folder is named with the reason",
  ignore: IS_WINDOWS,
  fn: async () => {
    await using folder = await makeDirectory();
    const disk = new DenoDisk();
    const tools = serverTools({ disk, random: () => 0.5 });
    const environment = new FakeEnvironment();
    const path = `${folder.path}/circle`;
    const code = await runKvraft(["server", "inspect", path], {
      environment,
      tools,
      connect: () => Promise.reject(new Error("no client is opened")),
      start: () => Promise.reject(new Error("no server is started")),
    });
    assertEquals([code, environment.stderr.text], [
      2,
      `kvraft: Cannot read ${path}: its symbolic links lead in a circle. This is not damage, and nothing was changed. ` +
      "Check the path, and try again.\n",
    ]);
    const below = `${folder.path}/file/node-1`;
    const refused = await DataDirectory.open({ disk, path: below }).then(() => null, (error: Error) => error);
    assertEquals(
      refused?.message,
      `Cannot open the data directory ${below}: a part of the path is a file, not a directory. Check that it is the directory ` +
        "that you mean. Choose another --data-dir.",
    );
  },
});
