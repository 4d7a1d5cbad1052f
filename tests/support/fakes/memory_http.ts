/** HTTP without sockets: a test sends requests to an address, and sees whether its server still listens. */
import { formatAddress } from "../../../lib/platform/address.ts";
import { NetworkError } from "../../../lib/platform/errors.ts";
import type { HttpHandler, HttpNetwork, HttpResponse, HttpServer } from "../../../lib/platform/network.ts";
import type { Address } from "../../../lib/platform/network.ts";

/** Servers by address. */
export class MemoryHttp implements HttpNetwork {
  readonly #handlers = new Map<string, HttpHandler>();

  /** Returns the addresses with a listening server. */
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

  /** Sends a request with these headers to the server at `address`, by which it is called. */
  ask(
    address: string,
    path: string,
    { method = "GET", headers = {} }: {
      readonly method?: string;
      readonly headers?: Readonly<Record<string, string>>;
    } = {},
  ): Promise<HttpResponse> {
    const handler = this.#handlers.get(address);
    if (handler === undefined) throw new Error(`no server listens at ${address}`);
    const all: Readonly<Record<string, string>> = { host: address, ...headers };
    return handler({ method, path, remote: "10.0.0.1:50000", header: (name) => all[name] ?? null });
  }
}
