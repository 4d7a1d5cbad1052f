/** The methods of etcdserverpb.Auth about roles. The role root always exists and has every right. */
import { authOn } from "../../client/auth/auth_client.ts";
import { changeAuth } from "../../client/auth/changes.ts";
import { type Grant, ROOT_ROLE } from "../../kv/auth/auth_command.ts";
import { type EtcdContext, headerOf } from "../context.ts";
import {
  AUTH_ENABLE_REQUEST,
  AUTH_ENABLE_RESPONSE,
  AUTH_ROLE_ADD_REQUEST,
  AUTH_ROLE_GET_REQUEST,
  AUTH_ROLE_GET_RESPONSE,
  AUTH_ROLE_GRANT_PERMISSION_REQUEST,
  AUTH_ROLE_LIST_RESPONSE,
  AUTH_ROLE_REVOKE_PERMISSION_REQUEST,
  type EtcdPermission,
} from "../messages/auth.ts";
import { type Call, type Method, unary } from "../rpc/method.ts";
import { etcdError } from "../rpc/status.ts";
import { changed, changing } from "./failures.ts";
import {
  changesOf,
  grantedKeysOf,
  grantsOver,
  permissionsOf,
  ROOT_PERMISSION,
  withRoot,
} from "./permissions.ts";

const SERVICE = "etcdserverpb.Auth";

/** Returns the methods about roles. */
export function roleMethods(context: EtcdContext): readonly Method[] {
  const header = () => headerOf(context, context.view().revision);
  const base = { service: SERVICE, response: AUTH_ENABLE_RESPONSE };
  return [
    unary(
      { ...base, name: "RoleAdd", http: ["/v3/auth/role/add"], request: AUTH_ROLE_ADD_REQUEST },
      async ({ name }, { core, timeoutMs }) => {
        if (name === "") throw etcdError("roleEmpty");
        const add = (): Promise<unknown> => authOn(core).addRole(name, { timeoutMs });
        const isNew = await changed("roleExists", add);
        // Who sets a cluster of etcd up adds it.
        if (!isNew && name !== ROOT_ROLE) throw etcdError("roleExists");
        return { header: header() };
      },
    ),
    unary(
      {
        service: SERVICE,
        name: "RoleGet",
        http: ["/v3/auth/role/get"],
        request: AUTH_ROLE_GET_REQUEST,
        response: AUTH_ROLE_GET_RESPONSE,
      },
      async ({ role: name }, { core, timeoutMs }) => {
        const role = name === "" ? null : await authOn(core).role(name, { timeoutMs });
        if (role === null && name !== ROOT_ROLE) throw etcdError("roleNotFound");
        return { header: header(), perm: role === null ? [ROOT_PERMISSION] : permissionsOf(role.grants) };
      },
    ),
    unary(
      {
        service: SERVICE,
        name: "RoleList",
        http: ["/v3/auth/role/list"],
        request: AUTH_ENABLE_REQUEST,
        response: AUTH_ROLE_LIST_RESPONSE,
      },
      async (_request, { core, timeoutMs }) => {
        const roles = await authOn(core).roles({ timeoutMs });
        return { header: header(), roles: withRoot(roles.map(({ name }) => name)) };
      },
    ),
    unary(
      { ...base, name: "RoleDelete", http: ["/v3/auth/role/delete"], request: AUTH_ROLE_GET_REQUEST },
      async ({ role }, { core, timeoutMs }) => {
        if (role === "") throw etcdError("roleNotFound");
        await changing(() => authOn(core).removeRole(role, { timeoutMs }));
        return { header: header() };
      },
    ),
    ...permissionMethods(header),
  ];
}

function permissionMethods(header: () => ReturnType<typeof headerOf>): readonly Method[] {
  const base = { service: SERVICE, response: AUTH_ENABLE_RESPONSE };
  return [
    unary(
      {
        ...base,
        name: "RoleGrantPermission",
        http: ["/v3/auth/role/grant"],
        request: AUTH_ROLE_GRANT_PERMISSION_REQUEST,
      },
      async ({ name, perm }, call) => {
        if (perm === null) throw etcdError("permissionNotGiven");
        if (name === "") throw etcdError("roleNotFound");
        await grant(name, perm, call);
        return { header: header() };
      },
    ),
    unary(
      {
        ...base,
        name: "RoleRevokePermission",
        http: ["/v3/auth/role/revoke"],
        request: AUTH_ROLE_REVOKE_PERMISSION_REQUEST,
      },
      async ({ role, ...range }, call) => {
        if (role === "") throw etcdError("roleNotFound");
        const keys = grantedKeysOf(range);
        if (!await revoke(role, grantsOver(keys), call)) throw etcdError("permissionNotGranted");
        return { header: header() };
      },
    ),
  ];
}

/**
 * Makes a role have exactly one permission over some keys, as a client of etcd expects it. More is given before less is taken. The
 * role root has every right.
 */
async function grant(role: string, permission: EtcdPermission, call: Call): Promise<void> {
  const { added, removed } = changesOf(permission);
  const { core, timeoutMs } = call;
  const notes = { action: "give a right to a role", options: { timeoutMs } };
  for (const grant of added) {
    const isChanged = await changed(
      "rootRole",
      () => changeAuth(core, { kind: "addGrant", role, grant }, notes),
    );
    if (!isChanged) return;
  }
  await revoke(role, removed, call);
}

/** Takes grants from a role; returns whether it had one of them. */
async function revoke(role: string, grants: readonly Grant[], { core, timeoutMs }: Call): Promise<boolean> {
  const notes = { action: "take a right from a role", options: { timeoutMs } };
  let hadAny = false;
  for (const grant of grants) {
    const change = { kind: "removeGrant", role, grant } as const;
    if (await changed("grantNotFound", () => changeAuth(core, change, notes))) hadAny = true;
  }
  return hadAny;
}
