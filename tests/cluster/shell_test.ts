/** The shell in a real terminal with a real cluster: tests type keys and read the screen. */
import { assert, assertEquals } from "@std/assert";
import { TestCluster } from "../support/processes/cluster.ts";
import { kvraftCommand } from "../support/processes/process.ts";
import { step } from "../support/step.ts";
import { hasTmux, Terminal } from "../support/processes/terminal.ts";

const tmuxIsHere = hasTmux();

Deno.test({
  name: `shell: editing, completion and output in a terminal${
    tmuxIsHere ? "" : " (skipped: tmux is not installed)"
  }`,
  ignore: !tmuxIsHere,
  async fn(t): Promise<void> {
    await using cluster = await TestCluster.start({ flags: ["--election-timeout-ms", "500"] });
    const leader = await cluster.waitForLeader();
    const nodes = cluster.ids.map((id) => cluster.address(id)).join(",");
    await using terminal = await Terminal.open({
      cwd: cluster.folder.path,
      command: kvraftCommand(["client", "--cluster", nodes]),
    });
    await typing(t, { terminal, leader });
    await slips(t, terminal);
    await losses(t, { terminal, leader, cluster });
  },
});

Deno.test({
  name: `shell: delete --prefix asks in the shell and before a single command${
    tmuxIsHere ? "" : " (skipped: tmux is not installed)"
  }`,
  ignore: !tmuxIsHere,
  async fn(t): Promise<void> {
    await using cluster = await TestCluster.start({ nodes: 1 });
    await cluster.waitForLeader();
    await using client = await cluster.connect();
    const cwd = cluster.folder.path;
    const command = ["client", "--cluster", cluster.address(1)];
    await step(t, "deletes nothing at Enter, and all keys of the prefix at y", async () => {
      await using terminal = await Terminal.open({ cwd, command: kvraftCommand(command) });
      await terminal.waitFor(/n1 \(leader\)>$/);
      for (const key of ["user:1", "user:2", "other"]) await client.put(key, "v");
      await terminal.type("delete --prefix user:");
      await terminal.press("Enter");
      await terminal.waitFor(/\nDelete 2 keys that begin with user:\? \[y\/N\]$/);
      await terminal.press("Enter");
      await terminal.waitFor(/\nnothing was deleted {2}revision 3 {2}[0-9.]+ m?s\nn1 \(leader\)>$/);
      await terminal.press("Up", "Enter");
      await terminal.waitFor(/> delete --prefix user:\nDelete [^\n]*\[y\/N\]$/);
      await terminal.type("yx");
      await terminal.press("BSpace");
      await terminal.waitFor(/\[y\/N\] y$/);
      await terminal.press("Enter");
      await terminal.waitFor(/\nok {2}2 keys {2}revision 4 {2}[0-9.]+ m?s\nn1 \(leader\)>$/);
      assertEquals((await client.count()).count, 1);
    });
    await step(
      t,
      "asks before a single command, deletes 10,100 keys in pages, and the terminal is as before",
      async () => {
        const numbers = Array.from({ length: 10_100 }, (_, number) => number);
        for (let at = 0; at < numbers.length; at += 100) {
          const mutations = numbers.slice(at, at + 100).map((number) =>
            ({ kind: "put", key: `n/${number}`, value: "v" }) as const
          );
          await client.transaction({ mutations });
        }
        await using terminal = await Terminal.open({
          cwd,
          command: kvraftCommand([...command, "delete", "--prefix", "n/"]),
        });
        await terminal.waitFor(/^Delete 10 100 keys that begin with n\/\? \[y\/N\]$/);
        await terminal.type("y");
        await terminal.press("Enter");
        await terminal.waitFor(
          /\[y\/N\] y\nok {2}10 100 keys in 11 transactions {2}revision \d+\nended with 0$/,
        );
        assertEquals((await client.count()).count, 1);
        await terminal.type("echoed");
        await terminal.waitFor(/\nechoed$/);
      },
    );
    await step(t, "takes Ctrl-C at the question as no", async () => {
      await using terminal = await Terminal.open({
        cwd,
        command: kvraftCommand([...command, "delete", "--prefix", ""]),
      });
      await terminal.waitFor(/^Delete the only key\? \[y\/N\]$/);
      await terminal.press("C-c");
      await terminal.waitFor(/\nnothing was deleted {2}revision \d+\nended with 1$/);
      assertEquals((await client.count()).count, 1);
    });
  },
});

Deno.test({
  name: `shell: --history-file keeps the lines for the next shell, and no password${
    tmuxIsHere ? "" : " (skipped: tmux is not installed)"
  }`,
  ignore: !tmuxIsHere,
  async fn(): Promise<void> {
    await using cluster = await TestCluster.start({ nodes: 1 });
    await cluster.waitForLeader();
    const cwd = cluster.folder.path;
    const path = `${cwd}/state/history`;
    const command = kvraftCommand(["client", "--cluster", cluster.address(1), "--history-file", path]);
    {
      await using terminal = await Terminal.open({ cwd, command });
      await terminal.waitFor(/n1 \(leader\)>$/);
      for (const line of ["put a käse日本", "auth sign-in ada hunter2", "get a"]) {
        await terminal.type(line);
        await terminal.press("Enter");
        await terminal.waitUntil("the line and the next prompt", (screen) => {
          const behind = screen.split(`> ${line}\n`)[1] ?? "";
          return /n1 \(leader\)>$/.test(behind);
        });
      }
      await terminal.press("C-d");
      await terminal.waitFor(/\nended with 0$/);
    }
    assertEquals(await Deno.readTextFile(path), "put a käse日本\nget a\n");
    assertEquals(((await Deno.stat(path)).mode ?? 0) & 0o777, 0o600);
    await using terminal = await Terminal.open({ cwd, command });
    await terminal.waitFor(/n1 \(leader\)>$/);
    await terminal.press("C-r");
    await terminal.type("put");
    await terminal.waitFor(/\n\(reverse-i-search\)'put': put a käse日本$/);
    await terminal.press("Enter");
    await terminal.waitFor(/> put a käse日本\nok {2}revision 2 {2}[0-9.]+ m?s\nn1 \(leader\)>$/);
    await terminal.press("Up", "Up");
    await terminal.waitFor(/> get a$/);
  },
});

/** Tests editing, completion and answers. */
async function typing(
  t: Deno.TestContext,
  { terminal, leader }: { readonly terminal: Terminal; readonly leader: number },
): Promise<void> {
  await step(t, "greets with the reached cluster and a prompt that names the leader", async () => {
    await terminal.waitFor(
      new RegExp(`^Connected: 3 of 3 nodes, leader n${leader}\n[^]*\nn${leader} \\(leader\\)>$`),
    );
  });
  await step(t, "hints at the arguments while a command is typed", async () => {
    await terminal.type("put ");
    await terminal.waitFor(/> put <key> <value> \[--file <path>\] \[--lease <lease>\] \[--ttl <time>\]$/);
    await terminal.type("greeting ");
    await terminal.waitFor(/> put greeting <value>$/);
  });
  await step(t, "takes wide text, and answers with revision and time", async () => {
    await terminal.type("käse日本");
    await terminal.press("Left", "Left", "BSpace", "x", "Enter");
    await terminal.waitFor(/put greeting käsx日本\nok {2}revision 1 {2}[0-9.]+ m?s\nn\d \(leader\)>$/);
  });
  await step(t, "completes commands and keys at the Tab key", async () => {
    await terminal.type("ge");
    await terminal.waitFor(/> ge$/);
    await terminal.press("Tab");
    await terminal.waitFor(/> get <key> /);
    await terminal.type("gre");
    await terminal.waitFor(/> get gre$/);
    await terminal.press("Tab");
    await terminal.waitFor(/> get greeting$/);
    await terminal.press("Enter");
    await terminal.waitFor(
      /> get greeting\s*\nkäsx日本\nrevision 1, version 1, [0-9.]+ m?s\nn\d \(leader\)>$/,
    );
  });
  await step(t, "brings lines back at the up key", async () => {
    await terminal.press("Up", "Up");
    await terminal.waitFor(/> put greeting käsx日本$/);
    await terminal.press("Enter");
    await terminal.waitFor(/ok {2}revision 2 {2}[0-9.]+ m?s\nn\d \(leader\)>$/);
  });
  await step(t, "takes the line back at Ctrl-C, and stays", async () => {
    await terminal.type("delete greeting");
    await terminal.waitFor(/delete greeting$/);
    await terminal.press("C-c");
    await terminal.waitFor(/m?s\nn\d \(leader\)>$/);
    await terminal.type("get nothing");
    await terminal.press("Enter");
    await terminal.waitFor(/\(not found\) {2}[0-9.]+ m?s\nn\d \(leader\)>$/);
  });
}

/** Tests input that is long, unusual or wrong. */
async function slips(t: Deno.TestContext, terminal: Terminal): Promise<void> {
  await step(t, "takes a pasted line of 2,000 characters at once", async () => {
    await terminal.type(`put pasted ${"x".repeat(2_000)}`);
    await terminal.press("Enter");
    await terminal.waitFor(/x{11}\nok {2}revision 3 {2}[0-9.]+ m?s\nn\d \(leader\)>$/);
  });
  await step(t, "refuses a line with a NUL, which no terminal shows", async () => {
    await terminal.type("put k a");
    await terminal.press("C-Space");
    await terminal.type("b");
    await terminal.press("Enter");
    await terminal.waitFor(
      /put k a\ufffdb\nerror: The line has bytes[^]*was not \n?r\n?u\n?n\n?\.[^]*\nn\d \(leader\)>$/,
    );
  });
  await step(t, "escapes control characters of a value", async () => {
    await terminal.type('put evil "a\\x1b[31m\\u{202e}\\u{9b}b"');
    await terminal.press("Enter");
    await terminal.waitFor(/ok {2}revision 4 /);
    await terminal.type("get evil --raw");
    await terminal.press("Enter");
    await terminal.waitFor(/\na\\x1b\[31m\\xe2\\x80\\xae\\xc2\\x9bb\nrevision 4, /);
  });
  await step(t, "completes the values of options and the ids of nodes", async () => {
    await terminal.type("get --consistency s");
    await terminal.press("Tab");
    await terminal.waitFor(/> get --consistency stale /);
    await terminal.press("C-u");
    await terminal.type("transfer-leader ");
    await terminal.press("Tab", "Tab");
    await terminal.waitFor(/\n1 +2 +3 *\n/);
    await terminal.press("C-u");
  });
  await step(
    t,
    "searches its lines at Ctrl-R: older ones, none at Ctrl-C, edited by arrows, run by Enter",
    async () => {
      await terminal.press("C-r");
      await terminal.type("evil");
      await terminal.waitFor(/\n\(reverse-i-search\)'evil': get evil --raw$/);
      await terminal.press("C-r");
      await terminal.waitFor(/\n\(reverse-i-search\)'evil': put evil "a[^\n]*b"$/);
      await terminal.press("C-c");
      await terminal.waitFor(/m?s\n[^]*\nn\d \(leader\)>$/);
      await terminal.press("C-r");
      await terminal.type("il --");
      await terminal.press("Left");
      await terminal.waitFor(/\nn\d \(leader\)> get evil --raw$/);
      await terminal.press("C-u", "C-e", "C-u", "C-r");
      await terminal.type("get evil");
      await terminal.waitFor(/\n\(reverse-i-search\)'get evil': get evil --raw$/);
      await terminal.press("Enter");
      await terminal.waitFor(
        /\nn\d \(leader\)> get evil --raw\n[^\n]*\nrevision 4, [^\n]*\nn\d \(leader\)>$/,
      );
    },
  );
  await step(t, "offers the nearest of a mistyped command", async () => {
    await terminal.type("lsit");
    await terminal.press("Enter");
    await terminal.waitFor(/There is no command "lsit"\. Did you mean list\?\nn\d \(leader\)>$/);
  });
}

/** Tests the display while nodes are lost. */
async function losses(
  t: Deno.TestContext,
  { terminal, leader, cluster }: {
    readonly terminal: Terminal;
    readonly leader: number;
    readonly cluster: TestCluster;
  },
): Promise<void> {
  const others = cluster.ids.filter((id) => id !== leader);
  await step(t, "follows the leader with its prompt while a line is being typed", async () => {
    await terminal.type("put half ty");
    await terminal.waitFor(/put half ty$/);
    await cluster.kill(leader);
    const next = await cluster.waitForLeader(others);
    await terminal.waitFor(new RegExp(`\nn${next} \\(leader\\)> put half ty$`));
    await terminal.type("ped");
    await terminal.press("Enter");
    await terminal.waitFor(/put half typed\nok {2}revision 5 {2}[0-9.]+ m?s\nn\d \(leader\)>$/);
  });
  await step(t, "names what it waits for without a majority, and cancels at Ctrl-C", async () => {
    const [one] = others;
    assert(one !== undefined);
    await cluster.kill(one);
    await terminal.waitFor(/\nn\d \(no leader\)>$/);
    await terminal.type("put k v");
    await terminal.press("Enter");
    await terminal.waitFor(
      /\(no leader\)> put k v\nno leader yet: .* unreachable, .* electing; Ctrl-C cancels$/,
    );
    await terminal.press("C-c");
    await terminal.waitFor(/error: cancelled; [^]*\(no leader\)>$/);
  });
  await step(t, "leaves at Ctrl-D with 0", async () => {
    await terminal.press("C-d");
    await terminal.waitFor(/\nended with 0$/);
  });
}
