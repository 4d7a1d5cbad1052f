/** Backups that a node writes by itself, with real processes: written, pruned, restored, and with faults in between. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { KvClient } from "../../../lib/mod.ts";
import { eventually } from "../../support/eventually.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { READY_LINE, startKvraft } from "../../support/processes/process.ts";
import { step } from "../../support/step.ts";
import { freePorts } from "../../support/temporary.ts";

/** The node that writes backups, and the directory for them below that of the cluster. */
const NODE = 2;
const DIRECTORY = "backups";
/** Backups that are kept. */
const KEEP = 2;
/** Values that make a backup long enough to be interrupted: 24 MiB. */
const LARGE_VALUES = 24;
const LARGE_VALUE_BYTES = 1_048_576;

/** The cluster, and what its directory of backups has. */
class BackedUpCluster {
  readonly cluster: TestCluster;
  readonly client: KvClient;
  readonly directory: string;
  #writes = 0;

  constructor(cluster: TestCluster, client: KvClient) {
    this.cluster = cluster;
    this.client = client;
    this.directory = join(cluster.folder.path, DIRECTORY);
  }

  /** Names of the complete backups, the oldest first. */
  get backups(): readonly string[] {
    return this.#names.filter((name) => name.endsWith(".snap"));
  }

  /** Names of all other files. */
  get unfinished(): readonly string[] {
    return this.#names.filter((name) => !name.endsWith(".snap"));
  }

  get #names(): readonly string[] {
    return [...Deno.readDirSync(this.directory)].map(({ name }) => name).sort();
  }

  /** Counts the lines with an event. */
  count(event: string): number {
    return this.cluster.logs().split(`event=${event} `).length - 1;
  }

  /** Writes a key, and waits until a backup was written behind it. Returns the key. */
  async nextBackup(): Promise<string> {
    const key = `key/${++this.#writes}`;
    const before = this.count("backupWritten");
    await this.client.put(key, key);
    // The first one may have begun before the put; the key is in the second one at the latest.
    for (let more = 1; more <= 2; more++) {
      await this.client.put("again", `${this.#writes} ${more}`);
      await this.#waitFor("backupWritten", before + more);
    }
    return key;
  }

  /** Waits for one more event than there are. */
  async next(event: string): Promise<void> {
    await this.#waitFor(event, this.count(event) + 1);
  }

  async #waitFor(event: string, count: number): Promise<void> {
    await eventually(`${count} lines have event=${event}`, () => this.count(event) >= count || null, {
      explain: this.cluster.logs,
    });
  }

  /** Asserts that every file with the name of a backup is one, by its checksums. */
  async assertComplete(): Promise<void> {
    for (const name of this.backups) {
      const { code, stdout, stderr } = await this.cluster.run(["server", "inspect", `${DIRECTORY}/${name}`]);
      assertEquals(code, 0, `${name}: ${stdout}${stderr}`);
    }
  }
}

/** Restores a backup to a cluster of one node, and returns the value of a key there. */
async function restoredValue(
  { cluster }: BackedUpCluster,
  file: string,
  key: string,
): Promise<string | null> {
  const address = `127.0.0.1:${freePorts(1)}`;
  const origin = ["--node-id", "1", "--cluster", `1=${address}`, "--data-dir", "restored"];
  const { code, stdout, stderr } = await cluster.run(["server", "restore", "--from", file, ...origin]);
  assertEquals(code, 0, stdout + stderr);
  await using node = startKvraft(["server", "--bind", address, ...origin], { cwd: cluster.folder.path });
  await node.waitForOutput(READY_LINE);
  await using client = await KvClient.connect({ cluster: [address] });
  const entry = await client.get(key);
  return entry === null ? null : new TextDecoder().decode(entry.value);
}

Deno.test("scheduled backups: written and pruned by a node, they restore; faults leave none that is damaged", async (t) => {
  const flags = ["--backup-to", DIRECTORY, "--backup-every", "1s", "--backup-keep", `${KEEP}`];
  await using cluster = await TestCluster.start({ flagsOf: (id) => id === NODE ? flags : [] });
  await using client = await cluster.connect();
  const backed = new BackedUpCluster(cluster, client);

  await step(t, "older ones than those that are kept are removed", async () => {
    await client.put("first", "1");
    for (let round = 0; round < KEEP; round++) await backed.nextBackup();
    await eventually("older backups are removed", () => backed.backups.length <= KEEP || null);
    assertEquals(backed.backups.length, KEEP);
    for (const name of backed.backups) assert(name.endsWith(`-n${NODE}.snap`), name);
    await backed.assertComplete();
  });

  await step(t, "a pipe with the name of a backup does not stop the node", () => passAPipe(backed));

  await step(t, "the newest one can be checked, and restores to a node with the data", async () => {
    const key = await backed.nextBackup();
    const file = join("copy", "newest.snap");
    await Deno.mkdir(join(cluster.folder.path, "copy"));
    // A copy: the node may remove the file at any time.
    const newest = backed.backups.at(-1) ?? "";
    await Deno.copyFile(join(backed.directory, newest), join(cluster.folder.path, file));
    const checked = await cluster.run(["server", "restore", "--check", "--from", file]);
    assertEquals(checked.code, 0, checked.stderr);
    assertEquals(await restoredValue(backed, file, key), key);
  });

  await step(t, "a directory that cannot be written is reported, and used again when it can", async () => {
    const aside = `${backed.directory}.aside`;
    await Deno.rename(backed.directory, aside);
    await Deno.writeTextFile(backed.directory, "a file in place of the directory");
    await client.put("while", "it fails");
    await backed.next("backupFailed");
    const failed = await cluster.run([
      "client",
      "--cluster",
      cluster.address(NODE),
      "doctor",
      "--output",
      "json",
    ]);
    assertStringIncludes(failed.stdout, "backup-fails");
    await Deno.remove(backed.directory);
    await Deno.rename(aside, backed.directory);
    await backed.nextBackup();
    await backed.assertComplete();
  });

  await step(t, "kill -9 while one is written leaves no file that counts as a backup", async () => {
    const value = crypto.getRandomValues(new Uint8Array(65_536));
    const large = new Uint8Array(LARGE_VALUE_BYTES).map((_, at) => value[at % value.length] ?? 0);
    for (let n = 0; n < LARGE_VALUES; n++) await client.put(`large/${n}`, large);
    await eventually("a backup is being written", () => {
      return backed.unfinished.some((name) => sizeOf(join(backed.directory, name)) > LARGE_VALUE_BYTES) ||
        null;
    }, { explain: cluster.logs });
    await cluster.kill(NODE);
    assertEquals(backed.unfinished.length, 1, backed.unfinished.join());
    await backed.assertComplete();
    await cluster.startNode(NODE);
    const key = await backed.nextBackup();
    assertEquals((await client.get(key))?.key, new TextEncoder().encode(key));
    await backed.assertComplete();
    await eventually("the unfinished file is removed", () => backed.unfinished.length === 0 || null);
  });
});

/** Has a backup written while the directory has a pipe with the name of one. */
async function passAPipe(backed: BackedUpCluster): Promise<void> {
  if (Deno.build.os === "windows") return;
  const pipe = join(backed.directory, (backed.backups[0] ?? "").replace(/-r\d+-/, "-r1-"));
  await new Deno.Command("mkfifo", { args: [pipe] }).output();
  await backed.nextBackup();
  assert((await Deno.stat(pipe)).isFifo);
  await Deno.remove(pipe);
}

/** Returns the size of a file; 0 for one that has been renamed meanwhile. */
function sizeOf(path: string): number {
  try {
    return Deno.statSync(path).size;
  } catch {
    return 0;
  }
}
