/** Files of earlier versions, opened by this one. README.md describes how they were made. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { CHECKOUT, readCheckout } from "../support/checkout.ts";
import { READY_LINE, runKvraft, startKvraft } from "../support/processes/process.ts";
import { freePorts, TemporaryFolder } from "../support/temporary.ts";

const FILES = "tests/compatibility";
/** Revision of the newest write in the folder, and in the backup. */
const NODE_REVISION = 59;
const BACKUP_REVISION = 56;

interface Listing {
  readonly entries: readonly unknown[];
  readonly revision: number;
  readonly more?: boolean;
}

/** The entries that the earlier version listed before it ended. */
function earlierEntries(): readonly unknown[] {
  const { entries }: Listing = JSON.parse(readCheckout(`${FILES}/list-0.1.0.json`));
  assert(entries.length > 40, "the earlier listing is complete");
  return entries;
}

/** A temporary folder with a copy of the earlier node's data directory at data/node-1. */
async function folderOfEarlierNode(): Promise<TemporaryFolder> {
  const folder = await TemporaryFolder.make();
  const target = join(folder.path, "data/node-1");
  for (const below of ["", "snapshots", "wal"]) {
    Deno.mkdirSync(join(target, below), { recursive: true });
    const source = join(CHECKOUT, FILES, "node-0.1.0", below);
    for (const entry of Deno.readDirSync(source)) {
      if (entry.isFile) Deno.copyFileSync(join(source, entry.name), join(target, below, entry.name));
    }
  }
  return folder;
}

/** Starts the node in `folder`, lists all keys, adds one, and stops it; returns the listing. */
async function listOf(folder: string, origin: readonly string[] = []): Promise<Listing> {
  const address = `127.0.0.1:${freePorts(1)}`;
  await using node = startKvraft(["server", "--node-id", "1", "--bind", address, ...origin], { cwd: folder });
  await node.waitForOutput(READY_LINE);
  const client = ["client", "--cluster", address];
  const listed = await runKvraft([...client, "list", "--limit", "10000", "--output", "json"], {
    cwd: folder,
  });
  assertEquals(listed.code, 0, listed.stderr + node.printed);
  const written = await runKvraft([...client, "put", "written-by", "this version"], { cwd: folder });
  assertEquals(written.code, 0, written.stderr + node.printed);
  await node.stop();
  return JSON.parse(listed.stdout);
}

Deno.test("compatibility: a data directory of 0.1.0 after a kill -9 serves its keys and accepts writes", async () => {
  await using folder = await folderOfEarlierNode();
  const inspected = await runKvraft(["server", "inspect", "data/node-1", "--output", "json"], {
    cwd: folder.path,
  });
  assertEquals(inspected.code, 0, inspected.stderr);
  const listing = await listOf(folder.path);
  assertEquals(listing.entries, earlierEntries());
  assertEquals(listing.revision, NODE_REVISION);
  const again = await listOf(folder.path);
  assertEquals(again.entries.length, listing.entries.length + 1);
  assert(again.revision > NODE_REVISION);
});

Deno.test("compatibility: a backup of 0.1.0 is restored with all keys and revisions", async () => {
  await using folder = await TemporaryFolder.make();
  Deno.copyFileSync(join(CHECKOUT, FILES, "backup-0.1.0.snap"), join(folder.path, "backup.snap"));
  const members = "1=127.0.0.1:7101";
  const restored = await runKvraft(
    ["server", "restore", "--from", "backup.snap", "--node-id", "1", "--cluster", members],
    { cwd: folder.path },
  );
  assertEquals(restored.code, 0, restored.stderr);
  assertStringIncludes(restored.stdout + restored.stderr, `${BACKUP_REVISION}`);
  const listing = await listOf(folder.path);
  const laterRevision = (entry: unknown): boolean =>
    typeof entry === "object" && entry !== null && "modRevision" in entry &&
    Number(entry.modRevision) > BACKUP_REVISION;
  const unchangedSince = earlierEntries().filter((entry) => !laterRevision(entry));
  const unchanged = listing.entries.filter((entry) =>
    unchangedSince.some((other) => JSON.stringify(other) === JSON.stringify(entry))
  );
  assertEquals(unchanged, unchangedSince);
  assertEquals(listing.revision, BACKUP_REVISION);
});
