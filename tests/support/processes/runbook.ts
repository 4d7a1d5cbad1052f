/**
 * The machines of docs/operations.md on one machine, and its commands as they stand there.
 *
 * Machine N at port 7001 is a port of loopback here, the one machine aside another. `kvraft` on the path is the source
 * with the permissions of the compiled form; a command that runs a node is awaited until the node serves and goes on
 * beside, every other one to its end.
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
/** Where the document has a cluster of one node, beside the others. */
const ASIDE = "127.0.0.1:7101";
/** What that node is called here: it is a node 1 as well. */
const NODE_ASIDE = 0;
const NODE = /^kvraft server --node-id (\d+) /;
const RECOVERY = /^kvraft server recover /;

/** The blocks of commands below each heading of the sections named, in order. A section's own come under its name. */
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

/** How the document's commands are expected to end, and what is typed otherwise than it stands there. */
export interface Typing {
  /** Exit code of every command of the block. Default 0. */
  readonly code?: number;
  /** What the operator of another machine types in place of it. */
  readonly edit?: (command: string) => string;
}

/** The machines, with a shell on them. Everything is gone when its `await using` block ends. */
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

  /** Types a block of commands; gives what the last one printed. */
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

  /** Starts what a command starts; it is the caller's then. */
  launch(command: string): Process {
    const [, ...args] = this.#onLoopback(command).split(" ");
    return startKvraft([...args, ...this.#flags], { cwd: this.path, name: command });
  }

  /** kill -9 of these nodes. */
  async kill(...ids: readonly number[]): Promise<void> {
    for (const id of ids) await this.#process(id).kill();
  }

  /** Waits until a node's process has ended by itself. */
  async end(id: number): Promise<Finished> {
    return await this.#process(id).end({ explain: this.logs });
  }

  /** A node's data folder is lost. */
  async lose(id: number): Promise<void> {
    await Deno.remove(this.folderOf(id), { recursive: true });
  }

  /** A node's data folder. */
  folderOf(id: number): string {
    return join(this.path, "data", `node-${id}`);
  }

  /** `pidof kvraft` finds this node's process from now on, as if it were alone on its machine. */
  standAt(id: number): void {
    const { pid } = this.#process(id);
    this.#put("pidof", `kill -0 ${pid} 2>/dev/null && echo ${pid}`);
  }

  /** What every node printed, for errors. */
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

  /** Nobody is there to be asked for the word, so it says how to give it. */
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

  /** Puts a script on the path. */
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
