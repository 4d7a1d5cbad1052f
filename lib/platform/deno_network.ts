/** The real network: TCP through Deno. No other file opens a socket. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { formatAddress } from "./address.ts";
import { errorMessage, NetworkError, type NetworkErrorCode } from "./errors.ts";
import { NameLookups } from "./name_lookups.ts";
import type { Address, Connection, Listener, Network } from "./network.ts";

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

/** Of the whole process, since its threads are. */
const lookups = new NameLookups(async (name) => {
  const found = await lookup(name, { all: true });
  return found.map(({ address }) => address);
});

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

  /** Connects; the name is resolved anew. Rejects with {@link NetworkError}. */
  async connect(address: Address, signal: AbortSignal): Promise<Connection> {
    let connection: Deno.TcpConn;
    try {
      signal.throwIfAborted();
      connection = await connectToFirst(address, signal);
    } catch (error) {
      const what = `Cannot connect to ${formatAddress(address)}`;
      if (signal.aborted) throw new NetworkError("aborted", { message: `${what}: given up.`, cause: error });
      throw networkError(error, what);
    }
    return new DenoConnection(connection);
  }
}

/** Connects to the first of a host's addresses that answers. Rejects with what the last says. */
async function connectToFirst({ host, port }: Address, signal: AbortSignal): Promise<Deno.TcpConn> {
  const hostnames = isIP(host) === 0 ? await lookups.resolve(host, signal) : [host];
  let failure: unknown = new Error("the name has no address");
  for (const hostname of hostnames) {
    try {
      return await Deno.connect({ hostname, port, signal });
    } catch (error) {
      if (signal.aborted) throw error;
      failure = error;
    }
  }
  throw failure;
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

class DenoConnection implements Connection {
  readonly remote: string;
  readonly #connection: Deno.TcpConn;
  #closed = false;

  constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
    this.remote = formatAddress({ host: connection.remoteAddr.hostname, port: connection.remoteAddr.port });
    try {
      connection.setNoDelay(true);
      // A client whose machine is gone would otherwise hold its place for ever.
      connection.setKeepAlive(true);
    } catch {
      // Already broken by the other end; the first read says so.
    }
  }

  read(buffer: Uint8Array): Promise<number | null> {
    return this.#connection.read(buffer);
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
  return error instanceof Error && "code" in error && typeof error.code === "string" &&
    CONNECTION_ERRORS.has(error.code);
}

/** Names the reason of an error that Deno gave, and what to check. */
function networkError(cause: unknown, what: string): NetworkError {
  const [code, why] = explain(cause);
  return new NetworkError(code, { message: `${what}: ${why}.`, cause });
}

function explain(cause: unknown): [NetworkErrorCode, string] {
  if (cause instanceof Deno.errors.AddrInUse) {
    return ["addressInUse", "the port is in use. Stop the process that has it, or choose another port"];
  }
  if (cause instanceof Deno.errors.AddrNotAvailable) {
    return [
      "addressNotLocal",
      "the address is not one of this machine's. Choose one that is, or 0.0.0.0 for all",
    ];
  }
  if (cause instanceof Deno.errors.ConnectionRefused) return ["refused", "nothing listens there"];
  if (cause instanceof Deno.errors.TimedOut) return ["timedOut", "no answer"];
  if (cause instanceof Deno.errors.NotCapable || cause instanceof Deno.errors.PermissionDenied) {
    return ["notPermitted", `not permitted (${cause.message})`];
  }
  const message = errorMessage(cause);
  if (/ENOTFOUND|failed to lookup address|name or service not known|nodename nor servname/i.test(message)) {
    return ["nameNotFound", "the name is not known"];
  }
  return ["failed", message];
}
