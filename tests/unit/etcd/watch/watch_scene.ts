/** Streams of watches over a whole server in memory, with a client of gRPC that a test plays. */
import { assert } from "@std/assert";
import { concat } from "@std/bytes";
import type { KvClient } from "../../../../lib/mod.ts";
import { CloseSignal } from "../../../../lib/client/call_context.ts";
import { ClientCore } from "../../../../lib/client/core.ts";
import { WATCH_REQUEST, WATCH_RESPONSE } from "../../../../lib/etcd/messages/watch.ts";
import type { GivenOf, MessageOf } from "../../../../lib/etcd/protobuf/message.ts";
import { PROTOBUF } from "../../../../lib/etcd/rpc/grpc.ts";
import type { ByteMessages, Call } from "../../../../lib/etcd/rpc/method.ts";
import { WatchService } from "../../../../lib/etcd/watch/watch_service.ts";
import { withResolvers } from "../../../../lib/platform/promise.ts";
import { MemoryCluster } from "../../../support/fakes/memory_cluster.ts";
import { SeededRandom } from "../../../support/seeded_random.ts";

const UTF8 = new TextEncoder();
export const bytes = (text: string): Uint8Array => UTF8.encode(text);
const textOf = (value: Uint8Array | undefined): string => new TextDecoder().decode(value);

type Request = NonNullable<GivenOf<typeof WATCH_REQUEST>["request"]>;
type CreateGiven = Extract<Request, { readonly kind: "createRequest" }>["value"];
type Response = MessageOf<typeof WATCH_RESPONSE>;

/** All keys that begin with a text. */
export const PREFIX = (text: string): CreateGiven => {
  const end = bytes(text);
  const last = end.length - 1;
  end[last] = (end[last] ?? 0) + 1;
  return { key: bytes(text), rangeEnd: end };
};
export const ALL: CreateGiven = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };

/** The client's end of one stream. */
export class TestStream implements ByteMessages {
  /** Messages that were sent so far. */
  readonly responses: Response[] = [];
  /** Sizes of the messages. */
  readonly sizes: number[] = [];
  /** Whether the client takes what is written. */
  isReading = true;
  /** How the stream ended: null for success, undefined while it goes on. */
  end: unknown = undefined;
  unsentBytes = 0;
  readonly #stop = new AbortController();
  readonly #requests: (Uint8Array | null)[] = [];
  #reader: PromiseWithResolvers<Uint8Array | null> | null = null;
  #writable: (() => void)[] = [];

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  read(): Promise<Uint8Array | null> {
    const next = this.#requests.shift();
    if (next !== undefined) return Promise.resolve(next);
    this.#reader = withResolvers();
    return this.#reader.promise;
  }

  write(message: Uint8Array): boolean {
    this.responses.push(WATCH_RESPONSE.decode(message));
    this.sizes.push(message.length);
    if (!this.isReading) this.unsentBytes += message.length;
    return true;
  }

  writeParts(head: Uint8Array, body: Uint8Array): boolean {
    return this.write(concat([head, body]));
  }

  whenWritable(): Promise<void> {
    if (this.unsentBytes === 0) return Promise.resolve();
    return new Promise((resolve) => void this.#writable.push(resolve));
  }

  /** Takes everything again. */
  resume(): void {
    this.isReading = true;
    this.unsentBytes = 0;
    for (const resolve of this.#writable.splice(0)) resolve();
  }

  send(request: Request | null): void {
    this.#push(WATCH_REQUEST.encode({ request }));
  }

  create(value: CreateGiven): void {
    this.send({ kind: "createRequest", value });
  }

  cancel(watchId: bigint): void {
    this.send({ kind: "cancelRequest", value: { watchId } });
  }

  askProgress(): void {
    this.send({ kind: "progressRequest", value: {} });
  }

  /** Sends no further requests. */
  halfClose(): void {
    this.#push(null);
  }

  /** Resets the stream. */
  reset(): void {
    this.#stop.abort();
  }

  /** The messages as texts. */
  get shown(): readonly string[] {
    return this.responses.map(shown);
  }

  #push(request: Uint8Array | null): void {
    const reader = this.#reader;
    this.#reader = null;
    if (reader === null) this.#requests.push(request);
    else reader.resolve(request);
  }
}

/** A server, and the watches of its front end. */
export class WatchScene implements AsyncDisposable {
  readonly cluster: MemoryCluster;
  readonly client: KvClient;
  readonly core: ClientCore;
  readonly service: WatchService;
  readonly closing = new CloseSignal();
  /** The node as the front end knows it. */
  readonly view = { clusterId: 7n, memberId: 1n, raftTerm: 2, leader: 1n, revision: 0 };
  readonly #streams: { readonly stream: TestStream; readonly served: Promise<void> }[] = [];

  private constructor(cluster: MemoryCluster, client: KvClient, core: ClientCore) {
    this.cluster = cluster;
    this.client = client;
    this.core = core;
    const { clock } = cluster;
    this.service = new WatchService({
      view: () => this.view,
      clock,
      random: () => 0.5,
      closing: this.closing,
    });
  }

  static async open(ids: readonly number[] = [1]): Promise<WatchScene> {
    const cluster = new MemoryCluster();
    await cluster.found(...ids);
    const client = await cluster.client(...ids);
    await cluster.untilHistory(client);
    const random = new SeededRandom(3);
    const platform = { network: cluster.network, clock: cluster.clock, random: () => random.next() };
    const addresses = ids.map((id) => `${id}=n${id}:7001`);
    const core = await cluster.run(ClientCore.connect({ cluster: addresses }, platform));
    return new WatchScene(cluster, client, core);
  }

  /** Opens a stream. */
  stream(options: { readonly needsLeader?: boolean; readonly core?: ClientCore } = {}): TestStream {
    const stream = new TestStream();
    const call: Call = {
      core: options.core ?? this.core,
      token: null,
      needsLeader: options.needsLeader ?? false,
      timeoutMs: 7_000,
      signal: stream.signal,
      noteWaiting: () => {},
      remote: "test",
      noteRefusal: () => {},
    };
    const served = this.service.serve(stream, PROTOBUF, call).then(
      () => void (stream.end = null),
      (error) => void (stream.end = error),
    );
    this.#streams.push({ stream, served });
    return stream;
  }

  /** Writes a key; resolves to the revision as etcd's clients see it. */
  async put(key: string, value: string): Promise<number> {
    const { revision } = await this.cluster.run(this.client.put(key, value));
    this.view.revision = revision;
    return revision + 1;
  }

  async delete(key: string): Promise<void> {
    const { revision } = await this.cluster.run(this.client.delete(key));
    this.view.revision = revision;
  }

  /** Waits until a stream was sent so many messages; returns them as texts. */
  async received(stream: TestStream, count: number): Promise<readonly string[]> {
    await this.cluster.until(() => stream.responses.length >= count);
    return stream.shown;
  }

  /** Lets enough time pass for everything that does not wait for something else. */
  settle(): Promise<void> {
    return this.cluster.pass(300);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { stream, served } of this.#streams) {
      stream.reset();
      await this.cluster.run(served);
    }
    await this.cluster.run(this.core.pool.close());
    await this.cluster[Symbol.asyncDispose]();
  }
}

function shown(response: Response): string {
  const { header, watchId, created, canceled, compactRevision, cancelReason, fragment, events } = response;
  const parts = [`${watchId} @${header?.revision}`];
  if (created) parts.push("created");
  if (canceled) parts.push("canceled");
  if (compactRevision !== 0) parts.push(`compact ${compactRevision}`);
  if (cancelReason !== "") parts.push(`"${cancelReason}"`);
  if (fragment) parts.push("fragment");
  for (const { type, kv, prevKv } of events) {
    assert(kv !== null, "an event has a key");
    const before = prevKv === null ? "" : ` (was ${textOf(prevKv.value).slice(0, 9)})`;
    parts.push(
      type === 0
        ? `put ${textOf(kv.key)}=${textOf(kv.value).slice(0, 9)}@${kv.modRevision}${before}`
        : `delete ${textOf(kv.key)}@${kv.modRevision}${before}`,
    );
  }
  return parts.join(" ");
}
