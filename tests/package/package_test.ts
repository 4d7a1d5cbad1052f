/**
 * The client library as other projects use it: from the npm package in Node and Bun, and by its path from a Deno project
 * that has neither this repository's configuration nor its import map. Each runs the same program against real nodes.
 */
import { assert, assertEquals } from "@std/assert";
import { CHECKOUT, readCheckout } from "../support/checkout.ts";
import { installPackage, program } from "./install.ts";
import { TestCluster } from "../support/processes/cluster.ts";
import { Process, skip } from "../support/processes/process.ts";
import { TemporaryFolder } from "../support/temporary.ts";

const OLDEST_NODE = 20;
const PROGRAM = "tests/package/program.mjs";

/** Runs the program against a cluster whose leader is killed meanwhile, and compares what it prints. */
async function tryProgram([command, ...args]: readonly [string, ...string[]], cwd: string): Promise<void> {
  await using cluster = await TestCluster.start();
  await cluster.waitForLeader();
  const addresses = cluster.ids.map((id) => cluster.address(id));
  await using tried = Process.start(command, [...args, ...addresses], { cwd });
  await tried.waitForOutput(/"leader".*\n/, { explain: cluster.logs });
  const { leader, ...before } = JSON.parse(tried.printed.split("\n")[0] ?? "");
  assertEquals(before, {
    a: "1",
    absent: null,
    compared: [true, false, "2"],
    keys: ["package/a", "package/b"],
    hasMore: [true, false],
    fenced: [true, false, false],
    signedIn: ["ada password", "ada token", "authentication signInFailed"],
    error: "invalidRequest",
  });
  await cluster.kill(leader);
  const { code, stdout, stderr } = await tried.end({ explain: cluster.logs });
  assertEquals([code, stderr], [0, ""], tried.printed);
  assertEquals(JSON.parse(stdout.split("\n")[1] ?? ""), { isCounted: true, isWatched: true, members: 3 });
}

Deno.test("package: the packed library works in Node, across the loss of a leader", async () => {
  await using folder = await TemporaryFolder.make();
  const version = await program("node", ["--version"], folder.path);
  if (version === null) return skip("there is no Node");
  if (Number(/\d+/.exec(version)?.[0]) < OLDEST_NODE) {
    return skip(`Node ${version} is older than ${OLDEST_NODE}`);
  }
  assert(await installPackage(folder.path, PROGRAM), "Node comes with npm");
  await tryProgram(["node", "program.mjs"], folder.path);
});

Deno.test("package: the packed library works in Bun, across the loss of a leader", async () => {
  await using folder = await TemporaryFolder.make();
  if (!await installPackage(folder.path, PROGRAM)) return skip("there is no npm");
  try {
    await program("npm", ["install", "--no-audit", "--no-fund", "bun"], folder.path);
  } catch {
    return skip("npm could not fetch Bun");
  }
  await tryProgram(["node_modules/.bin/bun", "program.mjs"], folder.path);
});

Deno.test("package: another Deno project imports the library by its path", async () => {
  await using folder = await TemporaryFolder.make();
  const source = readCheckout(PROGRAM).replace(
    "@kvraft/kvraft",
    `file://${CHECKOUT}lib/mod.ts`,
  );
  await Deno.writeTextFile(`${folder.path}/deno.json`, "{}");
  await Deno.writeTextFile(`${folder.path}/program.mjs`, source);
  await tryProgram([Deno.execPath(), "run", "--quiet", "--check", "--allow-net", "program.mjs"], folder.path);
});
