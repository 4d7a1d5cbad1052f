/** Files of keys, values, secrets and logs are their owner's alone, with a umask that withholds nothing. */
import { setImmediate } from "node:timers";
import { assert, assertEquals } from "@std/assert";
import { eventually } from "../../support/eventually.ts";
import { openPaths, withUmask } from "../../support/processes/file_modes.ts";
import { kvraftCommand, Process, runKvraft } from "../../support/processes/process.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { freePorts, TemporaryFolder } from "../../support/temporary.ts";
import { Authority } from "../../support/tls/certificates.ts";

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

Deno.test({
  name: "file modes: the client warns of each file with a secret that others may open, once, and of no other",
  ignore: Deno.build.os === "windows",
  async fn(): Promise<void> {
    await using folder = await TemporaryFolder.make();
    const { path } = folder;
    const authority = new Authority();
    const { cert, key } = authority.issue({ name: "client", usages: ["client"] });
    const files = { token: "kvt_abc\n", password: "secret\n", "client.key": key, "client.crt": cert };
    const chmod = async (mode: number): Promise<void> => {
      for (const [name, text] of Object.entries({ ...files, "ca.crt": authority.cert })) {
        await Deno.writeTextFile(`${path}/${name}`, text);
        await Deno.chmod(`${path}/${name}`, mode);
      }
    };
    /** Runs the client, which reaches no node; returns the files of which it warns. */
    const warnedOf = async (...args: readonly string[]): Promise<readonly string[]> => {
      const cluster = ["client", "--cluster", `127.0.0.1:${freePorts(1)}`, "--timeout-ms", "300"];
      const { stderr } = await runKvraft([...cluster, ...args, "get", "key"], { cwd: path });
      const warning =
        /^kvraft: warning: the file (\S+) has a secret, and others than its owner may open it: its mode is 0644/gm;
      return [...stderr.matchAll(warning)].map(([, name = ""]) => name);
    };
    const tls = ["--tls-ca", "ca.crt", "--tls-cert", "client.crt", "--tls-key", "client.key"];
    const byPassword = ["--user", "ada", "--password-file", "password"];
    await chmod(0o644);
    assertEquals(await warnedOf("--token-file", "token", ...tls), ["token", "client.key"]);
    assertEquals(await warnedOf(...byPassword), ["password"]);
    await chmod(0o600);
    assertEquals(await warnedOf("--token-file", "token", ...tls), []);
    assertEquals(await warnedOf(...byPassword), []);
  },
});
