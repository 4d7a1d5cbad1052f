/**
 * The permissions that are compiled into the executable: `tools/compile.ts` takes them from the set `kvraft` of deno.json,
 * by the same function as this test. docs/security.md refers to it.
 */
import { assertEquals } from "@std/assert";
import { permissionFlags } from "../../../tools/permissions.ts";
import { CHECKOUT } from "../../support/checkout.ts";
import { Process } from "../../support/processes/process.ts";
import { TemporaryFolder } from "../../support/temporary.ts";

type Outcomes = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Runs the attempts with the permissions of the executable, in a folder of their own. */
async function attempt(): Promise<Outcomes> {
  await using folder = await TemporaryFolder.make();
  const cwd = `${folder.path}/cwd`;
  await Deno.mkdir(`${cwd}/data`, { recursive: true });
  await Deno.writeTextFile(`${folder.path}/outside.txt`, "outside");
  for (const name of ["inside.txt", "x.node"]) await Deno.writeTextFile(`${cwd}/${name}`, "inside");
  await Deno.symlink(`${folder.path}/outside.txt`, `${cwd}/link`);
  const script = `${CHECKOUT}/tests/cluster/security/permission_attempts.ts`;
  const args = ["run", "--quiet", "--no-check", "--no-config", ...permissionFlags(null), script];
  await using process = Process.start(Deno.execPath(), args, { cwd, name: "attempts" });
  const { code, stdout, stderr } = await process.end();
  assertEquals([code, stderr], [0, ""]);
  return JSON.parse(stdout);
}

Deno.test("permissions: the executable can neither leave its folders, run programs, read the environment nor load native code", async () => {
  const { allowed, "ask for more": asked, ...forbidden } = await attempt();
  assertEquals(new Set(Object.values(allowed ?? {})), new Set(["done"]), JSON.stringify(allowed));
  assertEquals(asked, { run: "denied", env: "denied", ffi: "denied", sys: "denied" });
  assertEquals(Object.keys(forbidden), [
    "read outside the working directory",
    "write outside ./data",
    "run programs",
    "read the environment",
    "load native code",
    "ask for the system",
  ]);
  const possible = Object.entries(forbidden).flatMap(([group, outcomes]) =>
    Object.entries(outcomes).filter(([, outcome]) => outcome !== "NotCapable")
      .map(([name, outcome]) => `${group}: ${name}: ${outcome}`)
  );
  assertEquals(possible, []);
});
