/** The metrics of users and of TLS. */
import { counter, counts, gauge, type Metric, one } from "./metric.ts";

/** In the order in which they are shown. */
export const AUTHENTICATION: readonly Metric[] = [
  gauge("kvraft_auth_enabled", {
    unit: "",
    help: "1 while requests need a user that has signed in, by the state that the node has applied.",
    measured: "lib/kv/auth/auth_state.ts",
    read: ({ condition }) => one(condition.isAuthEnabled ? 1 : 0),
  }),
  gauge("kvraft_users", {
    unit: "users",
    help: "Users who may sign in.",
    measured: "lib/kv/auth/auth_state.ts",
    read: ({ condition }) => one(condition.users),
  }),
  gauge("kvraft_clients", {
    unit: "connections",
    labels: ["via"],
    help:
      "Connections of kvraft's own clients by what names their users; `none`: those without a user, which are refused " +
      "while authentication is enabled. A gateway has connections without a user for clients that have none.",
    measured: "lib/server/auth/authentication.ts",
    read: ({ condition }) => counts("via", condition.clients()),
  }),
  counter("kvraft_sign_ins_total", {
    unit: "sign-ins",
    labels: ["result"],
    help:
      "Attempts to sign in by password or token. `failed`: an unknown user or token, or a wrong password; " +
      "`busy`: too many waited. Refused requests are in `kvraft_requests_total`, " +
      "with the outcomes `unauthenticated` and `permissionDenied`.",
    measured: "lib/server/auth/sign_ins.ts",
    read: ({ metrics }) => counts("result", metrics.signIns),
  }),
  counter("kvraft_tls_handshakes_failed_total", {
    unit: "connections",
    labels: ["reason"],
    help: "With TLS: handshakes that failed, and connections that were refused for their certificate.",
    measured: "lib/server/startup/server_tls.ts",
    read: ({ tls }) => tls === null ? [] : counts("reason", Object.fromEntries(tls.failures)),
  }),
  gauge("kvraft_tls_certificate_expiry_days", {
    unit: "days",
    help:
      "With TLS: whole days until the certificate of the node, or of an authority that it depends on, expires; negative " +
      "afterwards.",
    measured: "lib/server/startup/server_tls.ts",
    read: ({ tls }) => tls === null ? [] : one(tls.daysLeft),
  }),
];
