/** A running process that reads its configuration again at SIGHUP. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { KvClient, StorageFullError } from "../../lib/mod.ts";
import { eventually } from "../support/eventually.ts";
import { READY_LINE, runKvraft, startKvraft } from "../support/processes/process.ts";
import { Authority } from "../support/tls/certificates.ts";
import { freePorts, TemporaryFolder } from "../support/temporary.ts";

Deno.test("reload: SIGHUP applies a changed quota, names what needs a restart, and a broken file changes nothing", async () => {
  await using folder = await TemporaryFolder.make();
  const bind = `127.0.0.1:${freePorts(1)}`;
  const configure = (settings: Record<string, unknown> | null): Promise<void> =>
    Deno.writeTextFile(
      join(folder.path, "node1.json"),
      settings === null ? "{" : JSON.stringify({ "node-id": 1, bind, cluster: `1=${bind}`, ...settings }),
    );
  await configure({ "quota-bytes": 50 });
  await using node = startKvraft(["server", "--config", "node1.json"], { cwd: folder.path, name: "node 1" });
  await node.waitForOutput(READY_LINE);
  await using client = await KvClient.connect({ cluster: [bind] });
  const put = (): Promise<unknown> => client.put("key", "x".repeat(100));
  await assertRejects(put, StorageFullError);

  await configure({ "quota-bytes": "1MiB", "max-connections": 100 });
  node.signal("SIGHUP");
  await node.waitForOutput(/A setting has changed setting=quota-bytes from=50 to=1MiB/);
  await node.waitForOutput(/needs a restart setting=max-connections/);
  await put();

  await configure(null);
  node.signal("SIGHUP");
  await node.waitForOutput(/Cannot reload the configuration: nothing has changed/);
  await put();
  assertEquals((await node.stop()).code, 0, node.printed);
});

Deno.test({
  name: "reload: a pipe in place of the config file or of the authorities is refused, and the node serves on",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await using folder = await TemporaryFolder.make();
    const bind = `127.0.0.1:${freePorts(1)}`;
    const authority = new Authority();
    const { cert, key } = authority.node();
    const write = (name: string, text: string): Promise<void> =>
      Deno.writeTextFile(join(folder.path, name), text, { mode: 0o600 });
    await write("ca.crt", authority.cert);
    await write("node.crt", cert);
    await write("node.key", key);
    const tls = { "tls-ca": "ca.crt", "tls-cert": "node.crt", "tls-key": "node.key" };
    await write("node1.json", JSON.stringify({ "node-id": 1, bind, cluster: `1=${bind}`, ...tls }));
    await using node = startKvraft(["server", "--config", "node1.json"], {
      cwd: folder.path,
      name: "node 1",
    });
    await node.waitForOutput(READY_LINE);
    for (const name of ["node1.json", "ca.crt"]) {
      await Deno.remove(join(folder.path, name));
      await new Deno.Command("mkfifo", { args: [join(folder.path, name)] }).output();
    }

    node.signal("SIGHUP");
    await node.waitForOutput(/nothing has changed reason="[^"]*node1\.json: it is not a regular file/);
    await node.waitForOutput(/ones read before stay in use .*ca\.crt: it is not a regular file/);
    await using client = await KvClient.connect({ cluster: [bind], tls: { ca: authority.cert } });
    await client.put("key", "value");
    assertEquals((await node.stop()).code, 0, node.printed);
    const { code, stderr } = await runKvraft(
      ["server", "--node-id", "1", "--bind", bind, "--cluster", `1=${bind}`, "--tls-ca", "ca.crt"].concat(
        ["--tls-cert", "node.crt", "--tls-key", "node.key"],
      ),
      { cwd: folder.path },
    );
    assertEquals(code, 2);
    assertStringIncludes(stderr, "ca.crt: it is not a regular file");
  },
});

Deno.test("reload: limits that are lowered and raised under load refuse only what is beyond them, on the connections that exist", async () => {
  await using folder = await TemporaryFolder.make();
  const bind = `127.0.0.1:${freePorts(1)}`;
  const configure = (limits: Record<string, unknown>): Promise<void> =>
    Deno.writeTextFile(
      join(folder.path, "node1.json"),
      JSON.stringify({ "node-id": 1, bind, cluster: `1=${bind}`, ...limits }),
    );
  await configure({});
  await using node = startKvraft(["server", "--config", "node1.json"], { cwd: folder.path, name: "node 1" });
  await node.waitForOutput(READY_LINE);
  await using clients = new AsyncDisposableStack();
  const writers: { readonly outcomes: string[]; readonly finished: Promise<void> }[] = [];
  let isOver = false;
  for (let writer = 0; writer < 4; writer++) {
    const client = clients.use(await KvClient.connect({ cluster: [bind] }));
    const outcomes: string[] = [];
    const write = async (): Promise<void> => {
      for (let made = 0; !isOver; made++) {
        // A new key each time: a write that makes the store no larger may be applied beyond the quota as well.
        const put = client.put(`${writer}/${made}`, "x".repeat(1_000));
        outcomes.push(await put.then(() => "applied", (error) => errorName(error)));
        assertEquals(await client.get(`none/${writer}`), null);
      }
    };
    writers.push({ outcomes, finished: write() });
  }
  const each = (outcome: string): Promise<unknown> => {
    const lengths = writers.map(({ outcomes }) => outcomes.length);
    return eventually(`the puts of each writer are ${outcome}`, () => {
      return writers.every(({ outcomes }, index) =>
        outcomes.slice((lengths[index] ?? 0) + 1).slice(-10).filter((one) => one === outcome).length === 10
      ) || null;
    }, { explain: () => node.printed });
  };
  await using admin = await KvClient.connect({ cluster: [bind] });
  await each("applied");
  for (let round = 0; round < 2; round++) {
    await configure({ "quota-bytes": 1_000, "slow-ms": 1, "history-bytes": "64KiB", "audit-log": "on" });
    node.signal("SIGHUP");
    await each("StorageFullError");
    await admin.delete(`0/${round}`);
    await configure({ "quota-bytes": "1GiB", "slow-ms": 0, "history-bytes": "1MiB", "log-level": "warn" });
    node.signal("SIGHUP");
    await each("applied");
  }
  isOver = true;
  await Promise.all(writers.map(({ finished }) => finished));
  const outcomes = new Set(writers.flatMap(({ outcomes }) => outcomes));
  assertEquals([...outcomes].sort(), ["StorageFullError", "applied"]);
  assertEquals((await node.stop()).code, 0, node.printed);
});

function errorName(error: unknown): string {
  return error instanceof Error ? error.name : String(error);
}
