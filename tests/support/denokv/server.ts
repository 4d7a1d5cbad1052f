/** A denokv server: one SQLite file behind KV Connect, the peer that kvraft's Deno KV is compared with. */
import { Process, runs } from "../processes/process.ts";
import { freePorts } from "../temporary.ts";

/** Environment variable with the path of denokv, where it is not on the PATH. */
const VARIABLE = "KVRAFT_DENOKV";

/** The environment of stock clients; kvraft takes any access token while no database has one. */
export const CLIENT_ENVIRONMENT: Readonly<Record<string, string>> = {
  DENO_KV_ACCESS_TOKEN: "a-token-for-tests",
};

/** Returns the command of denokv, or null where it is not installed (`cargo install denokv`). */
export function denokvCommand(): string | null {
  const command = Deno.env.get(VARIABLE) ?? "denokv";
  return runs(command, "--help") ? command : null;
}

/** A server with an empty database. Use with `await using`. */
export class DenokvServer implements AsyncDisposable {
  readonly url: string;
  /** The number of its process, to measure what it uses. */
  readonly pid: number;
  /** The path of its database. */
  readonly file: string;
  readonly #process: Process;

  private constructor(url: string, { process, file }: { readonly process: Process; readonly file: string }) {
    this.url = url;
    this.pid = process.pid;
    this.file = file;
    this.#process = process;
  }

  /** Starts it with its file in `folder` and waits until it listens. */
  static async start(command: string, folder: string): Promise<DenokvServer> {
    const address = `127.0.0.1:${freePorts(1)}`;
    const file = `${folder}/denokv-${crypto.randomUUID()}.sqlite`;
    const token = ["--access-token", CLIENT_ENVIRONMENT["DENO_KV_ACCESS_TOKEN"] ?? ""];
    const process = Process.start(command, ["--sqlite-path", file, "serve", "--addr", address, ...token], {
      cwd: folder,
      name: "denokv",
    });
    await process.waitForOutput(/Listening/i);
    return new DenokvServer(`http://${address}`, { process, file });
  }

  /** Ends it as an operator does; its file stays until this object is disposed. */
  async stop(): Promise<void> {
    await this.#process.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
    // SQLite has up to two more files beside it.
    for (const suffix of ["", "-wal", "-shm"]) await Deno.remove(`${this.file}${suffix}`).catch(() => {});
  }
}
