/** Files of keys, values, secrets and logs are their owner's alone, with a umask that withholds nothing. */
import { setImmediate } from "node:timers";
import { assert, assertEquals } from "@std/assert";
import { eventually } from "../../support/eventually.ts";
import { openPaths, withUmask } from "../../support/processes/file_modes.ts";
import { kvraftCommand, Process } from "../../support/processes/process.ts";
import { TestCluster } from "../../support/processes/cluster.ts";

const KEYS = 400;
const VALUE = new Uint8Array(1_000);
/** Small files, so that many are made. */
const FLAGS = ["--segment-bytes", "4096", "--snapshot-log-bytes", "8192"];

/** Collects the paths that others may open, again and again until it is disposed of, temporary files among them. */
function watchModes(folder: string): AsyncDisposable & { readonly found: ReadonlySet<string> } {
  const found = new Set<string>();
  const stop = new AbortController();
  const watching = (async (): Promise<void> => {
    while (!stop.signal.aborted) {
      for (const path of openPaths(folder)) found.add(path);
      await new Promise<void>((resolve) => void setImmediate(() => resolve()));
    }
  })();
  return {
    found,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await watching;
    },
  };
}

/** Writes a backup to data/backup.snap as docs/operations.md says: the file is the shell's, which has a umask of its own. */
async function save(cluster: TestCluster): Promise<void> {
  const addresses = cluster.ids.map((id) => cluster.address(id)).join(",");
  const command = kvraftCommand(["client", "--cluster", addresses, "snapshot", "save"]);
  const script = 'umask 077; "$@" > data/backup.snap';
  await using process = Process.start("bash", ["-c", script, "bash", ...command], {
    cwd: cluster.folder.path,
  });
  const { code, stderr } = await process.end();
  assertEquals(code, 0, stderr);
}

Deno.test({
  name: "file modes: servers, backups, restores and recoveries make no file or folder that others may open",
  ignore: Deno.build.os === "windows",
  async fn(): Promise<void> {
    using _umask = withUmask(0);
    await using cluster = await TestCluster.start({ flags: FLAGS });
    const { path } = cluster.folder;
    await using modes = watchModes(path);
    const leader = await cluster.waitForLeader();
    const follower = cluster.ids.find((id) => id !== leader);
    assert(follower !== undefined);
    await using client = await cluster.connect([leader]);
    await cluster.kill(follower);
    for (let key = 0; key < KEYS; key++) await client.put(`key-${key}`, VALUE);
    // The log it lacks was removed: it receives a snapshot.
    await cluster.startNode(follower);
    await eventually("the follower has caught up", async () => {
      const [mine, others] = [await cluster.status(leader), await cluster.status(follower)];
      return others !== null && others.appliedIndex === mine?.appliedIndex ? true : null;
    }, { explain: cluster.logs });
    await save(cluster);
    const restore = ["server", "restore", "--from", "data/backup.snap", "--node-id", "9"];
    const runs = [
      [...restore, "--cluster", "9=127.0.0.1:1", "--data-dir", "data/deep/er/node-9"],
      ["server", "inspect", "data/backup.snap"],
    ];
    for (const id of cluster.ids) await cluster.stop(id);
    const [, clusterId = ""] = /\(cluster ([0-9a-f]+),/.exec(cluster.logs()) ?? [];
    runs.push(["server", "recover", "--data-dir", `data/node-${leader}`, "--yes", clusterId]);
    for (const run of runs) {
      const { code, stderr } = await cluster.run(run);
      assertEquals([code, code === 0 ? "" : stderr], [0, ""], run.join(" "));
    }
    const names = [...Deno.readDirSync(`${path}/data`)].map(({ name }) => name).sort();
    assertEquals(names, [
      "backup.snap",
      "deep",
      ...cluster.ids.flatMap((id) =>
        id === leader ? [`node-${id}`, `node-${id}.before-recovery`] : [`node-${id}`]
      ),
    ]);
    assertEquals([[...modes.found], openPaths(path)], [[], []]);
  },
});
