/** The service etcdserverpb.Auth. */
import type { EtcdContext } from "../context.ts";
import type { Method } from "../rpc/method.ts";
import { accessMethods } from "./access_methods.ts";
import { roleMethods } from "./role_methods.ts";
import { userMethods } from "./user_methods.ts";

/** Returns the methods of the service. */
export function authMethods(context: EtcdContext): readonly Method[] {
  return [...accessMethods(context), ...userMethods(context), ...roleMethods(context)];
}
