/**
 * Connections of Node and Bun: TCP through `node:net`. Servers run in Deno only, so nothing listens here.
 */
import { connect, type Socket } from "node:net";
import type { Address, Connection, Dialer } from "./network.ts";
import { withResolvers } from "./promise.ts";
import { SocketConnection } from "./socket_connection.ts";
import { connectToFirst } from "./sockets.ts";

/** TCP sockets, without Nagle's delay. */
export class NodeDialer implements Dialer {
  /** Connects. Rejects with {@link NetworkError}. */
  async connect(address: Address, signal: AbortSignal): Promise<Connection> {
    return new SocketConnection(
      await connectToFirst(address, signal, (ip) => open(ip, address.port, signal)),
    );
  }
}

/** Opens a socket; one that fails, or is ended by the signal, is destroyed. */
async function open(host: string, port: number, signal: AbortSignal): Promise<Socket> {
  const { promise, resolve, reject } = withResolvers<void>();
  const socket = connect({ host, port, noDelay: true, keepAlive: true }, resolve);
  const onAbort = (): void => reject(signal.reason);
  socket.once("error", reject);
  signal.addEventListener("abort", onAbort);
  try {
    await promise;
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
