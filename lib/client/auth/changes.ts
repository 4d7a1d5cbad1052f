/** Changes of users, roles and tokens as exactly-once writes, and the reasons for which the cluster makes none. */
import { type AuthChange, type AuthFailure, ROOT_ROLE } from "../../kv/auth/auth_command.ts";
import { assertNever } from "../../platform/assert.ts";
import type { ClientCore } from "../core.ts";
import { AuthChangeRefusedError } from "../errors.ts";
import { throwProblem } from "../input.ts";
import { validateAuthChange } from "../../kv/auth/validate_auth.ts";
import type { CallOptions } from "../types.ts";
import { wrongAnswer } from "../writer.ts";
import type { AuthChangeResult } from "./types.ts";

/** Makes a change, once. Rejects with a KvraftError. */
export async function changeAuth(
  core: ClientCore,
  change: AuthChange,
  { action, options }: { readonly action: string; readonly options: CallOptions },
): Promise<AuthChangeResult> {
  throwProblem(validateAuthChange(change));
  return await core.write({ command: { kind: "changeAuth", change } }, { action, options }, (result) => {
    if (result.kind === "authChanged") return { authRevision: result.authRevision };
    if (result.kind !== "authFailed") throw wrongAnswer(action);
    const { reason } = result;
    throw new AuthChangeRefusedError(`Cannot ${action}: ${explain(reason, change)}`, { reason });
  });
}

/** Returns why a change was not made and what to do, as sentences. */
function explain(reason: AuthFailure, change: AuthChange): string {
  const user = "user" in change ? change.user : "";
  const role = "role" in change ? change.role : "";
  const token = "token" in change ? change.token : "";
  switch (reason) {
    case "userExists":
      return `there is a user ${user}.`;
    case "userNotFound":
      return `there is no user ${user}.`;
    case "roleExists":
      return `there is a role ${role}${role === ROOT_ROLE ? ", which always exists" : ""}.`;
    case "roleNotFound":
      return change.kind === "revokeRole"
        ? `there is no user ${user} with the role ${role}.`
        : `there is no role ${role}. Add it first.`;
    case "tokenExists":
      return `${user} has a token of the name ${token}. Revoke it first, or choose another name.`;
    case "tokenNotFound":
      return `${user} has no token of the name ${token}.`;
    case "grantNotFound":
      return `the role ${role} has no such grant. A grant is taken with the right and the keys with which it was given.`;
    case "noRoot":
      return `no user has the role ${ROOT_ROLE} and a password or a token that never expires (a certificate alone does not ` +
        `count), so no client could change anything afterwards. Add a user with a password, give it the role ${ROOT_ROLE}, and try again.`;
    case "lastRoot":
      return `no other user has the role ${ROOT_ROLE} and a password or a token that never expires (a certificate alone does ` +
        "not count). " +
        "Give the role to another user with a password first, or disable authentication.";
    case "rootRole":
      return `the role ${ROOT_ROLE} has every right and cannot be changed.`;
    case "tooMany":
      return `${tooMany(change)} Remove some first.`;
    default:
      return assertNever(reason);
  }
}

function tooMany(change: AuthChange): string {
  switch (change.kind) {
    case "addUser":
      return "the cluster has as many users as it may have.";
    case "grantRole":
      return "the user has as many roles as it may have.";
    case "addToken":
      return "the user has as many tokens as it may have.";
    case "addRole":
      return "the cluster has as many roles as it may have.";
    case "addGrant":
      return "the role has as many grants, or as many bytes of keys in them, as it may have.";
    case "setEnabled":
    case "setPassword":
    case "removeUser":
    case "revokeRole":
    case "revokeToken":
    case "removeRole":
    case "removeGrant":
      return "there is no space for it.";
    default:
      return assertNever(change);
  }
}
