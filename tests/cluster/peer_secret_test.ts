/** The peer secret between real processes: introduced, required and replaced under load, and refused. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { eventually } from "../support/eventually.ts";
import { TestCluster } from "../support/processes/cluster.ts";
import { runKvraft } from "../support/processes/process.ts";
import { underLoad } from "../support/processes/under_load.ts";
import { TemporaryFolder } from "../support/temporary.ts";

const OLD = "the-old-secret-of-the-cluster-0123456789";
const NEW = "the-new-secret-of-the-cluster-0123456789";

/** Writes the file of a node, at once and with the mode that is asked for. */
async function writeSecret(folder: string, id: number, text: string, mode = 0o600): Promise<void> {
  const path = `${folder}/peer-${id}.secret`;
  await Deno.writeTextFile(`${path}.new`, text, { mode });
  await Deno.chmod(`${path}.new`, mode);
  await Deno.rename(`${path}.new`, path);
}

/** Waits until each of the nodes says that its connections to both others are authenticated so. */
async function untilAuthenticated(cluster: TestCluster, by: string): Promise<void> {
  await eventually(`all nodes are authenticated by ${by}`, async () => {
    const all = await Promise.all(cluster.ids.map((id) => cluster.status(id)));
    const links = all.map((status) => status?.links.map(({ authenticatedBy }) => authenticatedBy).join(" "));
    return links.every((one) => one === `${by} ${by}`) || null;
  }, { explain: cluster.logs });
}

Deno.test("peer secret: it is introduced by one rolling restart under load, and required by a second one", async () => {
  const flags = new Map<number, readonly string[]>();
  await underLoad({ flagsOf: (id) => flags.get(id) ?? [] }, async ({ cluster, progress }) => {
    for (const mode of [["--peer-auth", "accept"], []]) {
      for (const id of cluster.ids) {
        await writeSecret(cluster.folder.path, id, OLD);
        flags.set(id, ["--peer-secret-file", `peer-${id}.secret`, ...mode]);
        await cluster.stop(id);
        await cluster.startNode(id);
        await progress();
      }
      await untilAuthenticated(cluster, "secret");
    }
    const { stdout } = await cluster.client(["status"]);
    assertStringIncludes(stdout, "\nnodes authenticated by: secret\n");
    // A node that comes without the secret has no part in the cluster any more, until it comes with it.
    flags.set(3, []);
    await cluster.stop(3);
    await cluster.startNode(3);
    await progress();
    await eventually("the refusal is in the logs of both ends", () => {
      const logs = cluster.logs();
      return logs.includes("Cannot authenticate a node") && logs.includes('reason="it has no peer secret"') &&
          logs.includes("node 3 did not prove that it knows the peer secret of this cluster") || null;
    }, { explain: cluster.logs });
    assertEquals((await cluster.status(3))?.links, []);
    flags.set(3, ["--peer-secret-file", "peer-3.secret"]);
    await cluster.stop(3);
    await cluster.startNode(3);
    await untilAuthenticated(cluster, "secret");
  });
});

Deno.test("peer secret: it is replaced in two steps while the processes run, under load", async () => {
  const prepare = async (cluster: TestCluster): Promise<null> => {
    for (const id of cluster.ids) await writeSecret(cluster.folder.path, id, OLD);
    return null;
  };
  const flagsOf = (id: number): readonly string[] => ["--peer-secret-file", `peer-${id}.secret`];
  await underLoad({ prepare, flagsOf }, async ({ cluster, progress }) => {
    await untilAuthenticated(cluster, "secret");
    for (const [step, content] of [`${NEW}\n${OLD}\n`, `${NEW}\n`].entries()) {
      for (const id of cluster.ids) {
        await writeSecret(cluster.folder.path, id, content);
        await eventually(`node ${id} has read its file`, () => {
          const log = cluster.logs().split("--- node ").find((part) => part.startsWith(`${id}, process 1`)) ??
            "";
          return log.split("Read the peer secret again").length > step + 1 || null;
        }, { explain: cluster.logs });
        await progress();
      }
    }
    await untilAuthenticated(cluster, "secret");
    // A file that cannot be used changes nothing.
    await writeSecret(cluster.folder.path, 1, "a-secret-that-all-others-of-this-machine-read", 0o644);
    await eventually("the log names the reason", () => {
      return cluster.logs().includes("others than its owner may open it: its mode is 0644") || null;
    }, { explain: cluster.logs });
    await progress();
    await untilAuthenticated(cluster, "secret");
    for (const secret of [OLD, NEW]) assert(!cluster.logs().includes(secret), "no log has the secret");
  });
});

Deno.test("peer secret: a file that others may read, and one with a short secret, are refused with 2 and a remedy", async () => {
  await using folder = await TemporaryFolder.make();
  const start = async (): Promise<string> => {
    const args = ["server", "--node-id", "1", "--bind", "127.0.0.1:7001", "--cluster", "1=127.0.0.1:7001"];
    const finished = await runKvraft([...args, "--peer-secret-file", "peer-1.secret"], { cwd: folder.path });
    assertEquals(finished.code, 2, finished.stderr);
    return finished.stderr;
  };
  const { uid } = await Deno.stat(folder.path);
  const path = join(await Deno.realPath(folder.path), "peer-1.secret");
  assertStringIncludes(await start(), `--peer-secret-file: cannot use ${path}: there is no such file.`);
  await writeSecret(folder.path, 1, OLD, 0o640);
  assertStringIncludes(
    await start(),
    `cannot use ${path}: others than its owner may open it: its mode is 0640, its owner user ${uid}. ` +
      `Run: chmod 0600 ${path}.`,
  );
  await writeSecret(folder.path, 1, "short");
  assertStringIncludes(await start(), "line 1 has 5 characters, and a secret has at least 32.");
  const made = await runKvraft(["secret", "new"], { cwd: folder.path });
  assertEquals(made.code, 0);
  assert(/^[A-Za-z0-9_-]{43}\n$/.test(made.stdout));
});
