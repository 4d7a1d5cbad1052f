/** The sessions of docs/auth.md, typed as printed on a terminal at a cluster: the screen shows what the page shows. */
import { assert } from "@std/assert";
import { join } from "@std/path";
import { readCheckout } from "../../support/checkout.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { kvraftCommand } from "../../support/processes/process.ts";
import { hasTmux, Terminal } from "../../support/processes/terminal.ts";
import { step } from "../../support/step.ts";

const PAGE = "docs/auth.md";
const tmuxIsHere = hasTmux();
/** The passwords of the session; the page names the files. */
const ADA = "correct horse";
const BOB = "battery staple";

/** Returns the lines of the page's sessions, block by block. */
function sessions(): readonly (readonly string[])[] {
  return [...readCheckout(PAGE).matchAll(/^```console\n([^]*?)^```$/gm)].map(([, block = ""]) =>
    block.trimEnd().split("\n")
  );
}

/** Returns text without what differs from one run to another, and without spaces: a terminal breaks long lines. */
function settled(text: string): string {
  return text.replaceAll(/\bn[0-9]\b/g, "nX")
    .replaceAll(/\s+/g, "")
    .replaceAll(/[0-9.]+m?s/g, "TIME")
    .replaceAll(/127\.0\.0\.1:[0-9]+/g, "ADDRESS")
    .replaceAll(/node[0-9]/g, "nodeX")
    .replaceAll(/"authRevision":[0-9]+/g, "REVISION")
    .replaceAll(/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]+\.[0-9]+Z/g, "DATE")
    .replaceAll(/T[0-9:.]+Z/g, "DATE");
}

/** A person who types a session of the page, and compares the screen with it. */
class Typist {
  readonly #terminal: Terminal;
  readonly #meanwhile: (command: string) => Promise<void>;

  /** `meanwhile` is called when a command was typed: what happens in another terminal. */
  constructor(terminal: Terminal, meanwhile: (command: string) => Promise<void>) {
    this.#terminal = terminal;
    this.#meanwhile = meanwhile;
  }

  /** Types the commands and passwords of a session; its other lines have to be on the screen. */
  async play(lines: readonly string[]): Promise<void> {
    for (const line of lines) {
      const [, prompt = "", command] = /^(\$|n[0-9] \(leader\)>) ?(.*)$/.exec(line) ?? [];
      const [secret] = /^(?:Password of ada|New password of ada|The same again):/.exec(line) ?? [];
      if (command !== undefined) await this.#command(prompt, command);
      else if (secret !== undefined) await this.#secret(secret);
      else await this.#shows(line);
    }
  }

  async #command(prompt: string, command: string): Promise<void> {
    await this.#terminal.waitFor(prompt === "$" ? /(?:^|\n)\$$/ : /(?:^|\n)n[0-9] \(leader\)>$/);
    await this.#terminal.type(command);
    await this.#terminal.press("Enter");
    await this.#meanwhile(command);
  }

  async #secret(prompt: string): Promise<void> {
    await this.#terminal.waitFor(new RegExp(`\n${prompt}$`));
    await this.#terminal.type(ADA);
    const screen = await this.#terminal.screen();
    assert(!screen.includes(ADA), `a password is not shown:\n${screen}`);
    await this.#terminal.press("Enter");
  }

  async #shows(line: string): Promise<void> {
    const expected = settled(line);
    await this.#terminal.waitUntil(line, (screen) => settled(screen).includes(expected));
  }
}

Deno.test({
  name: `docs/auth.md: its sessions are as printed${tmuxIsHere ? "" : " (skipped: tmux is not installed)"}`,
  ignore: !tmuxIsHere,
  async fn(t): Promise<void> {
    await using cluster = await TestCluster.start({ flags: ["--election-timeout-ms", "500"] });
    await cluster.waitForLeader();
    // As cluster.sh does with a new cluster: the revisions of the page begin behind it.
    await cluster.client(["put", "greeting", "hello, world"]);
    const { path } = cluster.folder;
    const nodes = cluster.ids.map((id) => cluster.address(id)).join(",");
    const client = (args: string): string =>
      kvraftCommand(["client", "--cluster", nodes]).join(" ") + ` ${args}`;
    await Deno.writeTextFile(join(path, "cluster.sh"), `shift\nexec ${client('"$@"')}\n`, { mode: 0o755 });
    await Deno.writeTextFile(join(path, "ada.password"), `${ADA}\n`);
    await Deno.writeTextFile(join(path, "bob.password"), `${BOB}\n`);
    const command = ["env", "PS1=$ ", "bash", "--norc", "-i"];
    await using terminal = await Terminal.open({ cwd: path, command });
    const asAda = async (...args: readonly string[]): Promise<void> => {
      await cluster.client(["--user", "ada", "--password-file", "ada.password", ...args]);
    };
    const typist = new Typist(terminal, async (command) => {
      if (!command.includes(" watch ")) return;
      // A put before the watch has begun is not shown.
      await terminal.waitFor(/watching the keys/);
      await asAda("put", "app/color", "green");
      await terminal.waitFor(/green/);
      await asAda("user", "revoke", "deploy", "app");
    });
    for (const lines of sessions()) {
      await step(t, lines[0] ?? "", async () => await typist.play(lines));
    }
  },
});
