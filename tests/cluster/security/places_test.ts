/**
 * A node whose files are where an operator wants them, started as a service manager does: the working directory is `/`. And
 * attempts to lead it to other files.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { KvClient } from "../../../lib/mod.ts";
import { contentOf } from "../../support/folder.ts";
import {
  type Finished,
  type Process,
  READY_LINE,
  runKvraft,
  startKvraft,
} from "../../support/processes/process.ts";
import { freePorts, TemporaryFolder } from "../../support/temporary.ts";

/** A machine with a configuration directory and places for data; `port` is that of the node. */
interface Machine extends AsyncDisposable {
  readonly at: string;
  readonly port: number;
}

async function machine(settings: Readonly<Record<string, unknown>> = {}): Promise<Machine> {
  const folder = await TemporaryFolder.make();
  const [at, port] = [folder.path, freePorts(1)];
  await Deno.mkdir(`${at}/etc`);
  const bind = `127.0.0.1:${port}`;
  const config = { "node-id": 1, bind, cluster: `1=${bind}`, "data-dir": "../var/kvraft", ...settings };
  await Deno.writeTextFile(`${at}/etc/kvraft.json`, JSON.stringify(config));
  return { at, port, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

/** Starts a node in the root of the file system and waits until it serves. */
async function startInRoot(args: readonly string[]): Promise<Process> {
  const process = startKvraft(["server", ...args], { cwd: "/" });
  await process.waitForOutput(READY_LINE);
  return process;
}

function runInRoot(args: readonly string[]): Promise<Finished> {
  return runKvraft(["server", ...args], { cwd: "/" });
}

async function putAndStop({ at, port }: Machine): Promise<Finished> {
  await using process = await startInRoot(["--config", `${at}/etc/kvraft.json`]);
  await using client = await KvClient.connect({ cluster: [`127.0.0.1:${port}`] });
  await client.put("key", "value");
  return await process.stop();
}

Deno.test("places: a node with data elsewhere starts from /, with a missing and with an existing directory", async () => {
  await using one = await machine();
  const first = await putAndStop(one);
  assertStringIncludes(first.stdout, `data ${one.at}/var/kvraft)`);
  assertEquals((await putAndStop(one)).code, 0);
  const written = Object.keys(await contentOf(one.at)).filter((path) => !path.startsWith("var/kvraft/"));
  assertEquals(written.filter((path) => path.includes(".")), ["etc/kvraft.json"]);
});

Deno.test("places: the data directory may be a symbolic link", async () => {
  await using one = await machine({ "data-dir": "../link" });
  await Deno.mkdir(`${one.at}/disk/node`, { recursive: true });
  await Deno.symlink(`${one.at}/disk/node`, `${one.at}/link`);
  assertEquals((await putAndStop(one)).code, 0);
  assert((await Deno.stat(`${one.at}/disk/node/identity`)).isFile);
});

Deno.test("places: without --data-dir, nothing is created in the root of the file system", async () => {
  const finished = await runInRoot(["--node-id", "1", "--bind", "127.0.0.1:1", "--cluster", "1=127.0.0.1:1"]);
  assertEquals(finished.code, 2);
  assertStringIncludes(finished.stderr, "--data-dir is missing");
});

Deno.test("places: symbolic links in the data directory do not lead a node or a tool out of it", async (t) => {
  await using one = await machine();
  await putAndStop(one);
  const data = `${one.at}/var/kvraft`;
  await Deno.rename(`${data}/wal`, `${one.at}/elsewhere`);
  await Deno.symlink(`${one.at}/elsewhere`, `${data}/wal`);
  const before = await contentOf(`${one.at}/elsewhere`);
  const attempts = {
    "a start": ["--config", `${one.at}/etc/kvraft.json`],
    "inspect": ["inspect", data],
    "recover": ["recover", "--data-dir", data, "--yes", "1"],
  };
  for (const [name, args] of Object.entries(attempts)) {
    await t.step(name, async () => {
      const finished = await runInRoot(args);
      assert(finished.code !== 0, finished.stdout);
      assertStringIncludes(finished.stderr + finished.stdout, "is a symbolic link to");
    });
  }
  assertEquals(await contentOf(`${one.at}/elsewhere`), before);
});

Deno.test("places: a snapshot is restored from any directory into any other, started from /", async () => {
  await using one = await machine();
  const bind = `127.0.0.1:${one.port}`;
  await using process = await startInRoot(["--config", `${one.at}/etc/kvraft.json`]);
  const taken = await runKvraft(["client", "--cluster", bind, "snapshot", "now"], { cwd: "/" });
  assertEquals(taken.code, 0, taken.stderr);
  await process.stop();
  const directory = `${one.at}/var/kvraft/snapshots`;
  const [snapshot] = (await Array.fromAsync(Deno.readDir(directory))).map(({ name }) =>
    `${directory}/${name}`
  );
  const args = ["restore", "--from", snapshot ?? "", "--node-id", "1", "--cluster", `1=${bind}`];
  const finished = await runInRoot([...args, "--data-dir", `${one.at}/new/deep/node`]);
  assertEquals(finished.code, 0, finished.stderr);
  assert((await Deno.stat(`${one.at}/new/deep/node/identity`)).isFile);
});
