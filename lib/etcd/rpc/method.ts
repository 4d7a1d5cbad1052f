/**
 * Methods of etcd's services: their names, their messages, and what carries them out. A method does not know whether its
 * messages arrive as protobuf over gRPC or as JSON over the gateway.
 */
import type { ClientCore } from "../../client/core.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Message } from "../protobuf/message.ts";
import { yieldOf, type YieldToOthers } from "./long_lists.ts";

/** A request of a client, beside its messages. */
export interface Call {
  /** A client of the cluster that is signed in as the user of this request. */
  readonly core: ClientCore;
  /** The token by which the client has signed in; null without one. */
  readonly token: string | null;
  /** Whether the client wants a failure at once while there is no leader. */
  readonly needsLeader: boolean;
  /** Time that the client gives, at most {@link MAX_CALL_MS}. */
  readonly timeoutMs: number;
  /** Aborted once the answer cannot be received any more. */
  readonly signal: AbortSignal;
  /** Notes that the method waits for other clients: those of other requests may work meanwhile. */
  readonly noteWaiting: () => void;
  /** The other end: `127.0.0.1:50312`. */
  readonly remote: string;
  /** Records an error in the audit log if it is a refusal because of the user; for a part of a call that goes on. */
  readonly noteRefusal: (error: unknown) => void;
}

/** Time that a request without a deadline of its own has, and that any request has at most. */
export const MAX_CALL_MS = 7_000;

/** The messages of a method that reads or writes more than one. */
export interface Messages<In, Out> {
  /**
   * Resolves to the next message of the client; to null once it has sent all. Rejects with EtcdError for bytes that are no
   * message, and once the client has gone.
   */
  read(): Promise<In | null>;
  /** Sends a message. Returns false if the client is behind: the caller should wait for {@link whenWritable}. */
  write(message: Out): boolean;
  /** Written bytes that the client's flow control, or the connection, has not accepted yet. */
  readonly unsentBytes: number;
  /** Resolves once everything was taken by the client's flow control, or the stream is closed. */
  whenWritable(): Promise<void>;
}

/** The messages of a stream as bytes, which the writer does not change afterwards. */
export interface ByteMessages extends Messages<Uint8Array, Uint8Array> {
  /** Sends one message, whose bytes are those of both parts. */
  writeParts(head: Uint8Array, body: Uint8Array): boolean;
}

/** Conversion between messages and bytes. */
export interface Format {
  /** Throws MalformedMessageError. */
  decode<T, G>(type: Message<T, G>, body: Uint8Array): T;
  encode<T, G>(type: Message<T, G>, message: G): Uint8Array;
  /** As {@link encode}, in steps of a millisecond or so. Rejects as `yieldToOthers` does. */
  encodeInSteps<T, G>(type: Message<T, G>, message: G, yieldToOthers: YieldToOthers): Promise<Uint8Array>;
}

/** An encoded message in parts, which are sent one after the other. */
export interface MessageParts {
  readonly parts: readonly Uint8Array[];
  /** To be called once the message was sent, or cannot be sent any more. */
  readonly sent: () => void;
}

/** A method with one message in each direction. */
export interface UnaryMethod {
  readonly kind: "unary";
  /** `/etcdserverpb.KV/Put`. */
  readonly path: string;
  /** Paths of the JSON gateway. */
  readonly http: readonly string[];
  /** Resolves to the encoded answer. Rejects with EtcdError or KvraftError. */
  run(body: Uint8Array, format: Format, call: Call): Promise<Uint8Array>;
  /** As {@link run} in protobuf, of a method with large answers: one in parts is never copied into one buffer. */
  runInParts?(body: Uint8Array, call: Call): Promise<MessageParts>;
}

/** A method with several messages, at least in one direction. */
export interface StreamMethod {
  readonly kind: "stream";
  readonly path: string;
  readonly http: readonly string[];
  /** Resolves when the method has ended. Rejects with EtcdError or KvraftError. */
  run(bodies: ByteMessages, format: Format, call: Call): Promise<void>;
}

/** A method of a service. */
export type Method = UnaryMethod | StreamMethod;

/** Names and messages of a method. */
export interface MethodOptions<Request, RequestGiven, Response, ResponseGiven> {
  /** With its package: `etcdserverpb.KV`. */
  readonly service: string;
  readonly name: string;
  /** Paths of the JSON gateway; none for a method that it does not have. */
  readonly http?: readonly string[];
  readonly request: Message<Request, RequestGiven>;
  readonly response: Message<Response, ResponseGiven>;
  /** Given for a method whose answers may have long lists: they are encoded in steps. */
  readonly stepClock?: Pick<Clock, "after">;
}

/** Declares a method with one message in each direction. */
export function unary<Request, RequestGiven, Response, ResponseGiven>(
  { service, name, http = [], request, response, stepClock: clock }: MethodOptions<
    Request,
    RequestGiven,
    Response,
    ResponseGiven
  >,
  handle: (request: Request, call: Call) => Promise<ResponseGiven>,
): UnaryMethod {
  return {
    kind: "unary",
    path: `/${service}/${name}`,
    http,
    run: async (body, format, call) => {
      const answer = await handle(format.decode(request, body), call);
      return clock === undefined
        ? format.encode(response, answer)
        : await format.encodeInSteps(response, answer, yieldOf({ clock, signal: call.signal }));
    },
  };
}

/** Declares a method with several messages, at least in one direction. */
export function streaming<Request, RequestGiven, Response, ResponseGiven>(
  { service, name, http = [], request, response }: MethodOptions<
    Request,
    RequestGiven,
    Response,
    ResponseGiven
  >,
  handle: (messages: Messages<Request, ResponseGiven>, call: Call) => Promise<void>,
): StreamMethod {
  return {
    kind: "stream",
    path: `/${service}/${name}`,
    http,
    run: (bodies, format, call) => {
      const messages: Messages<Request, ResponseGiven> = {
        read: async () => {
          const body = await bodies.read();
          return body === null ? null : format.decode(request, body);
        },
        write: (message) => bodies.write(format.encode(response, message)),
        get unsentBytes() {
          return bodies.unsentBytes;
        },
        whenWritable: () => bodies.whenWritable(),
      };
      return handle(messages, call);
    },
  };
}
