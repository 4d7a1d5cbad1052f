/**
 * The machines of docs/operations.md on one machine, and the commands of that document, unchanged.
 *
 * Port 7001 of machine N is a port of loopback here, and so is that of the separate cluster of one. `kvraft` on the path
 * runs the source with the permissions of the executable. A command that runs a node continues in the background once
 * the node serves; every other command runs to its end.
 */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { readCheckout } from "../checkout.ts";
import { type Finished, kvraftCommand, Process, READY_LINE, startKvraft } from "./process.ts";
import { freePorts, TemporaryFolder } from "../temporary.ts";

/** The document. */
export const OPERATIONS = "docs/operations.md";

const FOUNDERS = [1, 2, 3];
/** Machines that the document numbers, from 1 up. */
const MACHINES = 9;
/** Address of the document's separate cluster of one node. */
const ASIDE = "127.0.0.1:7101";
/** The number of that node here, since its id is 1 as well. */
const NODE_ASIDE = 0;
const NODE = /^kvraft server --node-id (\d+) /;
const RECOVERY = /^kvraft server recover /;

/** The blocks of commands below each heading of the named sections, in order. A section's own are under its name. */
export function blocksOf(sections: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const blocks = new Map<string, string[]>();
  const pattern = /^(##|###) (.+)$|^```sh\n([^]*?)^```$/gm;
  let section = "";
  let heading = "";
  for (const [, level, title, block] of readCheckout(OPERATIONS).matchAll(pattern)) {
    if (title !== undefined) {
      heading = title;
      if (level === "##") section = title;
    } else if (block !== undefined && sections.includes(section)) {
      blocks.set(heading, [...blocks.get(heading) ?? [], block]);
    }
  }
  return blocks;
}

/** Expected exit codes of the document's commands, and replacements of commands. */
export interface Typing {
  /** Exit code of every command of the block. Default 0. */
  readonly code?: number;
  /** The command that the operator of another machine types instead. */
  readonly edit?: (command: string) => string;
}

/** The machines, with a shell on them. The `await using` block ends all processes and removes all files. */
export class Site implements AsyncDisposable {
  readonly #folder: TemporaryFolder;
  readonly #firstPort = freePorts(MACHINES + 1);
  readonly #flags: readonly string[];
  /** Every process of each node, the newest last. */
  readonly #processes = new Map<number, Process[]>();

  private constructor(folder: TemporaryFolder, flags: readonly string[]) {
    this.#folder = folder;
    this.#flags = flags;
  }

  /** Starts nodes 1 to 3; `flags` are added to theirs. */
  static async start(flags: readonly string[] = []): Promise<Site> {
    const site = new Site(await TemporaryFolder.make(), flags);
    await using unlessReady = new AsyncDisposableStack();
    unlessReady.use(site);
    site.#put("kvraft", `exec ${kvraftCommand([]).map((word) => `'${word}'`).join(" ")} "$@"`);
    const cluster = FOUNDERS.map((id) => `${id}=10.0.0.${id}:7001`).join(",");
    await Promise.all(
      FOUNDERS.map((id) =>
        site.type(`kvraft server --node-id ${id} --bind 10.0.0.${id}:7001 --cluster ${cluster}`)
      ),
    );
    unlessReady.move();
    return site;
  }

  /** Where the commands are typed; `data` is in it. */
  get path(): string {
    return this.#folder.path;
  }

  /** Runs a block of commands; returns the output of the last one. */
  async type(
    block: string,
    { code = 0, edit = (command): string => command }: Typing = {},
  ): Promise<Finished> {
    let last: Finished | null = null;
    for (const written of block.replaceAll(/\\\n\s*/g, "").split("\n").filter((line) => line !== "")) {
      const command = edit(written);
      if (NODE.test(command)) await this.#startNode(command);
      else last = await this.#run(command, code);
    }
    return last ?? { code, signal: null, stdout: "", stderr: "" };
  }

  /** Starts a command's process, which the caller then owns. */
  launch(command: string): Process {
    const [, ...args] = this.#onLoopback(command).split(" ");
    return startKvraft([...args, ...this.#flags], { cwd: this.path, name: command });
  }

  /** Kills these nodes with SIGKILL. */
  async kill(...ids: readonly number[]): Promise<void> {
    for (const id of ids) await this.#process(id).kill();
  }

  /** Waits until a node's process has ended by itself. */
  async end(id: number): Promise<Finished> {
    return await this.#process(id).end({ explain: this.logs });
  }

  /** Removes a node's data directory. */
  async lose(id: number): Promise<void> {
    await Deno.remove(this.folderOf(id), { recursive: true });
  }

  /** Returns a node's data directory. */
  folderOf(id: number): string {
    return join(this.path, "data", `node-${id}`);
  }

  /** Makes `pidof kvraft` return this node's process, as if it were alone on its machine. */
  standAt(id: number): void {
    const { pid } = this.#process(id);
    this.#put("pidof", `kill -0 ${pid} 2>/dev/null && echo ${pid}`);
  }

  /** Returns the output of every node, for errors. */
  readonly logs = (): string =>
    [...this.#processes].map(([id, processes]) =>
      processes.map(({ printed }, run) => `--- node ${id}, process ${run + 1} ---\n${printed}`).join("")
    ).join("\n");

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of [...this.#processes.values()].flat()) await process[Symbol.asyncDispose]();
    await this.#folder[Symbol.asyncDispose]();
  }

  /** Starts a node and waits until it serves. */
  async #startNode(command: string): Promise<void> {
    const id = command.includes(ASIDE) ? NODE_ASIDE : Number(NODE.exec(command)?.[1]);
    const process = this.launch(command);
    this.#processes.set(id, [...this.#processes.get(id) ?? [], process]);
    await process.waitForOutput(READY_LINE, { explain: this.logs });
  }

  /** Runs a command in a shell, to its end. */
  async #run(command: string, code: number): Promise<Finished> {
    if (RECOVERY.test(command)) return await this.#recover(command);
    const finished = await this.#shell(command);
    assertEquals(finished.code, code, `${command}\n${finished.stdout}${finished.stderr}\n${this.logs()}`);
    return finished;
  }

  /** Runs a recovery: without a terminal the command refuses and prints the flag of the confirmation. */
  async #recover(command: string): Promise<Finished> {
    const { code, stderr } = await this.#shell(command);
    assertEquals(code, 2, stderr);
    const word = / (--yes=[0-9a-f]+)$/m.exec(stderr)?.[1];
    assert(word !== undefined, stderr);
    return await this.#run(`env ${command} ${word}`, 0);
  }

  async #shell(command: string): Promise<Finished> {
    const [cluster = ""] = blocksOf(["Runbook"]).get("Runbook") ?? [];
    await using shell = Process.start("bash", ["-euc", this.#onLoopback(`${cluster}\n${command}`)], {
      cwd: this.path,
      name: command,
      env: { PATH: `${this.path}/bin:${Deno.env.get("PATH") ?? ""}` },
    });
    return await shell.end({ explain: this.logs });
  }

  #onLoopback(text: string): string {
    return text.replaceAll(/\b10\.0\.0\.(\d):7001\b/g, (_, machine) => this.#address(Number(machine)))
      .replaceAll(ASIDE, this.#address(MACHINES + 1));
  }

  #address(machine: number): string {
    return `127.0.0.1:${this.#firstPort + machine - 1}`;
  }

  /** Writes a script to a folder on the path. */
  #put(name: string, script: string): void {
    Deno.mkdirSync(join(this.path, "bin"), { recursive: true });
    Deno.writeTextFileSync(join(this.path, "bin", name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }

  #process(id: number): Process {
    const process = this.#processes.get(id)?.at(-1);
    assert(process !== undefined, `node ${id} was never started`);
    return process;
  }
}
