/** Methods of the etcd front end over a store without consensus: requests of clients, whole and as streams. */
import { concat } from "@std/bytes";
import { assert } from "@std/assert";
import { CloseSignal } from "../../../lib/client/call_context.ts";
import { ClientCore } from "../../../lib/client/core.ts";
import type { EtcdContext } from "../../../lib/etcd/context.ts";
import type { Message } from "../../../lib/etcd/protobuf/message.ts";
import { toEtcdError } from "../../../lib/etcd/rpc/failures.ts";
import { PROTOBUF } from "../../../lib/etcd/rpc/grpc.ts";
import { type ByteMessages, type Call, MAX_CALL_MS, type Method } from "../../../lib/etcd/rpc/method.ts";
import { EtcdError } from "../../../lib/etcd/rpc/status.ts";
import { withResolvers } from "../../../lib/platform/promise.ts";
import { settle } from "../fakes/manual_clock.ts";
import { RecordingLogger } from "../fakes/recording_logger.ts";
import { FakeCluster } from "../fakes/scripted_node.ts";
import { SharedStore } from "../fakes/shared_store.ts";
import { SeededRandom } from "../seeded_random.ts";

/** The messages of a method. */
export interface MethodMessages<Request, Given, Response, ResponseGiven> {
  readonly request: Message<Request, Given>;
  readonly response: Message<Response, ResponseGiven>;
}

/** Services over a store. */
export class MethodsOnStore implements AsyncDisposable {
  readonly cluster: FakeCluster;
  readonly store: SharedStore;
  readonly core: ClientCore;
  readonly context: EtcdContext;
  /** Closed by a test as the front end stops. */
  readonly closing = new CloseSignal();
  /** How often methods have noted that they wait. */
  notedWaits = 0;
  readonly #methods: ReadonlyMap<string, Method>;

  private constructor(
    { cluster, store, core }: {
      readonly cluster: FakeCluster;
      readonly store: SharedStore;
      readonly core: ClientCore;
    },
    methods: (context: EtcdContext) => readonly Method[],
  ) {
    this.cluster = cluster;
    this.store = store;
    this.core = core;
    const { clock } = cluster;
    this.context = {
      refusals: { write: () => {} },
      core,
      clients: {
        use: () => Promise.resolve({ core, release: () => {} }),
        signIn: () => Promise.resolve("token"),
      },
      view: () => ({
        clusterId: 1n,
        memberId: 2n,
        raftTerm: 3,
        leader: 2n,
        revision: store.machine.revision,
      }),
      closing: this.closing,
      status: () => {
        const [node] = cluster.nodes;
        assert(node !== undefined);
        return Promise.resolve(node.status());
      },
      isReadable: () => Promise.resolve(true),
      isTls: false,
      connectTo: null,
      clock,
      wallClock: () => clock.now(),
      random: core.random,
      logger: new RecordingLogger(),
    };
    this.#methods = new Map(methods(this.context).map((method) => [method.path, method]));
  }

  /** Connects to a new store of some nodes. */
  static async open(
    methods: (context: EtcdContext) => readonly Method[],
    { nodes = 1 } = {},
  ): Promise<MethodsOnStore> {
    const cluster = new FakeCluster(nodes);
    const store = new SharedStore(cluster);
    const random = new SeededRandom(7);
    const { network, clock } = cluster;
    const platform = { network, clock, random: () => random.next() };
    const options = { cluster: cluster.nodes.map(({ address }) => address) };
    const core = await cluster.finish(ClientCore.connect(options, platform));
    return new MethodsOnStore({ cluster, store, core }, methods);
  }

  /** The names of the methods, as paths. */
  get paths(): readonly string[] {
    return [...this.#methods.keys()];
  }

  /** Begins a request with one answer; time must pass for it. Rejects with EtcdError. */
  async begin<Request, Given, Response, ResponseGiven>(
    path: string,
    { request, response }: MethodMessages<Request, Given, Response, ResponseGiven>,
    { given, signal, timeoutMs }: {
      readonly given: Given;
      readonly signal?: AbortSignal;
      readonly timeoutMs?: number;
    },
  ): Promise<Response> {
    const method = this.#methods.get(path);
    assert(method?.kind === "unary", `${path} is a method with one answer`);
    try {
      const call = this.#call(signal, timeoutMs);
      return response.decode(await method.run(request.encode(given), PROTOBUF, call));
    } catch (error) {
      throw toEtcdError(error, { hasToken: false });
    }
  }

  /** Returns the answer to a request, after as much time as it takes. Rejects with EtcdError. */
  async ask<Request, Given, Response, ResponseGiven>(
    path: string,
    messages: MethodMessages<Request, Given, Response, ResponseGiven>,
    given: Given,
  ): Promise<Response> {
    return await this.cluster.finish(this.begin(path, messages, { given }));
  }

  /** Returns code and text of the status of a request that is refused. */
  async refusal<Request, Given, Response, ResponseGiven>(
    path: string,
    messages: MethodMessages<Request, Given, Response, ResponseGiven>,
    given: Given,
  ): Promise<readonly [number, string]> {
    try {
      await this.ask(path, messages, given);
    } catch (error) {
      assert(error instanceof EtcdError);
      return [error.code, error.message];
    }
    throw new Error(`${path} was not refused`);
  }

  /** Begins a stream. */
  open<Request, Given, Response, ResponseGiven>(
    path: string,
    messages: MethodMessages<Request, Given, Response, ResponseGiven>,
  ): OpenStream<Given, Response> {
    const method = this.#methods.get(path);
    assert(method?.kind === "stream", `${path} is a method with streams`);
    const stream = new OpenStream(messages);
    stream.serve((bodies, signal) => method.run(bodies, PROTOBUF, this.#call(signal)));
    return stream;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.core.pool.close();
  }

  #call(signal = new AbortController().signal, timeoutMs: number = MAX_CALL_MS): Call {
    const noteWaiting = (): void => void (this.notedWaits += 1);
    const remote = "127.0.0.1:50000";
    return {
      core: this.core,
      token: null,
      needsLeader: false,
      timeoutMs,
      signal,
      noteWaiting,
      remote,
      noteRefusal: () => {},
    };
  }
}

/** A stream of a client. */
export class OpenStream<Given, Response> {
  /** The messages that have arrived. */
  readonly received: Response[] = [];
  /** How the stream has ended; null before. */
  ended: "ok" | EtcdError | null = null;
  /** Whether the client takes what is sent. */
  isReading = true;
  readonly #encode: (given: Given) => Uint8Array;
  readonly #decode: (body: Uint8Array) => Response;
  readonly #sent: (Uint8Array | null)[] = [];
  readonly #gone = new AbortController();
  #reader: PromiseWithResolvers<Uint8Array | null> | null = null;
  #whenReading = withResolvers<void>();

  constructor(
    { request, response }: {
      readonly request: { encode(given: Given): Uint8Array };
      readonly response: { decode(body: Uint8Array): Response };
    },
  ) {
    this.#encode = (given) => request.encode(given);
    this.#decode = (body) => response.decode(body);
  }

  /** Messages that are sent and not read. */
  get unread(): number {
    return this.#sent.length;
  }

  /** Has a method answer. */
  serve(run: (bodies: ByteMessages, signal: AbortSignal) => Promise<void>): void {
    const bodies: ByteMessages = {
      read: () => this.#read(),
      write: (body) => {
        if (!this.#gone.signal.aborted) this.received.push(this.#decode(body));
        return this.isReading;
      },
      writeParts: (head, body) => bodies.write(concat([head, body])),
      unsentBytes: 0,
      whenWritable: () => this.#whenReading.promise,
    };
    run(bodies, this.#gone.signal).then(
      () => this.ended = "ok",
      (error) => this.ended = toEtcdError(error, { hasToken: false }),
    );
  }

  /** Sends messages in one turn. */
  async send(...given: readonly Given[]): Promise<void> {
    for (const one of given) this.#push(this.#encode(one));
    await settle();
  }

  /** Sends no more. */
  async halfClose(): Promise<void> {
    this.#push(null);
    await settle();
  }

  /** Takes what is sent again. */
  readOn(): void {
    this.isReading = true;
    this.#whenReading.resolve();
    this.#whenReading = withResolvers();
  }

  /** Goes away, as a client whose process ended. */
  async leave(): Promise<void> {
    this.#gone.abort();
    this.#reader?.reject(new EtcdError("cancelled", "the client has gone"));
    await settle();
  }

  #push(body: Uint8Array | null): void {
    this.#sent.push(body);
    const reader = this.#reader;
    this.#reader = null;
    const next = this.#sent[0];
    if (reader === null || next === undefined) return;
    this.#sent.shift();
    reader.resolve(next);
  }

  #read(): Promise<Uint8Array | null> {
    const next = this.#sent.shift();
    if (next !== undefined) return Promise.resolve(next);
    this.#reader = withResolvers();
    return this.#reader.promise;
  }
}
