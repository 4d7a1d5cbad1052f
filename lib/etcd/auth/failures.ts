/** The failures of etcd for changes of users and roles that the cluster does not make. */
import { type AuthChangeRefusalReason, AuthChangeRefusedError } from "../../client/errors.ts";
import { assertNever } from "../../platform/assert.ts";
import { EtcdError, etcdError } from "../rpc/status.ts";

/** Makes a change; rejects with EtcdError where the cluster refuses it. */
export async function changing<T>(change: () => Promise<T>): Promise<T> {
  try {
    return await change();
  } catch (error) {
    throw error instanceof AuthChangeRefusedError ? refusalOf(error.reason, error.message) : error;
  }
}

/** Makes a change; returns whether it was made: false where the cluster refuses it for this reason. */
export async function changed(
  reason: AuthChangeRefusalReason,
  change: () => Promise<unknown>,
): Promise<boolean> {
  try {
    await change();
    return true;
  } catch (error) {
    if (!(error instanceof AuthChangeRefusedError)) throw error;
    if (error.reason === reason) return false;
    throw refusalOf(error.reason, error.message);
  }
}

function refusalOf(reason: AuthChangeRefusalReason, message: string): EtcdError {
  switch (reason) {
    case "userExists":
      return etcdError("userExists");
    case "userNotFound":
      return etcdError("userNotFound");
    case "roleExists":
      return etcdError("roleExists");
    case "roleNotFound":
      return etcdError("roleNotFound");
    case "grantNotFound":
      return etcdError("permissionNotGranted");
    case "noRoot":
      return etcdError("rootMissing");
    case "lastRoot":
    case "rootRole":
      return etcdError("invalidAuthManagement");
    case "tokenExists":
    case "tokenNotFound":
    case "tooMany":
      return new EtcdError("failedPrecondition", `kvraft: ${message}`);
    default:
      return assertNever(reason);
  }
}
