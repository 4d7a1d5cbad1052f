/** All methods of the etcd front end. */
import { authMethods } from "./auth/methods.ts";
import { clusterMethods } from "./cluster/methods.ts";
import { concurrencyMethods } from "./concurrency/methods.ts";
import type { EtcdContext } from "./context.ts";
import { heldAtGate } from "./history_gate.ts";
import { kvMethods } from "./kv/methods.ts";
import { leaseMethods } from "./lease/methods.ts";
import { maintenanceMethods } from "./maintenance/methods.ts";
import type { Method } from "./rpc/method.ts";
import { watchMethods } from "./watch/methods.ts";

/** Returns the methods of all services. */
export function allMethods(context: EtcdContext): readonly Method[] {
  return [
    ...authMethods(context),
    ...heldAtGate(context, [
      ...kvMethods(context),
      ...leaseMethods(context),
      ...concurrencyMethods(context),
      ...watchMethods(context),
    ]),
    ...clusterMethods(context),
    ...maintenanceMethods(context),
  ];
}
