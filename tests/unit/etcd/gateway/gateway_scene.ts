/** The JSON gateway with methods of a test, over sockets. */
import { JsonGateway } from "../../../../lib/etcd/gateway/json_gateway.ts";
import {
  boolean,
  bytes,
  choice,
  integer,
  message,
  messages,
  oneOf,
  signedId,
  unsignedId,
} from "../../../../lib/etcd/protobuf/field.ts";
import { declare } from "../../../../lib/etcd/protobuf/message.ts";
import { type Call, streaming, unary } from "../../../../lib/etcd/rpc/method.ts";
import { EtcdError, etcdError, type StatusName } from "../../../../lib/etcd/rpc/status.ts";
import type { WebRequest } from "../../../../lib/web/mod.ts";
import { withServer } from "../../../support/web/web_server.ts";

/** A message with a field of each kind. */
const ECHO = declare("test.Echo", {
  key: bytes(1),
  limit: integer(2),
  lease: signedId(3),
  member: unsignedId(4, { json: "ID" }),
  keysOnly: boolean(5),
  sortOrder: choice(6, ["NONE", "ASCEND", "DESCEND"]),
  target: oneOf({ version: integer(7), createRequest: message(8, () => EMPTY) }),
});
const EMPTY = declare("test.Empty", {});
/** A message that contains messages of its type. */
interface Nested {
  readonly inner: readonly Nested[];
}
const NESTED: ReturnType<typeof declare<{ readonly inner: ReturnType<typeof messages<Nested, never>> }>> =
  declare("test.Nested", { inner: messages(1, () => NESTED) });
const FAIL = declare("test.Fail", { code: choice(1, ["ok"]) });

/** The statuses with which `/v3/test/fail` ends, by the number that is asked for. */
export const STATUSES: readonly StatusName[] = [
  "ok",
  "cancelled",
  "unknown",
  "invalidArgument",
  "deadlineExceeded",
  "notFound",
  "alreadyExists",
  "permissionDenied",
  "resourceExhausted",
  "failedPrecondition",
  "aborted",
  "outOfRange",
  "unimplemented",
  "internal",
  "unavailable",
  "dataLoss",
  "unauthenticated",
];

const METHODS = [
  unary(
    { service: "test.Test", name: "Echo", http: ["/v3/test/echo"], request: ECHO, response: ECHO },
    (request) => Promise.resolve(request),
  ),
  unary(
    { service: "test.Test", name: "Nested", http: ["/v3/test/nested"], request: NESTED, response: EMPTY },
    () => Promise.resolve({}),
  ),
  unary(
    { service: "test.Test", name: "Fail", http: ["/v3/test/fail"], request: FAIL, response: EMPTY },
    ({ code }) => Promise.reject(new EtcdError(STATUSES[code] ?? "unknown", "etcdserver: it failed")),
  ),
  streaming(
    { service: "test.Test", name: "Stream", http: ["/v3/test/stream"], request: ECHO, response: ECHO },
    async (stream) => {
      for (let request = await stream.read(); request !== null; request = await stream.read()) {
        if (request.limit === 13) throw etcdError("leaseNotFound");
        stream.write(request);
      }
    },
  ),
];

/** A gateway that listens. */
export interface GatewayScene {
  readonly url: string;
  /** The tokens of requests so far. */
  readonly tokens: readonly (string | null)[];
  /** Sends a request; resolves to the status and the body. */
  readonly post: (
    path: string,
    body: string | Uint8Array<ArrayBuffer>,
    headers?: Readonly<Record<string, string>>,
  ) => Promise<readonly [status: number, body: string]>;
}

/** Runs `action` with a gateway. */
export async function withGateway(action: (scene: GatewayScene) => Promise<void>): Promise<void> {
  const tokens: (string | null)[] = [];
  const callOf = (request: WebRequest, token: string | null): Call => {
    tokens.push(token);
    // The methods of this test use no client.
    const { signal, remote } = request;
    const noteWaiting = (): void => request.noteWaiting();
    return {
      core: Object.create(null),
      token,
      needsLeader: false,
      timeoutMs: 1_000,
      signal,
      noteWaiting,
      remote,
      noteRefusal: () => {},
    };
  };
  const gateway = new JsonGateway({
    methods: METHODS,
    withCall: (request, token, action) => action(callOf(request, token)),
    ask: (request, token, action) => action(callOf(request, token)),
  });
  const handler = async (request: WebRequest): Promise<void> => {
    const method = gateway.methodOf(request);
    if (method === null) return;
    if (method.kind === "stream") await gateway.stream(request, method);
    else await gateway.answer(request, method);
  };
  await withServer({ handler }, async (url) => {
    // Closed before the server, which waits for its connections.
    using client = Deno.createHttpClient({});
    const post: GatewayScene["post"] = async (path, body, headers = {}) => {
      const response = await fetch(`${url}${path}`, { method: "POST", body, headers, client });
      return [response.status, await response.text()];
    };
    await action({ url, tokens, post });
  });
}
