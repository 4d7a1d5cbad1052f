/**
 * The section of docs/operations.md that brings up three nodes with TLS and users, typed as printed, with real processes
 * on three loopback addresses: each command prints what the page shows.
 */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { readCheckout } from "../../support/checkout.ts";
import { eventually } from "../../support/eventually.ts";
import { kvraftCommand, Process, READY_LINE, runs, skip } from "../../support/processes/process.ts";
import { OPERATIONS } from "../../support/processes/runbook.ts";
import { HAS_MANY_LOOPBACK_ADDRESSES } from "../../support/processes/source_address.ts";
import { freePorts, TemporaryFolder } from "../../support/temporary.ts";

const SECTION = "## Three nodes with TLS and users, step by step";
const NODE = /^(kvraft server .*) > (\S+\.log) 2>&1 &$/;
const DENIED = 6;

/** A command, and the lines that the page shows below it. Null where the page shows no output. */
interface Typed {
  readonly command: string;
  readonly shown: string | null;
}

/** Returns the commands of the section, with the ports replaced. */
function commandsOf(port: number): readonly Typed[] {
  const [, after = ""] = readCheckout(OPERATIONS).split(`\n${SECTION}\n`);
  const [section = ""] = after.split("\n## ");
  const text = section.replaceAll(":7001", `:${port}`).replaceAll(":9101", `:${port + 1}`);
  return [...text.matchAll(/^```(sh|console)\n([^]*?)^```$/gm)].flatMap(([, kind, block = ""]): Typed[] => {
    if (kind === "sh") {
      return block.trimEnd().split("\n").map((command) => ({ command, shown: null }));
    }
    return block.slice("$ ".length).split("\n$ ").map((one) => {
      const [command = "", ...shown] = one.trimEnd().split("\n");
      return { command, shown: shown.join("\n") };
    });
  });
}

/** Returns text without what differs from one run to another. */
function settled(text: string): string {
  return text.trimEnd()
    .replaceAll(/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z/g, "TIME")
    .replaceAll(/expires=[0-9-]+/g, "expires=DATE")
    .replaceAll(/path=\S*\//g, "path=DIRECTORY/")
    .replaceAll(/remote=127\.0\.0\.1:[0-9]+/g, "remote=ADDRESS")
    .replaceAll(/node [0-9] answered/g, "node N answered");
}

/** A shell whose exported variables stay, and the nodes that it has started. */
class Operator implements AsyncDisposable {
  readonly #folder: TemporaryFolder;
  readonly #exports: string[] = [];
  readonly #nodes: Process[] = [];

  constructor(folder: TemporaryFolder) {
    this.#folder = folder;
    const words = kvraftCommand([]).map((word) => `'${word}'`).join(" ");
    Deno.mkdirSync(join(folder.path, "bin"));
    Deno.writeTextFileSync(join(folder.path, "bin", "kvraft"), `#!/bin/sh\nexec ${words} "$@"\n`, {
      mode: 0o755,
    });
  }

  /** Types a command and compares its output. */
  async type({ command, shown }: Typed): Promise<void> {
    const [, server, log = ""] = NODE.exec(command) ?? [];
    if (command.startsWith("export ")) this.#exports.push(command);
    else if (server !== undefined) await this.#startNode(`exec ${server} > ${log} 2>&1`, log);
    else {
      await using shell = this.#shell(command);
      const { code } = await shell.end({ explain: () => shell.printed + this.#logs() });
      const isRefusal = shown?.startsWith("kvraft: ") ?? false;
      const output = `${command}\n${shell.printed}\n${this.#logs()}`;
      assertEquals(code, isRefusal ? DENIED : 0, output);
      if (shown !== null) assertEquals(settled(shell.printed), settled(shown), output);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.#nodes) await node[Symbol.asyncDispose]();
  }

  async #startNode(command: string, log: string): Promise<void> {
    const node = this.#shell(command);
    this.#nodes.push(node);
    await eventually(`${log} says that the node serves`, () => {
      assert(!node.hasEnded, this.#logs());
      return READY_LINE.test(this.#read(log)) || null;
    }, { explain: () => this.#logs() });
  }

  #shell(command: string): Process {
    return Process.start("bash", ["-euc", [...this.#exports, command].join("\n")], {
      cwd: this.#folder.path,
      name: command,
      env: { PATH: `${this.#folder.path}/bin:${Deno.env.get("PATH") ?? ""}` },
    });
  }

  #logs(): string {
    return [1, 2, 3].map((id) => `--- node ${id} ---\n${this.#read(`node${id}.log`)}`).join("\n");
  }

  #read(name: string): string {
    try {
      return Deno.readTextFileSync(join(this.#folder.path, name));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return "";
      throw error;
    }
  }
}

Deno.test({
  name: "operations.md: three nodes with TLS and users come up as printed, command by command",
  ignore: !HAS_MANY_LOOPBACK_ADDRESSES,
  fn: async () => {
    for (const [program, argument] of [["openssl", "version"], ["curl", "--version"]] as const) {
      if (!runs(program, argument)) return skip(`there is no ${program}`);
    }
    await using folder = await TemporaryFolder.make();
    await using operator = new Operator(folder);
    const commands = commandsOf(freePorts(2));
    assert(commands.length > 30, "the section has its commands");
    for (const command of commands) await operator.type(command);
    for (const name of ["ca.key", "node1.key", "ada.key", "ada.password", "shop.token"]) {
      assertEquals((Deno.statSync(join(folder.path, name)).mode ?? 0) & 0o777, 0o600, name);
    }
  },
});
