/** Files with secrets: who may read them, and the reason for which one is refused. */
import { assertEquals, assertThrows } from "@std/assert";
import { readPrivateFile, readPublicFile } from "../../../lib/platform/private_file.ts";
import { TemporaryFolder } from "../../support/temporary.ts";

const ignore = Deno.build.os === "windows";

function reasonOf(path: string, { maxBytes = 100, mayGroupRead = false } = {}): string {
  return assertThrows(() => readPrivateFile(path, { maxBytes, mayGroupRead }), Error).message;
}

Deno.test({
  name: "readPrivateFile: a file is read if only its owner may open it, or its group where that is allowed",
  ignore,
  fn: async () => {
    await using folder = await TemporaryFolder.make();
    const path = `${folder.path}/secret`;
    await Deno.writeTextFile(path, "content of the file");
    const { uid } = await Deno.stat(path);
    for (const mode of [0o600, 0o400]) {
      await Deno.chmod(path, mode);
      assertEquals(readPrivateFile(path, { maxBytes: 100, mayGroupRead: false }), "content of the file");
    }
    for (const mode of [0o640, 0o644, 0o604, 0o660, 0o666, 0o700 | 0o001]) {
      await Deno.chmod(path, mode);
      assertEquals(
        reasonOf(path),
        `others than its owner may open it: its mode is 0${mode.toString(8)}, its owner user ${uid}. ` +
          `Run: chmod 0600 ${path}`,
      );
    }
    await Deno.chmod(path, 0o640);
    assertEquals(readPrivateFile(path, { maxBytes: 100, mayGroupRead: true }), "content of the file");
    for (const mode of [0o660, 0o644]) {
      await Deno.chmod(path, mode);
      assertEquals(reasonOf(path, { mayGroupRead: true }).endsWith(`Run: chmod 0640 ${path}`), true);
    }
  },
});

Deno.test({
  name: "readPrivateFile: of a symbolic link the mode of its target counts",
  ignore,
  fn: async () => {
    await using folder = await TemporaryFolder.make();
    const [target, link] = [`${folder.path}/target`, `${folder.path}/link`];
    await Deno.writeTextFile(target, "content", { mode: 0o600 });
    await Deno.symlink("target", link);
    assertEquals(readPrivateFile(link, { maxBytes: 100, mayGroupRead: false }), "content");
    await Deno.chmod(target, 0o644);
    assertEquals(reasonOf(link).includes("its mode is 0644"), true);
  },
});

Deno.test({
  name:
    "readPrivateFile: a missing file, a folder, a long file and one that is not text are refused by their reason",
  ignore,
  fn: async () => {
    await using folder = await TemporaryFolder.make();
    assertEquals(reasonOf(`${folder.path}/missing`), "there is no such file");
    assertEquals(reasonOf(folder.path), "it is not a regular file");
    const path = `${folder.path}/file`;
    await Deno.writeFile(path, Uint8Array.of(0x61, 0xff), { mode: 0o600 });
    assertEquals(reasonOf(path), "it is not UTF-8");
    assertEquals(reasonOf(path, { maxBytes: 1 }), "it is longer than 1 bytes");
    assertEquals(reasonOf(`${path}/below`), "a part of the path is a file, not a directory");
  },
});

Deno.test({
  name: "readPublicFile: a file of any mode is read, and a pipe is refused at once, as by readPrivateFile",
  ignore,
  fn: async () => {
    await using folder = await TemporaryFolder.make();
    const path = `${folder.path}/file`;
    await Deno.writeTextFile(path, "content", { mode: 0o644 });
    assertEquals(readPublicFile(path, 7), "content");
    assertEquals(assertThrows(() => readPublicFile(path, 6), Error).message, "it is longer than 6 bytes");
    const pipe = `${folder.path}/pipe`;
    await new Deno.Command("mkfifo", { args: ["-m", "600", pipe] }).output();
    // Nothing writes to it: to open it would wait without end.
    assertEquals(reasonOf(pipe), "it is not a regular file");
    assertEquals(assertThrows(() => readPublicFile(pipe, 100), Error).message, "it is not a regular file");
  },
});
