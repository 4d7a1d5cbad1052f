/** The real HTTP server: Deno's. It opens a socket of its own, beside those of `deno_network.ts`. */
import { formatAddress } from "./address.ts";
import { networkError } from "./deno_network.ts";
import type { HttpHandler, HttpNetwork, HttpRequest, HttpResponse, HttpServer } from "./http.ts";
import type { Address } from "./network.ts";

/** How long requests under way may take once it is to close. */
const ANSWER_TIMEOUT_MS = 500;
/** Requests under way at a time; more are told to come back. A page takes a millisecond, and those who ask are few. */
const MAX_REQUESTS = 16;

const BUSY: HttpResponse = {
  status: 503,
  contentType: "text/plain; charset=utf-8",
  body: "Too many requests are under way. Try again.\n",
};

const STOPPING: HttpResponse = {
  status: 503,
  contentType: "text/plain; charset=utf-8",
  body: "This node has stopped.\n",
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
  /** Ends each request that is under way with another answer. */
  readonly #underWay = new Set<(answer: HttpResponse) => void>();
  #closing: Promise<void> | null = null;

  constructor({ host, port }: Address, handler: HttpHandler) {
    this.#handler = handler;
    this.#server = Deno.serve({
      hostname: host,
      port,
      onListen: () => {}, // or it would write to standard output
      onError: () => new Response("This node could not answer.\n", { status: 500 }),
    }, (request) => this.#serve(request));
    const { hostname, port: realPort } = this.#server.addr;
    this.address = { host: hostname, port: realPort };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const late = Promise.withResolvers<void>();
    const cut = setTimeout(() => {
      for (const end of this.#underWay) end(STOPPING);
    }, ANSWER_TIMEOUT_MS);
    // Who does not read its answer is not waited for either.
    const giveUp = setTimeout(late.resolve, 2 * ANSWER_TIMEOUT_MS);
    await Promise.race([this.#server.shutdown(), late.promise]);
    clearTimeout(cut);
    clearTimeout(giveUp);
  }

  async #serve(request: Request): Promise<Response> {
    const { method, url } = request;
    const { pathname: path } = new URL(url);
    const answer = await this.#answer({ method, path });
    const headers = { "content-type": answer.contentType, "cache-control": "no-store", ...answer.headers };
    // Where the method is HEAD, the server below leaves the body away.
    return new Response(answer.body, { status: answer.status, headers });
  }

  async #answer(request: HttpRequest): Promise<HttpResponse> {
    if (this.#underWay.size >= MAX_REQUESTS) return BUSY;
    const { promise, resolve, reject } = Promise.withResolvers<HttpResponse>();
    this.#underWay.add(resolve);
    this.#handler(request).then(resolve, reject);
    try {
      return await promise;
    } finally {
      this.#underWay.delete(resolve);
    }
  }
}
