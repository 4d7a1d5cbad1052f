/** All methods of the etcd front end. */
import { concurrencyMethods } from "./concurrency/methods.ts";
import type { EtcdContext } from "./context.ts";
import { kvMethods } from "./kv/methods.ts";
import { leaseMethods } from "./lease/methods.ts";
import type { Method } from "./rpc/method.ts";

/** Returns the methods of all services. */
export function allMethods(context: EtcdContext): readonly Method[] {
  return [
    ...kvMethods(context),
    ...leaseMethods(context),
    ...concurrencyMethods(context),
  ];
}
