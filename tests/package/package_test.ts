/**
 * The client library as other projects use it: from the npm package in Node and Bun, and by its path from a Deno project
 * that has neither this repository's configuration nor its import map. Each runs the same program against real nodes.
 */
import { assert, assertEquals } from "@std/assert";
import { CHECKOUT, readCheckout } from "../support/checkout.ts";
import { TestCluster } from "../support/processes/cluster.ts";
import { Process } from "../support/processes/process.ts";
import { TemporaryFolder } from "../support/temporary.ts";

const OLDEST_NODE = 20;
/** npm may have to fetch Bun. */
const INSTALL_DEADLINE_MS = 120_000;

/** Runs a program to its end; null when there is no such program. */
async function run(command: string, args: readonly string[], cwd: string): Promise<string | null> {
  try {
    const process = Process.start(command, args, { cwd });
    const { code, stdout, stderr } = await process.end({ deadlineMs: INSTALL_DEADLINE_MS });
    assertEquals(code, 0, `${command} ${args.join(" ")}: ${stdout}${stderr}`);
    return stdout;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** Says why a runtime was not tried: nothing of this project is wrong then. */
function skip(reason: string): void {
  // deno-lint-ignore no-console -- the output of a test run tells what was not tried
  console.log(`skipped: ${reason}`);
}

/** Packs the library and installs the package in a folder, with other packages. */
async function install(folder: string, packages: readonly string[] = []): Promise<boolean> {
  const tarball = `${folder}/kvraft.tgz`;
  await run(Deno.execPath(), ["run", "-A", "--no-config", "tools/pack.ts", `--output=${tarball}`], CHECKOUT);
  await Deno.writeTextFile(`${folder}/package.json`, `{ "type": "module" }`);
  await Deno.writeTextFile(`${folder}/program.mjs`, readCheckout("tests/package/program.mjs"));
  try {
    return await run("npm", ["install", "--no-audit", "--no-fund", tarball, ...packages], folder) !== null;
  } catch (error) {
    if (packages.length > 0) return false;
    throw error;
  }
}

/** Runs the program against a cluster whose leader is killed meanwhile, and compares what it prints. */
async function tryProgram([command, ...args]: readonly [string, ...string[]], cwd: string): Promise<void> {
  await using cluster = await TestCluster.start();
  await cluster.waitForLeader();
  const addresses = cluster.ids.map((id) => cluster.address(id));
  await using program = Process.start(command, [...args, ...addresses], { cwd });
  await program.waitForOutput(/"leader".*\n/, { explain: cluster.logs });
  const { leader, ...before } = JSON.parse(program.printed.split("\n")[0] ?? "");
  assertEquals(before, {
    a: "1",
    absent: null,
    compared: [true, false, "2"],
    keys: ["package/a", "package/b"],
    hasMore: [true, false],
    error: "invalidRequest",
  });
  await cluster.kill(leader);
  const { code, stdout, stderr } = await program.end({ explain: cluster.logs });
  assertEquals([code, stderr], [0, ""], program.printed);
  assertEquals(JSON.parse(stdout.split("\n")[1] ?? ""), { isCounted: true, members: 3 });
}

Deno.test("package: the packed library works in Node, across the loss of a leader", async () => {
  await using folder = await TemporaryFolder.make();
  const version = await run("node", ["--version"], folder.path);
  if (version === null) return skip("there is no Node");
  if (Number(/\d+/.exec(version)?.[0]) < OLDEST_NODE) {
    return skip(`Node ${version} is older than ${OLDEST_NODE}`);
  }
  assert(await install(folder.path), "npm installs the package");
  await tryProgram(["node", "program.mjs"], folder.path);
});

Deno.test("package: the packed library works in Bun, across the loss of a leader", async () => {
  await using folder = await TemporaryFolder.make();
  if (!await install(folder.path, ["bun"])) return skip("npm could not fetch Bun");
  await tryProgram(["node_modules/.bin/bun", "program.mjs"], folder.path);
});

Deno.test("package: another Deno project imports the library by its path", async () => {
  await using folder = await TemporaryFolder.make();
  const program = readCheckout("tests/package/program.mjs").replace(
    "@kvraft/kvraft",
    `file://${CHECKOUT}lib/mod.ts`,
  );
  await Deno.writeTextFile(`${folder.path}/deno.json`, "{}");
  await Deno.writeTextFile(`${folder.path}/program.mjs`, program);
  await tryProgram([Deno.execPath(), "run", "--quiet", "--check", "--allow-net", "program.mjs"], folder.path);
});
