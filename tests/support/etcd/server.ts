/** An etcd of one node, the peer that kvraft's etcd front end is compared with. */
import { Process } from "../processes/process.ts";
import { freePorts, TemporaryFolder } from "../temporary.ts";

const HOST = "127.0.0.1";

/** Returns the version of the etcd that is installed, or null. */
export function etcdVersion(): string | null {
  return versionOf("etcd", "--version");
}

/** Returns the version of the etcdctl that is installed, or null. */
export function etcdctlVersion(): string | null {
  return versionOf("etcdctl", "version");
}

/** A server whose store is empty at its first start. Use with `await using`. */
export class EtcdServer implements AsyncDisposable {
  /** Where clients reach it: `127.0.0.1:2379`. */
  readonly address: string;
  readonly #folder: TemporaryFolder;
  readonly #port: number;
  readonly #flags: readonly string[];
  #process: Process | null = null;

  private constructor(folder: TemporaryFolder, flags: readonly string[]) {
    this.#folder = folder;
    this.#port = freePorts(3);
    this.#flags = flags;
    this.address = `${HOST}:${this.#port}`;
  }

  /** Starts it with more flags, and waits until it serves. */
  static async start(flags: readonly string[] = []): Promise<EtcdServer> {
    await using unlessReady = new AsyncDisposableStack();
    const server = unlessReady.use(new EtcdServer(await TemporaryFolder.make(), flags));
    await server.startAgain();
    unlessReady.move();
    return server;
  }

  /** An address that is another one than {@link address}, for a time in which clients are not to find it. */
  get hiddenAddress(): string {
    return `${HOST}:${this.#port + 2}`;
  }

  /** Starts it on its data, and waits until it serves. */
  async startAgain({ address = this.address }: { readonly address?: string } = {}): Promise<void> {
    const scheme = this.#flags.includes("--cert-file") ? "https" : "http";
    const client = `${scheme}://${address}`;
    const peer = `http://${HOST}:${this.#port + 1}`;
    const { path } = this.#folder;
    const args = [
      ...["--name", "n1", "--data-dir", `${path}/etcd`, "--initial-cluster", `n1=${peer}`],
      ...["--listen-client-urls", client, "--advertise-client-urls", client],
      ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
      // Tests write short-lived stores: losing one in a power failure is fine.
      "--unsafe-no-fsync",
      ...this.#flags,
    ];
    this.#process = Process.start("etcd", args, { cwd: path, name: "etcd" });
    await this.#process.waitForOutput(/serving client traffic/);
  }

  /** Kills it with SIGKILL. */
  async kill(): Promise<void> {
    await this.#process?.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.#folder[Symbol.asyncDispose]();
  }
}

function versionOf(program: string, argument: string): string | null {
  try {
    const { success, stdout } = new Deno.Command(program, { args: [argument], stderr: "null" }).outputSync();
    const [, version] = / [Vv]ersion: (\S+)/.exec(` ${new TextDecoder().decode(stdout)}`) ?? [];
    return success ? version ?? null : null;
  } catch {
    return null;
  }
}
