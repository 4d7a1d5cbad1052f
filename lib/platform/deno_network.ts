/** The network of Deno: TCP. */
import { setImmediate } from "node:timers";
import { formatAddress } from "./address.ts";
import { errorCode, NetworkError } from "./errors.ts";
import type { Address, Connection, Listener, Network } from "./network.ts";
import { connectToFirst, networkError } from "./sockets.ts";

/**
 * Errors of accept and getpeername that concern one connection, which broke while it waited to be accepted: see
 * accept(2), "Error handling". Everything else is an error of the listener (EMFILE, ENFILE, ENOBUFS, ENOMEM).
 */
const CONNECTION_ERRORS: ReadonlySet<string> = new Set([
  "ENOTCONN",
  "ECONNRESET",
  "ECONNABORTED",
  "ETIMEDOUT",
  "EPROTO",
  "EPERM",
  "ENETDOWN",
  "ENETUNREACH",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "ENONET",
  "ENOPROTOOPT",
  "EOPNOTSUPP",
]);

/** Bytes for which a connection asks in one turn of the event loop, after which its next read waits for the next turn. */
const BYTES_A_TURN = 65_536;

/** TCP sockets, without Nagle's delay. */
export class DenoNetwork implements Network {
  /** Listens on `address`; throws {@link NetworkError} when the port is taken or the address is not local. */
  listen(address: Address): Listener {
    try {
      return new DenoListener(Deno.listen({ hostname: address.host, port: address.port }));
    } catch (error) {
      throw networkError(error, `Cannot listen on ${formatAddress(address)}`);
    }
  }

  /** Connects. Rejects with {@link NetworkError}. */
  async connect(address: Address, signal: AbortSignal): Promise<Connection> {
    const { port } = address;
    const open = (hostname: string): Promise<Deno.TcpConn> => Deno.connect({ hostname, port, signal });
    return new DenoConnection(await connectToFirst(address, signal, open));
  }
}

class DenoListener implements Listener {
  readonly address: Address;
  readonly #listener: Deno.TcpListener;
  #closed = false;

  constructor(listener: Deno.TcpListener) {
    this.#listener = listener;
    this.address = { host: listener.addr.hostname, port: listener.addr.port };
  }

  async accept(): Promise<Connection | null> {
    try {
      return this.#closed ? null : new DenoConnection(await this.#listener.accept());
    } catch (error) {
      if (this.#closed) return null;
      const what = `Cannot accept a connection on ${formatAddress(this.address)}`;
      if (!isConnectionError(error)) throw networkError(error, what);
      throw new NetworkError("connectionLost", { message: `${what}: it broke before.`, cause: error });
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#listener.close();
  }
}

/**
 * The turns of the event loop in which connections read. A read resolves without a turn of the loop if bytes wait, so a
 * connection whose other end sends faster than its bytes are handled would otherwise keep all other connections, and all
 * timers, from being served for as long as it sends.
 */
class ReadTurns {
  /** The number of the present turn. */
  #turn = 0;
  #isOpen = false;
  #waiting: (() => void)[] = [];

  /** Returns the number of the present turn. */
  present(): number {
    this.#open();
    return this.#turn;
  }

  /** Resolves in the next turn. */
  next(): Promise<void> {
    this.#open();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    setImmediate(() => {
      this.#isOpen = false;
      this.#turn += 1;
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const wake of waiting) wake();
    });
  }
}

const turns = new ReadTurns();

class DenoConnection implements Connection {
  readonly security = "plain";
  readonly certificate = null;
  readonly binding = null;
  readonly remote: string;
  readonly #connection: Deno.TcpConn;
  /** The turn of the last read, and the bytes that were asked for in it. */
  #turn = 0;
  #bytesInTurn = 0;
  #closed = false;

  constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
    this.remote = formatAddress({ host: connection.remoteAddr.hostname, port: connection.remoteAddr.port });
    try {
      connection.setNoDelay(true);
      // Detects clients whose machine has failed, which would otherwise count as connected without bound.
      connection.setKeepAlive(true);
    } catch {
      // Already broken by the other end; the first read says so.
    }
  }

  read(buffer: Uint8Array): Promise<number | null> {
    const turn = turns.present();
    if (turn !== this.#turn) this.#bytesInTurn = 0;
    else if (this.#bytesInTurn >= BYTES_A_TURN) return this.#readInNextTurn(buffer);
    this.#turn = turn;
    this.#bytesInTurn += buffer.length;
    return this.#connection.read(buffer);
  }

  async #readInNextTurn(buffer: Uint8Array): Promise<number | null> {
    await turns.next();
    return await this.read(buffer);
  }

  write(bytes: Uint8Array): Promise<number> {
    return this.#connection.write(bytes);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#connection.close();
  }
}

function isConnectionError(error: unknown): boolean {
  const code = errorCode(error);
  return code !== null && CONNECTION_ERRORS.has(code);
}
