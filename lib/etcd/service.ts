/** Answers the requests of etcd's clients: finds the method and the user of each, and carries it out. */
import { KvraftError } from "../client/errors.ts";
import { shortened } from "../platform/errors.ts";
import { RequestsInProgress, type WebRequest } from "../web/mod.ts";
import type { EtcdContext } from "./context.ts";
import { JsonGateway } from "./gateway/json_gateway.ts";
import { toEtcdError } from "./rpc/failures.ts";
import {
  GrpcStream,
  isGrpc,
  PROTOBUF,
  readMessage,
  refuse,
  respond,
  respondInParts,
  timeoutOf,
} from "./rpc/grpc.ts";
import type { Call, Method, StreamMethod, UnaryMethod } from "./rpc/method.ts";
import { EtcdError, etcdError } from "./rpc/status.ts";

const DENIED = etcdError("permissionDenied");
const USER_FAILURES = [DENIED, etcdError("invalidToken"), etcdError("userEmpty")];

/** Options of {@link EtcdService}. */
export interface EtcdServiceOptions {
  readonly context: EtcdContext;
  readonly methods: readonly Method[];
  /** Answers requests that are neither of gRPC nor of the JSON gateway. */
  readonly answerOther: (request: WebRequest) => Promise<void>;
}

/** The service for the clients of etcd. */
export class EtcdService {
  readonly #options: EtcdServiceOptions;
  readonly #methods: ReadonlyMap<string, Method>;
  readonly #services: ReadonlySet<string>;
  readonly #gateway: JsonGateway;
  /** Those in progress, without streams. */
  readonly requests = new RequestsInProgress();

  constructor(options: EtcdServiceOptions) {
    this.#options = options;
    this.#methods = new Map(options.methods.map((method) => [method.path, method]));
    this.#services = new Set(options.methods.map(({ path }) => path.slice(0, path.lastIndexOf("/"))));
    this.#gateway = new JsonGateway({
      methods: options.methods,
      withCall: async (request, token, action) => {
        try {
          await this.#withCall(request, token, action);
        } catch (error) {
          this.#noteRefusal(error, request);
          throw error;
        }
      },
      ask: (request, token, action) => this.#ask(request, token, action),
    });
  }

  /** Answers one request. */
  async handle(request: WebRequest): Promise<void> {
    if (!isGrpc(request)) return await this.#answerHttp(request);
    const method = this.#methods.get(request.path);
    if (method === undefined) return refuse(request, this.#unknown(request.path));
    if (method.kind === "stream") return await this.#stream(request, method);
    await this.#unary(request, method);
  }

  async #answerHttp(request: WebRequest): Promise<void> {
    if (!JsonGateway.has(request.path)) return await this.#options.answerOther(request);
    const method = this.#gateway.methodOf(request);
    if (method === null) return;
    if (method.kind === "stream") return await this.#gateway.stream(request, method);
    this.requests.begin();
    try {
      await this.#gateway.answer(request, method);
    } finally {
      this.requests.end();
    }
  }

  /**
   * Carries out the call of a request that shows a token; resolves to the answer. A node decides by its own state whether it
   * refuses a user, and may not know yet what another node has answered already. So a call that is refused is made again once
   * the node is up to date. Rejects as `action`, and with EtcdError or KvraftError.
   */
  async #ask<T>(
    request: WebRequest,
    token: string | null,
    action: (call: Call) => Promise<T>,
  ): Promise<T> {
    try {
      return await this.#withCall(request, token, action);
    } catch (error) {
      if (!isOfUsers(toEtcdError(error, { hasToken: token !== null }))) throw error;
      await this.#options.context.isReadable();
      try {
        return await this.#withCall(request, token, action);
      } catch (again) {
        this.#noteRefusal(again, request);
        throw again;
      }
    }
  }

  /**
   * Records an error in the audit log if it is a refusal because of the user. The node that refused has a line with the user and
   * the keys, and knows this front end only: here is the client.
   */
  #noteRefusal(error: unknown, { path, remote, security: { certificate } }: WebRequest): void {
    if (!(error instanceof EtcdError || error instanceof KvraftError)) return;
    const { message } = toEtcdError(error, { hasToken: false });
    if (!USER_FAILURES.some((failure) => failure.message === message)) return;
    const hasName = certificate !== null && certificate.problem === null;
    this.#options.context.refusals.write("audit: client of etcd refused", {
      remote,
      ...hasName && { certificate: shortened(certificate.commonName) },
      request: path,
      code: message === DENIED.message ? "permissionDenied" : "unauthenticated",
      reason: error.message,
    });
  }

  /** Carries out the call of a request that shows a token. Rejects as `action`, and with EtcdError or KvraftError. */
  async #withCall<T>(
    request: WebRequest,
    token: string | null,
    action: (call: Call) => Promise<T>,
  ): Promise<T> {
    const { clients, view } = this.#options.context;
    const needsLeader = (request.header("hasleader") ?? request.header("grpc-metadata-hasleader")) === "true";
    if (needsLeader && view().leader === 0n) throw etcdError("noLeader");
    const { signal, remote } = request;
    const { core, release } = await clients.use(token, remote);
    const noteWaiting = (): void => request.noteWaiting();
    const noteRefusal = (error: unknown): void => this.#noteRefusal(error, request);
    const timeoutMs = timeoutOf(request);
    try {
      return await action({ core, token, needsLeader, timeoutMs, signal, noteWaiting, remote, noteRefusal });
    } finally {
      release();
    }
  }

  async #unary(request: WebRequest, method: UnaryMethod): Promise<void> {
    const token = tokenOf(request);
    this.requests.begin();
    try {
      const body = await readMessage(request);
      const { runInParts } = method;
      if (runInParts === undefined) {
        respond(request, await this.#ask(request, token, (call) => method.run(body, PROTOBUF, call)));
      } else {
        respondInParts(request, await this.#ask(request, token, (call) => runInParts(body, call)));
      }
    } catch (error) {
      refuse(request, toEtcdError(error, { hasToken: token !== null }));
    } finally {
      this.requests.end();
    }
  }

  async #stream(request: WebRequest, method: StreamMethod): Promise<void> {
    const token = tokenOf(request);
    const failureOf = (error: unknown): EtcdError => toEtcdError(error, { hasToken: token !== null });
    try {
      await this.#withCall(request, token, async (call) => {
        const stream = new GrpcStream(request);
        try {
          await method.run(stream, PROTOBUF, call);
          stream.end(null);
        } catch (error) {
          call.noteRefusal(error);
          stream.end(failureOf(error));
        }
      });
    } catch (error) {
      refuse(request, failureOf(error));
    }
  }

  #unknown(path: string): EtcdError {
    const end = path.lastIndexOf("/");
    const [service, name] = [path.slice(0, end), path.slice(end + 1)];
    const text = this.#services.has(service)
      ? `unknown method ${name} for service ${service.slice(1)}`
      : `unknown service ${service.slice(1)}`;
    return new EtcdError("unimplemented", text);
  }
}

/** Whether a request was refused because of its user. */
function isOfUsers({ code, message }: EtcdError): boolean {
  return USER_FAILURES.some((failure) => failure.code === code && failure.message === message);
}

function tokenOf(request: WebRequest): string | null {
  return request.header("token") ?? request.header("authorization")?.replace(/^Bearer /, "") ?? null;
}
