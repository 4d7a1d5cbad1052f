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

/** A server with an empty store. Use with `await using`. */
export class EtcdServer implements AsyncDisposable {
  /** Where clients reach it: `127.0.0.1:2379`. */
  readonly address: string;
  readonly #owner: AsyncDisposableStack;

  private constructor(address: string, owner: AsyncDisposableStack) {
    this.address = address;
    this.#owner = owner;
  }

  /** Starts it with more flags, and waits until it serves. */
  static async start(flags: readonly string[] = []): Promise<EtcdServer> {
    await using owner = new AsyncDisposableStack();
    const folder = owner.use(await TemporaryFolder.make());
    const port = freePorts(2);
    const client = `http://${HOST}:${port}`;
    const peer = `http://${HOST}:${port + 1}`;
    const args = [
      ...["--name", "n1", "--data-dir", `${folder.path}/etcd`, "--initial-cluster", `n1=${peer}`],
      ...["--listen-client-urls", client, "--advertise-client-urls", client],
      ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
      // Tests write short-lived stores: losing one in a power failure is fine.
      "--unsafe-no-fsync",
      ...flags,
    ];
    const process = owner.use(Process.start("etcd", args, { cwd: folder.path, name: "etcd" }));
    await process.waitForOutput(/serving client traffic/);
    return new EtcdServer(`${HOST}:${port}`, owner.move());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owner.disposeAsync();
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
