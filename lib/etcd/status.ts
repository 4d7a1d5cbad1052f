/** The status of the node that answers a client. */
import type { NodeStatus } from "../protocol/messages.ts";
import type { Call } from "./rpc/method.ts";

/**
 * Resolves to the status of the node that the client of a request uses. Rejects with KvraftError, also where authentication is
 * enabled and the request has no user.
 */
export async function statusFor(
  { core, timeoutMs, signal }: Call,
  { isLinearizable }: {
    /** Whether the node has to be up to date first. */
    readonly isLinearizable: boolean;
  },
): Promise<NodeStatus> {
  const context = core.context({ timeoutMs, signal });
  const note = { kind: "read", action: "get the status", context } as const;
  if (isLinearizable) {
    // Any read shows that the node is up to date; this one needs no right and costs nothing.
    const read = {
      kind: "lease",
      leaseId: 1,
      keys: false,
      after: null,
      consistency: "linearizable",
    } as const;
    await core.call(read, note);
  }
  return (await core.call({ kind: "status" }, note)).message.status;
}
