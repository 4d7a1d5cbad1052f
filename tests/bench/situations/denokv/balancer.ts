/** Forwards TCP connections to the nodes that accept them, in turn: one address for all nodes. */

const HOST = "127.0.0.1";

/** A balancer; disposing of it closes all connections. */
export class Balancer implements AsyncDisposable {
  readonly port: number;
  readonly #ports: readonly number[];
  readonly #listener: Deno.TcpListener;
  readonly #connections = new Set<Deno.TcpConn>();
  #next = 0;

  constructor(ports: readonly number[]) {
    this.#ports = ports;
    this.#listener = Deno.listen({ hostname: HOST, port: 0 });
    this.port = this.#listener.addr.port;
    this.#acceptAll();
  }

  [Symbol.asyncDispose](): Promise<void> {
    close(this.#listener);
    for (const connection of this.#connections) close(connection);
    return Promise.resolve();
  }

  async #acceptAll(): Promise<void> {
    for await (const client of this.#listener) this.#forward(client);
  }

  async #forward(client: Deno.TcpConn): Promise<void> {
    client.setNoDelay();
    const node = await this.#dial();
    if (node === null) return close(client);
    node.setNoDelay();
    const pair = [client, node];
    for (const one of pair) this.#connections.add(one);
    await Promise.race([
      client.readable.pipeTo(node.writable).catch(() => {}),
      node.readable.pipeTo(client.writable).catch(() => {}),
    ]);
    for (const one of pair) {
      this.#connections.delete(one);
      close(one);
    }
  }

  /** Connects to the next node that accepts; null when none does. */
  async #dial(): Promise<Deno.TcpConn | null> {
    for (let attempt = 0; attempt < this.#ports.length; attempt++) {
      const port = this.#ports[this.#next++ % this.#ports.length] ?? 0;
      try {
        return await Deno.connect({ hostname: HOST, port });
      } catch {
        // The next one may accept.
      }
    }
    return null;
  }
}

function close(socket: Disposable & { close(): void }): void {
  try {
    socket.close();
  } catch {
    // It is closed already.
  }
}
