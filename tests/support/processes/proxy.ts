/**
 * A TCP proxy in front of one node, through which the others reach it. It reads the dialler's id from the hello, so each
 * direction between two nodes is a link of its own that can be cut, delayed or broken in the middle of a frame.
 *
 * A cut is silent, as in a real network: connections stay open and no bytes pass. Bytes in flight at the cut arrive
 * after it heals, as with TCP's retransmissions.
 */
import { decode } from "@std/msgpack";

/** The dialling side: a node by its id, or any client. */
export type Dialer = number | "client";

const HOST = "127.0.0.1";
const HEADER_BYTES = 4;
const MAX_HELLO_BYTES = 4_096;
const CHUNK_BYTES = 65_536;
const ROLE_FIELD = 4;
const NODE_ID_FIELD = 6;
const PEER_ROLE = 1;

/** State of the direction from one dialler to the node behind the proxy. */
class Link {
  delayMs = 0;
  breakNextChunk = false;
  #healed: PromiseWithResolvers<void> | null = null;

  cut(): void {
    this.#healed ??= Promise.withResolvers<void>();
  }

  heal(): void {
    this.#healed?.resolve();
    this.#healed = null;
    this.delayMs = 0;
  }

  /** Resolves once bytes may pass. */
  async open(): Promise<void> {
    if (this.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.delayMs));
    while (this.#healed !== null) await this.#healed.promise;
  }
}

/** Forwards connections from one port to another. */
export class Proxy implements AsyncDisposable {
  readonly #listener: Deno.TcpListener;
  readonly #targetPort: number;
  readonly #links = new Map<Dialer, Link>();
  readonly #connections = new Set<Deno.TcpConn>();
  readonly #tasks = new Set<Promise<void>>();
  #closed = false;

  constructor({ port, targetPort }: { port: number; targetPort: number }) {
    this.#listener = Deno.listen({ hostname: HOST, port });
    this.#targetPort = targetPort;
    this.#own(this.#acceptAll());
  }

  /** Cuts the direction from `dialer` to the node. */
  cut(dialer: Dialer): void {
    this.#link(dialer).cut();
  }

  /** Delays all bytes from `dialer`, until healed. */
  delay(dialer: Dialer, delayMs: number): void {
    this.#link(dialer).delayMs = delayMs;
  }

  /** Delivers half of the next bytes from `dialer`; then its connection breaks. */
  breakInMidFrame(dialer: Dialer): void {
    this.#link(dialer).breakNextChunk = true;
  }

  /** Undoes every cut and delay. */
  heal(): void {
    for (const link of this.#links.values()) link.heal();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#listener.close();
    this.heal();
    for (const connection of this.#connections) close(connection);
    await Promise.all(this.#tasks);
  }

  #link(dialer: Dialer): Link {
    const link = this.#links.get(dialer) ?? new Link();
    this.#links.set(dialer, link);
    return link;
  }

  /** Tracks a task until it ends. A broken connection is no error here. */
  #own(task: Promise<void>): void {
    const owned = task.catch(() => {}).finally(() => this.#tasks.delete(owned));
    this.#tasks.add(owned);
  }

  async #acceptAll(): Promise<void> {
    for await (const incoming of this.#listener) this.#own(this.#serve(incoming));
  }

  async #serve(incoming: Deno.TcpConn): Promise<void> {
    const ends = [incoming];
    this.#connections.add(incoming);
    try {
      incoming.setNoDelay(true);
      const hello = await readHello(incoming);
      const link = this.#link(dialerOf(hello));
      await link.open();
      const outgoing = await Deno.connect({ hostname: HOST, port: this.#targetPort });
      ends.push(outgoing);
      this.#connections.add(outgoing);
      // The proxy may have been closed while this connection was being made.
      if (this.#closed) return;
      outgoing.setNoDelay(true);
      await writeAll(outgoing, hello);
      await Promise.race([
        pass({ from: incoming, to: outgoing, link, breakable: true }),
        pass({ from: outgoing, to: incoming, link, breakable: false }),
      ]);
    } finally {
      for (const end of ends) {
        this.#connections.delete(end);
        close(end);
      }
    }
  }
}

/** One direction of a connection. */
interface Passage {
  readonly from: Deno.TcpConn;
  readonly to: Deno.TcpConn;
  readonly link: Link;
  /** Whether {@link Proxy.breakInMidFrame} breaks this direction. */
  readonly breakable: boolean;
}

/** Forwards all bytes until either side ends or breaks, or the link is broken. */
async function pass({ from, to, link, breakable }: Passage): Promise<void> {
  const buffer = new Uint8Array(CHUNK_BYTES);
  while (true) {
    const length = await from.read(buffer).catch(() => null);
    if (length === null) return;
    await link.open();
    if (breakable && link.breakNextChunk && length > HEADER_BYTES) {
      link.breakNextChunk = false;
      await writeAll(to, buffer.subarray(0, Math.ceil(length / 2)));
      return;
    }
    await writeAll(to, buffer.subarray(0, length));
  }
}

/** Reads the first frame, header included. */
async function readHello(connection: Deno.TcpConn): Promise<Uint8Array> {
  const header = await readExactly(connection, HEADER_BYTES);
  const length = new DataView(header.buffer).getUint32(0);
  if (length > MAX_HELLO_BYTES) throw new Error(`A hello of ${length} bytes is none`);
  const frame = new Uint8Array(HEADER_BYTES + length);
  frame.set(header);
  frame.set(await readExactly(connection, length), HEADER_BYTES);
  return frame;
}

function dialerOf(hello: Uint8Array): Dialer {
  const fields = decode(hello.subarray(HEADER_BYTES));
  if (!Array.isArray(fields)) throw new Error("A hello is an array");
  const id: unknown = fields[NODE_ID_FIELD];
  return fields[ROLE_FIELD] === PEER_ROLE && typeof id === "number" ? id : "client";
}

async function readExactly(connection: Deno.TcpConn, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  for (let filled = 0; filled < length;) {
    const read = await connection.read(bytes.subarray(filled));
    if (read === null) throw new Error("The connection ended in its hello");
    filled += read;
  }
  return bytes;
}

async function writeAll(connection: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) written += await connection.write(bytes.subarray(written));
}

function close(connection: Deno.TcpConn): void {
  try {
    connection.close();
  } catch {
    // It was closed before.
  }
}
