/** The methods of etcdserverpb.Auth about users. */
import { authOn } from "../../client/auth/auth_client.ts";
import { ROOT_ROLE } from "../../kv/auth/auth_command.ts";
import { type EtcdContext, headerOf } from "../context.ts";
import {
  AUTH_ENABLE_REQUEST,
  AUTH_ENABLE_RESPONSE,
  AUTH_USER_ADD_REQUEST,
  AUTH_USER_CHANGE_PASSWORD_REQUEST,
  AUTH_USER_GET_REQUEST,
  AUTH_USER_GET_RESPONSE,
  AUTH_USER_GRANT_ROLE_REQUEST,
  AUTH_USER_LIST_RESPONSE,
  AUTH_USER_REVOKE_ROLE_REQUEST,
} from "../messages/auth.ts";
import { type Call, type Method, unary } from "../rpc/method.ts";
import { EtcdError, etcdError } from "../rpc/status.ts";
import { changed, changing } from "./failures.ts";
import { Turns } from "./turns.ts";

const SERVICE = "etcdserverpb.Auth";

/** Returns the methods about users. */
export function userMethods(context: EtcdContext): readonly Method[] {
  const header = () => headerOf(context, context.view().revision);
  const response = AUTH_ENABLE_RESPONSE;
  const base = { service: SERVICE, response };
  return [
    ...passwordMethods(context),
    ...rolesOfUserMethods(context),
    unary(
      {
        service: SERVICE,
        name: "UserGet",
        http: ["/v3/auth/user/get"],
        request: AUTH_USER_GET_REQUEST,
        response: AUTH_USER_GET_RESPONSE,
      },
      async ({ name }, { core, timeoutMs }) => {
        const user = name === "" ? null : await authOn(core).user(name, { timeoutMs });
        if (user === null) throw etcdError("userNotFound");
        return { header: header(), roles: user.roles };
      },
    ),
    unary(
      {
        service: SERVICE,
        name: "UserList",
        http: ["/v3/auth/user/list"],
        request: AUTH_ENABLE_REQUEST,
        response: AUTH_USER_LIST_RESPONSE,
      },
      async (_request, { core, timeoutMs }) => {
        const users = await authOn(core).users({ timeoutMs });
        return { header: header(), users: users.map(({ name }) => name) };
      },
    ),
    unary(
      { ...base, name: "UserDelete", http: ["/v3/auth/user/delete"], request: AUTH_USER_GET_REQUEST },
      async ({ name }, { core, timeoutMs }) => {
        if (name === "") throw etcdError("userNotFound");
        await changing(() => authOn(core).removeUser(name, { timeoutMs }));
        return { header: header() };
      },
    ),
  ];
}

/** Returns the methods about the roles of users. */
function rolesOfUserMethods(context: EtcdContext): readonly Method[] {
  const header = () => headerOf(context, context.view().revision);
  const base = { service: SERVICE, response: AUTH_ENABLE_RESPONSE };
  return [
    unary(
      {
        ...base,
        name: "UserGrantRole",
        http: ["/v3/auth/user/grant"],
        request: AUTH_USER_GRANT_ROLE_REQUEST,
      },
      async ({ user, role }, { core, timeoutMs }) => {
        if (user === "") throw etcdError("userEmpty");
        if (role === "") throw etcdError("roleNotFound");
        await changing(() => authOn(core).grantRole(user, role, { timeoutMs }));
        return { header: header() };
      },
    ),
    unary(
      {
        ...base,
        name: "UserRevokeRole",
        http: ["/v3/auth/user/revoke"],
        request: AUTH_USER_REVOKE_ROLE_REQUEST,
      },
      async ({ name, role }, { core, timeoutMs }) => {
        if (name === "") throw etcdError("userNotFound");
        const revoke = (): Promise<unknown> => authOn(core).revokeRole(name, role, { timeoutMs });
        if (role === "" || !await changed("roleNotFound", revoke)) throw etcdError("roleNotGranted");
        return { header: header() };
      },
    ),
  ];
}

/** Returns the methods that make hashes of passwords. */
function passwordMethods(context: EtcdContext): readonly Method[] {
  const hashes = new Turns();
  const header = () => headerOf(context, context.view().revision);
  const base = { service: SERVICE, response: AUTH_ENABLE_RESPONSE };
  return [
    unary(
      { ...base, name: "UserAdd", http: ["/v3/auth/user/add"], request: AUTH_USER_ADD_REQUEST },
      async ({ name, password: given, options, hashedPassword }, call) => {
        if (name === "") throw etcdError("userEmpty");
        await check({ ofUser: null, hashedPassword }, call);
        const password = options?.noPassword === true || given === "" ? null : given;
        const { core, timeoutMs } = call;
        const add = (): Promise<unknown> => authOn(core).addUser(name, { password, timeoutMs });
        await changing(() => password === null ? add() : hashes.run(add));
        return { header: header() };
      },
    ),
    unary(
      {
        ...base,
        name: "UserChangePassword",
        http: ["/v3/auth/user/changepw"],
        request: AUTH_USER_CHANGE_PASSWORD_REQUEST,
      },
      async ({ name, password: given, hashedPassword }, call) => {
        if (name === "") throw etcdError("userNotFound");
        await check({ ofUser: name, hashedPassword }, call);
        const password = given === "" ? null : given;
        const { core, timeoutMs } = call;
        const change = (): Promise<unknown> => authOn(core).setPassword(name, password, { timeoutMs });
        await changing(() => password === null ? change() : hashes.run(change));
        return { header: header() };
      },
    ),
  ];
}

/**
 * Checks whether a request may have a hash made, before it is: by the role root, or by the user whose password it is. The
 * cluster decides again. Rejects with EtcdError.
 */
async function check(
  { ofUser, hashedPassword }: { readonly ofUser: string | null; readonly hashedPassword: string },
  { core, token, timeoutMs }: Call,
): Promise<void> {
  if (hashedPassword !== "") {
    throw new EtcdError("invalidArgument", "kvraft: hashed passwords are not accepted: send the password");
  }
  const { enabled, user, roles } = await authOn(core).status({ timeoutMs });
  if (!enabled || roles.includes(ROOT_ROLE)) return;
  if (user === null) throw etcdError(token === null ? "userEmpty" : "invalidToken");
  if (user !== ofUser) throw etcdError("permissionDenied");
}
