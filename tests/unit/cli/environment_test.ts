/** The environment of the real process, as commands of the client use it. */
import { assertEquals } from "@std/assert";
import { denoEnvironment } from "../../../lib/cli/environment.ts";
import { secretSource } from "../../../lib/cli/sign_in/secrets.ts";
import { renewedTlsOf } from "../../../lib/cli/tls_options.ts";
import { openPaths, withUmask } from "../../support/processes/file_modes.ts";
import { Authority } from "../../support/tls/certificates.ts";
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

Deno.test({
  name: "secretSource: a file is read at each call, and a pipe, which has its secret once, at the first",
  ignore: Deno.build.os === "windows",
  async fn(): Promise<void> {
    await using folder = await TemporaryFolder.make();
    const [file, pipe] = [`${folder.path}/token`, `${folder.path}/pipe`];
    const environment = denoEnvironment();
    Deno.writeTextFileSync(file, "first\n", { mode: 0o600 });
    const ofFile = secretSource(file, { what: "token", environment });
    await new Deno.Command("mkfifo", { args: [pipe] }).output();
    const writer = new Deno.Command("sh", { args: ["-c", `cat "${file}" > "${pipe}"`] }).spawn();
    const ofPipe = secretSource(pipe, { what: "token", environment });
    await writer.status;
    // To open it again would wait for another writer.
    Deno.removeSync(pipe);
    Deno.writeTextFileSync(file, "second\n");
    assertEquals([ofFile(), ofPipe(), ofPipe()], ["second", "first", "first"]);
  },
});

Deno.test({
  name: "renewedTlsOf: an authority from a pipe is read once, also for connections that are opened later",
  ignore: Deno.build.os === "windows",
  async fn(): Promise<void> {
    await using folder = await TemporaryFolder.make();
    const [file, pipe] = [`${folder.path}/ca.crt`, `${folder.path}/pipe`];
    const ca = new Authority().cert;
    Deno.writeTextFileSync(file, ca);
    await new Deno.Command("mkfifo", { args: [pipe] }).output();
    const writer = new Deno.Command("sh", { args: ["-c", `cat "${file}" > "${pipe}"`] }).spawn();
    const tls = renewedTlsOf(new Map([["tls-ca", pipe]]), denoEnvironment());
    await writer.status;
    // To open it again would wait for another writer.
    Deno.removeSync(pipe);
    const { now } = Date;
    try {
      Date.now = (): number => now() + 60_000;
      assertEquals(tls?.(), { ca });
    } finally {
      Date.now = now;
    }
  },
});
