/**
 * The JSON gateway: the methods of etcd's services over HTTP, for clients without gRPC. A request is a POST of a message in
 * JSON to the path that the method's declaration names.
 */
import { errorMessage } from "../../platform/errors.ts";
import { WebError, type WebRequest } from "../../web/mod.ts";
import { MalformedMessageError } from "../protobuf/field.ts";
import { toEtcdError } from "../rpc/failures.ts";
import { MAX_MESSAGE_BYTES } from "../rpc/grpc.ts";
import type { Call, Method, StreamMethod, UnaryMethod } from "../rpc/method.ts";
import { EtcdError } from "../rpc/status.ts";
import { CORS_HEADERS, failureOf, httpStatusOf, JSON_HEADERS } from "./answers.ts";
import { JSON_FORMAT } from "./json_format.ts";
import { JsonStream } from "./json_stream.ts";
import { JsonValues, tooLarge } from "./json_values.ts";

/** Bytes of a request: a message of {@link MAX_MESSAGE_BYTES} in base64, and the names of its fields. */
const MAX_BODY_BYTES = 3 * 1_048_576;
const PREFIX = "/v3/";
/** The prefix of etcd 3.3, which etcd still answers. */
const OLD_PREFIX = "/v3beta/";

/** Dependencies of {@link JsonGateway}. */
export interface JsonGatewayOptions {
  readonly methods: readonly Method[];
  /** Carries out the call of a request that shows a token. Rejects as `action`, and with EtcdError or KvraftError. */
  readonly withCall: (
    request: WebRequest,
    token: string | null,
    action: (call: Call) => Promise<void>,
  ) => Promise<void>;
  /** The same, for a call with one answer, which may be made again. */
  readonly ask: (
    request: WebRequest,
    token: string | null,
    action: (call: Call) => Promise<Uint8Array>,
  ) => Promise<Uint8Array>;
}

/** The gateway. */
export class JsonGateway {
  readonly #options: JsonGatewayOptions;
  readonly #methods = new Map<string, Method>();

  /** Answers nothing yet. */
  constructor(options: JsonGatewayOptions) {
    this.#options = options;
    for (const method of options.methods) {
      for (const path of method.http) this.#methods.set(path, method);
    }
  }

  /** Whether a path belongs to the gateway, also one without a method. */
  static has(path: string): boolean {
    return path.startsWith(PREFIX) || path.startsWith(OLD_PREFIX);
  }

  /** Returns the method of a request; null if there is none: the request is answered then. */
  methodOf(request: WebRequest): Method | null {
    const path = request.path.startsWith(OLD_PREFIX)
      ? `${PREFIX}${request.path.slice(OLD_PREFIX.length)}`
      : request.path;
    if (request.method === "OPTIONS") {
      void request.respond({ status: 200, headers: CORS_HEADERS, body: "" });
      return null;
    }
    const method = this.#methods.get(path);
    if (method === undefined) refuse(request, new EtcdError("notFound", "Not Found"));
    else if (request.method !== "POST") refuse(request, new EtcdError("unimplemented", "Method Not Allowed"));
    else return method;
    return null;
  }

  /** Answers a request of a method with one message in each direction. */
  async answer(request: WebRequest, method: UnaryMethod): Promise<void> {
    const token = tokenOf(request);
    try {
      const body = await readValue(request);
      const answer = await this.#options.ask(
        request,
        token,
        (call) => method.run(body, JSON_FORMAT, call),
      );
      void request.respond({ status: 200, headers: JSON_HEADERS, body: answer });
    } catch (error) {
      refuse(request, toFailure(error, token));
    }
  }

  /** Answers a request of another method until its stream ends. */
  async stream(request: WebRequest, method: StreamMethod): Promise<void> {
    const token = tokenOf(request);
    const stream = new JsonStream(request);
    try {
      await this.#options.withCall(request, token, (call) => method.run(stream, JSON_FORMAT, call));
      stream.end(null);
    } catch (error) {
      stream.end(toFailure(error, token));
    }
  }
}

/** Reads the first value of a body, empty for an empty one; what is behind it is ignored, as etcd does. */
async function readValue(request: WebRequest): Promise<Uint8Array> {
  const values = new JsonValues(MAX_BODY_BYTES);
  try {
    values.push(await request.body(MAX_BODY_BYTES));
  } catch (error) {
    if (!(error instanceof WebError)) throw error;
    if (error.status !== 413) throw new EtcdError("cancelled", errorMessage(error));
    throw tooLarge(Number(request.header("content-length") ?? MAX_BODY_BYTES + 1), MAX_MESSAGE_BYTES);
  }
  values.end();
  return values.take() ?? new Uint8Array(0);
}

function toFailure(error: unknown, token: string | null): EtcdError {
  if (error instanceof MalformedMessageError) {
    return new EtcdError("invalidArgument", `proto: ${error.message}`);
  }
  return toEtcdError(error, { hasToken: token !== null });
}

function refuse(request: WebRequest, error: EtcdError): void {
  void request.respond({
    status: httpStatusOf(error.status),
    headers: JSON_HEADERS,
    body: failureOf(error),
  });
}

/** Returns the token of a request: with the scheme "Bearer" or without, as etcd accepts it. */
function tokenOf(request: WebRequest): string | null {
  const given = request.header("authorization") ?? request.header("grpc-metadata-token");
  return given === null || given === "" ? null : given.replace(/^Bearer /i, "");
}
