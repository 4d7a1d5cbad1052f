/** The real HTTP server: Deno's. It opens a socket of its own, beside those of `deno_network.ts`. */
import { formatAddress } from "./address.ts";
import { networkError } from "./deno_network.ts";
import type { HttpHandler, HttpNetwork, HttpResponse, HttpServer } from "./http.ts";
import type { Address } from "./network.ts";

/** How long requests under way may take once it is to close. */
const CLOSE_TIMEOUT_MS = 500;
/** Requests under way at a time; more are told to come back. A page takes a millisecond, and those who ask are few. */
const MAX_REQUESTS = 16;

const BUSY: HttpResponse = {
  status: 503,
  contentType: "text/plain; charset=utf-8",
  body: "Too many requests are under way. Try again.\n",
};

/** Serves HTTP/1.1 without encryption. */
export class DenoHttp implements HttpNetwork {
  /** Listens on `address`; throws NetworkError when the port is taken or the address is not local. */
  serve(address: Address, handler: HttpHandler): HttpServer {
    try {
      return new DenoHttpServer(address, handler);
    } catch (error) {
      throw networkError(error, `Cannot serve HTTP on ${formatAddress(address)}`);
    }
  }
}

class DenoHttpServer implements HttpServer {
  readonly address: Address;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #handler: HttpHandler;
  readonly #cut = new AbortController();
  #underWay = 0;
  #closing: Promise<void> | null = null;

  constructor({ host, port }: Address, handler: HttpHandler) {
    this.#handler = handler;
    this.#server = Deno.serve({
      hostname: host,
      port,
      signal: this.#cut.signal,
      onListen: () => {}, // or it would write to standard output
      onError: () => new Response("This node could not answer.\n", { status: 500 }),
    }, (request) => this.#answer(request));
    const { hostname, port: realPort } = this.#server.addr;
    this.address = { host: hostname, port: realPort };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const timer = setTimeout(() => this.#cut.abort(), CLOSE_TIMEOUT_MS);
    try {
      await this.#server.shutdown();
      await this.#server.finished;
    } finally {
      clearTimeout(timer);
    }
  }

  async #answer(request: Request): Promise<Response> {
    const { method } = request;
    this.#underWay += 1;
    try {
      const { pathname: path } = new URL(request.url);
      const answer = this.#underWay > MAX_REQUESTS ? BUSY : await this.#handler({ method, path });
      const headers = { "content-type": answer.contentType, "cache-control": "no-store", ...answer.headers };
      // Where the method is HEAD, the server below leaves the body away.
      return new Response(answer.body, { status: answer.status, headers });
    } finally {
      this.#underWay -= 1;
    }
  }
}
