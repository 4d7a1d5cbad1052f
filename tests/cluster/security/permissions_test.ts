/**
 * The permissions that are compiled into the executable: `tools/compile.ts` takes them from the set `kvraft` of deno.json,
 * by the same function as this test. docs/security.md refers to it.
 */
import { assertEquals } from "@std/assert";
import { permissionFlags } from "../../../tools/permissions.ts";
import { denoCommand, Process } from "../../support/processes/process.ts";
import { TemporaryFolder } from "../../support/temporary.ts";

type Outcomes = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Where a program that makes the attempts has its data, and the permissions that it starts with. */
interface Attempted {
  /** Below the working directory, which is below the temporary directory. */
  readonly dataDirectory: string;
  readonly permissions: readonly string[];
}

/** Runs the attempts as a server whose flags name one directory, after it has read its flags. */
async function attempt({ dataDirectory, permissions }: Attempted): Promise<Outcomes> {
  await using folder = await TemporaryFolder.make();
  const cwd = `${folder.path}/cwd`;
  await Deno.mkdir(`${cwd}/${dataDirectory}`, { recursive: true });
  await Deno.writeTextFile(`${folder.path}/outside.txt`, "outside");
  for (const name of ["inside.txt", "x.node"]) await Deno.writeTextFile(`${cwd}/${name}`, "inside");
  await Deno.symlink(`${folder.path}/outside.txt`, `${cwd}/${dataDirectory}/link`);
  const script = "tests/cluster/security/permission_attempts.ts";
  const [program, ...args] = denoCommand(script, { permissions, args: [dataDirectory] });
  await using process = Process.start(program, args, { cwd, name: "attempts" });
  const { code, stdout, stderr } = await process.end();
  assertEquals([code, stderr], [0, ""]);
  return JSON.parse(stdout);
}

/** Returns the attempts of some groups that Deno did not refuse. */
function possible(outcomes: Outcomes): readonly string[] {
  return Object.entries(outcomes).flatMap(([group, attempts]) =>
    Object.entries(attempts).filter(([, outcome]) => outcome !== "NotCapable")
      .map(([name, outcome]) => `${group}: ${name}: ${outcome}`)
  );
}

const DENIED = { run: "denied", env: "denied", ffi: "denied", sys: "denied" };

Deno.test("permissions: with data in ./data, Deno refuses every other file, programs, the environment and native code", async () => {
  const { allowed, "ask for more": asked, ...forbidden } = await attempt({
    dataDirectory: "data",
    permissions: permissionFlags(),
  });
  assertEquals(new Set(Object.values(allowed ?? {})), new Set(["done"]), JSON.stringify(allowed));
  assertEquals(asked, DENIED);
  assertEquals(Object.keys(forbidden), [
    "read outside of the data directory",
    "write outside of the data directory",
    "run programs",
    "read the environment",
    "load native code",
    "ask for the system",
  ]);
  assertEquals(possible(forbidden), []);
});

Deno.test("permissions: with data elsewhere, Deno leaves other files to the program and refuses the rest", async () => {
  const { allowed, "ask for more": asked, ...forbidden } = await attempt({
    dataDirectory: "elsewhere",
    permissions: permissionFlags(),
  });
  assertEquals(new Set(Object.values(allowed ?? {})), new Set(["done"]), JSON.stringify(allowed));
  assertEquals(asked, DENIED);
  const refused = Object.entries(forbidden).filter(([, attempts]) => possible({ attempts }).length === 0);
  assertEquals(refused.map(([group]) => group), [
    "run programs",
    "read the environment",
    "load native code",
    "ask for the system",
  ]);
  // docs/security.md names these.
  assertEquals(possible(forbidden).filter((one) => /environment|memory|symbolic/.test(one)), []);
});

Deno.test("permissions: an executable for one data directory may use nothing else", async () => {
  const permissions = permissionFlags({ dataDirectory: "elsewhere" });
  const { allowed, "ask for more": _asked, ...forbidden } = await attempt({
    dataDirectory: "elsewhere",
    // The source of the script itself is read by Deno, without permission.
    permissions,
  });
  assertEquals(new Set(Object.values(allowed ?? {})), new Set(["done"]), JSON.stringify(allowed));
  assertEquals(possible(forbidden), []);
});

Deno.test("permissions: on Windows, where a list would need every drive, there is none", () => {
  assertEquals(permissionFlags({ os: "windows" }).filter((flag) => /read|write/.test(flag)), [
    "--allow-read",
    "--allow-write",
  ]);
});
