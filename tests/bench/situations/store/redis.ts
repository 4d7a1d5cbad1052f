/** A Redis server without a log or snapshots, filled through its command line client. */
import { keyOfNumber } from "../../../../lib/loadgen/mod.ts";
import { eventually } from "../../../support/eventually.ts";
import { Process } from "../../../support/processes/process.ts";
import { freePorts, TemporaryFolder } from "../../../support/temporary.ts";
import { residentBytesOf } from "../../processes.ts";

const COMMANDS_PER_WRITE = 1_000;
const PREFIX = "bench/";

/** The server; disposing of it ends its process. */
export class Redis implements AsyncDisposable {
  readonly #port: number;
  readonly #process: Process;
  readonly #folder: TemporaryFolder;
  #isDisposed = false;

  private constructor(port: number, { process, folder }: { process: Process; folder: TemporaryFolder }) {
    this.#port = port;
    this.#process = process;
    this.#folder = folder;
  }

  /** Starts a server; returns null when Redis is not installed. */
  static async start(): Promise<Redis | null> {
    const port = freePorts(1);
    const folder = await TemporaryFolder.make();
    const flags = ["--bind", "127.0.0.1", "--port", `${port}`, "--save", "", "--appendonly", "no"];
    try {
      const process = Process.start("redis-server", flags, { cwd: folder.path, name: "Redis" });
      await process.waitForOutput(/Ready to accept connections/);
      return new Redis(port, { process, folder });
    } catch (error) {
      await folder[Symbol.asyncDispose]();
      if (error instanceof Deno.errors.NotFound) return null;
      throw error;
    }
  }

  /** Puts each key once. */
  async putAll(keys: number, valueBytes: number): Promise<void> {
    await this.#pipe(keys, valueBytes, (number) => number);
  }

  /** Overwrites random keys. */
  async overwrite(
    { count, keys, valueBytes }: {
      readonly count: number;
      readonly keys: number;
      readonly valueBytes: number;
    },
  ): Promise<void> {
    await this.#pipe(count, valueBytes, () => Math.floor(Math.random() * keys));
  }

  /** Returns the resident memory. */
  residentBytes(): number {
    return residentBytesOf(this.#process.pid);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    await this.#process[Symbol.asyncDispose]();
    await this.#folder[Symbol.asyncDispose]();
  }

  async #pipe(count: number, valueBytes: number, keyAt: (number: number) => number): Promise<void> {
    const args = ["-p", `${this.#port}`, "--pipe"];
    const child = new Deno.Command("redis-cli", { args, stdin: "piped", stdout: "piped" }).spawn();
    const writer = child.stdin.getWriter();
    const value = String.fromCharCode(...new Uint8Array(valueBytes).map((_, position) => 32 + position % 90));
    const encoder = new TextEncoder();
    for (let first = 0; first < count; first += COMMANDS_PER_WRITE) {
      const size = Math.min(COMMANDS_PER_WRITE, count - first);
      const commands = Array.from({ length: size }, (_, position) => {
        const key = keyOfNumber(PREFIX, keyAt(first + position));
        return `*3\r\n$3\r\nSET\r\n$${key.length}\r\n${key}\r\n$${valueBytes}\r\n${value}\r\n`;
      });
      await writer.write(encoder.encode(commands.join("")));
    }
    await writer.close();
    const { stdout } = await child.output();
    await eventually(
      "Redis has all keys",
      () => new TextDecoder().decode(stdout).includes("errors: 0") || null,
    );
  }
}
