/** The methods of etcdserverpb.Auth about authentication itself. */
import { authOn } from "../../client/auth/auth_client.ts";
import { ROOT_ROLE } from "../../kv/auth/auth_command.ts";
import { type EtcdContext, headerOf } from "../context.ts";
import {
  AUTH_ENABLE_REQUEST,
  AUTH_ENABLE_RESPONSE,
  AUTH_STATUS_RESPONSE,
  AUTHENTICATE_REQUEST,
  AUTHENTICATE_RESPONSE,
} from "../messages/auth.ts";
import { type Call, type Method, unary } from "../rpc/method.ts";
import { EtcdError, etcdError } from "../rpc/status.ts";
import { changed } from "./failures.ts";

/** The user that etcd's tools make first. */
const ROOT_USER = "root";

/** Returns the methods about authentication. */
export function accessMethods(context: EtcdContext): readonly Method[] {
  const header = () => headerOf(context, context.view().revision);
  const service = "etcdserverpb.Auth";
  const change = { service, request: AUTH_ENABLE_REQUEST, response: AUTH_ENABLE_RESPONSE };
  return [
    unary({ ...change, name: "AuthEnable", http: ["/v3/auth/enable"] }, async (_request, call) => {
      await enable(call);
      return { header: header() };
    }),
    unary({ ...change, name: "AuthDisable", http: ["/v3/auth/disable"] }, async (_request, call) => {
      await authOn(call.core).disable({ timeoutMs: call.timeoutMs });
      return { header: header() };
    }),
    unary(
      { ...change, name: "AuthStatus", http: ["/v3/auth/status"], response: AUTH_STATUS_RESPONSE },
      async (_request, { core, timeoutMs }) => {
        const { enabled, authRevision } = await authOn(core).status({ timeoutMs });
        // As a store's, the first revision of etcd's users is 1.
        return { header: header(), enabled, authRevision: authRevision + 1 };
      },
    ),
    unary(
      {
        service,
        name: "Authenticate",
        http: ["/v3/auth/authenticate"],
        request: AUTHENTICATE_REQUEST,
        response: AUTHENTICATE_RESPONSE,
      },
      async (user, { timeoutMs, remote }) => {
        if (!await isEnabled(context, timeoutMs)) throw etcdError("authNotEnabled");
        return { header: header(), token: await context.clients.signIn(user, remote) };
      },
    ),
  ];
}

/** Resolves to whether authentication is enabled, also if this node has not known it a moment ago. */
async function isEnabled(context: EtcdContext, timeoutMs: number): Promise<boolean> {
  const auth = authOn(context.core);
  if ((await auth.status({ timeoutMs })).enabled) return true;
  await context.isReadable();
  return (await auth.status({ timeoutMs })).enabled;
}

/** Enables authentication. etcd's tools make the role root, and give it to the user root, after some refusals. */
async function enable({ core, timeoutMs }: Call): Promise<void> {
  const auth = authOn(core);
  if (await changed("noRoot", () => auth.enable({ timeoutMs }))) return;
  const root = await auth.user(ROOT_USER, { timeoutMs });
  if (root === null) throw etcdError("rootMissing");
  if (!root.roles.includes(ROOT_ROLE)) throw etcdError("rootRoleMissing");
  throw new EtcdError(
    "failedPrecondition",
    "kvraft: no user with the role root has a password or a token that never expires",
  );
}
