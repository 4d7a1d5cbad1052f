/** Refusals of a server to start: their exit codes, their messages, and that nothing was changed. */
import { assert, assertEquals } from "@std/assert";
import { TestCluster } from "../support/processes/cluster.ts";
import { contentOf, damage } from "../support/folder.ts";
import { type Finished, runKvraft } from "../support/processes/process.ts";
import { freePorts, TemporaryFolder } from "../support/temporary.ts";

const CLUSTER = "1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003";
const BIND = "127.0.0.1:7001";

/** Checks how a server that would not start ended. */
function assertRefused(finished: Finished, expected: { code: number; says: readonly string[] }): void {
  const said = finished.stderr + finished.stdout;
  assertEquals(finished.code, expected.code, said);
  for (const words of expected.says) assert(said.includes(words), `"${words}" is missing in:\n${said}`);
  assert(!/\n\s+at .*\.ts:\d+/.test(said), `a stack trace is no message:\n${said}`);
}

const wrongFlags: readonly { readonly args: readonly string[]; readonly says: readonly string[] }[] = [
  { args: ["--node-id", "9", "--bind", BIND, "--cluster", CLUSTER], says: ["--node-id", "9"] },
  { args: ["--node-id", "one", "--bind", BIND, "--cluster", CLUSTER], says: ["--node-id", "one"] },
  { args: ["--node-id", "1", "--bind", "7001", "--cluster", CLUSTER], says: ["--bind", "7001"] },
  { args: ["--node-id", "1", "--bind", BIND, "--cluster", "1=a:1,1=b:2"], says: ["--cluster", "1"] },
  { args: ["--node-id", "1", "--bind", BIND, "--cluster", "1=a:1,2=a:1"], says: ["--cluster", "a:1"] },
  { args: ["--node-id", "1", "--bind", BIND, "--cluster", "1=0.0.0.0:1"], says: ["--cluster", "0.0.0.0"] },
  { args: ["--node-id", "1", "--bind", BIND], says: ["--cluster"] },
  {
    args: ["--node-id", "1", "--bind", BIND, "--cluster", CLUSTER, "--heartbeat-ms", "soon"],
    says: ["--heartbeat-ms", "soon"],
  },
  { args: ["--node-id", "1", "--bnid", BIND, "--cluster", CLUSTER], says: ["--bnid", "--bind"] },
];

Deno.test("startup: wrong flags exit with 2, name the flag and the mistake, and create nothing", async (t) => {
  await using folder = await TemporaryFolder.make();
  for (const { args, says } of wrongFlags) {
    await t.step(`server ${args.join(" ")}`, async () => {
      assertRefused(await runKvraft(["server", ...args], { cwd: folder.path }), { code: 2, says });
    });
  }
  assertEquals(await contentOf(folder.path), {});
});

Deno.test("startup: a port in use and an address of another machine exit with 70 and are named", async () => {
  await using folder = await TemporaryFolder.make();
  const port = freePorts(1);
  using _taken = Deno.listen({ hostname: "127.0.0.1", port });
  // 192.0.2.0/24 is reserved for documentation: no machine has such an address, and nothing is sent to it.
  for (const bind of [`127.0.0.1:${port}`, "192.0.2.1:7001"]) {
    const args = [
      "server",
      "--insecure",
      "--node-id",
      "1",
      "--bind",
      bind,
      "--cluster",
      `1=127.0.0.1:${port}`,
    ];
    assertRefused(await runKvraft(args, { cwd: folder.path }), { code: 70, says: [bind] });
  }
});

Deno.test("startup: a data directory that this node may not use is refused, and stays unchanged", async (t) => {
  await using cluster = await TestCluster.start({ nodes: 1 });
  await using client = await cluster.connect();
  for (let number = 1; number <= 20; number++) await client.put(`key-${number}`, `value-${number}`);
  const [port, data] = [freePorts(2), cluster.dataFolder(1)];
  const run = (...args: readonly string[]): Promise<Finished> =>
    runKvraft(["server", ...args, "--data-dir", data], { cwd: cluster.folder.path });
  const elsewhere = ["--node-id", "1", "--bind", `127.0.0.1:${port}`, "--cluster", cluster.membersFlag];

  await t.step("a second process on the folder of a running node", async () => {
    assertRefused(await run(...elsewhere), { code: 70, says: [data] });
    await client.put("the first one", "goes on");
  });

  await cluster.kill(1);
  const before = await contentOf(data);

  await t.step("another node", async () => {
    const two = `1=127.0.0.1:${port},2=127.0.0.1:${port + 1}`;
    const args = ["--node-id", "2", "--bind", `127.0.0.1:${port + 1}`, "--cluster", two];
    assertRefused(await run(...args), { code: 1, says: [data] });
    assertEquals(await contentOf(data), before);
  });

  await t.step("another cluster", async () => {
    const args = ["--node-id", "1", "--bind", `127.0.0.1:${port}`, "--cluster-name", "other"];
    assertRefused(await run(...args), { code: 1, says: [data] });
    assertEquals(await contentOf(data), before);
  });

  await t.step("a log that is damaged in the middle", async () => {
    const file = damage(`${data}/wal`, "value-7");
    const damaged = await contentOf(data);
    const args = cluster.serverArguments(1);
    assertRefused(await run(...args), { code: 1, says: [file, "byte", "entry", "peers"] });
    assertEquals(await contentOf(data), damaged);
  });
});

Deno.test("startup: a log that was shortened after a clean stop is refused, and stays unchanged", async () => {
  await using cluster = await TestCluster.start({ nodes: 1 });
  await using client = await cluster.connect();
  for (let number = 1; number <= 20; number++) await client.put(`key-${number}`, `value-${number}`);
  assertEquals((await cluster.stop(1)).code, 0);
  const data = cluster.dataFolder(1);
  const file = `${data}/wal/00000000000000000001.log`;
  const bytes = await Deno.readFile(file);
  await Deno.truncate(file, bytes.findLastIndex((byte) => byte !== 0) - 200);
  const before = await contentOf(data);
  const args = ["server", ...cluster.serverArguments(1)];
  const finished = await runKvraft(args, { cwd: cluster.folder.path });
  assertRefused(finished, {
    code: 1,
    says: ["node-1/wal/0", "byte", "a file was shortened or removed since", "peers"],
  });
  assertEquals(await contentOf(data), before);
});
