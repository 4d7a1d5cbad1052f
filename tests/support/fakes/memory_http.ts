/** HTTP without sockets: a test asks the server at an address, and sees whether it is still there. */
import { formatAddress } from "../../../lib/platform/address.ts";
import { NetworkError } from "../../../lib/platform/errors.ts";
import type { HttpHandler, HttpNetwork, HttpResponse, HttpServer } from "../../../lib/platform/network.ts";
import type { Address } from "../../../lib/platform/network.ts";

/** Servers by address. */
export class MemoryHttp implements HttpNetwork {
  readonly #handlers = new Map<string, HttpHandler>();

  /** Where somebody listens. */
  get addresses(): readonly string[] {
    return [...this.#handlers.keys()].sort();
  }

  serve(address: Address, handler: HttpHandler): HttpServer {
    const key = formatAddress(address);
    if (this.#handlers.has(key)) {
      throw new NetworkError("addressInUse", { message: `Cannot serve HTTP on ${key}: the port is in use.` });
    }
    this.#handlers.set(key, handler);
    return {
      address,
      close: (): Promise<void> => {
        this.#handlers.delete(key);
        return Promise.resolve();
      },
    };
  }

  /** Asks whoever listens at `address`. */
  ask(address: string, path: string, method = "GET"): Promise<HttpResponse> {
    const handler = this.#handlers.get(address);
    if (handler === undefined) throw new Error(`nobody listens at ${address}`);
    return handler({ method, path });
  }
}
