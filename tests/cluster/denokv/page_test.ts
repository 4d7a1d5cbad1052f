/** docs/denokv.md as a new user follows it: its programs and commands, with stock Deno and Node, on real nodes. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { readCheckout } from "../../support/checkout.ts";
import { DenokvCluster } from "../../support/denokv/cluster.ts";
import { makeDatabaseFile } from "../../support/denokv/files.ts";
import { installNodeClient } from "../../support/denokv/stock_clients.ts";
import { type Finished, Process, runKvraft, skip } from "../../support/processes/process.ts";
import { step } from "../../support/step.ts";

const PAGE = readCheckout("docs/denokv.md");
/** The address in the programs of the page. */
const ADDRESS = "http://127.0.0.1:4512";

/** Runs what the page shows, in the folder of a cluster. */
class Reader {
  constructor(readonly denokv: DenokvCluster) {}

  get folder(): string {
    return this.denokv.cluster.folder.path;
  }

  /** Runs a program of the page, which its first line names, at a node. */
  async runProgram(name: string, { args = [], id = 1, token = "x" }: ProgramOptions = {}): Promise<Finished> {
    const [, source = ""] = new RegExp(`\`\`\`[a-z]+\n(// ${name}\n[^]*?)\`\`\``).exec(PAGE) ?? [];
    assert(source !== "", `the page has no ${name}`);
    await Deno.writeTextFile(`${this.folder}/${name}`, source.replaceAll(ADDRESS, this.denokv.url(id)));
    const isDeno = name.endsWith(".ts");
    const command = isDeno ? Deno.execPath() : "node";
    const run = isDeno ? ["run", "-q", "--unstable-kv", "-A", "--no-config", name, ...args] : [name, ...args];
    const env = { DENO_KV_ACCESS_TOKEN: token };
    await using process = Process.start(command, run, { cwd: this.folder, env });
    return await process.end();
  }

  /** Runs a client command in the folder of the cluster. */
  async client(...args: readonly string[]): Promise<Finished> {
    const { cluster } = this.denokv;
    const addresses = cluster.ids.map((id) => cluster.address(id)).join();
    return await runKvraft(["client", "--cluster", addresses, "denokv", ...args], { cwd: this.folder });
  }
}

/** Arguments of a program, the node that it uses, and its access token. */
interface ProgramOptions {
  readonly args?: readonly string[];
  readonly id?: number;
  readonly token?: string;
}

/** Returns the output of a command that succeeded. */
function outputOf({ code, stdout, stderr }: Finished): string {
  assertEquals(code, 0, `${stdout}${stderr}`);
  return stdout;
}

Deno.test("docs/denokv.md: programs and commands do what the page says", async (t) => {
  await using denokv = await DenokvCluster.start();
  await denokv.cluster.waitForLeader();
  const reader = new Reader(denokv);
  await firstMinutes(t, reader);
  await node(t, reader);
  await moving(t, reader);
  await tokens(t, reader);
});

/** A program, a node that is killed, and the commands. */
async function firstMinutes(t: Deno.TestContext, reader: Reader): Promise<void> {
  await step(
    t,
    "the first program runs again at another node after the leader was killed",
    async () => {
      assertMatch(
        outputOf(await reader.runProgram("program.ts")),
        /^\{ name: "Ada" \}\n[^]*"visits" \] \[Deno.KvU64: 1n\]\n$/,
      );
      const leader = await reader.denokv.cluster.waitForLeader();
      await reader.denokv.cluster.kill(leader);
      const other = leader === 1 ? 2 : 1;
      assertMatch(outputOf(await reader.runProgram("program.ts", { id: other })), /KvU64: 2n\]\n$/);
      await reader.denokv.cluster.startNode(leader);
    },
  );

  await step(t, "the commands read and write its keys", async () => {
    assertEquals(
      outputOf(await reader.client("list", "default")),
      `["users", 17n]\tv8 format 16\t{ name: "Ada" }\n["visits"]\tu64\tnew Deno.KvU64(2n)\n`,
    );
    assertEquals(
      outputOf(await reader.client("get", "default", `["users", 17n]`)),
      `["users", 17n] → { name: "Ada" }\n`,
    );
    assertMatch(
      outputOf(await reader.client("set", "default", `["greeting"]`, `"hello"`)),
      /^ok {2}versionstamp /,
    );
  });
}

async function node(t: Deno.TestContext, reader: Reader): Promise<void> {
  await step(t, "the program in Node reads what a command has set", async () => {
    if (!await installNodeClient(reader.folder)) return skip("npm cannot install @deno/kv");
    assertEquals(outputOf(await reader.runProgram("program.mjs")), "hello\n");
  });
}

/** A file is imported, and a program copies one database into another. */
async function moving(t: Deno.TestContext, reader: Reader): Promise<void> {
  await step(
    t,
    "a file of Deno's KV is imported, and its copy by a program is equal",
    async () => {
      await makeDatabaseFile(`${reader.folder}/shop.sqlite`);
      assertMatch(outputOf(await reader.client("create", "shop")), /^ok {2}database shop created\n$/);
      const imported = outputOf(await reader.client("import", "shop", "./shop.sqlite"));
      assertMatch(imported, /^ok {2}revision \d+, 5 keys, .*; left out: 2 queued messages\n$/);
      outputOf(await reader.client("create", "copy"));
      const copied = await reader.runProgram("copy.ts", {
        args: [`${reader.denokv.url(1)}/shop`, `${reader.denokv.url(3)}/copy`],
      });
      assertEquals(outputOf(copied), "5 keys\n");
      const [shop, copy] = await Promise.all(["shop", "copy"].map((name) => reader.client("list", name)));
      assert(shop !== undefined && copy !== undefined);
      assertEquals(outputOf(shop), outputOf(copy));
      const other = await reader.client("import", "copy", "/etc/hostname");
      assert(other.code === 2 && other.stderr.includes("file is not a database"), other.stderr);
    },
  );
}

/** From its first token on a database takes programs with a token only, until that is revoked. */
async function tokens(t: Deno.TestContext, reader: Reader): Promise<void> {
  const copy = async (token: string): Promise<Finished> =>
    await reader.runProgram("copy.ts", { args: [`${reader.denokv.url(1)}/shop`, "copy.sqlite"], token });
  await step(t, "a token is needed once there is one, and useless once it is revoked", async () => {
    const token = outputOf(await reader.client("token", "shop", "--label", "copy")).trim();
    assertEquals((await copy("x")).code, 1);
    assertEquals(outputOf(await copy(token)), "5 keys\n");
    outputOf(await reader.client("revoke", "shop", "1"));
    outputOf(await reader.client("token", "shop"));
    assertEquals((await copy(token)).code, 1);
  });
  await step(t, "a database with keys is deleted with --purge only", async () => {
    assertEquals((await reader.client("delete", "copy")).code, 1);
    for (const name of ["copy", "shop"]) {
      assertMatch(outputOf(await reader.client("delete", name, "--purge")), /deleted, with 5 keys\n$/);
    }
    const { databases } = JSON.parse(outputOf(await reader.client("list", "--output", "json")));
    assertEquals(databases.map(({ name }: { name: string }) => name), ["default"]);
  });
}
