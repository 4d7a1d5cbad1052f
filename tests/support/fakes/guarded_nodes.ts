/** Nodes that take requests only over connections that have signed in, and clients that do so. */
import { encodeResult } from "../../../lib/protocol/command.ts";
import type { KvClient } from "../../../lib/mod.ts";
import type { ConnectOptions } from "../../../lib/client/types.ts";
import type { ClientRequest, ServerMessage } from "../../../lib/protocol/client_frames.ts";
import type { ErrorCode } from "../../../lib/protocol/messages.ts";
import { connectOn } from "../../../lib/testing.ts";
import type { FakeCluster, FakeNode } from "./scripted_node.ts";
import { SeededRandom } from "../seeded_random.ts";

/** How a client signs in. */
export type Credentials = Pick<ConnectOptions, "user" | "password" | "token">;

/** A user with its password. */
export const ADA: Credentials = { user: "ada", password: "s3cret" };

/** Connects a client with credentials to all nodes. */
export function connectAs(
  cluster: FakeCluster,
  options: Credentials & Partial<ConnectOptions>,
): Promise<KvClient> {
  const random = new SeededRandom(7);
  const platform = { network: cluster.network, clock: cluster.clock, random: () => random.next() };
  const addresses = cluster.nodes.map(({ address }) => address);
  return cluster.finish(connectOn(platform, { cluster: addresses, ...options }));
}

/** Returns a refusal of a request, which was not applied. */
export function refusal({ requestId }: ClientRequest, code: ErrorCode, message = "No."): ServerMessage {
  return { kind: "error", requestId, code, message, outcome: "not-applied", leader: null };
}

/** Returns the answer to a write whose user was not accepted when it was applied. */
export function notAccepted({ requestId }: ClientRequest): ServerMessage {
  return {
    kind: "writeResult",
    requestId,
    result: encodeResult({ kind: "refused", reason: "unauthenticated" }),
  };
}

/**
 * Has the nodes take one secret only, which each connection has to sign in by before anything else, and again when it is
 * another one. `code` is that of the refusal of other requests.
 */
export function guard(
  cluster: FakeCluster,
  right: { readonly secret: string; readonly code?: ErrorCode },
): void {
  for (const node of cluster.nodes) {
    const signedIn = new WeakMap<object, string>();
    const { serve } = node;
    node.serve = (request, send) => {
      if (request.kind === "signIn") {
        const { method } = request;
        const secret = method.kind === "password"
          ? method.password
          : method.kind === "token"
          ? method.token
          : "";
        if (secret !== right.secret) return refusal(request, "signInFailed", "The password is wrong.");
        signedIn.set(send, secret);
        return null;
      }
      if (signedIn.get(send) === right.secret) return serve(request, send);
      return refusal(request, right.code ?? "unauthenticated", "Sign in.");
    };
  }
}

/** Returns the kinds of the requests that a node received. */
export function kindsAt(node: FakeNode): readonly string[] {
  return node.requests.map(({ kind }) => kind);
}

/** Returns the number of sign-ins that all nodes received. */
export function signInsOf(cluster: FakeCluster): number {
  return cluster.nodes.reduce(
    (sum, node) => sum + kindsAt(node).filter((kind) => kind === "signIn").length,
    0,
  );
}
