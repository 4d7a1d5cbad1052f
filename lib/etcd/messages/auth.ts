/** The messages of etcdserverpb.Auth. */
import { boolean, bytes, choice, integer, message, messages, text, texts } from "../protobuf/field.ts";
import { declare, type GivenOf, type MessageOf } from "../protobuf/message.ts";
import { RESPONSE_HEADER } from "./common.ts";

const HEADER = message(1, () => RESPONSE_HEADER);
/** A hash that etcd's servers send each other. */
const HASHED_PASSWORD = { json: "hashedPassword" } as const;

/** A request without fields. */
export const AUTH_ENABLE_REQUEST = declare("etcdserverpb.AuthEnableRequest", {});
/** An answer with nothing but a header. */
export const AUTH_ENABLE_RESPONSE = declare("etcdserverpb.AuthEnableResponse", { header: HEADER });

/** Asks whether clients need a user. */
export const AUTH_STATUS_RESPONSE = declare("etcdserverpb.AuthStatusResponse", {
  header: HEADER,
  enabled: boolean(2),
  authRevision: integer(3, { json: "authRevision" }),
});

/** Signs in. */
export const AUTHENTICATE_REQUEST = declare("etcdserverpb.AuthenticateRequest", {
  name: text(1),
  password: text(2),
});

/** The answer to {@link AUTHENTICATE_REQUEST}. */
export const AUTHENTICATE_RESPONSE = declare("etcdserverpb.AuthenticateResponse", {
  header: HEADER,
  token: text(2),
});

/** The options of a user. */
export const USER_ADD_OPTIONS = declare("authpb.UserAddOptions", { noPassword: boolean(1) });

/** Adds a user. */
export const AUTH_USER_ADD_REQUEST = declare("etcdserverpb.AuthUserAddRequest", {
  name: text(1),
  password: text(2),
  options: message(3, () => USER_ADD_OPTIONS),
  hashedPassword: text(4, HASHED_PASSWORD),
});

/** Names a user: to read or to remove it. */
export const AUTH_USER_GET_REQUEST = declare("etcdserverpb.AuthUserGetRequest", { name: text(1) });

/** The roles of a user. */
export const AUTH_USER_GET_RESPONSE = declare("etcdserverpb.AuthUserGetResponse", {
  header: HEADER,
  roles: texts(2),
});

/** All users. */
export const AUTH_USER_LIST_RESPONSE = declare("etcdserverpb.AuthUserListResponse", {
  header: HEADER,
  users: texts(2),
});

/** Changes a password. */
export const AUTH_USER_CHANGE_PASSWORD_REQUEST = declare("etcdserverpb.AuthUserChangePasswordRequest", {
  name: text(1),
  password: text(2),
  hashedPassword: text(3, HASHED_PASSWORD),
});

/** Adds a role to a user. */
export const AUTH_USER_GRANT_ROLE_REQUEST = declare("etcdserverpb.AuthUserGrantRoleRequest", {
  user: text(1),
  role: text(2),
});

/** Takes a role from a user. */
export const AUTH_USER_REVOKE_ROLE_REQUEST = declare("etcdserverpb.AuthUserRevokeRoleRequest", {
  name: text(1),
  role: text(2),
});

/** Adds a role. */
export const AUTH_ROLE_ADD_REQUEST = declare("etcdserverpb.AuthRoleAddRequest", { name: text(1) });

/** Names a role: to read or to remove it. */
export const AUTH_ROLE_GET_REQUEST = declare("etcdserverpb.AuthRoleGetRequest", { role: text(1) });

/** A right of a role over the keys from `key` on: `rangeEnd` is as in a Range. */
export const PERMISSION = declare("authpb.Permission", {
  permType: choice(1, ["READ", "WRITE", "READWRITE"], { json: "permType" }),
  key: bytes(2),
  rangeEnd: bytes(3),
});
/** A right of a role, as it is read. */
export type EtcdPermission = MessageOf<typeof PERMISSION>;
/** A right of a role, as it is written. */
export type EtcdPermissionGiven = GivenOf<typeof PERMISSION>;

/** The rights of a role. */
export const AUTH_ROLE_GET_RESPONSE = declare("etcdserverpb.AuthRoleGetResponse", {
  header: HEADER,
  perm: messages(2, () => PERMISSION),
});

/** All roles. */
export const AUTH_ROLE_LIST_RESPONSE = declare("etcdserverpb.AuthRoleListResponse", {
  header: HEADER,
  roles: texts(2),
});

/** Adds a right to a role. */
export const AUTH_ROLE_GRANT_PERMISSION_REQUEST = declare("etcdserverpb.AuthRoleGrantPermissionRequest", {
  name: text(1),
  perm: message(2, () => PERMISSION),
});

/** Takes the rights over keys from a role. */
export const AUTH_ROLE_REVOKE_PERMISSION_REQUEST = declare("etcdserverpb.AuthRoleRevokePermissionRequest", {
  role: text(1),
  key: bytes(2),
  rangeEnd: bytes(3),
});
