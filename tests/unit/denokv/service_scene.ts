/** The service for Deno KV over a store that a test controls, and requests to it. */
import { assert } from "@std/assert";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { NoLeaderError } from "../../../lib/client/errors.ts";
import { REFRESH_INTERVAL_MS } from "../../../lib/denokv/directory.ts";
import { DenoKvService } from "../../../lib/denokv/service.ts";
import type {
  DatabaseStore,
  ServedDatabase,
  ServedDatabases,
  StoreCallOptions,
  StoreRange,
  WriteResult,
} from "../../../lib/denokv/store.ts";
import type { TranslatedWrite } from "../../../lib/denokv/translation.ts";
import type { KeyValue } from "../../../lib/kv/command.ts";
import { PLAIN } from "../../../lib/platform/network.ts";
import { sha256Of } from "../../../lib/platform/secrets.ts";
import type { Delivery, WebRequest, WebResponse, WebStream } from "../../../lib/web/mod.ts";
import { ManualClock, settle } from "../../support/fakes/manual_clock.ts";
import { RecordingAudit } from "../../support/fakes/auth.ts";
import { RecordingLogger } from "../../support/fakes/recording_logger.ts";

/** The default database, without access tokens. */
export const DEFAULT: ServedDatabase = {
  id: 0,
  name: "default",
  uuid: "00000000-0000-4000-8000-000000000000",
  signingKey: new Uint8Array(32).fill(1),
  isOpen: true,
  tokens: [],
};
/** A database with the access tokens "first" and "second". */
export const ORDERS: ServedDatabase = {
  id: 7,
  name: "orders",
  uuid: "0b9e3f4e-8a6c-4d5e-9f00-1234567890ab",
  signingKey: new Uint8Array(32).fill(7),
  isOpen: false,
  tokens: [{ id: 1, hash: sha256Of("first") }, { id: 2, hash: sha256Of("second") }],
};

/** A call of {@link FakeStore.write}, which the test answers. */
export interface FakeWrite extends TranslatedWrite {
  readonly databaseId: number;
  readonly credentialId: number;
  readonly answer: (result: WriteResult) => void;
  readonly fail: (error: Error) => void;
}

/** A store that records calls, and answers them as the test says. */
export class FakeStore implements DatabaseStore {
  /** The databases of the present state, and those that the node knows. */
  now: ServedDatabases = { revision: 1, authenticationEnabled: false, databases: [DEFAULT, ORDERS] };
  known: ServedDatabases = this.now;
  hasLeader = true;
  /** All reads so far, by their ranges. */
  readonly reads: (readonly StoreRange[])[] = [];
  readonly writes: FakeWrite[] = [];
  /** Linearizable reads of the databases so far. */
  refreshes = 0;
  /** The revision that reads have. */
  revision = 41;
  /** The entries of each range of a read. */
  entriesOf: (range: StoreRange) => readonly KeyValue[] = () => [];
  #notify: () => void = () => {};

  /** Changes the databases, and has the node learn of it. */
  change(databases: Partial<ServedDatabases>): void {
    this.now = { ...this.now, ...databases, revision: this.now.revision + 1 };
    this.known = this.now;
    this.#notify();
  }

  databases({ consistency }: { readonly consistency: "linearizable" | "stale" }): Promise<ServedDatabases> {
    if (consistency === "stale") return Promise.resolve(this.known);
    this.refreshes += 1;
    return this.hasLeader ? Promise.resolve(this.now) : Promise.reject(noLeader());
  }

  async *watchDatabases({ signal }: { readonly signal: AbortSignal }): AsyncGenerator<void> {
    while (!signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#notify = resolve;
      signal.addEventListener("abort", () => resolve());
      await promise;
      yield;
    }
  }

  read(
    _databaseId: number,
    ranges: readonly StoreRange[],
    _options?: Parameters<DatabaseStore["read"]>[2],
  ): Promise<{ readonly revision: number; readonly ranges: readonly (readonly KeyValue[])[] }> {
    this.reads.push(ranges);
    if (!this.hasLeader) return Promise.reject(noLeader());
    return Promise.resolve({ revision: this.revision, ranges: ranges.map((range) => this.entriesOf(range)) });
  }

  write(
    databaseId: number,
    credentialId: number,
    write: TranslatedWrite,
    _options: StoreCallOptions,
  ): Promise<WriteResult> {
    const { promise, resolve, reject } = Promise.withResolvers<WriteResult>();
    this.writes.push({ databaseId, credentialId, ...write, answer: resolve, fail: reject });
    return promise;
  }

  async *watch(): AsyncGenerator<{ readonly revision: number }> {
    // The tests of the watches have a store of their own.
  }
}

/** The error of a call without a leader. */
export function noLeader(): NoLeaderError {
  return new NoLeaderError("Cannot read the databases: node 1 answered: this node knows of no leader.");
}

/** A request in memory, and its answer. */
export class FakeRequest implements WebRequest {
  readonly method: string;
  readonly path: string;
  readonly query = "";
  readonly remote = "127.0.0.1:50000";
  readonly version = "2";
  readonly security = PLAIN;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #body: Uint8Array;
  readonly #givenUp = new AbortController();
  /** Null until it is answered. */
  answer: WebResponse | null = null;
  /** Whether the answer is delivered. */
  delivery: Delivery = "delivered";

  constructor(path: string, { method = "POST", headers = {}, body = new Uint8Array(0) }: {
    readonly method?: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: Uint8Array;
  } = {}) {
    this.method = method;
    this.path = path;
    this.#headers = headers;
    this.#body = body;
  }

  get signal(): AbortSignal {
    return this.#givenUp.signal;
  }

  noteWaiting(): void {}

  /** The client loses the connection. */
  lose(): void {
    this.delivery = "lost";
    this.#givenUp.abort();
  }

  header(name: string): string | null {
    return this.#headers[name] ?? null;
  }

  body(): Promise<Uint8Array> {
    return Promise.resolve(this.#body);
  }

  read(): Promise<Uint8Array | null> {
    throw new Error("A body is read as a whole.");
  }

  respond(response: WebResponse): Promise<Delivery> {
    assert(this.answer === null, "a request is answered once");
    this.answer = response;
    return Promise.resolve(this.delivery);
  }

  stream(): WebStream {
    throw new Error("Only a watch is answered by a stream.");
  }
}

/** A service and its dependencies. */
export class Scene {
  readonly store = new FakeStore();
  readonly clock = new ManualClock();
  readonly logger = new RecordingLogger();
  readonly audit = new RecordingAudit();
  /** Wall-clock time. */
  nowMs = Date.UTC(2026, 10, 30, 12);
  readonly service: DenoKvService;

  /** `needsTokens`: whether clients need access tokens also while authentication is disabled. */
  constructor({ needsTokens = false }: { readonly needsTokens?: boolean } = {}) {
    const { store, clock, logger, audit } = this;
    const wallClock = (): number => this.nowMs;
    this.service = new DenoKvService({ store, needsTokens, clock, wallClock, logger, audit });
  }

  /** Sends a request, and lets it go on as far as it can. */
  async send(path: string, options: ConstructorParameters<typeof FakeRequest>[1] = {}): Promise<FakeRequest> {
    const request = new FakeRequest(path, options);
    void this.service.handle(request);
    await settle();
    return request;
  }

  /** Sends a request, and lets the time pass for which it may wait for reads of the databases. */
  async sendPatiently(
    path: string,
    options: ConstructorParameters<typeof FakeRequest>[1],
  ): Promise<FakeRequest> {
    const request = await this.send(path, options);
    for (let reads = 0; reads < 3 && request.answer === null; reads++) {
      this.clock.advance(REFRESH_INTERVAL_MS);
      await settle();
    }
    return request;
  }

  /** Asks for metadata by an access token; returns the status, and the answer. */
  async exchange(
    path: string,
    accessToken: string,
  ): Promise<{ readonly status: number | null; readonly body: string }> {
    const headers = { authorization: `Bearer ${accessToken}` };
    const body = new TextEncoder().encode('{"supportedVersions":[1,2,3]}');
    const { answer } = await this.sendPatiently(path, { headers, body });
    return { status: answer?.status ?? null, body: String(answer?.body) };
  }

  /** Returns a data token of a database. */
  async dataToken(path = "/", accessToken = "x"): Promise<string> {
    const { status, body } = await this.exchange(path, accessToken);
    assert(status === 200, body);
    return JSON.parse(body).token;
  }

  /** Sends a commit. */
  commit(token: string, body: Uint8Array, path = "/kv/atomic_write"): Promise<FakeRequest> {
    return this.send(path, { headers: { authorization: `Bearer ${token}` }, body });
  }
}

/** Runs a test with a service whose node knows its databases, and checks that stopping it leaves no timer. */
export async function withService(
  test: (scene: Scene) => Promise<void>,
  options: ConstructorParameters<typeof Scene>[0] = {},
): Promise<void> {
  const scene = new Scene(options);
  scene.service.start();
  await settle();
  await test(scene);
  await scene.service.stop();
  assert(scene.clock.timerCount === 0, "a stopped service has no timer");
}

/** The status and the text of an answer; null without one. */
export function textOf({ answer }: FakeRequest): readonly [number, string] | null {
  if (answer === null) return null;
  const { status, body } = answer;
  return [status, typeof body === "string" ? body : `${body.length} bytes`];
}

/** The fields of an AtomicWriteOutput: status, revision of the versionstamp, failed checks. */
export function commitOf({ answer }: FakeRequest): readonly [number, number, readonly number[]] | null {
  if (answer === null || answer.status !== 200 || typeof answer.body === "string") return null;
  const reader = new BinaryReader(answer.body);
  let [status, revision, failed]: [number, number, number[]] = [0, 0, []];
  while (reader.pos < reader.len) {
    const [field] = reader.tag();
    if (field === 1) status = reader.uint32();
    else if (field === 2) revision = Number(new DataView(reader.bytes().slice().buffer).getBigUint64(0));
    else failed = [...reader.bytes()];
  }
  return [status, revision, failed];
}

/** Encodes an AtomicWrite. */
export class CommitWriter {
  readonly #writer = new BinaryWriter();

  check(key: readonly number[], versionstamp: Uint8Array = new Uint8Array(0)): this {
    this.#writer.tag(1, WireType.LengthDelimited).fork();
    this.#writer.tag(1, WireType.LengthDelimited).bytes(Uint8Array.from(key));
    this.#writer.tag(2, WireType.LengthDelimited).bytes(versionstamp).join();
    return this;
  }

  mutation(
    { type, key, value = null, expireAtMs = 0 }: {
      readonly type: number;
      readonly key: readonly number[];
      readonly value?: { readonly encoding: number; readonly data: readonly number[] } | null;
      readonly expireAtMs?: number;
    },
  ): this {
    const writer = this.#writer.tag(2, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).bytes(Uint8Array.from(key));
    if (value !== null) {
      writer.tag(2, WireType.LengthDelimited).fork();
      writer.tag(1, WireType.LengthDelimited).bytes(Uint8Array.from(value.data));
      writer.tag(2, WireType.Varint).int32(value.encoding).join();
    }
    writer.tag(3, WireType.Varint).int32(type).tag(4, WireType.Varint).int64(expireAtMs).join();
    return this;
  }

  enqueue(): this {
    this.#writer.tag(3, WireType.LengthDelimited).bytes(Uint8Array.of(0x0a, 1, 5));
    return this;
  }

  /** Returns the message. */
  finish(): Uint8Array {
    return this.#writer.finish();
  }
}
