/** The paths that a program names: what a confined disk refuses, on real files with symbolic links. */
import { assertEquals, assertThrows } from "@std/assert";
import { DenoDisk } from "../../../lib/platform/deno_disk.ts";
import type { Disk } from "../../../lib/platform/disk.ts";
import { confinedDisk, isWithin, UnnamedPathError } from "../../../lib/platform/named_paths.ts";
import { TemporaryFolder } from "../../support/temporary.ts";

/** A directory with `named/`, `read.txt` and `link` to `named/`, which are named, and `other/`, which is not. */
async function prepared(): Promise<
  { readonly folder: TemporaryFolder; readonly disk: Disk; readonly at: string }
> {
  const folder = await TemporaryFolder.make();
  const at = folder.path;
  for (const name of ["named/below", "other"]) await Deno.mkdir(`${at}/${name}`, { recursive: true });
  for (const name of ["read.txt", "other/secret", "named/file"]) {
    await Deno.writeTextFile(`${at}/${name}`, name);
  }
  await Deno.symlink(`${at}/named`, `${at}/link`);
  const named = { reads: [`${at}/read.txt`], writes: [`${at}/named`, `${at}/link`] };
  return { folder, at, disk: confinedDisk(new DenoDisk(), named) };
}

Deno.test("isWithin: a directory contains itself and what is below, not what begins with its name", () => {
  const pairs = [["/a", "/a"], ["/a/b", "/a"], ["/ab", "/a"], ["/", "/a"], ["/a", "/"], [
    "/a/..b",
    "/a",
  ]] as const;
  assertEquals(pairs.map(([path, directory]) => isWithin(path, directory)), [
    true,
    true,
    false,
    false,
    true,
    true,
  ]);
});

Deno.test("confinedDisk: named files are read, and named directories written to, by whichever name they have", async () => {
  const { folder, disk, at } = await prepared();
  await using _folder = folder;
  disk.open(`${at}/read.txt`, "read").close();
  disk.open(`${at}/link/file`, "write").close();
  disk.createDirectory(`${at}/named/new`);
  disk.rename(`${at}/named/file`, `${at}/link/renamed`);
  disk.syncDirectory(at); // above a named path
  assertEquals([disk.stat(at), disk.list(`${at}/named`)], ["directory", ["below", "new", "renamed"]]);
});

Deno.test("confinedDisk: other paths are refused, also through `..` and through symbolic links in a named directory", async () => {
  const { folder, disk, at } = await prepared();
  await using _folder = folder;
  await Deno.symlink(`${at}/other`, `${at}/named/out`);
  await Deno.symlink(`${at}/other/secret`, `${at}/named/below/file`);
  await Deno.symlink(`${at}/other/absent`, `${at}/named/absent`);
  const attempts: readonly (() => unknown)[] = [
    () => disk.open(`${at}/other/secret`, "read"),
    () => disk.open(`${at}/named/../other/secret`, "read"),
    () => disk.open(`${at}/named/out/secret`, "read"),
    () => disk.open(`${at}/named/below/file`, "write"),
    () => disk.open(`${at}/named/absent`, "create"),
    () => disk.open(`${at}/read.txt`, "write"),
    () => disk.list(at),
    () => disk.list(`${at}/named/out`),
    () => disk.stat(`${at}/other/secret`),
    () => disk.isPrivate(`${at}/other`),
    () => disk.createDirectory(`${at}/other/new`),
    () => disk.syncDirectory(`${at}/named/out`),
    () => disk.rename(`${at}/named/file`, `${at}/other/file`),
    () => disk.rename(`${at}/read.txt`, `${at}/named/read.txt`),
    () => disk.remove(`${at}/named/out/secret`),
    () => disk.lock(`${at}/other/LOCK`),
  ];
  for (const attempt of attempts) assertThrows(attempt, UnnamedPathError);
  assertEquals([...Deno.readDirSync(`${at}/other`)].map(({ name }) => name), ["secret"]);
  assertEquals(
    assertThrows(attempts[2] ?? ((): void => {}), UnnamedPathError).message,
    `${at}/named/out/secret is a symbolic link to ${at}/other/secret, and this program reads only what its flags name`,
  );
});
