/** `deno task compile` and what it remembers: a program that does not work is not kept, and a Deno that changed is noticed. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { problemOf } from "../../tools/try_program.ts";
import { CHECKOUT } from "../support/checkout.ts";
import { kvraftCommand } from "../support/processes/process.ts";
import { TemporaryFolder } from "../support/temporary.ts";

/** Writes an executable script into the directory, and returns its path. */
async function script({ path }: TemporaryFolder, body: string): Promise<string> {
  const text = body.startsWith("#!") ? body : `#!/bin/sh\n${body}`;
  await Deno.writeTextFile(`${path}/program`, `${text}\n`, { mode: 0o755 });
  return `${path}/program`;
}

/** Returns a command that a script may end with: the source, as the executable runs it. */
function sourceCommand(): string {
  return `exec ${kvraftCommand([]).map((word) => `'${word}'`).join(" ")} "$@"`;
}

Deno.test("compile: a program that works is found to work", async () => {
  await using folder = await TemporaryFolder.make();
  assertEquals(await problemOf(await script(folder, sourceCommand()), { runsNode: true }), null);
});

Deno.test("compile: of a program that does not work, the step that fails is named with its output", async (t) => {
  const version = JSON.parse(await Deno.readTextFile(`${CHECKOUT}/deno.json`)).version;
  const answers = `[ "$1" = --version ] && { echo 'kvraft ${version}'; exit; }\n`;
  const cases: readonly (readonly [string, string, string])[] = [
    ["a program that does not start", "echo broken >&2; exit 1", "It should print its version"],
    ["another version", "echo kvraft 9.9.9", "kvraft 9.9.9"],
    ["a program that cannot be executed", "#!/no/such/interpreter", "It should print its version"],
    ["no node", `${answers}echo 'no permission' >&2; exit 3`, "A node does not start:\nno permission"],
    [
      "no client",
      `${answers}[ "$1" = client ] && { echo 'no net' >&2; exit 3; }\n${sourceCommand()}`,
      "A node started, and the client cannot put key value:\nno net",
    ],
  ];
  for (const [name, body, said] of cases) {
    await t.step(name, async () => {
      await using folder = await TemporaryFolder.make();
      assertStringIncludes(await problemOf(await script(folder, body), { runsNode: true }) ?? "works", said);
    });
  }
});

Deno.test("find_deno.sh: a remembered Deno that was upgraded, or removed, is looked for again", async (t) => {
  await using folder = await TemporaryFolder.make();
  const at = folder.path;
  const version = (await Deno.readTextFile(`${CHECKOUT}/.deno-version`)).trim();
  for (const directory of ["tools", ".cache"]) await Deno.mkdir(`${at}/${directory}`);
  for (const file of ["tools/find_deno.sh", ".deno-version"]) {
    await Deno.copyFile(`${CHECKOUT}/${file}`, `${at}/${file}`);
  }
  const other = await script(folder, `echo "deno ${version} (stable)"`);
  const find = async (remembered: string): Promise<string> => {
    await Deno.writeTextFile(`${at}/.cache/deno-${version}`, remembered);
    const { stdout } = await new Deno.Command("bash", { args: [`${at}/tools/find_deno.sh`] }).output();
    return new TextDecoder().decode(stdout).trim();
  };
  await t.step("as it was", async () => assertEquals(await find(`${other}\n${version}\n`), other));
  for (const remembered of [`${other}\n1.0.0\n`, `${at}/gone\n${version}\n`, `${other}\n`]) {
    await t.step(remembered.replaceAll("\n", " "), async () => {
      const found = await find(remembered);
      assertEquals([found === other, found === `${at}/gone`, found.includes("deno")], [false, false, true]);
      assertEquals((await Deno.readTextFile(`${at}/.cache/deno-${version}`)).split("\n")[0], found);
    });
  }
});
