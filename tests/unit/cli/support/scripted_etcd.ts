/** An etcd whose answers a test gives: the JSON gateway on a real port. */

/** A request as it arrived. */
export interface EtcdRequest {
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly token: string | null;
}

/** A key with its value; `lease` is the id of its lease. */
export interface ScriptedEntry {
  readonly key: string;
  readonly value: string;
  readonly lease?: string;
}

/** Returns the event of a put, or of a deletion for a value null. */
export function eventOf(revision: number, key: string, value: string | null): unknown {
  const kv = { key: btoa(key), mod_revision: `${revision}` };
  return value === null ? { type: "DELETE", kv } : { kv: { ...kv, value: btoa(value), version: "1" } };
}

/** Starts it; use with `await using`. */
export class ScriptedEtcd implements AsyncDisposable {
  /** The keys that a range answers with, at any revision. */
  entries: readonly ScriptedEntry[] = [];
  revision = 1;
  clusterId = "17";
  /** Answers a request in place of the script; null: the script. */
  answer: (request: EtcdRequest) => Response | null = () => null;
  readonly requests: EtcdRequest[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  #watch: ReadableStreamDefaultController<Uint8Array> | null = null;

  constructor() {
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => this.#serve(request),
    );
  }

  get address(): string {
    return `127.0.0.1:${this.#server.addr.port}`;
  }

  /** The first revisions of the watches that were requested. */
  get watchedFrom(): readonly unknown[] {
    return this.requests.filter(({ path }) => path === "/v3/watch")
      .map(({ body }) => Object(body["create_request"]).start_revision);
  }

  /** Whether a watch is open. */
  get isWatched(): boolean {
    return this.#watch !== null;
  }

  /** Sends a message on the watch. */
  send(message: Readonly<Record<string, unknown>>): void {
    const result = { header: this.#header, ...message };
    this.#watch?.enqueue(new TextEncoder().encode(`${JSON.stringify({ result })}\n`));
  }

  /** Makes changes at the next revision, and sends them on the watch. */
  change(changes: Readonly<Record<string, string | null>>): void {
    this.revision += 1;
    const events = Object.entries(changes).map(([key, value]) => eventOf(this.revision, key, value));
    this.send({ events });
  }

  /** Ends the watch. */
  endWatch(): void {
    this.#watch?.close();
    this.#watch = null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.endWatch();
    await this.#server.shutdown();
  }

  get #header(): unknown {
    return { cluster_id: this.clusterId, revision: `${this.revision}` };
  }

  async #serve(request: Request): Promise<Response> {
    const path = new URL(request.url).pathname;
    const arrived = { path, body: await request.json(), token: request.headers.get("Authorization") };
    this.requests.push(arrived);
    const given = this.answer(arrived);
    if (given !== null) return given;
    if (path === "/v3/kv/range") return Response.json(this.#range(arrived.body));
    if (path !== "/v3/watch") return new Response("404 page not found", { status: 404 });
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#watch = controller;
        this.send({ created: true });
      },
      cancel: () => {
        this.#watch = null;
      },
    });
    return new Response(body);
  }

  #range({ key, limit }: Readonly<Record<string, unknown>>): unknown {
    const start = atob(String(key));
    const left = this.entries.filter((entry) => entry.key >= start);
    const page = left.slice(0, Number(limit ?? 1));
    const kvs = page.map(({ key, value, lease }) => ({
      key: btoa(key),
      value: btoa(value),
      mod_revision: "1",
      ...lease === undefined ? {} : { lease },
    }));
    return { header: this.#header, kvs, more: left.length > page.length, count: `${left.length}` };
  }
}
