/** All methods of the etcd front end. */
import type { EtcdContext } from "./context.ts";
import type { Method } from "./rpc/method.ts";

/** Returns the methods of all services. */
export function allMethods(_context: EtcdContext): readonly Method[] {
  return [];
}
