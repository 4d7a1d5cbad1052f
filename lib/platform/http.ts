/**
 * HTTP as a node serves it: a few short pages about itself, for whoever watches over it. `http_server.ts` is the real
 * one; where there is none (in the simulator), nothing is served.
 */
import type { Address } from "./network.ts";

/** What is asked for. */
export interface HttpRequest {
  /** In capitals: `GET`. */
  readonly method: string;
  /** Without what follows a question mark. */
  readonly path: string;
}

/** What is answered. */
export interface HttpResponse {
  readonly status: number;
  readonly contentType: string;
  /** The server leaves it away where the method is HEAD. */
  readonly body: string;
  /** More headers, by name. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Answers one request. */
export type HttpHandler = (request: HttpRequest) => Promise<HttpResponse>;

/** A server that listens. */
export interface HttpServer {
  /** Where it listens (the real port, when 0 was asked for). */
  readonly address: Address;
  /** Takes no more requests; resolves once those under way are answered, or after a moment. */
  close(): Promise<void>;
}

/** Where HTTP comes from. */
export interface HttpNetwork {
  /** Listens on `address`; throws NetworkError when the port is taken or the address is not local. */
  serve(address: Address, handler: HttpHandler): HttpServer;
}
