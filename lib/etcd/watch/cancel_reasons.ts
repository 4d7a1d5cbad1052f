/** The reasons of watches that the server cancels, as etcd 3.7.3 words them. */
import { toEtcdError } from "../rpc/failures.ts";
import type { StatusName } from "../rpc/status.ts";

export const DUPLICATE_ID = "mvcc: duplicate watch ID provided on the WatchStream";
export const BEFORE_FIRST_REVISION = "etcdserver: mvcc: required revision has been compacted";

/** Returns the reason of a refusal: the text that Go's gRPC gives its error. */
export function reasonOf(error: unknown, { hasToken }: { readonly hasToken: boolean }): string {
  const { status, message } = toEtcdError(error, { hasToken });
  return `rpc error: code = ${goNameOf(status)} desc = ${message}`;
}

/** Returns the name of a status in Go: with a capital, and "Canceled" in American spelling. */
function goNameOf(status: StatusName): string {
  if (status === "cancelled") return "Canceled";
  return status === "ok" ? "OK" : `${status[0]?.toUpperCase() ?? ""}${status.slice(1)}`;
}
