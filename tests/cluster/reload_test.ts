/** A running process that reads its configuration again at SIGHUP. */
import { assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { KvClient, StorageFullError } from "../../lib/mod.ts";
import { READY_LINE, startKvraft } from "../support/processes/process.ts";
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
