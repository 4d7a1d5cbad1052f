/**
 * Answers the requests of KV Connect (routes.ts lists them).
 *
 * A request that the cluster cannot serve now waits for {@link PATIENCE_MS} and is answered 503 then: its client tries again.
 * A write that was sent to the cluster is not answered 503 before {@link DEADLINE_MS}, and goes on behind that answer; sent
 * again, it gets the answer to the first one (undelivered_answers.ts). The metadata exchange needs no leader.
 */
import { KvraftError } from "../client/errors.ts";
import type { KeyValue } from "../kv/command.ts";
import { auditLines, type BoundedLines, type LineWriter } from "../platform/bounded_lines.ts";
import type { Clock } from "../platform/clock.ts";
import { shortened } from "../platform/errors.ts";
import { logConnectionFault } from "../platform/fault.ts";
import type { Logger } from "../platform/logger.ts";
import { assertNever } from "../platform/assert.ts";
import { RequestsInProgress, WebError, type WebRequest, type WebResponse } from "../web/mod.ts";
import { AccessControl } from "./access.ts";
import { failure, failureOf, protobuf } from "./answers.ts";
import { AtomicWrites } from "./atomic_writes.ts";
import { decodeSnapshotRead, decodeWatch, ProtobufError, type SnapshotRead } from "./datapath.ts";
import { encodeSnapshotReadOutput } from "./datapath_output.ts";
import { DEADLINE_MS, PATIENCE_MS } from "./deadlines.ts";
import { Directory } from "./directory.ts";
import { FrequentClients } from "./load/frequent_clients.ts";
import { LargeReads } from "./load/large_reads.ts";
import { checkRead, MAX_BODY_BYTES } from "./limits.ts";
import { encodeMetadata, MAX_METADATA_BODY_BYTES, negotiateVersion } from "./metadata.ts";
import { endpointOf, type Route, routeOf } from "./routes.ts";
import { type RequestCount, ServiceCounts } from "./service_counts.ts";
import type { DatabaseStore } from "./store.ts";
import { entriesForNode } from "./translation.ts";
import { type WatchCounts, Watches } from "./watch/watches.ts";

const JSON_HEADERS = { "content-type": "application/json", "cache-control": "no-store" };
const NOT_FOUND = failure(404, "Resource not found. Clients of Deno KV are given the URL of this server.");
const NOT_POST: WebResponse = {
  ...failure(405, "This is a server for Deno KV: const kv = await Deno.openKv(<this URL>);\n"),
  headers: { "content-type": "text/plain; charset=utf-8", allow: "POST" },
};
/** The user agent of Deno begins so; that of Node is another one. */
const DENO_AGENT = "Deno/";

/** Dependencies of a {@link DenoKvService}. */
export interface DenoKvServiceOptions {
  readonly store: DatabaseStore;
  /** Whether clients need access tokens also while authentication is disabled. */
  readonly needsTokens: boolean;
  readonly clock: Clock;
  /** Returns milliseconds since 1970. */
  readonly wallClock: () => number;
  readonly logger: Logger;
  /** Takes audit lines. */
  readonly audit: LineWriter;
}

/** The numbers of a service. */
export interface ServiceNumbers {
  readonly requests: readonly RequestCount[];
  /** Writes that were sent again and got the answer to the first one, by database. */
  readonly repeatedWrites: ReadonlyMap<string, number>;
  /** By database. */
  readonly watches: readonly (Omit<WatchCounts, "databaseId"> & { readonly database: string })[];
}

/** The service for the clients of Deno KV. */
export class DenoKvService {
  readonly #counts = new ServiceCounts();
  readonly #watches: Watches;
  readonly #options: DenoKvServiceOptions;
  readonly #directory: Directory;
  readonly #access: AccessControl;
  readonly #writes: AtomicWrites;
  readonly #frequent: FrequentClients;
  readonly #largeReads: LargeReads;
  /** Those in progress, without watches. */
  readonly requests = new RequestsInProgress();
  readonly #refusals: BoundedLines;

  constructor(options: DenoKvServiceOptions) {
    this.#options = options;
    const { store, needsTokens, clock, logger, wallClock } = options;
    this.#directory = new Directory({
      source: store,
      needsTokens,
      clock,
      logger,
      onChange: () => this.#watches.recheck(),
    });
    this.#access = new AccessControl(this.#directory, wallClock);
    this.#watches = new Watches({
      databases: store,
      clock,
      isAllowed: (access) => this.#access.isAllowed(access),
    });
    const onRepeated = ({ database }: { readonly database: { readonly name: string } }): void =>
      this.#counts.repeated(database.name);
    this.#writes = new AtomicWrites({ ...options, onRepeated });
    this.#frequent = new FrequentClients(clock, logger);
    this.#largeReads = new LargeReads(clock);
    this.#refusals = auditLines("refused clients of Deno KV", { writer: options.audit, clock });
  }

  /** Begins to follow the changes of databases and access tokens. */
  start(): void {
    this.#directory.start();
  }

  /** Returns the numbers so far. */
  counts(): ServiceNumbers {
    return {
      requests: this.#counts.requests(),
      repeatedWrites: this.#counts.repeatedWrites(),
      watches: this.#watches.counts().map(({ databaseId, ...counts }) => {
        return { ...counts, database: this.#directory.withId(databaseId)?.name ?? "" };
      }),
    };
  }

  /** Ends the watches, and everything else that is left. Called when requests are not taken any more. */
  async stop(): Promise<void> {
    this.#watches.stop();
    this.#writes.stop();
    this.#largeReads.stop();
    await this.#directory.stop();
    this.#refusals.close();
  }

  /** Answers one request. Never rejects. */
  async handle(request: WebRequest): Promise<void> {
    const route = routeOf(request.path);
    if (route === null) return void await request.respond(NOT_FOUND);
    if (request.method !== "POST") return void await request.respond(NOT_POST);
    const beganAt = this.#options.clock.now();
    if (route.kind !== "watch") this.requests.begin();
    let status: number;
    try {
      status = await this.#serve(request, route);
    } catch (error) {
      status = await this.#refuse(request, error);
    }
    if (route.kind !== "watch") this.requests.end();
    // A database is named in the metrics if it exists: clients must not be able to add names.
    const isKnown = this.#directory.named(route.database) !== null;
    const tookMs = this.#options.clock.now() - beganAt;
    this.#counts.answered(isKnown ? route : { ...route, database: "" }, status, tookMs);
  }

  /** Answers a request; resolves to the status. Rejects before it has answered. */
  #serve(request: WebRequest, route: Route): Promise<number> {
    switch (route.kind) {
      case "metadata":
        return this.#exchangeMetadata(request, route);
      case "snapshot_read":
        return this.#read(request, route);
      case "atomic_write":
        return this.#write(request, route);
      case "watch":
        return this.#watch(request, route);
      default:
        return assertNever(route.kind);
    }
  }

  async #refuse(request: WebRequest, error: unknown): Promise<number> {
    const response = this.#failureOf(error, request);
    await request.respond(response);
    return response.status;
  }

  async #exchangeMetadata(request: WebRequest, { database: name }: Route): Promise<number> {
    this.#frequent.count(request.remote);
    const version = negotiateVersion(await request.body(MAX_METADATA_BODY_BYTES));
    const endpoint = endpointOf(request, version);
    const access = await this.#access.byAccessToken(request, name);
    const nowMs = this.#options.wallClock();
    await request.respond({
      status: 200,
      headers: JSON_HEADERS,
      body: encodeMetadata({ ...access, version, endpoint, nowMs }),
    });
    return 200;
  }

  async #write(request: WebRequest, { database: name }: Route): Promise<number> {
    return await this.#writes.serve(request, await this.#access.byDataToken(request, name));
  }

  /**
   * Answers a read. An async function costs a request some 400 bytes and a promise, so this path has few: none for the access of
   * a client that the node knows, and none for the delivery of an answer for which no other read waits.
   */
  async #read(request: WebRequest, { database: name }: Route): Promise<number> {
    const access = this.#access.byDataToken(request, name);
    const { database } = access instanceof Promise ? await access : access;
    const read = decodeSnapshotRead(await request.body(MAX_BODY_BYTES));
    checkRead(read);
    const turn: { end: (() => void) | null } = { end: null };
    const beforeMore = async (): Promise<void> => {
      turn.end = await this.#largeReads.begin();
      if (request.signal.aborted) throw new WebError(499, "The client has given up.");
    };
    try {
      const { ranges } = read.ranges.length === 0 ? NO_RANGES : await this.#options.store.read(
        database.id,
        read.ranges,
        { consistency: "linearizable", timeoutMs: DEADLINE_MS, patienceMs: PATIENCE_MS, beforeMore },
      );
      const sending = request.respond(answerOf(request, read, ranges));
      if (turn.end !== null) await this.#largeReads.sent(sending);
    } finally {
      turn.end?.();
    }
    return 200;
  }

  async #watch(request: WebRequest, { database: name }: Route): Promise<number> {
    const { database, credentialId } = await this.#access.byDataToken(request, name);
    const { keys } = decodeWatch(await request.body(MAX_BODY_BYTES));
    await this.#watches.serve(request, { databaseId: database.id, credentialId }, keys);
    return 200;
  }

  #failureOf(error: unknown, request: WebRequest): WebResponse {
    if (error instanceof ProtobufError) return failure(400, error.message);
    if (error instanceof KvraftError) return failureOf(error);
    if (error instanceof WebError) {
      if (error.status === 401 || error.status === 404) this.#recordRefusal(error, request);
      return failure(error.status, error.message);
    }
    // Not 500: clients repeat a request after that without end.
    const { remote, path } = request;
    logConnectionFault(this.#options.logger, error, { remote, path });
    return failure(400, "This request failed because of a fault in kvraft.");
  }

  /** Records a client without an access token, with one that is not valid, or of a database that does not exist. */
  #recordRefusal({ status, message }: WebError, { remote, path }: WebRequest): void {
    const fields = { remote, request: shortened(path), code: status, reason: message };
    this.#refusals.write("audit: client of Deno KV refused", fields);
  }
}

const NO_RANGES = { ranges: [] } as const;

/** Returns the answer with the entries of the ranges of a read. */
function answerOf(
  request: WebRequest,
  { ranges }: SnapshotRead,
  entries: readonly (readonly KeyValue[])[],
): WebResponse {
  const isDeno = request.header("user-agent")?.startsWith(DENO_AGENT) === true;
  const shown = isDeno ? entries : ranges.map((range, position) => (
    entriesForNode(range, entries[position] ?? [])
  ));
  return protobuf(encodeSnapshotReadOutput(shown, { isStrong: true }));
}
