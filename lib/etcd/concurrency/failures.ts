/** The statuses of locks and elections. */
import { toEtcdError } from "../rpc/failures.ts";
import type { Call } from "../rpc/method.ts";
import { EtcdError, type StatusName } from "../rpc/status.ts";

/** The statuses that say that a repetition may succeed, or that the client itself has ended the call. */
const KEPT: readonly StatusName[] = ["unavailable", "resourceExhausted", "cancelled"];

/**
 * Runs a method of these services. etcd's are clients of etcd themselves and pass on the text of a failure alone, with the
 * status "unknown"; clients compare the text.
 */
export async function withUnknownStatus<T>({ token }: Call, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    const { status, message } = toEtcdError(error, { hasToken: token !== null });
    throw KEPT.includes(status) ? error : new EtcdError("unknown", message);
  }
}
