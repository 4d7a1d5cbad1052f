/** The commands of docs/install.md that can run on any machine, typed as printed, and its configuration file. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { dirname } from "@std/path";
import { parse } from "jsonc-parser";
import { CHECKOUT, readCheckout } from "../support/checkout.ts";
import { kvraftCommand, Process, READY_LINE, startKvraft } from "../support/processes/process.ts";
import { freePorts, TemporaryFolder } from "../support/temporary.ts";
import { runProgram } from "./linters.ts";

const PAGE = readCheckout("docs/install.md");
const PACKAGE = /jsr:@kvraft\/kvraft@([0-9.]+)\/main/;

/** Returns the blocks of a language below a heading. */
function blocksBelow(heading: string, language = "sh"): readonly string[] {
  const section = PAGE.split(/^## /m).find((one) => one.startsWith(`${heading}\n`)) ?? "";
  return [...section.matchAll(/^```(\w+)\n(.*?)^```$/gms)].flatMap(([, name, text = ""]) =>
    name === language ? [text] : []
  );
}

/** Returns the block that contains a text. */
function blockWith(heading: string, text: string): string {
  const [found] = blocksBelow(heading).filter((block) => block.includes(text));
  assert(found !== undefined, `there is no block with "${text}" under "${heading}"`);
  return found;
}

Deno.test("install.md: the checksums of a release are compared, and damage is found", async () => {
  await using folder = await TemporaryFolder.make();
  const name = "kvraft-x86_64-unknown-linux-gnu";
  await Deno.writeTextFile(`${folder.path}/${name}`, "program");
  const { stdout } = await runProgram("sha256sum", [name], folder.path);
  await Deno.writeTextFile(
    `${folder.path}/SHA256SUMS`,
    `${stdout}${"0".repeat(64)}  kvraft-of-another-machine\n`,
  );
  const check = blockWith("A release: Linux and macOS", "sha256sum");
  assertEquals((await runProgram("sh", ["-c", check], folder.path)).code, 0);
  await Deno.writeTextFile(`${folder.path}/${name}`, "another");
  assertEquals((await runProgram("sh", ["-c", check], folder.path)).code, 1);
});

Deno.test("install.md: it names the programs that a release has, and the version", () => {
  const workflow = readCheckout(".github/workflows/release.yml");
  const targets = workflow.match(/\b(?:x86_64|aarch64)-[a-z]+-[a-z]+(?:-[a-z]+)?/g) ?? [];
  assertEquals(new Set(targets).size, 5);
  for (const target of targets) assert(PAGE.includes(`kvraft-${target}`), target);
  const { version } = JSON.parse(readCheckout("deno.json"));
  assertEquals(
    new Set([...PAGE.matchAll(new RegExp(PACKAGE, "g"))].map(([, named]) => named)),
    new Set([version]),
  );
});

Deno.test("install.md: what `deno install` installs runs a node, with the permissions of deno.json", async () => {
  await using folder = await TemporaryFolder.make();
  const [, , ...source] = kvraftCommand([]);
  const map = source.filter((flag) => flag.startsWith("--import-map="));
  const config = source.filter((flag) => flag.startsWith("--config="));
  const imports = map.length === 0 ? config : ["--no-config", ...map];
  const command = blockWith("From JSR", "deno install").split("\n")[0] ?? "";
  const { permissions: { kvraft } } = JSON.parse(readCheckout("deno.json"));
  assert(command.includes(`--allow-env=${kvraft.env.join(",")} `), command);
  const typed = command.replace(PACKAGE, `${CHECKOUT}/main.ts`)
    .replace("deno install", `${Deno.execPath()} install --root ${folder.path} ${imports.join(" ")}`);
  const installed = await runProgram("sh", ["-c", typed], folder.path);
  assertEquals(installed.code, 0, installed.stderr);
  // `deno install` (2.9.6) writes a shell script that looks for `deno` on the PATH; the one that runs this test may not be there.
  const onPath = `PATH=${dirname(Deno.execPath())}:${Deno.env.get("PATH")}`;
  const program = [onPath, `${folder.path}/bin/kvraft`];
  assertMatch((await runProgram("env", [...program, "--version"], "/")).stdout, /^kvraft [0-9.]+\n$/);
  const address = `127.0.0.1:${freePorts(1)}`;
  const flags = [
    "--node-id=1",
    `--bind=${address}`,
    `--cluster=1=${address}`,
    `--data-dir=${folder.path}/data`,
  ];
  await using node = Process.start("env", [...program, "server", ...flags], { cwd: "/", name: "installed" });
  await node.waitForOutput(READY_LINE);
  const put = ["client", "--cluster", address, "put", "a", "b"];
  assertEquals((await runProgram("env", [...program, ...put], "/")).code, 0);
});

Deno.test("install.md: a node starts with the configuration file, beside a secret of `kvraft secret new`", async () => {
  await using folder = await TemporaryFolder.make();
  const at = folder.path;
  const first = freePorts(2);
  const text = blocksBelow("The configuration file", "jsonc")[0] ?? "";
  const here = text.replaceAll(/10\.0\.0\.1:7001/g, `127.0.0.1:${first}`).replace(
    "127.0.0.1:9101",
    `127.0.0.1:${first + 1}`,
  );
  assertEquals(parse(text)["node-id"], 1);
  await Deno.writeTextFile(`${at}/kvraft.json`, here);
  const words = kvraftCommand([]).map((word) => `'${word}'`).join(" ");
  const command = blockWith("The configuration file", "secret new").replace("kvraft", words);
  assertEquals((await runProgram("sh", ["-c", command], at)).code, 0);
  await using node = startKvraft(["server", "--config", `${at}/kvraft.json`, "--data-dir", `${at}/data`], {
    cwd: "/",
  });
  await node.waitForOutput(READY_LINE);
});

Deno.test("install.md: every block is typed by a test, or changes the machine or needs what is elsewhere", () => {
  const elsewhere = [
    "gh attestation", // a release
    "/usr/local/bin/kvraft", // changes the machine
    "./cluster.sh start 3", // tests/cluster/script_test.ts
    "deno task compile", // tests/packaging/compile_test.ts
    "deno task forget",
    "deno task server --help",
    "npx -y deno", // JSR
    "useradd", // changes the machine
    "kvraft-backups.conf", // changes the machine; packaging_test.ts verifies the file
    "docker build", // needs a daemon
    "--cluster 10.0.0.1:7001,10.0.0.2:7001", // three machines; tests/cluster types both commands on one
  ];
  const tested = ["sha256sum", "deno install", "kvraft secret new"];
  const blocks = [...PAGE.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, text = ""]) => text);
  assertEquals(blocks.filter((text) => ![...elsewhere, ...tested].some((part) => text.includes(part))), []);
});
