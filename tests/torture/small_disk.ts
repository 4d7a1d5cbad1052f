/** A small file system in memory under a node's data directory, that can be filled to the last byte. */
import { join } from "@std/path";

/** Far more than a node writes in one trial, and filled quickly. */
const SIZE_BYTES = 64 * 1024 * 1024;
const BLOCK_BYTES = 1024 * 1024;
const FILLER = "filler";

/** Mounted until its `await using` block ends, if the machine allows it. */
export class SmallDisk implements AsyncDisposable {
  readonly #folder: string;
  #isFull = false;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Mounts one at `folder`; returns the reason as text when that is not allowed. */
  static async mount(folder: string): Promise<SmallDisk | string> {
    await Deno.mkdir(folder, { recursive: true });
    const problem = await run("mount", "-t", "tmpfs", "-o", `size=${SIZE_BYTES}`, "kvraft-torture", folder);
    return problem ?? new SmallDisk(folder);
  }

  /** Whether {@link fill} has filled the disk. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** Fills the disk. */
  fill(): void {
    this.#isFull = true;
    using file = Deno.openSync(join(this.#folder, FILLER), { write: true, create: true, append: true });
    for (let block = new Uint8Array(BLOCK_BYTES); block.length > 0;) {
      try {
        file.writeSync(block);
      } catch {
        block = block.subarray(0, block.length >> 1);
      }
    }
  }

  /** Frees the space. */
  free(): void {
    if (this.#isFull) Deno.removeSync(join(this.#folder, FILLER));
    this.#isFull = false;
  }

  /** Returns the names at its top. */
  names(): readonly string[] {
    return Array.from(Deno.readDirSync(this.#folder), ({ name }) => name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const problem = await run("umount", this.#folder);
    if (problem !== null) throw new Error(`Cannot unmount ${this.#folder}: ${problem}`);
  }
}

/** Runs a program; returns null when it succeeded, else the reason. */
async function run(program: string, ...args: readonly string[]): Promise<string | null> {
  try {
    const { success, stderr } = await new Deno.Command(program, { args: [...args] }).output();
    return success ? null : new TextDecoder().decode(stderr).trim();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
