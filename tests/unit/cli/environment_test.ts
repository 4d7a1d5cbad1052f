/** The environment of the real process, as commands of the client use it. */
import { assertEquals } from "@std/assert";
import { denoEnvironment } from "../../../lib/cli/environment.ts";
import { openPaths, withUmask } from "../../support/processes/file_modes.ts";
import { TemporaryFolder } from "../../support/temporary.ts";

Deno.test({
  name: "Environment.writeFile: the file and its new folders are the owner's alone, with any umask",
  ignore: Deno.build.os === "windows",
  async fn(): Promise<void> {
    using _umask = withUmask(0);
    await using folder = await TemporaryFolder.make();
    const path = `${folder.path}/reports/check.json`;
    denoEnvironment().writeFile(path, "a history");
    Deno.chmodSync(path, 0o644);
    denoEnvironment().writeFile(path, "another");
    assertEquals([Deno.readTextFileSync(path), openPaths(folder.path)], ["another", []]);
  },
});
